"""A simulated node: the production engine, a disk that survives, and a scripted ML program.

Owns carrying out actions in order, as the SL's runtime does; the world decides how long things take and
what goes wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from swarm.core.engine import Config, Engine
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import Held
from swarm.core.errors import Reverted
from swarm.core.ids import Address, BlobId, Digest, sha256
from swarm.core.merge import get as merge_method

from .chain import Key

if TYPE_CHECKING:
    from .world import World

TICK_SECONDS = 0.25
MODEL_BYTES = 1000
MANIFEST = sha256(b"manifest")
ALREADY_DONE = ("TrainingAlreadyJoined", "TrainingAlreadyAnswered", "TrainingAlreadyClosed")


@dataclass(slots=True)
class Plan:
    """What a node's ML program does: ``syncs`` trainings of ``train_seconds``, then the final sync."""

    syncs: int = 10
    train_seconds: float = 0.2
    load_seconds: float = 0.01
    min_peers: int = 4
    weight: int = 10
    mode: str = "snapshot"
    manifest: Digest = MANIFEST
    nan_at: tuple[int, ...] = ()
    dies_at: int | None = None
    start_after: float = 0.0


class Script:
    """The ML program; a new session after each restart of its node, which goes on from what was answered."""

    def __init__(self, node: SimNode, plan: Plan) -> None:
        self.node, self.plan = node, plan
        self.answered = 0
        self.loaded: BlobId | None = None
        self.final_sent = False
        self.ended = False
        self._session = 0
        self._seq = 0

    @property
    def training(self) -> bool:
        """In a session whose training is not over."""
        return not self.final_sent and not self.ended

    def open(self) -> None:
        if self.ended:
            return
        self._session += 1
        self._seq = 0
        self.final_sent = False
        plan = self.plan
        self.node.step(ev.ProgramOpened(plan.min_peers, 10, "mean", plan.mode))
        self._later(0.01, self._sync)

    def stop(self) -> None:
        """The process is gone; nothing of the old session is heard again."""
        self._session += 1

    def _later(self, seconds: float, fn: Callable[[], None]) -> None:
        session = self._session
        self.node.later(seconds, lambda: fn() if session == self._session else None)

    def _sync(self) -> None:
        plan, node = self.plan, self.node
        if plan.dies_at is not None and self.answered >= plan.dies_at:
            self._end("the program raised ValueError")
            return
        self._seq += 1
        final = self._seq > 1 and self.answered >= plan.syncs
        self.final_sent = final
        finite = self.answered not in plan.nan_at
        blob = node.world.new_blob(f"{node.name} {self._session} {self._seq}", Held(MODEL_BYTES, plan.manifest, finite))
        node.disk.add(blob)
        node.step(ev.ProgramSync(self._seq, final, blob, MODEL_BYTES, plan.manifest, finite, plan.weight))

    def wish(self, action: act.LoadProgram | act.AnswerProgram | act.FailProgram) -> None:
        match action:
            case act.LoadProgram(round_, blob):
                self._later(self.plan.load_seconds, lambda: self._loaded(round_, blob))
            case act.AnswerProgram(seq, over):
                if seq != self._seq:
                    self.node.world.checks.broken("program", f"{self.node.name} answers sync {seq}, not {self._seq}")
                elif over:
                    self._later(0.01, lambda: self._end(None))
                else:
                    self.answered += 1
                    self._later(self.plan.train_seconds, self._sync)
            case act.FailProgram(text):
                self._later(0.01, lambda: self._end(text))

    def _loaded(self, round_: int, blob: BlobId) -> None:
        self.loaded = blob
        self.node.step(ev.ProgramLoaded(round_, 0.5, 0.9, self.answered, self.plan.syncs))

    def fail(self, reason: str) -> None:
        """The program's process dies."""
        self.stop()
        self._end(reason)

    def _end(self, reason: str | None) -> None:
        self.ended = True
        self.node.step(ev.ProgramEnded(reason))


