"""A scripted ML program: trains, syncs, loads, and sometimes fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.core.engine import actions as act
from swarm.core.engine import events as ev
from swarm.core.engine.context import Held
from swarm.core.ids import BlobId, Digest, sha256

if TYPE_CHECKING:
    from .node import SimNode

MODEL_BYTES = 1000
MANIFEST = sha256(b"manifest")


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
    odd: frozenset[Digest] = frozenset()
    """What every model of this program holds that is not finite, as a mask of -inf."""
    dies_at: int | None = None
    start_after: float = 0.0
    adaptive: bool = False
    method: str = "mean"
    losses: tuple[float, ...] = (0.5,)
    """Loss of the merged model of round 0, 1, ...; the last one for all further rounds."""


class Script:
    """The ML program; a new session after each restart of its node, which goes on from what was answered."""

    def __init__(self, node: SimNode, plan: Plan) -> None:
        self.node, self.plan = node, plan
        self.answered = 0
        self.loaded: BlobId | None = None
        self.base = -1
        """Round of the merged model that this session's program trains from."""
        self.ahead_of: BlobId | None = None
        """With the one loaded: the merged model before it, if the program trains from ahead of the two."""
        self.final_sent = self.said_final = False
        """In this session; in any session."""
        self.ended = False
        self.intervals: list[int] = []
        """Batches until the next sync, as each answer said."""
        self.told: list[str] = []
        """Whom the run waits for, as the node said; empty: for nobody in particular any more."""
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
        self.base = -1
        plan = self.plan
        self.node.step(ev.ProgramOpened(plan.min_peers, 10, plan.method, plan.mode, adaptive=plan.adaptive))
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
        self.said_final = self.said_final or final
        told = f"{node.name} {self._session} {self._seq}"
        odd = plan.odd | {sha256(told.encode())} if self.answered in plan.nan_at else plan.odd
        where = "tensor 'w' holds nan at position [0]" if odd else ""
        blob = node.world.new_blob(told, Held(MODEL_BYTES, plan.manifest, odd, where))
        node.disk.add(blob)
        node.world.trained_from[blob] = self.base
        node.step(ev.ProgramSync(self._seq, final, blob, MODEL_BYTES, plan.manifest, plan.weight, odd, where))

    def wish(self, action: act.LoadProgram | act.AnswerProgram | act.FailProgram) -> None:
        match action:
            case act.LoadProgram(round_, blob, _, before):
                self._later(self.plan.load_seconds, lambda: self._loaded(round_, blob, before))
            case act.AnswerProgram(seq, over, interval):
                self.intervals.append(interval)
                if seq != self._seq:
                    self.node.world.checks.broken("program", f"{self.node.name} answers sync {seq}, not {self._seq}")
                elif over:
                    self._later(0.01, lambda: self._end(None))
                else:
                    self.answered += 1
                    self._later(self.plan.train_seconds, self._sync)
            case act.FailProgram(text):
                self._later(0.01, lambda: self._end(text))

    def _loaded(self, round_: int, blob: BlobId, before: BlobId | None) -> None:
        self.loaded, self.ahead_of, self.base = blob, before, round_
        loss = self.plan.losses[min(round_, len(self.plan.losses) - 1)]
        self.node.step(ev.ProgramLoaded(round_, loss, 0.9, self.answered, self.plan.syncs))

    def fail(self, reason: str) -> None:
        """The program's process dies."""
        self.stop()
        self._end(reason)

    def _end(self, reason: str | None) -> None:
        self.ended = True
        self.node.step(ev.ProgramEnded(reason))
