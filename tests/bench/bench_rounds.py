"""Seconds per round of real swarms on loopback, split by phase; JSON on stdout.

    python tests/bench/bench_rounds.py [--nodes 2 4 8] [--sizes 31 1M 100M] [--rounds 8] [--chain embedded geth]

No training: each batch adds a constant. Fn is the floor (:func:`floor`) with constants measured in
this very run, so that figures of different machines can be compared as ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.certs import Authority
from support.lab import lab
from support.tools import geth
from swarm.core.merge import get
from swarm.net.tls import client_context, server_context

FLOAT_BYTES = 4
CALIBRATION_BYTES = 128 * 1024 * 1024


def values_of(size: str) -> int:
    """Number of float32 parameters: "31" is a count, "1M" are 10^6 bytes."""
    return int(size) if size.isdigit() else int(float(size.rstrip("M")) * 1e6) // FLOAT_BYTES


def rate(work: Any, size: int) -> float:
    """GB/s of the best of three runs."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return size / best / 1e9


def tls_rate(folder: Path) -> float:
    """GB/s through one mutual TLS 1.3 connection on loopback, both ends in this process."""
    ca = Authority()
    files = ca.node(folder, "calibration")
    import socket

    listening = socket.create_server(("127.0.0.1", 0))
    payload = bytes(1024 * 1024)
    count = CALIBRATION_BYTES // len(payload)

    def serve() -> None:
        line, _ = listening.accept()
        with server_context(files).wrap_socket(line, server_side=True) as secured:
            for _ in range(count):
                secured.sendall(payload)

    thread = threading.Thread(target=serve)
    thread.start()
    plain = socket.create_connection(listening.getsockname())
    context: ssl.SSLContext = client_context(files)
    got, buffer = 0, bytearray(256 * 1024)
    with context.wrap_socket(plain) as secured:
        began = time.perf_counter()
        while got < CALIBRATION_BYTES:
            got += secured.recv_into(buffer)
        seconds = time.perf_counter() - began
    thread.join()
    listening.close()
    return CALIBRATION_BYTES / seconds / 1e9


def calibrate(folder: Path) -> dict[str, float]:
    data = np.random.default_rng(0).integers(0, 255, CALIBRATION_BYTES, dtype=np.uint8).tobytes()
    blocks = [np.ones(CALIBRATION_BYTES // 16, np.float32) * i for i in range(4)]
    out = np.empty_like(blocks[0])
    step = 65536
    method = get("mean")

    def mean() -> None:
        for at in range(0, len(out), step):
            method.merge_block([b[at : at + step] for b in blocks], (0.25,) * 4, out[at : at + step])

    return {
        "tls": tls_rate(folder),
        "hash": rate(lambda: hashlib.sha256(data).digest(), CALIBRATION_BYTES),
        "mean": rate(mean, CALIBRATION_BYTES),
    }


def floor_seconds(nodes: int, size_bytes: int, rates: dict[str, float]) -> float:
    """Fn: what moving, hashing and averaging alone cost here, encrypted; size in bytes, result in seconds."""
    m = size_bytes / 1e9
    moved = 2 * (nodes - 1) * m * (2 / rates["tls"] + 1 / rates["hash"])
    return (moved + nodes * m / rates["hash"] + nodes * m / rates["mean"]) / (os.cpu_count() or 1)


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def one(nodes: int, size: str, rounds: int, chain: str, rates: dict[str, float]) -> dict[str, Any]:
    values = values_of(size)
    with tempfile.TemporaryDirectory(dir=os.environ.get("SWARM_BENCH_DIR")) as name:
        folder = Path(name)
        flags = ["--chain", chain] + (["--geth-bin", str(geth())] if chain == "geth" else [])
        with lab(folder, *flags, sites=nodes) as swarm:
            swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=120, say="SLs are ready")
            idle = [rss_mb(s.sl.pid) for s in swarm.sites if s.sl is not None]
            for number, site in enumerate(swarm.sites, 1):  # different models: equal ones would not travel
                site.start_ml(MIN_PEERS=nodes, BATCHES=rounds, VALUES=values, STEP=number, START=number)
            last: list[dict[str, Any]] = [{} for _ in swarm.sites]
            peak = list(idle)
            while any(s.sl is not None and s.sl.poll() is None for s in swarm.sites):
                for index, site in enumerate(swarm.sites):
                    if site.sl is not None and site.sl.poll() is None:
                        last[index] = site.status() or last[index]
                        peak[index] = max(peak[index], rss_mb(site.sl.pid) if site.sl.poll() is None else 0.0)
                time.sleep(0.2)
            codes = swarm.run(seconds=10)
    by_round: dict[int, list[dict[str, Any]]] = {}
    for status in last:
        for row in status.get("rounds", []):
            by_round.setdefault(row["round"], []).append(row)
    full = [rows for number, rows in sorted(by_round.items()) if number > 0 and len(rows) == nodes]
    full = [rows for rows in full if all("loaded_at" in r and "check_in_at" in r for r in rows)]
    seconds = [max(r["loaded_at"] for r in rows) - max(r["check_in_at"] for r in rows) for rows in full]
    phases: dict[str, list[float]] = {}
    for rows in full:
        for row in rows:
            for phase, spent in row["phases"].items():
                phases.setdefault(phase, []).append(spent)
    fn = floor_seconds(nodes, values * FLOAT_BYTES, rates)
    p50 = statistics.median(seconds) if seconds else None
    moved = sum(s.get("bytes_in", 0) for s in last)
    merged = max(1, len(by_round))
    return {
        "nodes": nodes,
        "bytes": values * FLOAT_BYTES,
        "chain": chain,
        "exit_codes": codes,
        "rounds": len(seconds),
        "seconds_p50": p50,
        "seconds_p90": statistics.quantiles(seconds, n=10)[-1] if len(seconds) > 1 else p50,
        "floor_seconds": fn,
        "multiple_of_floor": None if p50 is None else p50 / fn,
        "phase_seconds_p50": {name: statistics.median(v) for name, v in sorted(phases.items())},
        "sl_peak_mb_over_idle": round(max(p - i for p, i in zip(peak, idle, strict=True)), 1),
        "wire_bytes_over_ideal": moved / (merged * 2 * (nodes - 1) * values * FLOAT_BYTES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", nargs="*", type=int, default=[2, 4, 8])
    parser.add_argument("--sizes", nargs="*", default=["31", "1M", "100M"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--chain", nargs="*", default=["embedded", "geth"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates = calibrate(Path(folder))
    results = []
    for chain in options.chain:
        for size in options.sizes:
            for nodes in options.nodes:
                results.append(one(nodes, size, options.rounds, chain, rates))
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"gigabytes_per_second": rates, "cores": os.cpu_count(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
