"""Measures an SN on the embedded chain: process start to ready, joins, and calls through its gateway; prints JSON.

    python tests/bench/bench_sn_gateway.py [calls=300]

One client, one connection, mutual TLS on loopback, one call after the other; milliseconds unless the name says
otherwise. The restart is with a chain that holds the contracts and the members.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.certs import Authority
from support.snprocess import MemberClient, SnProcess
from swarm.chain.contract import artifact

MEMBERS = 8


async def timed(count: int, act: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """p50 and p90 of ``count`` calls, after ten that do not count."""
    took = []
    for number in range(count + 10):
        begun = time.perf_counter()
        await act()
        if number >= 10:
            took.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(took, n=10)
    return {"p50": round(statistics.median(took), 2), "p90": round(cuts[8], 2)}


async def measure(sn: SnProcess, ca: Authority, calls: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    joins = []
    for number in range(MEMBERS):
        files = ca.node(sn.folder / "certs", f"sl-{number}", uri=f"spiffe://bench/site/sl/sl-{number}")
        node = MemberClient(sn, files)
        await node.http.get("/is_up")
        begun = time.perf_counter()
        await node.join()
        joins.append((time.perf_counter() - begun) * 1000)
        if number < MEMBERS - 1:
            await node.http.aclose()
    out["join_p50"] = round(statistics.median(joins), 1)
    swarm = await node.http.get("/v1/swarm")
    version = "0x" + artifact("Membership").functions["version"].hash[:4].hex()
    request = {"to": swarm["contracts"]["Membership"], "data": version}
    one = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [request, "latest"]}

    async def call() -> None:
        assert "result" in await node.http.post("/v1/rpc", one)

    out["is_up"] = await timed(calls, lambda: node.http.get("/is_up"))
    out["eth_blockNumber"] = await timed(calls, lambda: node.rpc("eth_blockNumber"))
    out["eth_call"] = await timed(calls, call)
    out["batch_of_20_eth_calls"] = await timed(20, lambda: node.http.post("/v1/rpc", [one] * 20))
    await node.http.aclose()
    return out


def main(calls: int, folder: Path) -> dict[str, Any]:
    ca = Authority()
    sn = SnProcess(folder, ca.node(folder / "certs", "sn-1", uri="spiffe://bench/site/sn/sn-1"))
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_1_minute": os.getloadavg()[0]}
    try:
        for name in ("first_start_seconds", "restart_seconds"):
            begun = time.perf_counter()
            sn.start()
            result[name] = round(time.perf_counter() - begun, 2)
            if name == "first_start_seconds":
                result |= asyncio.run(measure(sn, ca, calls))
            sn.stop()
    finally:
        if sn.process is not None and sn.process.poll() is None:
            sn.kill()
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300, Path(scratch)), indent=2))
