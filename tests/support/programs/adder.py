"""An ML program without a framework, for tests and benchmarks: "training" adds a constant to every parameter.

Everything comes from the environment: VALUES (number of float32 parameters), EPOCHS, BATCHES (of an epoch), EVERY
(batches between syncs), MIN_PEERS, WEIGHT ("samples": as many as SAMPLES), JOB, MODE (what it checks in at its end),
METHOD (of merging), STEP (what a batch adds), BIAS (added to the loss it reports), ADAPTIVE (1: the swarm chooses the
interval), BATCH_SECONDS, UNTIL (a file that ends training early once it is there), GATE (a file; no batch is trained
after GATE_EPOCHS epochs while it is not there), OUT (folder), and faults:
FAIL_AT_BATCH raises, NAN_AT_BATCH poisons the model, SHAPE makes another model
than the others', SCHEMA says that its data are like this. Its "optimiser state" is the number of batches it has seen;
result.json tells what it went through.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
from swarmlearning import tensorfile
from swarmlearning.base import DEFAULT_TRAINING_CONTRACT
from swarmlearning.plain import SwarmCallback


def number(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


def main() -> None:
    values = int(number("VALUES", 31))
    model = {"w": np.full(values, number("START", 0.0), np.float32), "count": np.zeros((), np.int64)}
    if "SHAPE" in os.environ:
        model["w"] = np.zeros(int(os.environ["SHAPE"]), np.float32)
    loads: list[float] = []
    merged_values: list[float] = []
    state = {"seen": np.zeros((), np.int64)}
    epochs = int(number("EPOCHS", 1))

    def evaluate(merged: dict[str, np.ndarray]) -> tuple[float, float]:
        loads.append(time.time())
        merged_values.append(float(merged["w"][0]))
        return float(merged["w"][0]) + number("BIAS", 0.0), 0.5

    swarm = SwarmCallback(
        syncFrequency=os.environ.get("EVERY", 1),  # as text: the callback judges it
        minPeers=os.environ.get("MIN_PEERS", 2),
        trainingContract=os.environ.get("JOB", DEFAULT_TRAINING_CONTRACT),
        nodeWeightage=os.environ.get("WEIGHT", 1),
        samples=os.environ.get("SAMPLES"),
        dataSchema=json.loads(os.environ.get("SCHEMA", "null")),
        totalEpochs=epochs,
        mergeMethod=os.environ.get("METHOD", "mean"),
        checkinModelOnTrainEnd=os.environ.get("MODE", "snapshot"),
        get_parameters=lambda: model,
        set_parameters=model.update,
        evaluate=evaluate,
        get_state=lambda: state,
        set_state=state.update,
        useAdaptiveSync=os.environ.get("ADAPTIVE") == "1",
        adsValData=(),
    )
    swarm.on_train_begin()
    step = np.float32(number("STEP", 1.0))
    until = Path(os.environ["UNTIL"]) if "UNTIL" in os.environ else None
    gate, gate_epochs = os.environ.get("GATE"), number("GATE_EPOCHS", 0)
    seen_before = int(state["seen"])
    for epoch in range(swarm.resumedEpoch, epochs):
        for batch in range(1, int(number("BATCHES", 5)) + 1):
            if until is not None and until.exists():
                break
            time.sleep(number("BATCH_SECONDS", 0.0))
            while gate is not None and epoch >= gate_epochs and not Path(gate).exists():
                time.sleep(0.05)
            model["w"] = model["w"] + step
            model["count"] = model["count"] + 1
            state["seen"] = state["seen"] + 1
            if batch == number("FAIL_AT_BATCH", -1):
                raise RuntimeError(f"the program was told to fail at batch {batch}")
            if batch == number("NAN_AT_BATCH", -1):
                model["w"][0] = np.nan
            swarm.on_batch_end(batch)
        swarm.on_epoch_end(epoch)
    last_local = float(model["w"][0])
    swarm.on_train_end()
    out = Path(os.environ["OUT"])
    out.mkdir(parents=True, exist_ok=True)
    path = out / "model.safetensors"
    tensorfile.write(path, model, {"platform": "numpy"})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = {
        "sha256": digest,
        "loads": loads,
        "merged": merged_values,
        "last_local": last_local,
        "began_at_epoch": swarm.resumedEpoch,
        "seen_before": seen_before,
        "seen": int(state["seen"]),
        "epochs": swarm.epochsCompleted,
    }
    (out / "result.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
