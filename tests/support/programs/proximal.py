"""An ML program in PyTorch whose every step can be worked out by hand, for FedProx in a real swarm.

One parameter with the loss (w - TARGET)^2 / 2 and SGD. From the environment: TARGET, MU, RATE, BATCHES, EVERY,
MIN_PEERS, OUT (folder for steps.json: the merged values it was given, and its own before each merge).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from swarmlearning.pyt import SwarmCallback


class Told(SwarmCallback):
    """Keeps what is handed over and what comes back."""

    def __init__(self, model: torch.nn.Module, **arguments: object) -> None:
        self.own: list[float] = []
        self.merged: list[float] = []
        super().__init__(os.environ["EVERY"], os.environ["MIN_PEERS"], model=model, **arguments)

    def _saveModelWeightsToDict(self) -> dict[str, object]:
        self.own.append(float(self.model.weight.detach()))
        return super()._saveModelWeightsToDict()

    def _loadModelWeightsFromDict(self, paramsDict: dict[str, object]) -> None:
        super()._loadModelWeightsFromDict(paramsDict)
        self.merged.append(float(self.model.weight.detach()))


def main() -> None:
    torch.set_num_threads(1)
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=float(os.environ["RATE"]))
    swarm = Told(model, proximalMu=os.environ["MU"], totalEpochs=1)
    swarm.on_train_begin()
    for _ in range(int(os.environ["BATCHES"])):
        optimizer.zero_grad()
        ((model.weight - float(os.environ["TARGET"])) ** 2 / 2).sum().backward()
        optimizer.step()
        swarm.on_batch_end()
    swarm.on_epoch_end()
    swarm.on_train_end()
    out = Path(os.environ["OUT"])
    (out / "steps.json").write_text(json.dumps({"own": swarm.own, "merged": swarm.merged}))


if __name__ == "__main__":
    main()
