"""The nodes of a swarm and where each is reached, as signs of life and the chain's announcements tell them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from swarm.chain import events as ev
from swarm.chain.latest import Latest
from swarm.chain.rpc import Rpc
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, job_id, to_hex
from swarm.core.shown import shown
from swarm.net.uri import parse_uri

from . import shapes
from .source import View

JOBS_MAX = 100
"""Jobs whose joiners' addresses are read for one listing."""
LISTS_MAX = 4 * JOBS_MAX
"""Jobs whose joiners' addresses are kept."""


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


async def nodes_of(view: View, places: Places, now: float) -> list[Node]:
    """All living nodes of the roles SN, SL and SWOP, SNs first.

    Args:
        now: this host's time, for an SN that does not tell its own: ages are counted there.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    living = [sign for sign in view.signs if sign["alive"] and sign["role"] in ("sn", "sl", "swop")]
    jobs = sorted({said["job"] for sign in living if (said := sign["said"]) and said.get("job")})[:JOBS_MAX]
    where = await places.of(jobs)
    owner = to_hex(await view.membership.owner())
    sns = _by_name(living)
    asked = str(view.status.get("node"))
    found = []
    for sign in sorted(living, key=lambda s: (s["role"] != "sn", s["role"] != "swop", s["name"], s["node"])):
        host, port = where.get(sign["node"]) or _told(sign)
        kind = "SENTINEL" if sign["node"] == owner else sign["role"].upper()
        at = (view.status.get("time") or now) - sign["age_seconds"]
        name = shown(sign["name"] or sign["node"]).replace(",", " ")
        # A picture of the swarm needs a row of each parent: an SN that is gone, or whose name two have, is none.
        parent = sign["node"] if sign["role"] == "sn" else sns.get(sign["sn"], asked)
        found.append(Node(kind, host, port, name, sign["node"], parent, at))
    return found


def _told(sign: dict[str, Any]) -> tuple[str, str]:
    """Where a node that announces nothing on chain says that it is reached; who answers there is held to its key."""
    with contextlib.suppress(PeerFault):
        host, port = parse_uri(str((sign["said"] or {}).get("logs", "")))
        return host, str(port)
    return "-", "-"


def _by_name(signs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The SNs by name: so signs of life tell the SN that a node talks to. A name that several have is left out."""
    named = [(sign["name"], sign["node"]) for sign in signs if sign["role"] == "sn"]
    how_many = Counter(name for name, _ in named)
    return {name: node for name, node in named if how_many[name] == 1}


async def nodes(view: View) -> list[shapes.Node]:
    """As :func:`nodes_of`, of now.

    Raises:
        ChainFault: the SN or its chain failed.
    """
    return [
        cast(shapes.Node, asdict(one)) for one in await nodes_of(view, Places(view.rpc, view.contracts), time.time())
    ]


class Places:
    """Where nodes said on the chain that they are reached; kept, so that no listing reads the chain from its start.

    Args: rpc: asks the chain; contracts: addresses by name.
    """

    def __init__(self, rpc: Rpc, contracts: Mapping[str, Address]) -> None:
        self._rpc, self._contracts = rpc, contracts
        self._announced = Latest(rpc, contracts, "Membership", ev.Announced)
        self._joined: dict[str, Latest[ev.Joined]] = {}

    async def of(self, jobs: Sequence[str]) -> dict[str, tuple[str, str]]:
        """By node, host and port of its newest word; what is no address is left out.

        Raises:
            ChainFault: the SN or its chain failed.
        """
        if len(self._joined) + len(jobs) > LISTS_MAX:
            self._joined = {name: kept for name, kept in self._joined.items() if name in jobs}
        events: list[ev.Announced | ev.Joined] = [*(await self._announced.events()).values()]
        for name in jobs:
            if name not in self._joined:
                topics = [to_hex(job_id(name))]
                self._joined[name] = Latest(self._rpc, self._contracts, "Training", ev.Joined, topics)
            events += (await self._joined[name].events()).values()
        found: dict[str, tuple[str, str]] = {}
        for event in events:
            with contextlib.suppress(PeerFault):  # it said that it is there no more, or told nonsense
                host, port = parse_uri(event.uri)
                found[to_hex(event.node)] = host, str(port)
        return found
