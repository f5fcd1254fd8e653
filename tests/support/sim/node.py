"""A simulated node: the production engine, a disk that survives, and a scripted ML program.

Owns carrying out actions in order, as the SL's runtime does: one event after the other, a Persist on disk before
the next action. The world decides how long things take and what goes wrong.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from swarm.core.engine import Config, Engine
from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import Held
from swarm.core.engine.messages import Pulse
from swarm.core.errors import Reverted
from swarm.core.ids import ZERO32, Address, BlobId
from swarm.core.merge import Outer
from swarm.core.merge import get as merge_method

from .keys import Key
from .script import MANIFEST, MODEL_BYTES, Plan, Script
from .sn import SnLink

__all__ = ["MANIFEST", "MODEL_BYTES", "Plan", "Script", "SimNode"]

if TYPE_CHECKING:
    from .world import World

TICK_SECONDS = 0.25
ALREADY_DONE = ("TrainingAlreadyJoined", "TrainingAlreadyAnswered", "TrainingAlreadyClosed")
SUPERVISOR_SECONDS = 5.0
"""A node that ended with a fault of its disk is started again after this time."""
REFUSED_UNREACHABLE = 6


def past_of(outer: Outer | None, prev: bytes, before: bytes | None) -> bytes:
    """What an outer step adds to a merge's recipe: which one, and the merged models it starts from."""
    return b"" if outer is None or prev == ZERO32 else outer.word("").encode() + prev + (before or b"")


