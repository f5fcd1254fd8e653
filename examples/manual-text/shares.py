"""Split passages of Python's own manual into a common hold-out and unequal, skewed shares.

    python shares.py --out FOLDER [--nodes 4] [--seed 0]

The text comes with Python itself (``pydoc_data.topics``, what ``help()`` prints). Each passage of up to 32 words is
from the library reference (label 1: methods of strings, sequences and mappings, formats, the debugger) or from the
language reference (label 0: statements, expressions, the data model). Writes share1.npz ... shareN.npz and pooled.npz,
each with ``x`` (numbered words, 0 fills up), ``y`` and the same hold-out ``x_test``, ``y_test``: whole paragraphs,
30 % of them. Sizes are 1:2:...:N, and sites have different mixes of the two.
"""

from __future__ import annotations

import argparse
import re
import zlib
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from passages import BUCKETS, WORDS

LIBRARY = ("string-methods", "formatstrings", "typesseq", "typesmapping", "debugger", "typesmethods", "typesmodules")
LANGUAGE = ("compound", "specialnames", "assignment", "comparisons", "execmodel", "import", "calls", "async", "raise")
WORDS_MIN = 6
LIBRARY_PARTS = (0.85, 0.15, 0.70, 0.40)
HOLD_OUT = 0.30
NODES_MAX = 16
WORD = re.compile(r"[A-Za-z_]+|[^\sA-Za-z_]")


def passages(names: tuple[str, ...]) -> list[list[int]]:
    """The words of each paragraph as numbers, each paragraph once."""
    found: dict[tuple[int, ...], None] = {}
    for name in names:
        for paragraph in topics.get(name, "").split("\n\n"):
            words = WORD.findall(paragraph.lower())
            if len(words) >= WORDS_MIN:
                numbers = [1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in words[:WORDS]]
                found[tuple(numbers + [0] * (WORDS - len(numbers)))] = None
    return [list(one) for one in found]


def make(folder: Path, nodes: int, seed: int) -> list[Path]:
    """Write the shares and the pooled data; the same seed gives the same split."""
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"the manual can be shared by 1 to {NODES_MAX} nodes, not {nodes}")
    library, language = passages(LIBRARY), passages(LANGUAGE)
    known = {tuple(one) for one in library}
    x = np.array(library + (other := [one for one in language if tuple(one) not in known]), np.int32)
    y = np.array([1] * len(library) + [0] * len(other), np.int8)
    random = np.random.default_rng(seed)
    order = random.permutation(len(y))
    held = order[: round(HOLD_OUT * len(y))]
    rest = {label: [row for row in order[len(held) :] if y[row] == label] for label in (0, 1)}
    mixes = [LIBRARY_PARTS[site % len(LIBRARY_PARTS)] for site in range(nodes)]
    wanted = {
        label: np.array([(site + 1) * (mix if label else 1 - mix) for site, mix in enumerate(mixes)])
        for label in (0, 1)
    }
    unit = min(len(rest[label]) / wanted[label].sum() for label in (0, 1))
    rows = []
    for site in range(nodes):
        taken = [rest[label].pop() for label in (0, 1) for _ in range(max(1, int(unit * wanted[label][site])))]
        rows.append(random.permutation(taken))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, part in [*((f"share{i + 1}", part) for i, part in enumerate(rows)), ("pooled", np.concatenate(rows))]:
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], x=x[part], y=y[part], x_test=x[held], y_test=y[held])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the npz files")
    parser.add_argument("--nodes", type=int, default=4, help="number of shares, 1 to 16 (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default 0)")
    given = parser.parse_args()
    for path in make(given.out, given.nodes, given.seed):
        with np.load(path) as file:
            y = file["y"]
        print(f"{path.name}: {len(y)} passages, {100 * y.mean():.0f} % of the library reference")


if __name__ == "__main__":
    main()
