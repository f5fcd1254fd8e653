"""How long a sync stops a PyTorch training loop, waiting for others excluded, and what memory it takes.

A program of this SDK and a real bridge in two processes; the "swarm" hands every model straight back. Pause: the time
of a sync less the time blocked on the pipe, so writing the model, reading the merged one and putting it in. Compared
with one safetensors save, load and load_state_dict of the same model in the same folder. Memory: the peak of the
process's resident set in all syncs, file pages included, above what it held before the first one, in models. The
resume file is off: docs/sdk-resume.md bounds its share of the time.
"""

from __future__ import annotations

import argparse
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

TESTS = Path(__file__).resolve().parents[1]
LAYERS = 16
SYNCS = 7
PAUSE_MARK, MEMORY_MARK = 2.0, 1.2


def peak_kib() -> tuple[int, int]:
    """(peak, now) of this process's resident set, KiB; the peak counts from the last ``forget_peak``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmHWM", "VmRSS"))}
    return found["VmHWM"], found["VmRSS"]


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def clocks() -> tuple[float, float]:
    """Wall and this process's CPU seconds; the second is what a busy machine leaves alone."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clocks()
    return wall - began[0], cpu - began[1]


def child(megabytes: int) -> dict[str, Any]:
    """The training program: measures the baseline, then the syncs."""
    import safetensors.torch
    import torch
    from swarmlearning.client.pipe.channel import Channel
    from swarmlearning.pyt import SwarmCallback

    torch.set_num_threads(1)
    side = int((megabytes * 1e6 / 4 / LAYERS) ** 0.5)
    model = torch.nn.Sequential(*(torch.nn.Linear(side, side) for _ in range(LAYERS)))
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    path = Path(os.environ["SWARM_EXCHANGE_DIR"]) / "baseline.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)

    def baseline() -> tuple[float, float]:
        began = clocks()
        safetensors.torch.save_file(model.state_dict(), path)
        model.load_state_dict(safetensors.torch.load_file(path))
        return since(began)

    waited = [0.0]
    receive = Channel.receive

    def timed(self: Channel, *arguments: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return receive(self, *arguments, **more)
        finally:
            waited[0] += time.perf_counter() - began

    Channel.receive = timed  # type: ignore[method-assign]
    swarm = SwarmCallback(1, 1, model=model, totalEpochs=1)
    pauses, saves, peaks = [], [], []
    bare = 0
    for number in range(SYNCS + 1):
        saves.append(baseline())
        path.unlink()
        waited[0] = 0.0
        forget_peak()
        bare = bare or peak_kib()[1]
        began = clocks()
        if number == 0:
            swarm.on_train_begin()
        else:
            swarm.stepsBeforeNextSync = 0
            swarm.on_batch_end()
        wall, cpu = since(began)
        pauses.append((wall - waited[0], cpu))
        peaks.append(peak_kib()[0])
    swarm.on_train_end()
    wall, cpu = ([statistics.median(one[clock] for one in pair[1:]) for pair in (pauses, saves)] for clock in (0, 1))
    return {
        "model_mb": round(size / 1e6, 1),
        "save_and_load_ms": round(wall[1] * 1e3, 1),
        "pause_ms": round(wall[0] * 1e3, 1),
        "ratio": round(wall[0] / wall[1], 2),
        "ratio_of_best": round(min(one[0] for one in pauses[1:]) / min(one[0] for one in saves[1:]), 2),
        "ratio_of_cpu_time": round(cpu[0] / cpu[1], 2),
        "extra_models": round((max(peaks) - bare) * 1024 / size, 2),
    }


async def measured(megabytes: int, folder: Path) -> dict[str, Any]:
    """Runs the child beside a bridge that hands every model back."""
    sys.path.insert(0, str(TESTS))
    from support import fake_shell
    from swarm.sl.bridge import Evaluate, SyncCall, SyncDone

    async def hand_back(self: fake_shell.Shell, call: SyncCall, evaluate: Evaluate) -> SyncDone:
        merged = self.work / "merged.safetensors"
        os.replace(call.path, merged)
        await evaluate(merged, None)
        return SyncDone(1, call.final, "")

    fake_shell.Shell.sync = hand_back  # type: ignore[method-assign]
    async with fake_shell.bridge_at(folder) as place:
        environ = {
            **os.environ,
            "SL_REQUEST_CHANNEL": str(place.request),
            "SL_RESPONSE_CHANNEL": str(place.response),
            "SWARM_EXCHANGE_DIR": str(place.exchange),
            "SWARM_RESUME": "off",
            "SWARM_RESULT": "off",
        }
        command = [sys.executable, __file__, "--child", str(megabytes)]
        process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the program ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return {**found, "pause_holds": found["ratio"] < PAUSE_MARK, "memory_holds": found["extra_models"] < MEMORY_MARK}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 400], help="model sizes, MB")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        print(json.dumps(child(given.child)))
        return
    results = []
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            results.append(asyncio.run(measured(size, Path(folder))))
    print(
        json.dumps({"marks": {"pause": PAUSE_MARK, "memory": MEMORY_MARK}, "syncs": SYNCS, "models": results}, indent=1)
    )


if __name__ == "__main__":
    main()
