"""What makes this SN one of several: its start among them, the loops that keep them together, what it tells of them.

Owns the wiring of these parts; a swarm with one SN (embedded chain) has the start and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Container, Mapping
from typing import Any

from swarm.chain.client import ChainClient
from swarm.chain.deploy import Deployed, attach
from swarm.chain.geth.peers import Enode
from swarm.core.alive import ALIVE_SECONDS
from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.ids import Address, address, to_hex
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity
from swarm.node.joining import PIN_KEY
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .chainhost import ChainHost
from .entry import Door
from .fleet import LEAVING, Fleet
from .gethhost import GethHost
from .grants import Grants
from .sealing import Sealing
from .settings import SnSettings
from .starting import Starting, sync_first

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 1024


class Several:
    """Args: context: TLS as a client, to ask other SNs; door: how this SN came in, None for the sentinel."""

    def __init__(
        self,
        settings: SnSettings,
        host: ChainHost,
        client: ChainClient,
        deployed: Deployed,
        own: PeerIdentity,
        context: ssl.SSLContext,
        waits: Waits,
        door: Door | None,
    ) -> None:
        self._host, self._own_uri = host, settings.own_uri
        self._fleet = Fleet(host.rpc, deployed, context, client.address)
        self.starting = Starting(
            host.geth,
            client,
            deployed,
            self._fleet,
            own,
            waits,
            uri=settings.own_uri,
            rejoin=None if door is None else door.join,
        )
        self._grants = Grants(client, deployed.membership, self._fleet.records)
        self._sealing: Sealing | None = None
        if host.geth is not None:
            self._sealing = Sealing(
                host.geth, self._fleet, client.address, waits, ready=self._ready, dead_seconds=settings.sn_dead_after
            )

    async def run(self, merge: Callable[[Any, Container[Address]], int]) -> None:
        """The loops beside the API, until cancelled. ``merge`` takes in the signs of life that another SN has heard."""
        if self._sealing is None:
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sealing.run(), name="sealing")
                group.create_task(self._grants.run(), name="admission rights")
                group.create_task(self._hear(merge), name="signs of life at other SNs")
        finally:
            await self._fleet.aclose()

    async def leave(self) -> None:
        """Before a planned stop."""
        if self._sealing is not None:
            await self._sealing.leave()

    def down(self) -> tuple[str, str] | None:
        """A code and why this node does not serve yet, or no more; None between."""
        if self._sealing is not None and self._sealing.leaving:
            return LEAVING, "this SN is about to stop"
        if self.starting.stage is not None:
            return "starting", f"this SN is starting: {self.starting.stage}"
        return None

    def swarm(self) -> dict[str, Any]:
        """Fields of ``/v1/swarm``: whether blocks may be replaced here, and all SNs that are known."""
        geth = self._host.geth
        uris = [sn.uri for sn in self._fleet.sns] or [uri for uri in (self._own_uri,) if uri is not None]
        return {"can_reorganise": geth is not None and geth.period > 0, "sns": uris}

    def describe(self) -> dict[str, Any]:
        return {} if self._sealing is None else self._sealing.describe()

    def chain(self) -> Mapping[str, Any]:
        """The answer of ``/v1/chain``. Raises ApiError: this chain has one SN only."""
        geth = self._host.geth
        if geth is None:
            raise ApiError(409, "no_sns", admits_sns(self._host))
        return {"genesis": geth.genesis, "genesis_hash": self._host.genesis_hash, "period": geth.period}

    async def welcome(self, node: Address, body: bytes) -> Mapping[str, Any]:
        """The answer of ``/v1/chain/peers``. Raises ApiError: unusable body, or not possible here or now."""
        refusal = admits_sns(self._host)
        if self._sealing is None or refusal:
            raise ApiError(409, "no_sns", refusal)
        try:
            if len(body) > BODY_BYTES_MAX:
                raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
            enode = Enode.parse(json.loads(body)["enode"])
        except (KeyError, TypeError, ValueError, RecursionError, PeerFault) as error:
            raise ApiError(422, "bad_request", f'expected {{"enode": text}}: {error}') from None
        try:
            peers = await self._sealing.welcome(node, str(enode))
        except ChainFault as error:
            raise ApiError(503, "busy", str(error)) from error
        return {"peers": {to_hex(n): e for n, e in peers.items()}}

    async def _hear(self, merge: Callable[[Any, Container[Address]], int]) -> None:
        """A member tells one SN that it lives; the others hear of it here."""
        while True:
            for sn in self._fleet.others():
                rows = await self._fleet.living(sn)
                if rows is None:
                    continue
                try:
                    merge(rows, self._fleet.members)
                except PeerFault as error:
                    log.warning("%s sends no signs of life: %s", sn.uri, error)
            await asyncio.sleep(ALIVE_SECONDS)

    def _ready(self) -> bool:
        return self.starting.stage is None and self._host.fault() is None


def admits_sns(host: ChainHost) -> str:
    """Why no further SN can be admitted here; empty when one can."""
    if host.geth is None:
        return (
            "this swarm's chain is embedded in its one SN: begin a swarm with --chain geth (SWARM_CHAIN=geth) on the "
            "sentinel with a new state folder, and start the other SNs with --chain geth as well"
        )
    if host.geth.enode is None:
        return "this SN does not know its own address: start it with --host-ip (THIS_NODE_IP)"
    return ""


async def contracts_of(
    client: ChainClient, geth: GethHost | None, door: Door, journal: Journal, waits: Waits
) -> Deployed:
    """The contracts of the swarm that a further SN has joined, once it has the chain.

    Raises:
        OperatorFault: the state folder is a sentinel's.
        ChainFault: the chain does not answer, or has no contracts where they were told to be.
    """
    raw = journal.get(PIN_KEY)
    if raw is None or geth is None:
        raise OperatorFault("this state folder was begun by a sentinel: start with --sentinel, or give a new folder")
    await sync_first(geth, door.client, waits)
    return await attach(client, address(json.loads(raw)["contracts"][0]))


def check_folder(settings: SnSettings, journal: Journal) -> None:
    """Raises OperatorFault: a sentinel may not start on the state folder of another SN."""
    if settings.sentinel and journal.get(PIN_KEY) is not None:
        raise OperatorFault(
            "this state folder belongs to an SN that joined another sentinel's swarm: start it with --sentinel-ip, "
            "or give --state-dir a new folder"
        )
