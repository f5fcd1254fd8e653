"""Delivers pulses: one slot a peer, the newest replaces the waiting one, since a pulse says everything anew."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any

from swarm.core.engine.events import Event, PeerSilent, PulseArrived
from swarm.core.engine.messages import Pulse
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, to_hex
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Cut, TimedOut, Unreachable
from swarm.net.identity import PeerIdentity

from .directory import Members

log = logging.getLogger("swarm.sl.peering")

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0


class Peering:
    """Connections to the other members, kept warm."""

    def __init__(self, members: Members, context: ssl.SSLContext, deliver: Callable[[Event], None]) -> None:
        self._members, self._context, self._deliver = members, context, deliver
        self._slots: dict[Address, Pulse] = {}
        self._workers: dict[Address, asyncio.Task[None]] = {}
        self._clients: dict[Address, JsonClient] = {}

    def send(self, to: Address, pulse: Pulse) -> None:
        self._slots[to] = pulse
        worker = self._workers.get(to)
        if worker is None or worker.done():
            task = asyncio.get_running_loop().create_task(self._work(to), name=f"pulses to {to_hex(to)[:10]}")
            self._workers[to] = task

    async def ask(self, of: Address, path: str, body: Any) -> Any:
        """Post a body to a member; its answer.

        Raises:
            PeerFault: where it is is not known, or it is not who it must be.
            Unreachable: no usable answer.
        """
        return await (await self._client(of)).post(path, body)

    async def aclose(self) -> None:
        for task in self._workers.values():
            task.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    async def _work(self, to: Address) -> None:
        while (pulse := self._slots.pop(to, None)) is not None:
            try:
                client = await self._client(to)
                answer = await client.post("/v1/pulse", pulse.to_json())
                self._deliver(PulseArrived(to, Pulse.from_json(answer)))
            except BadAnswer as fault:
                # It lives and refuses: it may not have seen our join yet. Neither a pulse nor silence.
                log.debug("%s refused a pulse: %s", to_hex(to), fault)
            except (Cut, TimedOut) as fault:
                # A bad link or a busy host does this to the living: only silence for long enough tells them apart.
                log.debug("no answer from %s: %s", to_hex(to), fault)
            except (Unreachable, PeerFault) as fault:
                self._deliver(PeerSilent(to, str(fault)))

    async def _client(self, to: Address) -> JsonClient:
        uri = self._members.uri(to)
        if uri is None:
            raise PeerFault(f"the address of {to_hex(to)} is not known yet")
        known = self._clients.get(to)
        if known is not None and known.url == uri.rstrip("/"):
            return known
        if known is not None:
            await known.aclose()

        def expect(peer: PeerIdentity) -> None:
            self._members.expect(to)(peer)

        made = JsonClient(
            uri.rstrip("/"), self._context, expect, connect_seconds=CONNECT_SECONDS, total_seconds=TOTAL_SECONDS
        )
        self._clients[to] = made
        return made
