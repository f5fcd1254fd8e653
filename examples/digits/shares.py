"""Split scikit-learn's 1,797 pictures of handwritten digits into a common hold-out and unequal, skewed shares.

    python shares.py --out FOLDER [--nodes 4] [--seed 0]

writes share1.npz ... shareN.npz and pooled.npz (all shares together), each with ``x``, ``y`` (the digit) and the same
hold-out ``x_test``, ``y_test``. Later sites tend to have more, and each site sees its own mix of digits (drawn from a
Dirichlet distribution), as sites of different purpose do. 30 % of the pictures are held out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EVENNESS = 0.3
"""Of the mixes: towards 0 each site sees one digit only, far above 1 all sites see all alike."""
HOLD_OUT = 0.30
NODES_MAX = 16


def make(folder: Path, nodes: int, seed: int) -> list[Path]:
    """Write the shares and the pooled data; the same seed gives the same split."""
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"the pictures can be shared by 1 to {NODES_MAX} nodes, not {nodes}")
    data = load_digits()
    x, x_test, y, y_test = train_test_split(
        data.data, data.target, test_size=HOLD_OUT, stratify=data.target, random_state=seed
    )
    random = np.random.default_rng(seed)
    rows: list[list[int]] = [[] for _ in range(nodes)]
    for digit in range(10):
        found = random.permutation(np.flatnonzero(y == digit))
        parts = random.dirichlet(np.full(nodes, EVENNESS)) * np.arange(1, nodes + 1)
        ends = np.round(np.cumsum(parts / parts.sum()) * len(found)).astype(int)
        for site, part in enumerate(np.split(found, ends[:-1])):
            rows[site].extend(part)
    for site in rows:
        if not site:  # the mixes left nothing: one picture of the largest share
            site.append(max(rows, key=len).pop())
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    pooled = [row for site in rows for row in site]
    for name, part in [*((f"share{i + 1}", part) for i, part in enumerate(rows)), ("pooled", pooled)]:
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], x=x[part], y=y[part], x_test=x_test, y_test=y_test)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the npz files")
    parser.add_argument("--nodes", type=int, default=4, help="number of shares, 1 to 16 (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default 0)")
    given = parser.parse_args()
    for path in make(given.out, given.nodes, given.seed):
        y = np.load(path)["y"]
        print(f"{path.name}: {len(y)} pictures, of each digit {np.bincount(y, minlength=10).tolist()}")


if __name__ == "__main__":
    main()
