"""Rows about the swarm as a whole."""

from __future__ import annotations

from .form import Command, Line, Option, Takes, Way
from .options import BARE, NODE, OPERATOR

ROWS: tuple[Command, ...] = (
    Command(
        "WAIT FOR IP",
        "swarm",
        "Waits until an SN answers: by default 360 tries, 5 s apart, on port 30304.",
        ("WAIT FOR IP <ip> [port] [retries]", "WAIT FOR <ip> [port] [retries]"),
        "C02",
    ),
    Command(
        "WAIT FOR SERVICE",
        "swarm",
        "Waits until an SN behind a proxy answers: by default 360 tries, 5 s apart, on port 443.",
        ("WAIT FOR SERVICE <service> [retries]",),
        "C03",
    ),
    Command(
        "LIST NODES",
        "swarm",
        "Prints a header, then a line for each SN, SL and SWOP: type, host, port, container, UUID, parent, last heard.",
        ("LIST NODES",),
        "C28",
        lines=(Line("node list", Way.READ, answer="Nodes"),),
    ),
    Command(
        "STATUS",
        "swarm",
        "Shows the swarm: members, jobs, who waits for what.",
        ("STATUS",),
        lines=(
            Line(
                "status",
                Way.READ,
                (
                    Option("SECONDS", "with --watch: so often [default: 2]", Takes.SECONDS),
                    Option("--watch", "draw it anew until Ctrl-C: --watch 5", Takes.SWITCH),
                    BARE,
                ),
                answer="Standing",
                streams=True,
            ),
        ),
    ),
    Command(
        "WHY",
        "swarm",
        "Tells what everything waits for, since when, and what ends it.",
        ("WHY",),
        lines=(Line("node why", Way.READ, answer="Waiting"),),
    ),
    Command(
        "LOGS",
        "swarm",
        "Prints the last log lines of a node whose site shares them.",
        ("LOGS <node>",),
        operators=True,
        lines=(Line("node logs", Way.SEND, (NODE,), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "member list",
        "swarm",
        "Lists everybody who was ever admitted: role, status, until when.",
        lines=(Line("member list", Way.READ, answer="Members"),),
    ),
)
