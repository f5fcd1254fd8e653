"""One SN process: its parts in the order in which they need each other, and its end.

Owns wiring and life cycle. Everything that decides something lives in the modules that are wired here.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import signal
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from swarm.chain.client import Call as Transaction
from swarm.chain.client import ChainClient
from swarm.chain.deploy import Deployed
from swarm.chain.keys import SignatureVerifier
from swarm.chain.suite import ENTRIES, VERSION
from swarm.core.alive import ALIVE_SECONDS, Alive, plain, waits_told
from swarm.core.errors import ChainFault, LocalFault, OperatorFault
from swarm.core.ids import Address, to_hex
from swarm.core.limits import JOIN_DEPTH_BLOCKS
from swarm.net.identity import PeerIdentity
from swarm.net.server import serve
from swarm.net.tls import NodeContext
from swarm.node.identity import own_account, state_folder, tls_contexts
from swarm.node.outbox import JournalOutbox
from swarm.node.rates import Buckets
from swarm.node.sharing import SharedLogs, no_operator
from swarm.obs import log as obs_log
from swarm.obs import recent
from swarm.obs.metrics import Values, registry
from swarm.obs.ops import Answer, ops_app
from swarm.obs.recent import Recent
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .admission import Admission
from .app import Face, node_row, sn_app
from .approvals import Approvals
from .carrying import Carrying
from .chainhost import ChainHost, chain_host
from .contracts import ensure
from .entry import Door
from .gateway import Call, Fault, parse
from .heads import Heads
from .join import Policy
from .lifesigns import LifeSigns
from .members import Members
from .relay import Relay
from .settings import SnSettings
from .several import Several, admits_sns, check_folder, contracts_of
from .uris import Uris

log = obs_log.get("swarm.blCnt")
"""The original's name of this logger: users' scripts wait for its lines (row L01)."""

DAY_SECONDS = 86_400
HEARTBEATS_PER_RESCUE = 12
"""Block time of the embedded chain moves so often within rescueAfter while a call is open, and only then."""
HEARTBEAT_SECONDS_MIN = 0.5
HEARTBEAT_GAS = 21_000
SETTLE_SECONDS = 0.5
"""On a geth that seals on demand: from block to block on top of a task runner's news."""
OWN_LOOK_SECONDS = 1.0
STALL_SECONDS = 15.0
"""A head that stands still for so long while own transactions wait means a chain that does not seal."""
OPS_RATE_PER_SECOND, OPS_RATE_BURST = 2000.0, 20_000.0


