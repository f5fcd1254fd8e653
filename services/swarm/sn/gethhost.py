"""This SN's geth: whom it meets, its block period, its keys; and what of that must outlive the process.

Owns the way from "these SNs are admitted" to geth's flags and peers. Who is admitted is read from the chain by
others; the process itself is :mod:`swarm.chain.geth.supervisor`'s. Journal entries are written before geth is
started with what they say, so that a crash in between is mended by the next start.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swarm.chain.geth.admin import GethAdmin
from swarm.chain.geth.config import LOOPBACK, GethConfig, Peering
from swarm.chain.geth.genesis import with_period
from swarm.chain.geth.peers import Enode, covered, network_of, networks, peers_max, restrict
from swarm.chain.geth.sealer import ensure_keys, node_id
from swarm.chain.geth.supervisor import GethSupervisor, State
from swarm.core.errors import ChainFault, LocalFault, PeerFault
from swarm.core.ids import Address, address, to_hex
from swarm.store.journal import Journal

from .settings import EVERYWHERE, SnSettings

log = logging.getLogger(__name__)

CHAIN_KEY = "chain/settings"
PEERS_KEY = "chain/peers"
PERIOD_SEVERAL_SECONDS = 1
"""The block period once there is a second SN: sealing on demand forks as soon as somebody follows."""
RESTART_PAUSE_SECONDS = 5.0
"""Between two restarts for new peers, so that several that come at once cost one."""
RESOLVE_EVERY_SECONDS = 15.0
MOVE_SECONDS = 60.0
"""An SN's chain node changes its address at most this often here: each change can cost a restart of geth."""
ME = Address(bytes(20))
"""This SN's own place among the enodes that are resolved."""


