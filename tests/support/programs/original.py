"""An ML program that speaks an original wheel's form of the pipe, written without our SDK; "trains" as adder.py does.

Everything comes from the environment: FORM (pickle: 2.3, inline: 2.1 and 2.2), BATCHES, EVERY (batches between
syncs), MIN_PEERS, WEIGHT, START and STEP (first value of every parameter, and what a batch adds), SORTED (1: the
program's own order of names is the sorted one), MEASURES (0: it reports 0 and 0, as the wheel's Hugging Face client
does), OUT (folder for result.npz).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from support.original_client import OriginalClient, Weights

SYNC, CLOSE = 6, 4


def main() -> None:
    form, weight = os.environ["FORM"], int(os.environ["WEIGHT"])
    channels = (os.environ[name] for name in ("SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL", "SWARM_EXCHANGE_DIR"))
    client = OriginalClient(form, *map(Path, channels))
    model: Weights = {"w": np.full(31, float(os.environ["START"]), np.float32), "count": np.zeros((), np.int64)}
    if os.environ.get("SORTED") == "1":
        model = dict(sorted(model.items()))

    def load(merged: Weights) -> tuple[float, float, int, int]:
        """As the wheel's PyTorch callback does: by the names it sent, into its own types and shapes."""
        for name, own in model.items():
            assert merged[name].dtype == np.float32
            model[name] = merged[name].astype(own.dtype).reshape(own.shape)
        return (float(model["w"][0]), 0.5, 0, 1) if os.environ.get("MEASURES") != "0" else (0.0, 0.0, 0, 1)

    def hand_over(kind: int) -> tuple[int, bool]:
        # protobuf writes a map's names sorted, so the inline wheels lose the program's order
        sent = dict(sorted(model.items())) if form == "inline" else dict(model)
        return client.sync(sent, load, kind=kind, weightage=weight)

    client.open_pipes(wait=60.0)
    client.open_session(
        interval=int(os.environ["EVERY"]), min_peers=int(os.environ.get("MIN_PEERS", "2")), weightage=weight
    )
    left, over = hand_over(SYNC)
    for _ in range(int(os.environ["BATCHES"])):
        model["w"] = model["w"] + np.float32(os.environ["STEP"])
        model["count"] = model["count"] + 1
        if left == 0 and not over:
            left, over = hand_over(SYNC)
        left -= 1
    assert not over
    hand_over(CLOSE)
    client.close_pipes()
    np.savez(Path(os.environ["OUT"]) / "result.npz", **model)


if __name__ == "__main__":
    main()
