"""How fast models merge: GB/s of input, in memory and from files, beside memcpy measured in the same run; each
method's seconds and memory, the shares' pass included.

Run it: ``python tests/bench/bench_merge.py [--nodes 4] [--mb 100] [--repeat 3]``; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from swarm.core import merge
from swarm.sl.merging import SMALL_WINDOW_BYTES, find_shares, merge_files
from swarmlearning import tensorfile


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Median wall time of ``repeat`` calls after one that warms up."""
    work()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def in_memory(models: list[np.ndarray], repeat: int) -> dict[str, float]:
    """Rates in GB/s of input; memcpy in GB/s copied."""
    mean = merge.get("mean")
    shares = mean.coefficients(list(range(1, len(models) + 1)))
    out = np.empty_like(models[0])
    one = out.nbytes / 1e9
    parts = [part for model in models for part in np.array_split(model, 400)]
    return {
        "memcpy": one / seconds(lambda: np.copyto(out, models[0]), repeat),
        "naive_sum": len(models)
        * one
        / seconds(lambda: sum(m * np.float32(c) for m, c in zip(models, shares, strict=True)), repeat),
        "merge_values": len(models)
        * one
        / seconds(lambda: merge.merge_values(mean, "F32", models, shares, out), repeat),
        "non_finite": len(models) * one / seconds(lambda: [merge.non_finite(part, "F32") for part in parts], repeat),
    }


def from_files(paths: list[Path], folder: Path, name: str, repeat: int, **options: Any) -> dict[str, float]:
    """Page cache warm: seconds of the pass for the shares and of the merge, GB/s of input, growth of the peak RSS.

    The first file stands for the previous merged model where one is needed; ``weights`` are among the options.
    """
    method = merge.get(name)
    weights = options.pop("weights", [1] * len(paths))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at what is resident now
    before = peak_rss_mb()
    found = seconds(lambda: find_shares(paths, weights, method, paths[0]), repeat)
    shares = find_shares(paths, weights, method, paths[0])
    merged = seconds(
        lambda: merge_files(paths, shares, folder / "merged", method, previous=paths[0], **options), repeat
    )
    return {
        "shares_seconds": round(found, 3),
        "merge_seconds": round(merged, 3),
        "gb_per_second": round(sum(path.stat().st_size for path in paths) / 1e9 / (found + merged), 2),
        "peak_rss_growth_mb": round(peak_rss_mb() - before, 1),
    }


def peak_rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def measure(nodes: int, megabytes: float, repeat: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    count = int(megabytes * 1e6 / 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{i}.safetensors" for i in range(nodes)]
        for path in paths:
            model = random.normal(size=count).astype(np.float32)
            tensorfile.write(path, {"w": model}, {"platform": "bench"}, durable=False)
        del model
        uneven = {"weights": list(range(1, nodes + 1))}
        cases: dict[str, tuple[str, dict[str, Any]]] = {
            "mean": ("mean", {}),
            "mean, norms logged": ("mean", {"norms": True}),
            "mean, little memory": ("mean", {"window": SMALL_WINDOW_BYTES}),
            "coordmedian": ("coordmedian", {}),
            "coordmedian, uneven weights": ("coordmedian", uneven),
            "coordmedian, little memory": ("coordmedian", {"window": SMALL_WINDOW_BYTES}),
            "geomedian": ("geomedian", {}),
            "mean-clipped": ("mean-clipped", {}),
        }
        methods = {
            title: from_files(paths, folder, name, repeat, **options) for title, (name, options) in cases.items()
        }
        models = [np.array(tensorfile.open_arrays(path)["w"]) for path in paths]
        rates = in_memory(models, repeat)
    return {
        "bench": "merge",
        "nodes": nodes,
        "model_mb": megabytes,
        "gb_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "from_files": methods,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4, help="inputs (default 4)")
    parser.add_argument("--mb", type=float, default=100, help="size of one model in MB (default 100)")
    parser.add_argument("--repeat", type=int, default=3, help="timed calls, of which the median counts (default 3)")
    given = parser.parse_args()
    print(json.dumps(measure(given.nodes, given.mb, given.repeat), indent=2))


if __name__ == "__main__":
    main()