class SimNode:
    """One node. ``up``: its process runs; ``frozen``: stopped by the kernel; ``dead``: for good.

    ``disk`` and ``journal`` survive crashes; ``rotten`` blobs of it no longer have their hash. ``slow_disk``: most
    seconds a Persist takes; ``disk_full``: nothing can be written; ``rate``: how fast its monotonic clock goes.
    """

    liar = False

    def __init__(self, world: World, address: Address, name: str, plan: Plan, config: Config, sn: int = 0) -> None:
        self.world, self.address, self.name, self.config = world, address, name, config
        self.script = Script(self, plan)
        self.disk: set[BlobId] = set()
        self.rotten: set[BlobId] = set()
        self.journal: dict[str, str] = {}
        self.slow_disk = 0.0
        self.disk_full = self.tear_write = False
        self.up = self.frozen = self.dead = False
        self.exit_code: int | None = None
        self.tear: int | None = None
        self.expected_to_finish = True
        self.life = 0
        self.rate = 1.0
        self.link = SnLink(world, self, sn)
        self._skew = world.rng.uniform(0, 10_000)
        self.handled_at = 0.0
        self._reset()
        self.engine: Engine

    def _reset(self) -> None:
        """What only the running process knew."""
        self._seen: ev.ChainView | None = None
        self._fetching: set[BlobId] = set()
        self._backlog: list[Callable[[], None]] = []
        self._events: deque[tuple[ev.Event, Callable[[], None] | None]] = deque()
        self._writing: Mapping[str, Any] | None = None
        self._busy = False
        self._looking_again = False
        self._spare: set[BlobId] = set()

    # ---- life ----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """This node's monotonic clock."""
        return self.world.now * self.rate + self._skew

    def drift(self, rate: float) -> None:
        """From now on its clock goes at another rate."""
        self._skew += self.world.now * (self.rate - rate)
        self.rate = rate

    @property
    def awake(self) -> bool:
        """Its process runs and is scheduled."""
        return self.up and not self.frozen

    def start(self) -> None:
        if self.up or self.dead or self.exit_code is not None:
            return
        self.life += 1
        self.up, self.frozen, self.tear = True, False, None
        self._reset()
        self.disk -= self.rotten
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
        self.later(self.script.plan.start_after if self.life == 1 else 0.5, self.script.open)

    def crash(self) -> None:
        """kill -9, of the ML program as well. A transaction that is being written is on disk whole, or not at all."""
        if self.up:
            self.world.trace(f"{self.name} crashes")
            if self._writing is not None and self.world.rng.random() < 0.5:
                self._write(self._writing)
            self.up = False
            self.life += 1
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
        life = self.life

        def run() -> None:
            if life != self.life or not self.up:
                return
            if self.frozen:
                self._backlog.append(run)
            else:
                fn()

        self.world.at(seconds, run)

    def look(self, seconds: float) -> None:
        """Read the chain after a while."""
        self.later(seconds, self._read)

    def look_again(self, seconds: float) -> None:
        """Read the chain after a while, unless that is planned already."""
        if not self._looking_again:
            self._looking_again = True
            self.later(seconds, self._read_again)

    def _read_again(self) -> None:
        self._looking_again = False
        self._read()

    def _read(self) -> None:
        view = self.link.view()
        if view is not None and view != self._seen:
            self._seen = view
            self.step(ev.ChainAdvanced(view))

    def _tick(self) -> None:
        self.step(ev.Tick())
        self.later(TICK_SECONDS, self._tick)

    # ---- the engine's loop ---------------------------------------------------------------------------

    def step(self, event: ev.Event, then: Callable[[], None] | None = None) -> None:
        """Let the engine handle one event and carry out its actions; ``then`` follows if the node survived."""
        if not self.up or (self._busy and isinstance(event, ev.Tick)):
            return
        self._events.append((event, then))
        if not self._busy:
            self._go_on()

    def _go_on(self) -> None:
        while self._events and self.up:
            event, then = self._events.popleft()
            self._busy = True
            self.handled_at = self.now
            if not self._carry_out(deque(self.engine.handle(event, self.now)), then):
                return

    def _carry_out(self, actions: deque[act.Action], then: Callable[[], None] | None) -> bool:
        """Whether all is done; if not, this node has died, or goes on when its disk is ready."""
        while actions:
            if self.tear is not None:
                self.tear -= 1
                if self.tear < 0:
                    self.world.torn(self)
                    return False
            action = actions.popleft()
            if not isinstance(action, act.Persist):
                self._do(action)
            elif not self._persist(action.entries, actions, then):
                return False
        self._busy = False
        self.world.checks.after_step(self)
        if then is not None:
            then()
        return True

    def _persist(self, entries: Mapping[str, Any], rest: deque[act.Action], then: Callable[[], None] | None) -> bool:
        self._writing = entries
        if self.disk_full:
            self._writing = None
            self.world.trace(f"{self.name} cannot write its journal: the disk is full")
            self.world.count("node ended by its disk")
            self.crash()
            self.world.at(SUPERVISOR_SECONDS, self.start)
            return False
        if self.tear_write:
            self.tear_write = False
            self.world.torn(self)
            return False
        if not self.slow_disk:
            self._write(entries)
            return True

        def written() -> None:
            self._write(entries)
            if self._carry_out(rest, then):
                self._go_on()

        self.later(self.world.rng.uniform(0.01, self.slow_disk), written)
        return False

    def _write(self, entries: Mapping[str, Any]) -> None:
        self._writing = None
        for key, value in entries.items():
            if value is None:
                self.journal.pop(key, None)
            else:
                self.journal[key] = json.dumps(value)
        self.world.checks.journaled(self, dict(entries))

    def _do(self, action: act.Action) -> None:
        world = self.world
        match action:
            case act.Send(to, pulse):
                for peer in to:
                    world.net.post(self, peer, self.tell(peer, pulse))
            case act.Fetch(blob, _, sources):
                if blob not in self._fetching:
                    self._fetching.add(blob)
                    world.net.pull(self, blob, list(sources))
            case act.StopFetch(blob):
                self._fetching.discard(blob)
            case act.LetShow(blob, _, peer):
                world.net.show(self, blob, peer)
            case act.Merge():
                self._merge(action)
            case act.Submit(bundle):
                world.checks.certificate(self, bundle)
                ended = partial(self._submitted, self.life)
                self.link.send(lambda: world.chain.commit(self.address, bundle, ended), partial(self._unsent, "commit"))
            case act.Transact(kind, args):
                self._transact(kind, args)
            case act.FindBundle(run, round_):
                self.later(world.rng.uniform(0.005, 0.05), lambda: self._find(run, round_))
            case act.Refresh():
                self.look(0.01)
            case act.TellProgram(text):
                self.script.told.append(text)
            case act.LoadProgram():
                view = self.engine.state.view
                assert view is not None
                world.checks.loads(self, view, action)
                self.script.wish(action)
            case act.AnswerProgram() | act.FailProgram():
                self.script.wish(action)
            case act.Keep(blobs):
                # What was spare at two looks in a row, as the SL's sweeper does: news may wait behind a slow disk.
                spare = self.disk.difference(blobs, self.engine.state.held)
                self.disk -= spare & self._spare
                self._spare = spare
            case act.Report(level, text, values):
                world.trace(f"{self.name} {level}: {text} {dict(values) or ''}")
            case act.Finish(code, text):
                world.trace(f"{self.name} ends with {code}: {text}")
                self.exit_code = code
                self.up = False
                self.script.stop()
            case _:
                raise AssertionError(f"the engine asked for an unknown action {action}")

    def tell(self, peer: Address, pulse: Pulse) -> Pulse:
        """What is really said to this peer: an honest node's pulse, whose promises must be on disk by now."""
        self.world.checks.said(self, pulse)
        return pulse

    # ---- blobs ---------------------------------------------------------------------------------------

    def serves(self, reader: Address, blob: BlobId) -> bool:
        """Whether a pull from here brings this blob's bytes, right or rotten."""
        return self.awake and blob in self.disk and self.engine.may_read(reader, blob)

    def fetched(self, event: ev.BlobVerified | ev.BlobFailed) -> None:
        self._fetching.discard(event.blob)
        if isinstance(event, ev.BlobVerified):
            if self.disk_full:
                event = ev.BlobFailed(event.blob, REFUSED_UNREACHABLE, "this node's disk: no space left on device")
            else:
                self.disk.add(event.blob)
                self.rotten.discard(event.blob)
        self.step(event)

    def _merge(self, action: act.Merge) -> None:
        blobs = [blob for _, blob, _ in action.inputs]
        self.world.checks.merges(self, action)
        held = [self.world.blobs[b] for b in blobs]
        for (node, _, _), one in zip(action.inputs, held, strict=True):
            if one.manifest != held[0].manifest or one.odd != held[0].odd:
                fault = ev.MergeFailed(action.name, action.attempt, node, 2, "it does not fit")
                self.later(0.02, partial(self.step, fault))
                return
        coefficients = merge_method(action.method).coefficients([w for _, _, w in action.inputs])
        manifest = held[0].manifest

        def done() -> None:
            if self.disk_full:
                self.step(ev.MergeFailed(action.name, action.attempt, None, 0, "no space left on device"))
                return
            past = past_of(action.outer, action.name.prev, action.before)
            blob = self.world.merged(action.method, blobs, coefficients, Held(MODEL_BYTES, manifest, held[0].odd), past)
            self.disk.add(blob)
            self.rotten.discard(blob)
            self.step(ev.MergeDone(action.name, action.attempt, blob, MODEL_BYTES, manifest, coefficients, held[0].odd))

        self.later(self.world.rng.uniform(0.01, 0.1), done)

    # ---- the chain -----------------------------------------------------------------------------------

    def _submitted(self, life: int, fault: Reverted | None) -> None:
        if fault is not None and fault.name != "TrainingWrongRound":
            self.world.trace(f"{self.name} commit refused: {fault}")
            self.world.checks.refused(self, fault)
        if life == self.life:
            ended = (
                ev.TransactionDone("commit", ()) if fault is None else ev.TransactionFailed("commit", str(fault), True)
            )
            self.later(0.0, lambda: self.step(ended))
            self.look(0.0)

    def _unsent(self, kind: str) -> None:
        self.step(ev.TransactionFailed(kind, "no SN takes it", False))

    def _transact(self, kind: str, args: tuple[Any, ...]) -> None:
        view = self.engine.state.view
        assert view is not None
        self.world.count(f"tx {kind}")
        call = self.world.chain.transaction(self.address, kind, args, view.state.run)
        life = self.life

        def done(fault: Reverted | None) -> None:
            if life != self.life:
                return
            if fault is None or fault.name in ALREADY_DONE:
                self.later(0.0, lambda: self.step(ev.TransactionDone(kind, args)))
            else:
                failed = ev.TransactionFailed(kind, str(fault), True)
                self.later(0.0, lambda: self.step(failed))
            self.look(0.0)

        self.link.send(lambda: self.world.chain.send(self.address, call, done, kind), partial(self._unsent, kind))

    def _find(self, run: int, round_: int) -> None:
        bundle = self.link.sn.bundle(run, round_) if self.link.sn.up else None
        self.step(ev.BundleFound(bundle) if bundle is not None else ev.BundleMissing(run, round_))
