"""Split scikit-learn's breast cancer data (569 real biopsies) into a common hold-out and unequal, skewed shares.

    python shares.py --out FOLDER [--nodes 4] [--sizes 1:2:3:4] [--seed 0]

writes share1.npz ... shareN.npz and pooled.npz (all shares together), each with ``x``, ``y`` (1 = benign, as in
scikit-learn) and the same hold-out ``x_test``, ``y_test``. For 4 nodes the sizes are 1:2:3:4 and 98, 3, 95 and
50 % of a share are benign, as at sites of different purpose; the pattern repeats for more nodes. 30 % of the
biopsies, with the data's own mix of labels, are held out and never trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

POSITIVES = (0.98, 0.03, 0.95, 0.50)
HOLD_OUT = 0.30
NODES_MAX = 16
"""With more, the smallest share has fewer than two biopsies."""


def counts(sizes: Sequence[int], positives: int, negatives: int) -> list[tuple[int, int]]:
    """(positives, negatives) of each share, as large as the rarer class allows; every share gets one of both."""
    nodes = len(sizes)
    wanted = [(size * part, size * (1 - part)) for size, part in _mix(sizes)]
    unit = min(positives / sum(p for p, _ in wanted), negatives / sum(n for _, n in wanted))
    found = [(max(1, round(unit * p)), max(1, round(unit * n))) for p, n in wanted]
    # Rounding may ask for a few more than there are: the largest share of that class gives them back.
    for label, there in ((0, positives), (1, negatives)):
        while sum(share[label] for share in found) > there:
            most = max(range(nodes), key=lambda i: found[i][label])
            found[most] = tuple(count - (k == label) for k, count in enumerate(found[most]))  # type: ignore[assignment]
    return found


def _mix(sizes: Sequence[int]) -> list[tuple[int, float]]:
    return [(size, POSITIVES[i % len(POSITIVES)]) for i, size in enumerate(sizes)]


def make(folder: Path, nodes: int, seed: int, sizes: Sequence[int] | None = None) -> list[Path]:
    """Write the shares and the pooled data; the same seed gives the same split.

    Raises:
        ValueError: fewer than 1 or more than 16 nodes, or not a size for each.
    """
    if sizes is not None and (len(sizes) != nodes or min(sizes) < 1):
        raise ValueError(f"a size of 1 or more for each of {nodes} nodes is needed, not {':'.join(map(str, sizes))}")
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"569 biopsies can be shared by 1 to {NODES_MAX} nodes, not {nodes}")
    data = load_breast_cancer()
    x, x_test, y, y_test = train_test_split(
        data.data, data.target, test_size=HOLD_OUT, stratify=data.target, random_state=seed
    )
    random = np.random.default_rng(seed)
    ones, zeros = (list(random.permutation(np.flatnonzero(y == label))) for label in (1, 0))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for positives, negatives in counts(sizes or range(1, nodes + 1), len(ones), len(zeros)):
        taken = [ones.pop() for _ in range(positives)] + [zeros.pop() for _ in range(negatives)]
        rows.append(random.permutation(taken))
    paths = []
    for name, part in [*((f"share{i + 1}", part) for i, part in enumerate(rows)), ("pooled", np.concatenate(rows))]:
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], x=x[part], y=y[part], x_test=x_test, y_test=y_test)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the npz files")
    parser.add_argument("--nodes", type=int, default=4, help="number of shares, 1 to 16 (default 4)")
    parser.add_argument("--sizes", help="sizes of the shares to each other, such as 1:2:7 (default 1:2:3...)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default 0)")
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(":")] if given.sizes else None
    for path in make(given.out, given.nodes, given.seed, sizes):
        y = np.load(path)["y"]
        print(f"{path.name}: {len(y)} biopsies, {100 * y.mean():.0f} % benign")


if __name__ == "__main__":
    main()