class GethHost:
    """One geth with its peers.

    Args:
        kept: the journal's chain settings: chain_id, period (as begun), period_now, synced, genesis.
    """

    def __init__(
        self, settings: SnSettings, binary: Path, folder: Path, kept: dict[str, Any], journal: Journal
    ) -> None:
        self._settings = settings
        self._kept = kept
        self._journal = journal
        config = GethConfig(binary=binary, folder=folder, chain_id=kept["chain_id"])
        sealer = ensure_keys(config, sealing=True)
        if sealer is None:
            raise LocalFault(f"no sealing key was made in {folder}")
        self.sealer: Address = sealer
        self._config = replace(config, sealer=sealer)
        self._id = node_id(config)
        self._fixed = networks(settings.p2p_allow or "")
        self._peers: dict[Address, Enode] = {}
        self._met: dict[Address, Enode] = {}
        self._resolved: dict[str, tuple[Enode | None, float]] = {}
        self._complaints: dict[Address, str] = {}
        self._moves: dict[Address, tuple[Enode, float]] = {}
        """Where each SN's chain node is, and when it last moved."""
        self._restarted = float("-inf")
        self._lock = asyncio.Lock()
        self._supervisor: GethSupervisor | None = None

    @property
    def supervisor(self) -> GethSupervisor:
        assert self._supervisor is not None
        return self._supervisor

    @property
    def admin(self) -> GethAdmin:
        return self.supervisor.admin

    @property
    def ipc(self) -> Path:
        return self._config.ipc

    @property
    def up(self) -> bool:
        return self.supervisor.status().state is State.UP

    @property
    def enode(self) -> str | None:
        """This node's own, None if nobody said under which address others reach it."""
        own = self._settings.own_p2p
        return None if own is None else str(Enode(self._id, *own))

    @property
    def genesis(self) -> dict[str, Any]:
        """As the chain was begun with."""
        return with_period(self._kept["genesis"], self._kept["period"])

    @property
    def period(self) -> int:
        """Seconds between blocks now."""
        return int(self._kept["period_now"])

    @property
    def synced(self) -> bool:
        """Whether this node has once had the whole chain."""
        return bool(self._kept["synced"])

    def known_peers(self) -> dict[Address, str]:
        """Enodes of other SNs, as the journal has them."""
        raw = self._journal.get(PEERS_KEY)
        return {} if raw is None else {address(node): enode for node, enode in json.loads(raw).items()}

    async def prepare(self) -> GethSupervisor:
        """The supervisor to run, with the peers of the last time."""
        self._peers = await self._reachable(self.known_peers())
        config = replace(self._config, peering=self._peering())
        first = with_period(self._kept["genesis"], self.period)
        self._supervisor = GethSupervisor(config, first, on_up=self._on_up)
        return self._supervisor

    async def meet(self, wanted: Mapping[Address, str]) -> None:
        """Make these SNs' enodes geth's peers, and no others; restarts geth where only that lets them in.

        Raises:
            ChainFault: geth does not answer, or was restarted for others a moment ago (try again).
        """
        async with self._lock:
            peers = await self._reachable(wanted)
            before = self._peers
            if peers != before:
                self._journal.put(PEERS_KEY, json.dumps({to_hex(n): str(e) for n, e in peers.items()}).encode())
            self._peers = peers
            peering = self._peering()
            running = self.supervisor.config.peering
            closed = running.peers_max == 0 and peering.peers_max > 0
            outside = any(not covered(p.host, running.restrict) for p in peers.values())
            period = self._period_for(bool(peers))
            if closed or outside or period != self.period:
                if time.monotonic() - self._restarted < RESTART_PAUSE_SECONDS:
                    raise ChainFault("geth was restarted for another SN a moment ago; again in some seconds")
                log.info("geth restarts to meet %d SNs: p2p from %s, period %d s", len(peers), peering.restrict, period)
                await self._restart(peering, period)
            else:
                await self._introduce(self.admin)

    async def has_synced(self) -> None:
        """This node has the whole chain: from now on it is run with the period that a sealer needs."""
        async with self._lock:
            period = max(self.period, PERIOD_SEVERAL_SECONDS) if self._peers else self.period
            if self.synced:
                return
            self._kept["synced"] = True
            if period == self.period:
                self._keep()
            else:
                await self._restart(self._peering(), period)

    async def _restart(self, peering: Peering, period: int) -> None:
        self._restarted = time.monotonic()
        self._kept["period_now"] = period
        self._keep()
        await self.supervisor.reconfigure(peering=peering, period=period)

    def _keep(self) -> None:
        self._journal.put(CHAIN_KEY, json.dumps(self._kept).encode())

    def _period_for(self, several: bool) -> int:
        # While it catches up, the blocks that were sealed on demand must pass: two of them may have one time.
        return max(self.period, PERIOD_SEVERAL_SECONDS) if several and self.synced else self.period

    async def _on_up(self, admin: GethAdmin) -> None:
        self._met = {}
        await self._introduce(admin)
        if await admin.signers() == [self.sealer]:
            # Nobody else can seal, so there is no head to compare. With others, sealing waits for equal heads.
            await admin.start_sealing()

    async def _introduce(self, admin: GethAdmin) -> None:
        for node, enode in list(self._met.items()):
            if self._peers.get(node) != enode:
                await admin.remove_peer(str(enode))
                del self._met[node]
        for node, enode in self._peers.items():
            if node not in self._met:
                await admin.add_peer(str(enode))
                self._met[node] = enode

    def _peering(self) -> Peering:
        """Closed to everybody while there is nobody to meet."""
        own = self._settings.own_p2p
        if own is None or (not self._peers and not self._fixed):
            return Peering()
        allowed = self._fixed or [network_of(peer.host) for peer in self._peers.values()]
        known, _ = self._resolved.get(str(Enode(self._id, *own)), (None, 0.0))
        listen = self._settings.listen
        return Peering(
            port=self._settings.p2p_bind_port or self._settings.p2p_port,
            listen=LOOPBACK if listen == "localhost" else listen,
            address=known.host if known is not None else (LOOPBACK if listen in EVERYWHERE else listen),
            restrict=restrict(allowed),
            peers_max=peers_max(len(self._peers)),
        )

    async def _reachable(self, wanted: Mapping[Address, str]) -> dict[Address, Enode]:
        """The enodes with numeric addresses; one that cannot be used is said once and left out."""
        found: dict[Address, Enode] = {}
        holders = {peer.id: node for node, peer in self._peers.items() if node in wanted}
        for node, text in {**wanted, ME: self.enode or ""}.items():
            if not text:
                continue
            try:
                enode = await self._resolve(text)
                if enode.id == self._id:  # resolved for the address that geth tells others
                    continue
                if self._fixed and not covered(enode.host, restrict(self._fixed)):
                    raise PeerFault(f"enode: {enode.host} is outside --p2p-allow (SWARM_P2P_ALLOW)")
                if (holder := holders.setdefault(enode.id, node)) != node:
                    # geth knows peers by their key: dropping the liar later would drop the true one.
                    raise PeerFault(f"enode: its key is that of the chain node of SN {to_hex(holder)}")
            except PeerFault as error:
                if node not in self._complaints:
                    self._complaints[node] = str(error)
                    whom = "this SN" if node == ME else f"SN {to_hex(node)}"
                    log.warning("the chain node of %s cannot be met: %s", whom, error)
                if node in self._peers:
                    found[node] = self._peers[node]
                continue
            self._complaints.pop(node, None)
            found[node] = self._settled(node, enode)
        return found

    def _settled(self, node: Address, enode: Enode) -> Enode:
        """The enode to use for that SN now: its new one, or for a while still the last."""
        now, (last, moved) = time.monotonic(), self._moves.get(node, (enode, float("-inf")))
        if enode != last and now - moved < MOVE_SECONDS:
            return last
        self._moves[node] = (enode, moved if enode == last else now)
        return enode

    async def _resolve(self, text: str) -> Enode:
        now = time.monotonic()
        known, at = self._resolved.get(text, (None, float("-inf")))
        if now - at < RESOLVE_EVERY_SECONDS:
            if known is None:  # asked a moment ago; a name server that is silent must not hold up every look
                raise PeerFault(f"enode: {Enode.parse(text).host} has no address now")
            return known
        try:
            known = await Enode.parse(text).resolved()
        except PeerFault:
            self._resolved[text] = (known, now)
            if known is None:
                raise
        self._resolved[text] = (known, now)
        return known
