"""Which small changes of the code do the tests not notice? A seeded sample of mutants, tried in a copy of the tree.

Owns the sample, the order of things and the report. The same seed gives the same sample as long as the code is the
same. docs/mutants.md tells how the tests are picked, and holds the verdicts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import covering
import trials
from changes import Mutant, mutants_of
from choosing import Chooser

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "pki", "store", "net")
NICE = 10
SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Found:
    """``killed``, ``survived``, ``timeout`` (a test was not done in time) or ``untested`` (no test executes it).

    ``tests`` were chosen, and ``left`` that would be as good did not fit into the time; ``by`` failed, saying ``how``.
    """

    number: int
    verdict: str
    mutant: Mutant
    tests: int
    left: int
    by: str
    how: str
    seconds: float


@dataclass(slots=True)
class Trier:
    """Tries mutants in the copy; a test that fails on unchanged code too is forgotten when it first does."""

    tree: Path
    log: Path
    chooser: Chooser
    sound: set[str]

    def tried(self, number: int, mutant: Mutant) -> Found:
        began = time.monotonic()
        while True:
            chosen = self.chooser.chosen(mutant)
            verdict, ended = "untested" if not chosen.goes else "survived", trials.Ended(False)
            with trials.applied(self.tree, mutant):
                for tests in chosen.goes:
                    ended = self._go(tests)
                    if ended.failed:
                        verdict = "timeout" if ended.late else "killed"
                        break
            if not ended.failed or self._holds(ended.test):
                break
        taken = round(time.monotonic() - began, 1)
        return Found(number, verdict, mutant, sum(map(len, chosen.goes)), chosen.left, ended.test, ended.how, taken)

    def _go(self, tests: tuple[str, ...]) -> trials.Ended:
        return trials.go(self.tree, self.log, {test: self.chooser.covered.seconds[test] for test in tests})

    def _holds(self, test: str) -> bool:
        """Whether a test passes without the change."""
        if test in self.sound or test not in self.chooser.covered.seconds:
            return True  # what cannot be imported with the change names no test
        if self._go((test,)).failed:
            del self.chooser.covered.seconds[test]
            return False
        self.sound.add(test)
        return True


def covered(tree: Path, out: Path, given: Path | None) -> covering.Covered:
    """From an earlier run, on the same code unless it is ``given``; or from a new one."""
    kept = given or out / f"covered-{covering.digest(ROOT)}"
    if not (kept / "tests.json").exists():
        kept.mkdir(parents=True, exist_ok=True)
        print(f"all tests once under coverage, in {tree}; their words: {kept / 'log'}", flush=True)
        trials.in_child(tree, kept / "log", lambda _: covering.record(kept), None)
    return covering.covered(kept)


def shown(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:SHOWN_MAX]


def report(found: list[Found], args: argparse.Namespace, total: int) -> str:
    counts = Counter(one.verdict for one in found)
    lines = [f"seed {args.seed}: {len(found)} of {args.count} mutants tried ({total} possible); {dict(counts)}", ""]
    lines += ["| no. | where | before | after | verdict | tests |", "| --- | --- | --- | --- | --- | --- |"]
    for one in found:
        if one.verdict != "killed":
            mutant = one.mutant
            lines.append(
                f"| {one.number} | {mutant.path}:{mutant.line} | `{shown(mutant.before)}` | `{shown(mutant.after)}` |"
                f" {one.verdict} | {one.tests}{f' of {one.tests + one.left}' if one.left else ''} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--only", type=int, nargs="*", default=[], help="only these numbers of the sample")
    parser.add_argument("--first", type=int, default=1, help="begin at this one of the sample: the rest of a run")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop before a mutant that would begin later")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--covered", type=Path, help="the record of an earlier run: tests that are newer try nothing")
    args = parser.parse_args()
    args.out = args.out.resolve()
    os.nice(NICE)
    files = [f for package in PACKAGES for f in sorted((ROOT / "services" / "swarm" / package).rglob("*.py"))]
    every = [mutant for file in files for mutant in mutants_of(file.read_bytes(), str(file.relative_to(ROOT)))]
    sample = random.Random(args.seed).sample(every, min(args.count, len(every)))  # noqa: S311 - a sample that can be had again
    args.out.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder).resolve() / "tree"
        trials.copied(ROOT, tree)
        known = covered(tree, args.out, args.covered)
        trials.warm(known.modules)
        if threading.active_count() > 1:
            print(f"these threads are not in a forked child: {threading.enumerate()}", file=sys.stderr)
        trier = Trier(tree, args.out / "log", Chooser.of(known, tree), set())
        began = time.monotonic()
        for number, mutant in enumerate(sample, 1):
            if number < args.first or (args.only and number not in args.only):
                continue
            if time.monotonic() - began >= 60 * args.minutes:
                break
            found.append(trier.tried(number, mutant))
            one = found[-1]
            print(f"{number:4} {one.verdict:9} {one.seconds:5.1f} s {mutant.path}:{mutant.line} {one.by}", flush=True)
            (args.out / "mutants.json").write_text(json.dumps([asdict(one) for one in found], indent=1))
            (args.out / "mutants.md").write_text(report(found, args, len(every)))
    print(report(found, args, len(every)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
