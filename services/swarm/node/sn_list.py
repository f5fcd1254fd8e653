"""The SNs that a node may turn to: those its operator named, then those that announced themselves on the chain.

Owns the list and its memory in the journal; which one is used, and when to leave it, is :mod:`.sn_link`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from swarm.core.ids import Address
from swarm.net.uri import SERVICE_PORT, node_url, parse_uri
from swarm.store.journal import Journal

SNS_MAX = 16
"""SNs considered at once; the configured ones come first."""
ANNOUNCED_MAX = 64
"""Announced SNs that are looked up; more than a swarm has."""
PREFIX = "sn/announced/"


class SnList:
    """``https://host:port`` of SNs, the preferred first.

    Args:
        configured: at least one.
        journal: keeps what was announced; None for a tool that forgets.
    """

    def __init__(self, configured: Sequence[str], journal: Journal | None = None) -> None:
        self._configured = list(configured)
        self._journal = journal
        self._announced: dict[Address, str] = {}
        self._usable: Callable[[Address], bool] = lambda _: True
        for key, value in journal.items(PREFIX) if journal is not None else ():
            self._announced[Address(bytes.fromhex(key.removeprefix(PREFIX)))] = json.loads(value)

    def learn(self, node: Address, uri: str) -> None:
        """Take an SN's newest announcement; an empty address takes it off the list.

        Raises:
            PeerFault: it is not https://host:port.
        """
        if uri:
            parse_uri(uri)
        if self._announced.get(node, "") == uri:
            return
        self._announced.pop(node, None)  # the newest stands last
        self._announced[node] = uri
        if self._journal is not None:
            self._journal.put(PREFIX + node.hex(), json.dumps(uri).encode())

    @property
    def announced(self) -> list[Address]:
        """Who of them this node has to look up on chain, the newest first; ANNOUNCED_MAX at most."""
        return [node for node, uri in reversed(self._announced.items()) if uri][:ANNOUNCED_MAX]

    def only(self, usable: Callable[[Address], bool]) -> None:
        """Who of the announced may be used: active members of role SN, once this node has read who they are."""
        self._usable = usable

    @property
    def several(self) -> bool:
        """More than one usable SN has announced itself: their chain may replace blocks."""
        return sum(1 for node, uri in self._announced.items() if uri and self._usable(node)) > 1

    @property
    def urls(self) -> list[str]:
        announced = [uri.rstrip("/") for node, uri in sorted(self._announced.items()) if uri and self._usable(node)]
        return list(dict.fromkeys([*self._configured, *announced]))[:SNS_MAX]


def sn_urls(hosts: str | None, services: str | None, port: int) -> list[str]:
    """SNs named by comma separated services (port 443 if none is given), or else hosts (``port`` if none is given).

    Raises:
        ValueError: one of them is no address; one line with the option.
    """
    option, default = ("--sn-api-service", SERVICE_PORT) if services else ("--sn-ip", port)
    texts = filter(None, map(str.strip, (services or hosts or "").split(",")))
    return list(dict.fromkeys(node_url(option, text, default) for text in texts))
