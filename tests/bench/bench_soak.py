"""A long run of a small model beside a busy processor: time of rounds, memory and disk over 1,000 rounds; prints JSON.

    python tests/bench/bench_soak.py [--nodes 8] [--rounds 1000] [--hogs 1] [--chain embedded|geth]

31 float32 parameters, no framework, no training time: each round is what the platform itself costs. Memory is the
resident set of the SN and of each SL; its slope comes from a straight line through the samples of the later half.
Disk is what lies in an SL's state folder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import chaos
from support.lab import Lab, lab

SAMPLE_SECONDS = 2.0
SAY_ROUNDS = 50
"""A line of progress on stderr after so many rounds."""
WARM_PART = 0.5
"""Part of the run before memory counts: imports, pools and caches fill."""
START_SECONDS = 300.0
ROUND_SECONDS_MAX = 30.0
"""A round slower than this ends the benchmark as failed."""


def rss_mb(pid: int) -> float:
    """Resident memory of a process that runs."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has ended")


def slope(samples: list[tuple[float, float]]) -> float:
    """Least squares: units of y per unit of x; 0 for fewer than two samples."""
    if len({x for x, _ in samples}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in samples], [y for _, y in samples]).slope


def sample(swarm: Lab, seen: dict[str, list[tuple[float, float]]]) -> int:
    """Note memory and disk of every node at the round that is open now; returns that round."""
    round_ = chaos.round_of(swarm.sites[0])
    assert swarm.sn.process is not None
    seen.setdefault("sn", []).append((round_, rss_mb(swarm.sn.process.pid)))
    seen.setdefault("sn_disk", []).append((round_, chaos.folder_bytes(swarm.sn.state) / 1e6))
    for site in swarm.sites:
        assert site.sl is not None
        seen.setdefault(site.name, []).append((round_, rss_mb(site.sl.pid)))
        seen.setdefault(f"{site.name}_disk", []).append((round_, chaos.folder_bytes(site.folder / "state") / 1e6))
        blobs = len(list((site.folder / "state" / "store" / "blobs").iterdir()))
        seen.setdefault(f"{site.name}_blobs", []).append((round_, blobs))
    return round_


def soak(
    folder: Path,
    *,
    nodes: int,
    rounds: int,
    hogs: int,
    chain: str = "embedded",
    sample_seconds: float = SAMPLE_SECONDS,
) -> dict[str, Any]:
    """Run it; every program and SL must end with 0 and the same model."""
    flags = chaos.chain_flags(chain)
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(hogs)]
    seen: dict[str, list[tuple[float, float]]] = {}
    try:
        with lab(folder, *flags, sites=nodes) as swarm:
            swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=180, say="SLs are ready")
            chaos.train(swarm, MIN_PEERS=nodes, BATCH_SECONDS=0.0)
            chaos.reach(swarm, 1, seconds=START_SECONDS)
            round_, moved_at = 0, time.monotonic()
            while round_ < rounds:
                now = sample(swarm, seen)
                if now // SAY_ROUNDS > round_ // SAY_ROUNDS:
                    last = {name: round(rows[-1][1], 1) for name, rows in seen.items()}
                    print(f"round {now}: {last}", file=sys.stderr, flush=True)
                if now > round_:
                    round_, moved_at = now, time.monotonic()
                if time.monotonic() - moved_at > ROUND_SECONDS_MAX:
                    raise TimeoutError(f"round {round_} takes longer than {ROUND_SECONDS_MAX} s")
                time.sleep(sample_seconds)
            times = chaos.merge_times(swarm.sites[0])
            found = chaos.finish(swarm)
    finally:
        for hog in running:
            hog.kill()
            hog.wait()
    seconds = chaos.gaps(times)[1:]  # the first ones wait for programs that start
    late = {name: [s for s in rows if s[0] >= WARM_PART * rounds] for name, rows in seen.items()}
    sls = [site.name for site in swarm.sites]
    return {
        "nodes": nodes,
        "chain": chain,
        "hogs": hogs,
        "rounds": len(found["rounds"]),
        "replaced_leaders": sum(a > 0 for a in chaos.attempts(found)),
        "round_seconds": {
            "median": statistics.median(seconds),
            "p99": statistics.quantiles(seconds, n=100)[-1],
            "max": max(seconds),
            "max_over_median": max(seconds) / statistics.median(seconds),
        },
        "sn_mb": {"first": late["sn"][0][1], "last": late["sn"][-1][1]},
        "sn_mb_per_1000_rounds": 1000 * slope(late["sn"]),
        "sl_mb": {"first": late["sl-1"][0][1], "last": late["sl-1"][-1][1]},
        "sl_mb_per_1000_rounds": {n: 1000 * slope(late[n]) for n in sls},
        "sn_disk_mb_per_1000_rounds": 1000 * slope(late["sn_disk"]),
        "sl_disk_mb": {"last": late["sl-1_disk"][-1][1], "per_1000_rounds": 1000 * slope(late["sl-1_disk"])},
        "blobs_max": max(int(count) for n in sls for _, count in seen[f"{n}_blobs"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--hogs", type=int, default=1)
    parser.add_argument("--chain", default="embedded", choices=["embedded", "geth"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), nodes=options.nodes, rounds=options.rounds, hogs=options.hogs, chain=options.chain)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