class SimNode:
    """One node. ``up``: its process runs; ``frozen``: stopped by the kernel; ``dead``: for good."""

    def __init__(self, world: World, address: Address, name: str, plan: Plan, config: Config) -> None:
        self.world, self.address, self.name, self.config = world, address, name, config
        self.script = Script(self, plan)
        self.disk: set[BlobId] = set()
        self.journal: dict[str, str] = {}
        self.up = self.frozen = self.dead = False
        self.exit_code: int | None = None
        self.tear: int | None = None
        self.expected_to_finish = True
        self.head = 0
        self._life = 0
        self._backlog: list[Callable[[], None]] = []
        self._skew = world.rng.uniform(0, 10_000)
        self._fetching: set[BlobId] = set()
        self.engine: Engine

    # ---- life ----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """This node's monotonic clock."""
        return self.world.now + self._skew

    def start(self) -> None:
        if self.up or self.dead or self.exit_code is not None:
            return
        self._life += 1
        self.up, self.frozen, self.tear = True, False, None
        self._fetching, self._backlog, self.head = set(), [], 0
        self.world.trace(f"{self.name} starts")
        self.engine = Engine(
            self.config,
            Key(self.address),
            self.world.keys,
            lambda method, weights: merge_method(method).coefficients(weights),
            now=self.now,
            journal={k: json.loads(v) for k, v in self.journal.items()},
            held={b: self.world.blobs[b] for b in sorted(self.disk)},
        )
        self.look(0.01)
        if self.world.ticking:
            self._tick()
        self.later(self.script.plan.start_after if self._life == 1 else 0.5, self.script.open)

    def crash(self) -> None:
        """kill -9, of the ML program as well."""
        if self.up:
            self.world.trace(f"{self.name} crashes")
            self.up = False
            self._life += 1
            self.script.stop()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        for fn in backlog:
            self.world.at(0.0, fn)

    def later(self, seconds: float, fn: Callable[[], None]) -> None:
        """Run in this process after ``seconds``: not if it died meanwhile, later if it is frozen."""
        life = self._life

        def run() -> None:
            if life != self._life or not self.up:
                return
            if self.frozen:
                self._backlog.append(run)
            else:
                fn()

        self.world.at(seconds, run)

    def look(self, seconds: float) -> None:
        """Read the chain after a while."""

        def read() -> None:
            if self.world.chain.view.head > self.head:
                self.head = self.world.chain.view.head
                self.step(ev.ChainAdvanced(self.world.chain.view))

        self.later(seconds, read)

    def _tick(self) -> None:
        self.step(ev.Tick())
        self.later(TICK_SECONDS, self._tick)

    # ---- the engine's loop ---------------------------------------------------------------------------

    def step(self, event: ev.Event, then: Callable[[], None] | None = None) -> None:
        """Let the engine handle one event and carry out its actions; ``then`` follows if the node survived."""
        actions = self.engine.handle(event, self.now)
        for action in actions:
            if self.tear is not None:
                self.tear -= 1
                if self.tear < 0:
                    self.world.torn(self)
                    return
            self._do(action)
        self.world.checks.after_step(self)
        if then is not None:
            then()

    def _do(self, action: act.Action) -> None:
        world = self.world
        match action:
            case act.Persist(entries):
                for key, value in entries.items():
                    if value is None:
                        self.journal.pop(key, None)
                    else:
                        self.journal[key] = json.dumps(value)
                world.checks.journaled(self, dict(entries))
            case act.Send(to, pulse):
                world.checks.said(self, pulse)
                for peer in to:
                    world.net.post(self, peer, pulse)
            case act.Fetch(blob, _, sources):
                if blob not in self._fetching:
                    self._fetching.add(blob)
                    world.net.pull(self, blob, list(sources))
            case act.Merge():
                self._merge(action)
            case act.Submit(bundle):
                world.checks.certificate(self, bundle)
                life = self._life
                self._sn(lambda: world.chain.commit(self.address, bundle, partial(self._submitted, life)))
            case act.Transact(kind, args):
                self._transact(kind, args)
            case act.FindBundle(run, round_):
                self.later(world.rng.uniform(0.005, 0.05), lambda: self._find(run, round_))
            case act.Refresh():
                self.look(0.01)
            case act.LoadProgram(round_, blob):
                view = self.engine.state.view
                assert view is not None
                world.checks.loads(self, view.state.run, round_, blob)
                self.script.wish(action)
            case act.AnswerProgram() | act.FailProgram():
                self.script.wish(action)
            case act.Keep(blobs):
                self.disk = {b for b in self.disk if b in blobs or b in self.engine.state.held}
            case act.Report(level, text, values):
                world.trace(f"{self.name} {level}: {text} {dict(values) or ''}")
            case act.Finish(code, text):
                world.trace(f"{self.name} ends with {code}: {text}")
                self.exit_code = code
                self.up = False
                self.script.stop()

    def fetched(self, event: ev.BlobVerified | ev.BlobFailed) -> None:
        self._fetching.discard(event.blob)
        if isinstance(event, ev.BlobVerified):
            self.disk.add(event.blob)
        self.step(event)

    def _merge(self, action: act.Merge) -> None:
        blobs = [blob for _, blob, _ in action.inputs]
        self.world.checks.merges(self, blobs)
        held = [self.world.blobs[b] for b in blobs]
        for (node, _, _), one in zip(action.inputs, held, strict=True):
            if one.manifest != held[0].manifest or not one.finite:
                fault = ev.MergeFailed(action.name, action.attempt, node, 2, "it does not fit")
                self.later(0.02, partial(self.step, fault))
                return
        coefficients = merge_method(action.method).coefficients([w for _, _, w in action.inputs])
        text = f"merged {action.name.round} " + " ".join(b.hex() for b in blobs) + str(coefficients)
        manifest = held[0].manifest

        def done() -> None:
            blob = self.world.new_blob(text, Held(MODEL_BYTES, manifest, True))
            self.disk.add(blob)
            self.step(ev.MergeDone(action.name, action.attempt, blob, MODEL_BYTES, manifest, coefficients))

        self.later(self.world.rng.uniform(0.01, 0.1), done)

    # ---- the chain -----------------------------------------------------------------------------------

    def _sn(self, fn: Callable[[], None]) -> None:
        """The way to the SN; what was sent is in the outbox, so it arrives even if this node dies."""
        self.world.at(self.world.rng.uniform(0.001, 0.02), fn)

    def _submitted(self, life: int, fault: Reverted | None) -> None:
        if fault is not None and fault.name != "TrainingWrongRound":
            self.world.trace(f"{self.name} commit refused: {fault}")
            self.world.checks.refused(self, fault)
        if life == self._life:
            ended = (
                ev.TransactionDone("commit", ()) if fault is None else ev.TransactionFailed("commit", str(fault), True)
            )
            self.later(0.0, lambda: self.step(ended))
            self.look(0.0)

    def _transact(self, kind: str, args: tuple[Any, ...]) -> None:
        view = self.engine.state.view
        assert view is not None
        self.world.count(f"tx {kind}")
        call = self.world.chain.transaction(self.address, kind, args, view.state.run)
        life = self._life

        def done(fault: Reverted | None) -> None:
            if life != self._life:
                return
            if fault is None or fault.name in ALREADY_DONE:
                self.later(0.0, lambda: self.step(ev.TransactionDone(kind, args)))
            else:
                failed = ev.TransactionFailed(kind, str(fault), True)
                self.later(0.0, lambda: self.step(failed))
            self.look(0.0)

        self._sn(lambda: self.world.chain.send(self.address, call, done))

    def _find(self, run: int, round_: int) -> None:
        bundle = self.world.chain.bundles.get((run, round_))
        self.step(ev.BundleFound(bundle) if bundle is not None else ev.BundleMissing(run, round_))
