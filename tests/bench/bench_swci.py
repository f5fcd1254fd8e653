"""Measures SWCI in WEB mode on both chains: reads, tasks, REST reads a second, start of a read command; prints JSON.

    python tests/bench/bench_swci.py [calls=100]

Mutual TLS on loopback. ``task_to_transaction`` is CREATE TASK FROM a file of 70 steps by one confirmed transaction
(CREATE CONTRACT) of the same shell and chain. Milliseconds unless the name says otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import chaos, swci
from support.certs import Authority
from support.chains import free_port
from support.snprocess import running_sn
from swarm.net.tls import TlsFiles, client_context

READS = ("LIST NODES", "LIST TASKS", "LIST CONTRACTS", "GET CONTRACT STATUS defaultbb.cqdb.sml.hpe")
READS += ("GET TASKRUNNER STATUS defaulttaskbb.taskdb.sml.hpe", "STATUS")
CLIENTS, SECONDS = 8, 5.0
STARTS, TASKS = 5, 8
STEPS = 70
UP_SECONDS = 60.0


def task(number: int) -> str:
    steps = "\n".join(f"  - RUN echo step {step}" for step in range(STEPS - 1))
    kind = "TaskType: MAKE_USER_CONTAINER\nAuthor: bench\nPrereq: ROOTTASK"
    head = f"Name: bench-{number}\n{kind}\nOutcome: image-{number}\n"
    return f"{head}Body:\n  BuildContext: null\n  BuildType: INLINE\n  BuildSteps:\n  - FROM base\n{steps}\n"


async def ask(client: httpx.AsyncClient, command: str) -> float:
    """Milliseconds of one command.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.perf_counter()
    answer = await client.post("/exec", params={"cmd": command})
    took = (time.perf_counter() - begun) * 1000
    lines = answer.json()["CONTENT"]
    if any(line.startswith("ERROR ") for line in lines):
        raise RuntimeError(f"{command}: {lines}")
    return took


async def measure(url: str, files: TlsFiles, usr: Path, calls: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    context = client_context(files)
    async with httpx.AsyncClient(base_url=url, verify=context, timeout=60) as client:
        for command in READS:
            await ask(client, command)
            took = [await ask(client, command) for _ in range(calls)]
            out[" ".join(command.split()[:3])] = round(statistics.median(took), 1)
        sends, tasks = [], []
        for number in range(TASKS):
            (usr / f"bench-{number}.yaml").write_text(task(number))
            sends.append(await ask(client, f"CREATE CONTRACT bench-{number}"))
            tasks.append(await ask(client, f"CREATE TASK FROM bench-{number}.yaml"))
            await ask(client, f"FINALIZE TASK bench-{number}")
        out["transaction"] = round(statistics.median(sends), 1)
        out["task_of_70_steps"] = round(statistics.median(tasks), 1)
        out["task_to_transaction"] = round(statistics.median(tasks) / statistics.median(sends), 2)
    done, until = 0, time.perf_counter() + SECONDS

    async def reads() -> None:
        nonlocal done
        headers = {"Cookie": "swci=new"}
        async with httpx.AsyncClient(base_url=url, verify=context, timeout=60, headers=headers) as one:
            while time.perf_counter() < until:
                await ask(one, "LIST CONTRACTS")
                done += 1

    await asyncio.gather(*(reads() for _ in range(CLIENTS)))
    out["rest_reads_a_second"] = round(done / SECONDS)
    return out


def start_seconds(here: swci.Operator) -> float:
    """Of a read command in a process of its own, cold imports and all."""
    took = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "swarm.cli", "status", "--ops", here.sn.ops]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - begun)
    return round(min(took), 2)


def on(chain: str, folder: Path, calls: int) -> dict[str, Any]:
    ca = Authority()
    with running_sn(folder / "sn", ca, *chaos.chain_flags(chain)) as sn:
        here = swci.operator(folder / "operator", sn, ca)
        (here.usr / "init").write_text("\n".join(here.enter()))
        port, log = free_port(), folder / "swci.log"
        environ = here.environ(SWCI_MODE="WEB", SWCI_WEB_PORT=str(port), SWCI_STARTUP_SCRIPT="init")
        with log.open("wb") as out:
            command = [sys.executable, "-m", "swarm.cli", *here.argv("--listen", "127.0.0.1")]
            process = subprocess.Popen(command, env=environ, stdout=out, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + UP_SECONDS
            while "SWCI serves REST" not in log.read_text():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(log.read_text())
                time.sleep(0.05)
            found = asyncio.run(measure(f"https://127.0.0.1:{port}", here.files, here.usr, calls))
            return {**found, "start_of_swarm_status_seconds": start_seconds(here)}
        finally:
            process.terminate()
            process.wait(timeout=30)


def main(calls: int) -> dict[str, Any]:
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_1_minute": os.getloadavg()[0]}
    chains = ["embedded", *(["geth"] if os.environ.get("SN_GETH_BIN") else [])]
    for chain in chains:
        with tempfile.TemporaryDirectory() as folder:
            result[chain] = on(chain, Path(folder), calls)
    return result


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100), indent=1))
