"""Task runners on bad days: SWOPs and operators crash, freeze, repeat, come late; the chain takes blocks back.

The product's pass and operator rules drive the contracts' models; rules broken on purpose must be caught.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import pytest
from support.model import taskrunners as model
from support.sim.mutate import mutate
from support.tasksim.world import Outcome, simulate
from swarm.core.taskrun import passes
from swarm.core.taskview import Outcome as Ending

SEEDS = 2 * int(os.environ.get("SWARM_SIM_SEEDS", "50"))
"""`make test` simulates 1,000."""
WORKERS = 2
MUTANT_SEEDS_MAX = 120


def outcomes(seeds: range) -> Iterator[Outcome]:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("fork")) as workers:
        yield from workers.map(simulate, seeds, chunksize=5)


@pytest.mark.timeout(900)
def test_no_seed_breaks_a_rule() -> None:
    """No pair runs twice, nothing is COMPLETE that is not, nothing stays busy once the faults stop."""
    faults: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    ends: Counter[Ending] = Counter()
    broken = []
    for one in outcomes(range(SEEDS)):
        faults.update(one.faults)
        calls.update(one.calls)
        ends.update(one.outcomes)
        broken += [
            f"seed {one.seed} (python tests/sim/tasks.py --seed {one.seed} --trace): {v}" for v in one.violations
        ]
    assert not broken, "\n".join(broken[:20])
    assert set(faults) >= {
        "chain stops",
        "reorganised",
        "SN behind",
        "crash",
        "freeze",
        "container lost",
        "daemon gone",
    }
    assert set(calls) >= {
        "assign",
        "enrol",
        "decline",
        "start",
        "renew",
        "report",
        "invite",
        "retry",
        "suspect",
        "expire",
    }
    assert set(calls) >= {"abort", "reset", "revoke"}
    assert set(ends) >= {Ending.COMPLETE, Ending.FAILED, Ending.DECLINED, Ending.TOO_FEW, Ending.EXPIRED, Ending.RESET}


@dataclass(frozen=True)
class Broken:
    """A rule switched off: a function compiled anew with a piece of its text replaced.

    Args:
        told: what the judge says then. seed: that shows it; if it does no more, the first ones are searched.
    """

    owner: Any
    function: str
    old: str
    new: str
    told: str
    seed: int

    @property
    def id(self) -> str:
        return f"{self.function.strip('_')}: {self.new}"


SWOP, CONTRACT = passes._Pass, model.TaskrunnersModel
BROKEN = (
    Broken(SWOP, "_start_wanted", "elif key not in self._memory.started:", "elif False:", "started twice", 1),
    Broken(SWOP, "_keep_vanished", "if key in self._memory.started or", "if False and", "started twice", 5),
    Broken(SWOP, "_startable", "all(other == key or other.pair != key.pair for other in alive)", "True", "two at", 68),
    Broken(SWOP, "_startable", "self._head & self._deep", "self._head", "stopped though", 18),
    Broken(SWOP, "_end_unwanted", "or work.key in self._deep or", "or", "stopped though", 49),
    Broken(SWOP, "_end_unwanted", "self._do(Keep(work.key, work.result))", "pass", "false failure", 36),
    Broken(SWOP, "_stop", "self._do(Stop(work.key))", "pass", "runs what is over", 8),
    Broken(SWOP, "_renew", "if due or bits != before or current.suspected:", "if at is None:", "expired though", 38),
    Broken(SWOP, "_give_up_blind", "self._now - since < self._rules.lease_seconds", "False", "gave up too early", 9),
    Broken(CONTRACT, "report", 'if line.total("failed") else', "if False else", "false COMPLETE", 0),
    Broken(CONTRACT, "assign", "if aid in self._lines:", "if False:", "two assignments", 27),
    Broken(CONTRACT, "_current", "current is None or current.aid != aid", "current is None", "ended another", 21),
    Broken(CONTRACT, "start", "tx.time <= row.heard + self.lease", "True", "allotted to nobody", 18),
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("broken", BROKEN, ids=[one.id for one in BROKEN])
def test_a_broken_rule_is_caught(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it breaks."""
    mutate(monkeypatch, broken.owner, broken.function, broken.old, broken.new)
    for seed in (broken.seed, *range(MUTANT_SEEDS_MAX)):
        if any(broken.told in line for line in simulate(seed).violations):
            return
    pytest.fail(f"not caught in {MUTANT_SEEDS_MAX} seeds")
