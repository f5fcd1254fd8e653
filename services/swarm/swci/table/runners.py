"""Rows about task runners."""

from __future__ import annotations

from .form import Command, Line, Option, Way
from .options import FILE, FORCE, OPERATOR, PEERS, RUNNER, TASK

ROWS: tuple[Command, ...] = (
    Command(
        "CREATE TASKRUNNER",
        "runners",
        "Registers a task runner.",
        ("CREATE TASKRUNNER <runner>",),
        "C20",
        changes=True,
        lines=(Line("runner create", Way.SEND, (RUNNER,), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "LIST TASKRUNNERS",
        "runners",
        "Prints the names of the task runners.",
        ("LIST TASKRUNNERS",),
        "C20",
        lines=(Line("runner list", Way.READ, answer="Runners"),),
    ),
    Command(
        "LIST TASKRUNNER PEERS",
        "runners",
        "Prints the SWOPs that enrolled for a runner's present task.",
        ("LIST TASKRUNNER PEERS <runner>",),
        "C20",
        lines=(Line("runner peers", Way.READ, (RUNNER,), answer="Peers"),),
    ),
    Command(
        "ASSIGN TASK",
        "runners",
        "Gives a task to a runner's SWOPs: to n peers, to all that listen now, or to one.",
        (
            "ASSIGN TASK <task> TO <runner> WITH <n> PEERS",
            "ASSIGN TASK <task> TO <runner> WITH ALL PEERS",
            "ASSIGN TASK <task> TO <runner> TARGET <swop>",
        ),
        "C21",
        changes=True,
        lines=(
            Line(
                "runner assign",
                Way.SEND,
                (
                    TASK,
                    RUNNER,
                    PEERS,
                    Option("--target", "UUID of the one SWOP that is meant", into="swop"),
                ),
                answer="Said",
                settings=OPERATOR,
            ),
        ),
    ),
    Command(
        "WAIT FOR TASKRUNNER",
        "runners",
        "Waits for the end of a runner's task, and tells who failed, and how.",
        ("WAIT FOR TASKRUNNER <runner>",),
        "C24",
        lines=(Line("runner wait", Way.SEND, (RUNNER,), answer="Said", streams=True, settings=OPERATOR),),
    ),
    Command(
        "RESET TASKRUNNER",
        "runners",
        "Frees a runner, and has SWOPs remove its containers; FORCE ends a task that runs.",
        ("RESET TASKRUNNER <runner> [FORCE]",),
        "C25",
        changes=True,
        lines=(Line("runner reset", Way.SEND, (RUNNER, FORCE), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "ABORT TASKRUNNER",
        "runners",
        "Ends a runner's task as ERROR; its record stays until the next task.",
        ("ABORT TASKRUNNER <runner> [why...]",),
        changes=True,
        lines=(
            Line(
                "runner abort",
                Way.SEND,
                (RUNNER, Option("--why", "a reason, which the record keeps")),
                answer="Said",
                settings=OPERATOR,
            ),
        ),
    ),
    Command(
        "GET TASKRUNNER STATUS",
        "runners",
        "Tells which task a runner has, its state, and how its peers stand.",
        ("GET TASKRUNNER STATUS <runner>",),
        "C26",
        lines=(Line("runner show", Way.READ, (RUNNER,), answer="Runner"),),
    ),
    Command(
        "GET TASKRUNNER INFO",
        "runners",
        "Tells what is known of a runner: its task, who assigned it, since when.",
        ("GET TASKRUNNER INFO <runner>",),
        "C27",
    ),
    Command(
        "GET TASKRUNNER PEER STATUS",
        "runners",
        "Tells how one peer of a runner's task stands.",
        ("GET TASKRUNNER PEER STATUS <runner> <peer>",),
        "C27",
        lines=(
            Line(
                "runner peer",
                Way.READ,
                (RUNNER, Option("PEER", "index of a peer, from 0, or its UUID", needed=True)),
                answer="Pairs",
            ),
        ),
    ),
    Command(
        "RUN",
        "runners",
        "Creates and finalizes a task, resets the runner if it is free, assigns and waits; may be begun again.",
        ("RUN <file> ON <runner> WITH <n> PEERS", "RUN <file> ON <runner> WITH ALL PEERS"),
        changes=True,
        lines=(Line("run start", Way.SEND, (FILE, RUNNER, PEERS), answer="Said", streams=True, settings=OPERATOR),),
    ),
)
