"""What the chain recorded about a job's rounds, as this node has read it: where each commit is, and its figures.

Journaled, because the event feed tells nothing twice; one durable write a round. What figures lead to is decided in
core (control rules), out of :meth:`Records.history`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from swarm.chain.events import Contributed, RoundMerged
from swarm.core.control.combined import Combined, Committed, Told, combine
from swarm.core.control.weights import Weighing
from swarm.core.ids import Address, Digest
from swarm.store.journal import Journal

COMMITS_REMEMBERED = 64
COMMIT_PREFIX, FIGURES_PREFIX = "commit/", "figures/"


@dataclass(slots=True)
class _Open:
    """A round of which not all contributions were told yet."""

    merged: RoundMerged
    transaction: Digest
    told: dict[Address, Told]
    weighing: Weighing


class Records:
    """One job's committed rounds; ``me`` is the node whose own part in them is kept."""

    def __init__(self, journal: Journal, job: Digest, me: Address) -> None:
        self._journal, self._me = journal, me
        self._commits_prefix = f"{COMMIT_PREFIX}{job.hex()}/"
        self._figures_prefix = f"{FIGURES_PREFIX}{job.hex()}/"
        self._commits = {k: Digest(v) for k, v in journal.items(self._commits_prefix)}
        self._figures: dict[int, dict[int, Committed]] = {}
        """By run and round; of the newest run only."""
        self._own: dict[int, dict[int, int]] = {}
        """With which weight this node's model was merged, by run and round."""
        for key, raw in journal.items(self._figures_prefix):
            run, round_ = (int(part, 16) for part in key.removeprefix(self._figures_prefix).split("."))
            interval, loss, metric, *own = json.loads(raw)
            self._figures.setdefault(run, {})[round_] = Committed(interval, loss, metric)
            self._own.setdefault(run, {})[round_] = own[0] if own else 0
        self._open: _Open | None = None

    def merged(self, event: RoundMerged, transaction: Digest, weighing: Weighing) -> None:
        """A round was committed; its contributions follow. ``weighing``: as the options of its run say."""
        self._open = _Open(event, transaction, {}, weighing)
        self._commits[self._key(self._commits_prefix, event.run, event.round)] = transaction
        self._complete()

    def contributed(self, event: Contributed) -> None:
        """One contribution of the round that was told last."""
        if self._open is not None and (event.run, event.round) == (self._open.merged.run, self._open.merged.round):
            self._open.told[event.node] = Told.of(event.stats)
            self._complete()

    def withdrawn(self, event: RoundMerged) -> None:
        """A reorganisation took a commit back; another one, or the same again, will follow."""
        self._figures.get(event.run, {}).pop(event.round, None)
        self._own.get(event.run, {}).pop(event.round, None)
        key = self._key(self._figures_prefix, event.run, event.round)
        self._journal.batch({}, [key])

    def commit_of(self, run: int, round_: int) -> Digest | None:
        """The transaction that recorded a round, None if it is not known here (any more)."""
        return self._commits.get(self._key(self._commits_prefix, run, round_))

    def history(self, run: int) -> tuple[Committed, ...]:
        """The run's rounds from 0 on, as far as all of them are known."""
        figures = self._figures.get(run, {})
        found: list[Committed] = []
        while (one := figures.get(len(found))) is not None:
            found.append(one)
        return tuple(found)

    def own_rounds(self, run: int) -> list[int]:
        """Rounds into which this node's model was merged with a weight, ascending."""
        return sorted(round_ for round_, weight in self._own.get(run, {}).items() if weight)

    def _complete(self) -> None:
        """With all contributions of a round: keep its figures, and write all that was learnt at once."""
        assert self._open is not None
        merged, told = self._open.merged, self._open.told
        if len(told) < merged.contributors:
            return
        combined: Combined = combine(told.values(), self._open.weighing)
        figures = Committed(merged.result.interval, combined.loss, combined.metric)
        old_runs = [run for run in self._figures if run != merged.run]
        gone = [self._key(self._figures_prefix, run, r) for run in old_runs for r in self._figures.pop(run)]
        self._figures.setdefault(merged.run, {})[merged.round] = figures
        own = told[self._me].weight if self._me in told else 0
        self._own = {merged.run: {**self._own.get(merged.run, {}), merged.round: own}}
        for key in sorted(self._commits)[:-COMMITS_REMEMBERED]:
            del self._commits[key]
            gone.append(key)
        commit = self._key(self._commits_prefix, merged.run, merged.round)
        numbers = json.dumps([figures.interval, figures.loss, figures.metric, own]).encode()
        puts = {commit: self._open.transaction, self._key(self._figures_prefix, merged.run, merged.round): numbers}
        self._journal.batch({k: bytes(v) for k, v in puts.items()}, gone)
        self._open = None

    @staticmethod
    def _key(prefix: str, run: int, round_: int) -> str:
        return f"{prefix}{run:016x}.{round_:016x}"
