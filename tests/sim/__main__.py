"""Simulate many seeds, or replay one: ``python tests/sim --seeds 200``, ``python tests/sim --seed 7 --trace``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.sim.faults import Fault, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print what every node reported")
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    faults: Counter[Fault] = Counter()
    counts: Counter[str] = Counter()
    rounds = bad = 0
    for seed in seeds:
        outcome = simulate(seed)
        if given.trace:
            print("\n".join(outcome.log))
        faults += outcome.faults
        counts += outcome.counts
        rounds += outcome.rounds
        bad += bool(outcome.violations)
        for line in outcome.violations:
            print(f"seed {seed}: {line}")
        if outcome.violations:
            print(f"  replay: {outcome.replay}")
    print("exercised: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items())))
    struck = ", ".join(f"{f.value} {faults[f]}" for f in Fault)
    print(f"{len(seeds)} seeds, {rounds} rounds, faults: {struck}; {bad} seeds with violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
