"""Simulate many seeds, or replay one: ``python tests/sim --seeds 200``, ``python tests/sim --seed 7 --trace``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.sim.faults import Fault
from support.sim.liar import Lie
from support.sim.rows import Row
from support.sim.seeds import ROWS_NEED_SEEDS, WORKERS, simulate, simulate_all

SAY_SECONDS = 10.0
"""A line of progress on stderr, as often."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--pairs", action="store_true", help="swarms of two nodes instead of three to eight")
    parser.add_argument("--trace", action="store_true", help="print what every node reported")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    given = parser.parse_args()
    if given.seed is not None:
        outcomes = iter([simulate(given.seed, pair=given.pairs)])
    else:
        seeds = range(given.first, given.first + given.seeds)
        outcomes = simulate_all(seeds, pair=given.pairs, workers=given.workers)
    faults: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    rows: Counter[Row] = Counter()
    done = rounds = bad = 0
    began = said = time.monotonic()
    for outcome in outcomes:
        if given.trace:
            print("\n".join(outcome.log))
        faults += outcome.faults
        counts += outcome.counts
        rows += outcome.rows
        rounds += outcome.rounds
        done += 1
        bad += bool(outcome.violations)
        for line in outcome.violations:
            print(f"seed {outcome.seed}: {line}")
        if outcome.violations:
            print(f"  replay: {outcome.replay}", flush=True)
        now = time.monotonic()
        if now - said >= SAY_SECONDS:
            said = now
            print(f"{now - began:.0f} s: {done} seeds, {rounds} rounds, {bad} with violations", file=sys.stderr)
        if now - began >= given.seconds:
            break
    print("also: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items())))
    print("rows of the failure table: " + ", ".join(f"{row.value} {rows[row]}" for row in Row))
    never = [row.value for row in Row if not rows[row]] if done >= ROWS_NEED_SEEDS and not given.pairs else []
    if never:
        print("never exercised: " + ", ".join(never))
    kinds = [f.value for f in Fault if f is not Fault.LIES] + [lie.value for lie in Lie]
    struck = ", ".join(f"{kind} {faults[kind]}" for kind in kinds)
    print(f"{done} seeds, {rounds} rounds, faults: {struck}; {bad} seeds with violations")
    return 1 if bad or never else 0


if __name__ == "__main__":
    sys.exit(main())