async def run(settings: SnSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        OperatorFault: settings, files, folders or ports that do not work; says which.
        ChainFault: the chain failed at the start.
    """
    stop, serving = asyncio.Event(), asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        stop.set()
        if not serving.is_set():
            task.cancel()  # a start can take minutes (geth); nobody should have to wait for it to be told to stop

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await _run(settings, stop, serving)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    log.info("stopped")


def _refuse_other_role(settings: SnSettings, tls: NodeContext) -> None:
    """Other nodes hear it from the SN that they join; the one that begins a swarm has nobody to tell it."""
    name = None if tls.own is None else tls.own.spiffe
    if name is not None and name.role != settings.role:
        raise OperatorFault(
            f"{settings.cert} (certificate) is for role {name.role} ({name}), not for an SN, and nodes would refuse "
            "to use it as one: issue one with --role sn"
        )


async def _run(settings: SnSettings, stop: asyncio.Event, serving: asyncio.Event) -> None:
    with recent.kept(settings.share_logs) as lines:
        await _live(settings, stop, serving, lines)


async def _live(settings: SnSettings, stop: asyncio.Event, serving: asyncio.Event, lines: Recent | None) -> None:
    started = time.time()
    for notice in settings.notices:
        log.info(notice)
    tls, context = tls_contexts(settings)
    _refuse_other_role(settings, tls)
    state = state_folder(settings)
    account = await own_account(settings)
    me = Address(bytes.fromhex(account.address[2:]))
    waits, heads = Waits(), Heads()
    with Journal(state / "journal.db") as journal:
        check_folder(settings, journal)
        log.info("Setting up blockchain layer for the swarm node: START")
        door = None if settings.sentinel else Door(settings, state / "geth", context, journal, account, waits)
        if door is not None:
            await door.enter()
        async with chain_host(settings, state, journal, me, heads, waits) as host:
            depth = 0 if host.geth is None else JOIN_DEPTH_BLOCKS  # a geth can lose its newest blocks in a power cut
            outbox = JournalOutbox(journal)
            client = ChainClient(host.rpc, account, outbox, chain_id=host.chain_id, confirmations=depth)
            heads.on_head.append(lambda _: client.waker.wake())
            if door is None:
                deployed = await ensure(
                    client, journal, waits, rescue_after=settings.rescue_after, task_lease=settings.task_lease
                )
            else:
                deployed = await contracts_of(client, host.geth, door, journal, waits)
            log.info("Setting up blockchain layer for the swarm node: FINISHED")
            assert tls.own is not None
            several = Several(settings, host, client, deployed, tls.own, context, waits, door)
            node = Node(
                settings, state, journal, host, client, deployed, heads, waits, me, started, tls, several, lines
            )
            await node.serve(stop, serving)


class Node:
    """The running SN: the API, the operations port, and what runs beside them."""

    def __init__(
        self,
        settings: SnSettings,
        state: Path,
        journal: Journal,
        host: ChainHost,
        client: ChainClient,
        deployed: Deployed,
        heads: Heads,
        waits: Waits,
        me: Address,
        started: float,
        tls: NodeContext,
        several: Several,
        lines: Recent | None,
    ) -> None:
        self._settings = settings
        self._host = host
        self._client = client
        self._deployed = deployed
        self._heads = heads
        self._waits = waits
        self._me = me
        self._started = started
        self._tls = tls
        self._several = several
        self._version = importlib.metadata.version("swarm-platform")
        self._members = Members(deployed.membership)
        self._shared_logs = SharedLogs(lines, self._members.record, no_operator)
        self._uris = Uris(host.rpc, deployed)
        assert tls.own is not None
        self._name = tls.own.spiffe.name if tls.own.spiffe else plain(tls.own.common_name)
        self._signs = LifeSigns(journal, self._name)
        self._contracts = [to_hex(one) for one in deployed.addresses.values()]
        self._ops_relay = Relay(host.rpc, self._contracts, Buckets(OPS_RATE_PER_SECOND, OPS_RATE_BURST))
        self._head_at = time.monotonic()
        heads.on_head.append(self._moved)
        policy = Policy(
            admission=settings.admission or _admission_for(tls),
            member_seconds=None if settings.member_days is None else settings.member_days * DAY_SECONDS,
            no_sns=admits_sns(host),
        )
        self._policy = policy
        self._carrying = Carrying(state, deployed, waits)
        self._admission = Admission(
            deployed.membership,
            journal,
            Approvals(state),
            SignatureVerifier(),
            policy,
            waits,
            alive_at=self._signs.alive_at,
        )

    async def serve(self, stop: asyncio.Event, serving: asyncio.Event) -> None:
        settings, several = self._settings, self._several
        face = Face(
            swarm=self.swarm,
            members=self._members,
            admission=self._admission,
            relay=Relay(self._host.rpc, self._contracts),
            heads=self._heads,
            down=self._down,
            starting=lambda: several.starting.stage,
            nodes=self.nodes,
            status=self.status,
            alive=self._heard,
            living=self._signs.rows,
            chain=several.chain,
            welcome=several.welcome,
            logs=self._shared_logs.answer,
            version=self._version,
        )
        ops = ops_app(
            waits=self._waits.snapshot,
            registry=registry(role="sn", version=self._version, read=self.figures),
            status=self.status,
            healthy=self.down,
            gets={"/v1/alive": self._signs.rows},
            posts={"/v1/rpc": self._ops_rpc},
        )
        async with (
            serve(sn_app(face), settings.listen, settings.api_port, self._tls) as api,
            serve(ops, settings.ops_listen, settings.ops_port, None) as inner,
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(self._client.keep(), name="outbox"),
                group.create_task(self._tell(), name="own signs of life"),
                group.create_task(several.run(self._signs.merge), name="several SNs"),
                group.create_task(self._beat(), name="heartbeat"),
                group.create_task(self._settle(), name="blocks on top of news"),
            ]
            await several.starting.run()
            tasks.append(group.create_task(self._carrying.run(), name="import of an earlier chain"))
            log.info("Started I-am-Alive thread")
            log.info("operations port", address=f"{inner.host}:{inner.port}", admission=self._policy.admission)
            log.info(f"Starting SWARM-API-SERVER on port: {api.port}")
            serving.set()
            await stop.wait()
            await several.leave()
            log.info("stopping")
            for task in tasks:
                task.cancel()

    def down(self) -> str | None:
        """Why this node does not do its work, or None."""
        found = self._down()
        return None if found is None else found[1]

    def _down(self) -> tuple[str, str] | None:
        """The same with a code before it."""
        found = self._several.down()
        if found is not None:
            return found
        fault = self._host.fault()
        if fault is not None:
            return "down", fault
        if self._client.pending(mined=False) and time.monotonic() - self._head_at > STALL_SECONDS:
            return "down", f"the chain has not moved for {STALL_SECONDS:.0f} s although transactions wait"
        return None

    def swarm(self) -> dict[str, Any]:
        return {
            "chain_id": self._host.chain_id,
            "genesis_hash": self._host.genesis_hash,
            "directory": to_hex(self._deployed.directory.address),
            "contracts_version": VERSION,
            "contracts": {part.name: to_hex(self._deployed.addresses[part.name]) for part in ENTRIES},
            "chain": self._host.kind,
            "admission": self._policy.admission,
            **self._several.swarm(),
        }

    def status(self) -> Mapping[str, Any]:
        head = self._heads.latest
        now = time.time()
        return {
            "role": "sn",
            "version": self._version,
            "node": to_hex(self._me),
            "up": self.down() is None,
            "reason": self.down(),
            "uptime_seconds": round(now - self._started, 1),
            "time": round(now, 1),
            "swarm": self.swarm(),
            "chain": {**self._host.describe(), **self._several.describe()},
            "head": None if head is None else {"number": head.number, "hash": head.hash, "time": head.time},
            "last_seen": {to_hex(node): _iso(at) for node, at in self._last_seen().items()},
            "members_alive": self._signs.living(),
            "transactions_waiting": [
                {"nonce": p.nonce, "what": p.label, "sends": p.sends, "trouble": p.trouble}
                for p in self._client.pending(mined=False)
            ],
            "waits": self._waits.snapshot(),
        }

    async def nodes(self) -> list[dict[str, Any]]:
        """All members ever admitted, as ``/v1/nodes`` shows them."""
        members = await self._deployed.membership.members()
        uris = await self._uris.latest()
        seen = self._last_seen()
        return [
            node_row(
                node,
                member.role.name.lower(),
                member.site,
                member.status.name.lower(),
                member.expires,
                _iso(seen.get(node)),
                uris.get(node),
            )
            for node, member in members.items()
        ]

    async def _heard(self, peer: PeerIdentity, said: Any) -> None:
        """A member's sign of life."""
        node = await self._members.active(peer.spki)
        if node is not None:
            record = await self._members.record(peer.spki)
            role = "-" if record is None else record.role.name.lower()
            self._signs.heard(node, role, peer.spiffe.name if peer.spiffe else plain(peer.common_name), said)

    async def _tell(self) -> None:
        """This SN's own row among the signs of life: every 10 s, and at once when its state changes."""
        told, last = -ALIVE_SECONDS, ""
        while True:
            head, rows = self._heads.latest, self._waits.told()
            down = self.down()
            state = "serving" if down is None else f"down: {down}"
            said = Alive(plain(state), height=0 if head is None else head.number, waits=waits_told(rows))
            if state != last or time.monotonic() - told >= ALIVE_SECONDS:
                told, last = time.monotonic(), state
                self._signs.heard(self._me, "sn", self._name, said.to_json())
            await asyncio.sleep(OWN_LOOK_SECONDS)

    def _last_seen(self) -> dict[Address, float]:
        """When each member was last heard of, by whatever it said, by this SN or another one."""
        seen = dict(self._signs.last_seen())
        for node, at in self._members.last_seen.copy().items():
            seen[node] = max(at, seen.get(node, 0.0))
        return seen

    def figures(self) -> Values:
        """What Prometheus reads; see :mod:`swarm.obs.metrics`."""
        rows, head = self._waits.told(), self._heads.latest
        height = 0 if head is None else head.number
        heights = [r["said"]["height"] for r in self._signs.rows() if r["alive"] and r["said"] and r["said"]["height"]]
        restarts = self._host.describe().get("restarts")
        found: dict[str, float] = {
            "swarm_healthy": float(self.down() is None),
            "swarm_waits": len(rows),
            "swarm_wait_longest_seconds": max((r["since_seconds"] for r in rows), default=0.0),
            "swarm_chain_height": height,
            "swarm_chain_head_age_seconds": time.monotonic() - self._head_at,
            "swarm_transactions_waiting": len(self._client.pending(mined=False)),
            "swarm_members_alive": self._signs.living(),
            "swarm_members_lag_blocks": max((max(0, height - h) for h in heights), default=0),
            "swarm_listeners": self._heads.listeners(),
        }
        return found if restarts is None else {**found, "swarm_chain_restarts_total": float(restarts)}

    def _moved(self, _: object) -> None:
        self._head_at = time.monotonic()
        self._members.head_moved()

    async def _beat(self) -> None:
        """Let block time pass while a call or an assignment waits for it, on a chain that seals on demand.

        The embedded chain seals an empty block; a geth of period 0 needs a transaction for it. Where blocks come by
        the clock the head has always moved, and there is nothing to do.
        """
        training, runners, beat = self._deployed.training, self._deployed.runners, self._host.heartbeat
        shortest = min(await training.rescue_after(), await runners.lease_seconds())
        pause = max(HEARTBEAT_SECONDS_MIN, shortest / HEARTBEATS_PER_RESCUE)
        while True:
            await asyncio.sleep(pause)
            try:
                waited_for = await training.open_calls() or await runners.waiting()
                if waited_for and time.monotonic() - self._head_at >= pause / 2:
                    if beat is not None:
                        await asyncio.to_thread(beat)
                    else:
                        await self._beaten()
            except (ChainFault, LocalFault) as error:
                log.warning(f"no heartbeat: {error}")

    async def _beaten(self) -> None:
        await self._client.submit(Transaction(self._me, b"", HEARTBEAT_GAS, "heartbeat"))

    async def _settle(self) -> None:
        """SWOPs believe a geth what stands some blocks deep. Where blocks come on demand alone none would come on
        top of a task's newest step, and the next step would wait for as many heartbeats."""
        runners, settled = to_hex(self._deployed.runners.address), -1
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            head, geth = self._heads.latest, self._host.geth
            if geth is None or geth.period or head is None or head.number == settled:
                continue
            if time.monotonic() - self._head_at < SETTLE_SECONDS:
                continue
            first = hex(max(0, head.number - JOIN_DEPTH_BLOCKS))
            try:
                where = {"address": runners, "fromBlock": first, "toBlock": hex(head.number)}
                if await self._host.rpc("eth_getLogs", [where]):
                    await self._beaten()
                else:
                    settled = head.number
            except (ChainFault, LocalFault) as error:
                log.warning(f"no block on top of a task runner's news: {error}")

    async def _ops_rpc(self, body: bytes) -> Answer:
        """Reading the chain from this host, for ``swarm audit``, ``wait`` and ``status``: no transactions."""
        request = parse(body)
        calls = [request] if isinstance(request, Fault) else request.calls
        if any(isinstance(c, Call) and c.method == "eth_sendRawTransaction" for c in calls):
            return 403, {"error": {"code": "read_only", "message": "this port takes no transactions"}}
        return 200, json.loads(await self._ops_relay.answer(b"ops", body))


def _admission_for(tls: ssl.SSLContext) -> Literal["open", "approve"]:
    """With several trusted roots somebody must say which of their certificates are meant."""
    roots = [ca for ca in tls.get_ca_certs() if ca["subject"] == ca["issuer"]]
    return "open" if len(roots) <= 1 else "approve"


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
