"""The nodes of a swarm and where each is reached, as signs of life and the chain's announcements tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarm.chain import events as ev
from swarm.chain.contract import artifact
from swarm.chain.events import EventDecoder
from swarm.chain.paging import logs_up_to
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, job_id, to_hex
from swarm.core.shown import shown
from swarm.net.uri import parse_uri

from .source import View

JOBS_MAX = 100
"""Jobs whose joiners' addresses are read for one listing."""


@dataclass(frozen=True, slots=True)
class Node:
    """One row.

    Args:
        kind: SENTINEL, SN, SL or SWOP; host, port: "-" if nobody announced them; at: last heard, in seconds.
        parent: the SN that it talks to; of an SN itself.
    """

    kind: str
    host: str
    port: str
    name: str
    node: str
    parent: str
    at: float


async def nodes_of(view: View, now: float) -> list[Node]:
    """All living nodes of the roles SN, SL and SWOP, SNs first.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    living = [sign for sign in view.signs if sign["alive"] and sign["role"] in ("sn", "sl", "swop")]
    jobs = sorted({said["job"] for sign in living if (said := sign["said"]) and said.get("job")})[:JOBS_MAX]
    where = await _announced(view) | await _joined(view, jobs)
    owner = to_hex(await view.membership.owner())
    sns = _by_name(living)
    asked = str(view.status.get("node"))
    found = []
    for sign in sorted(living, key=lambda s: (s["role"] != "sn", s["role"] != "swop", s["name"], s["node"])):
        host, port = where.get(sign["node"], ("-", "-"))
        kind = "SENTINEL" if sign["node"] == owner else sign["role"].upper()
        at = now - sign["age_seconds"]
        name = shown(sign["name"] or sign["node"]).replace(",", " ")
        # A picture of the swarm needs a row of each parent: an SN that is gone, or whose name two have, is none.
        parent = sign["node"] if sign["role"] == "sn" else sns.get(sign["sn"], asked)
        found.append(Node(kind, host, port, name, sign["node"], parent, at))
    return found


def _by_name(signs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The SNs by name: so signs of life tell the SN that a node talks to. A name that several have is left out."""
    named = [(sign["name"], sign["node"]) for sign in signs if sign["role"] == "sn"]
    return {name: node for name, node in named if [one for one, _ in named].count(name) == 1}


async def _announced(view: View) -> dict[str, tuple[str, str]]:
    return await _uris(view, "Membership", view.membership.address, ev.Announced, [])


async def _joined(view: View, jobs: Sequence[str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name in jobs:
        found |= await _uris(view, "Training", view.training.address, ev.Joined, [to_hex(job_id(name))])
    return found


async def _uris(view: View, contract: str, at: Address, kind: type, more: list[str]) -> dict[str, tuple[str, str]]:
    """By node, host and port of the newest event of that kind; what is no address is left out."""
    decode = EventDecoder({contract: at})
    topic = to_hex(artifact(contract).events[kind.__name__].hash)
    head = int(await view.rpc("eth_blockNumber", []), 16)
    found: dict[str, tuple[str, str]] = {}
    async for log in logs_up_to(view.rpc, head, [at], [topic, *more]):
        event: Any = decode(log)
        if isinstance(event, kind):
            node, uri = to_hex(event.node), event.uri  # type: ignore[attr-defined]
            try:
                host, port = parse_uri(uri)
                found[node] = host, str(port)
            except PeerFault:  # it said that it is there no more, or told nonsense
                found.pop(node, None)
    return found
