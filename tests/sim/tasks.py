"""Simulate task runners over many seeds, or replay one: ``tasks.py --seeds 1000``, ``tasks.py --seed 7 --trace``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.tasksim.world import simulate

WORKERS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/sim/tasks.py", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print what the contract carried out")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else range(given.seed, given.seed + 1)
    faults: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    bad = 0
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("fork")) as workers:
        for one in workers.map(simulate, seeds, chunksize=5):
            if given.trace:
                print("\n".join(one.log))
            faults += one.faults
            calls += one.calls
            ends.update(outcome.name for outcome in one.outcomes.elements())
            bad += bool(one.violations)
            for line in one.violations:
                print(f"seed {one.seed}: {line}", flush=True)
    for what, counted in (("faults", faults), ("carried out", calls), ("ends", ends)):
        print(f"{what}: " + ", ".join(f"{name} {count}" for name, count in sorted(counted.items())))
    print(f"{len(seeds)} seeds, {bad} with violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
