"""One SL process: its parts in the order in which they need each other, and its end.

Owns wiring and life cycle; decisions are the engine's.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from swarm.chain.client import ChainClient
from swarm.chain.events import EventDecoder
from swarm.chain.feed import EventFeed
from swarm.chain.joboptions import JobOptions
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.chain.membership import Membership
from swarm.chain.training import Training
from swarm.chain.wake import Waker
from swarm.core.alive import Alive
from swarm.core.chain_view import Member, Role
from swarm.core.engine import Config, Engine
from swarm.core.errors import ProgramFault
from swarm.core.ids import job_id, to_hex
from swarm.core.limits import JOIN_DEPTH_BLOCKS
from swarm.core.swop.outcome import JOINED_NAME, Joined
from swarm.net.server import serve
from swarm.node.cursor import JournalCursor
from swarm.node.identity import own_account, state_folder, tls_contexts
from swarm.node.joining import Swarm, check_pin, find_swarm, join_swarm
from swarm.node.lifesigns import last_word, tell
from swarm.node.outbox import JournalOutbox
from swarm.node.sharing import SharedLogs
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList
from swarm.node.stopping import unless
from swarm.obs import log as obs_log
from swarm.obs import recent
from swarm.obs.metrics import Values, phase_seconds, registry
from swarm.obs.ops import ops_app
from swarm.obs.recent import Recent
from swarm.obs.waits import Waits, tell_long_waits, timed
from swarm.store.blobs import BlobStore
from swarm.store.journal import Journal

from .app import PeerApp, not_here
from .asking import asked
from .attempt import tell_joined
from .bridge import FifoBridge
from .directory import Members
from .lifesigns import alive_of
from .mergework import MergeOptions, expected_coefficients
from .peering import Peering
from .program import Program, Target
from .records import Records
from .runtime import Ended, JobRuntime
from .settings import SlSettings
from .timeline import Timeline
from .transfers import Counters, Transfers, held_models
from .watch import ChainWatch

log = obs_log.get("swarm.SL")

JOB_KEY = "job/name"
THREADS_MAX = 64
"""Blocking work at once: pulled models being read (16), hashing, merging, looking up names of members."""


async def run(settings: SlSettings) -> int:
    """Take part until this node's share of a run is over, or SIGTERM; returns the process's exit code.

    Raises:
        OperatorFault: settings, files, folders, ports or certificates that do not work; says which.
        ChainFault: the chain failed for good.
    """
    for notice in settings.notices:
        log.info(notice)
    stop = asyncio.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="work"))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server_tls, client_tls = tls_contexts(settings)
    state = state_folder(settings)
    account = await own_account(settings)
    signer = LocalSigner(bytes(account.key))
    waits, waker = Waits(), Waker()
    store = BlobStore(state / "store")
    store.sweep()
    with recent.kept(settings.share_logs) as lines, Journal(state / "journal.db") as journal:
        sns = SnList(settings.sn_urls, journal)
        link = SnLink(sns, client_tls, waker, partial(check_pin, journal))
        try:
            node = Node(settings, journal, store, link, sns, waits, waker, signer, client_tls, lines)
            return await node.serve(stop, server_tls, account)
        finally:
            await link.aclose()


class Node:
    """The running SL."""

    def __init__(
        self,
        settings: SlSettings,
        journal: Journal,
        store: BlobStore,
        link: SnLink,
        sns: SnList,
        waits: Waits,
        waker: Waker,
        signer: LocalSigner,
        client_tls: Any,
        lines: Recent | None,
    ) -> None:
        self._settings, self._journal, self._store = settings, journal, store
        self._usage = store.usage()
        self._link, self._sns, self._waits, self._waker = link, sns, waits, waker
        self._signer, self._client_tls, self._lines = signer, client_tls, lines
        self._counters = Counters()
        self._version = importlib.metadata.version("swarm-platform")
        self._runtime: JobRuntime | None = None
        self._group: asyncio.TaskGroup | None = None
        self._client: ChainClient | None = None
        self._watch: ChainWatch | None = None
        self._swarm: Swarm | None = None
        self._stage = "starting"
        self._told_at = 0.0
        self._merging = MergeOptions(
            ram_intensive=settings.ram_intensive, clip=settings.clip_norm == "median", norm_log=settings.norm_log
        )
        self._program = Program(
            store, self._take_part, self._merging.method, return_seconds=settings.program_return_seconds
        )
        self._bridge: FifoBridge | None = None
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    async def serve(self, stop: asyncio.Event, server_tls: Any, account: Any) -> int:
        settings = self._settings
        metrics = registry(role="sl", version=self._version, read=self.figures)
        self._observe = phase_seconds(metrics)
        ops = ops_app(
            waits=self.waits,
            registry=metrics,
            status=self._page,
            healthy=self.down,
        )
        shared = SharedLogs(self._lines, self._record, not_here)
        peers = PeerApp(self._store, lambda: self._runtime, self._moved_out, shared)
        async with (
            serve(ops, settings.ops_listen, settings.ops_port, None) as inner,
            serve(peers, settings.listen, settings.fs_bind_port or settings.fs_port, server_tls) as outer,
        ):
            log.info("operations port", address=f"{inner.host}:{inner.port}")
            log.info("peer server", address=f"{outer.host}:{outer.port}", uri=settings.own_uri)
            if not await unless(stop, self._enter(account)):
                return 0
            return await self._take_turns(stop)

    async def _enter(self, account: Any) -> None:
        """Find the swarm and be admitted."""
        own = self._client_tls.own
        self._stage = "looking for the SN"
        swarm = await find_swarm(self._link, self._journal, self._waits, wait_seconds=self._settings.sn_wait_seconds)
        self._stage = "asking for admission"
        await join_swarm(self._link, swarm, self._signer, own, Role.SL, self._waits)
        self._swarm = swarm
        self._client = ChainClient(
            self._link.rpc,
            account,
            JournalOutbox(self._journal),
            chain_id=swarm.chain_id,
            confirmations=swarm.settles_blocks,
        )
        self._client.waker = self._waker
        self._link.on_turn.append(self._client.resend)
        log.info("member of the swarm", node=to_hex(self._signer.address), chain_id=swarm.chain_id)

    async def _take_turns(self, stop: asyncio.Event) -> int:
        settings = self._settings
        state = state_folder(settings)
        self._bridge = FifoBridge(
            settings.request_channel,
            settings.response_channel,
            settings.exchange_dir,
            state / "program",
            self._program,
            log=log,
        )
        self._bridge.prepare()
        assert self._client is not None
        async with asyncio.TaskGroup() as group:
            self._group = group
            tasks = [
                group.create_task(self._link.listen(), name="wake-ups"),
                group.create_task(self._client.keep(), name="outbox"),
                group.create_task(tell(self._alive, self._tell), name="signs of life"),
                group.create_task(tell_long_waits(self._wait_rows, log.info), name="long waits"),
            ]
            kept = self._journal.get(JOB_KEY)
            if kept is not None:
                await unless(stop, self._take_part(kept.decode()))
            tasks.append(group.create_task(self._bridge.run(), name="bridge"))
            if settings.task_attempt is not None:
                where = state / JOINED_NAME
                tasks.append(group.create_task(tell_joined(where, settings.task_attempt, self._joined), name="attempt"))
            self._stage = "ready"
            stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
            over: asyncio.Future[Any] = self._ended
            await asyncio.wait({stopping, over}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            for task in [*tasks, *self._job_tasks]:
                task.cancel()
        said = self._alive() if self._ended.done() else replace(self._alive(), state="stopped")
        await last_word(said, self._tell, self._told_at)
        if self._ended.done():
            ended = self._ended.result()
            (log.info if ended.exit_code == 0 else log.error)(ended.text)
            return ended.exit_code
        return 0

    _job_tasks: Sequence[asyncio.Task[None]] = ()

    async def _take_part(self, name: str) -> Target:
        """The runtime of a job; made when the first session (or the journal) names it."""
        if self._runtime is not None:
            if self._runtime.job_name != name:
                raise ProgramFault(
                    f"this SL takes part in {self._runtime.job_name!r}; a program for {name!r} needs an SL of its own"
                )
            return self._target(self._runtime)
        assert self._client is not None
        assert self._swarm is not None
        assert self._group is not None
        try:
            job = job_id(name)
        except ValueError as error:
            raise ProgramFault(f"trainingContract: {error}") from error
        swarm, client = self._swarm, self._client
        training = Training(client, swarm.training)
        membership = Membership(client, swarm.membership)
        if not await asked(partial(training.name_of, job), self._waits, self._link.url):
            raise ProgramFault(f"no training contract {name!r} exists in this swarm; an operator creates it first")
        members = Members(membership, self._journal)
        held = await asyncio.to_thread(held_models, self._store)
        rescue_after = await asked(training.rescue_after, self._waits, self._link.url)

        def make_engine(kept: dict[str, Any]) -> Engine:
            config = Config(
                me=self._signer.address,
                job=job,
                domain=training.domain,
                eligible=self._settings.make_me_admin,
                full_quorum_seconds=self._settings.full_quorum_seconds,
                pull_grace_times=self._settings.pull_grace_times,
                leader_failure_seconds=self._settings.leader_failure_seconds,
                rescue_after_seconds=rescue_after,
                join_depth_blocks=JOIN_DEPTH_BLOCKS if swarm.can_reorganise else 0,
                strict=self._settings.strict,
                keep_rounds=self._settings.keep_rounds,
                stranded_seconds=self._settings.stranded_seconds,
                job_name=name,
            )
            return Engine(
                config,
                self._signer,
                SignatureVerifier(),
                expected_coefficients,
                now=time.monotonic(),
                journal=kept,
                held=held,
            )

        timeline = Timeline(observe=self._observe)
        runtime = JobRuntime(
            job,
            name,
            make_engine,
            training,
            self._settings.own_uri,
            self._journal,
            self._store,
            members,
            self._program,
            timeline,
            self._merging,
        )
        addresses = {"Membership": swarm.membership, "Training": swarm.training}
        feed = EventFeed(
            self._link.rpc,
            list(addresses.values()),
            EventDecoder(addresses),
            JournalCursor(self._journal),
            confirmations_final=swarm.settles_blocks,
            waker=self._waker,
        )
        records = Records(self._journal, job, self._signer.address)
        watch = ChainWatch(
            self._link,
            self._sns,
            training,
            feed,
            members,
            records,
            JobOptions(client, swarm.contracts[JobOptions.CONTRACT]),
            self._waker,
            job,
            runtime.view,
        )
        self._watch = watch
        peering = Peering(members, self._client_tls, runtime.deliver)
        transfers = Transfers(self._store, members, self._client_tls, runtime.deliver, self._counters)
        runtime.attach(watch, peering, transfers)
        self._journal.put(JOB_KEY, name.encode())
        self._runtime = runtime
        runtime.ended.add_done_callback(self._job_ended)
        self._job_tasks = (
            self._group.create_task(watch.run(), name="chain watch"),
            self._group.create_task(runtime.run(), name="engine"),
        )
        return self._target(runtime)

    def _target(self, runtime: JobRuntime) -> Target:
        rounds = (runtime.open_round, runtime.open_run)
        return Target(
            runtime.deliver,
            runtime.timeline,
            *rounds,
            runtime.swarm,
            record=runtime.record,
            schemas=runtime.schemas,
            strict=lambda: runtime.strict,
        )

    def _job_ended(self, ended: asyncio.Future[Ended]) -> None:
        if not self._ended.done() and not ended.cancelled():
            self._ended.set_result(ended.result())

    async def _record(self, spki: bytes) -> Member | None:
        """The chain's record of the member that holds a certificate key; none before this node is one itself."""
        if self._client is None or self._swarm is None:
            return None
        membership = Membership(self._client, self._swarm.membership)
        node = await membership.holder_of(spki)
        return None if node is None else await membership.member(node)

    def _joined(self) -> Joined | None:
        """The run that this process joined for a program of its own session."""
        runtime = self._runtime
        run = 0 if runtime is None else runtime.joined_run()
        return Joined(self._signer.address, runtime.job, run) if runtime is not None and run else None

    def _moved_out(self, count: int) -> None:
        self._counters.bytes_out += count

    def down(self) -> str | None:
        """Why this node is not ready, or None."""
        if self._stage != "ready":
            return self._stage
        if self._link.trouble:
            return f"the SN: {self._link.trouble}"
        return None

    def status(self) -> Mapping[str, Any]:
        own = self._client_tls.own
        bridge = self._bridge.state if self._bridge is not None else None
        out: dict[str, Any] = {
            "role": "sl",
            "version": self._version,
            "node": to_hex(self._signer.address),
            "name": own.spiffe.name if own.spiffe else own.common_name,
            "state": "registered" if self._stage == "ready" else self._stage,
            "program": bridge.what if bridge is not None else "not started",
            "bytes_in": self._counters.bytes_in,
            "bytes_out": self._counters.bytes_out,
            "store": self._stored(),
            "sn": self._link.status(),
            "final": None,
            "error": None,
        }
        rows = self._wait_rows()
        if self._runtime is not None:
            out |= self._runtime.status()
            final = self._runtime.final()
            if final is not None and self._store.has(final):
                out["final"] = {"blob": to_hex(final), "path": str(self._store.path(final))}
        if self._client is not None:
            out["transactions_waiting"] = [
                {"nonce": p.nonce, "what": p.label, "sends": p.sends, "trouble": p.trouble}
                for p in self._client.pending(mined=False)
            ]
        return {**out, "node_role": "sl", "waits": [timed(row, time.time()) for row in rows]}

    def _stored(self) -> dict[str, Any]:
        trouble = None
        try:
            self._usage = self._store.usage()
        except OSError as error:  # a disk that cannot be read must not end a node by way of a figure
            trouble = f"the store cannot be read: {error}"
        models, size = self._usage
        return {"models": models, "bytes": size, "keep_rounds": self._settings.keep_rounds, "trouble": trouble}

    def _page(self) -> Mapping[str, Any]:
        """The status page: the status, and when each step of each round happened here."""
        rounds = {} if self._runtime is None else {"rounds": self._runtime.timeline.rows()}
        return {**self.status(), **rounds}

    def waits(self) -> list[dict[str, Any]]:
        """Every wait of this process, longest first."""
        now = time.time()
        return [timed(row, now) for row in self._wait_rows()]

    def _wait_rows(self) -> list[dict[str, Any]]:
        rows = self._waits.told() + self._link.told()
        rows += self._watch.told() if self._watch is not None and not self._link.trouble else []
        if self._runtime is not None:
            rows += self._runtime.status()["waits"]
        elif self._bridge is not None:
            row = {"what": "an ML program", "whom": "this site's program", "then": "this node joins its run"}
            since = time.monotonic() - self._bridge.state.since
            rows.append({**row, "since_seconds": since, "until_seconds": None})
        return sorted(rows, key=lambda r: -float(r["since_seconds"]))

    def _alive(self) -> Alive:
        return alive_of(self.status(), self._wait_rows(), self._runtime.height() if self._runtime else 0)

    async def _tell(self, said: dict[str, Any]) -> None:
        self._told_at = time.monotonic()
        await self._link.post("/v1/alive", said)

    def figures(self) -> Values:
        """What Prometheus reads; see :mod:`swarm.obs.metrics`."""
        rows = self._wait_rows()
        models, size = self._store.usage()
        found: dict[str, Any] = {
            "swarm_healthy": float(self.down() is None),
            "swarm_waits": len(rows),
            "swarm_wait_longest_seconds": rows[0]["since_seconds"] if rows else 0.0,
            "swarm_blob_bytes_total": {"in": self._counters.bytes_in, "out": self._counters.bytes_out},
            "swarm_store_models": models,
            "swarm_store_bytes": size,
            "swarm_transactions_waiting": len(self._client.pending(mined=False)) if self._client else 0,
        }
        return found if self._runtime is None else {**found, **self._runtime.figures()}
