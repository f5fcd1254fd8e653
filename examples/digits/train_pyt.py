"""Which digit is it? A small convolutional network in PyTorch, trained at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_pyt.py

An ordinary training loop with the callback and four calls. With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

import numpy as np
import torch
from digits import Settings, batches, finish, load
from swarmlearning.pyt import SwarmCallback
from torch import nn


def network() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)),
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)),
    )


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(settings.seed)

    model, loss_of = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        model=model,
        # What this site reports of each merged model: its loss and accuracy on the site's own pictures.
        adsValData=(x, y),
        adsValBatchSize=256,
        lossFunction="CrossEntropyLoss",
        lossFunctionArgs={"reduction": "sum"},
    )
    swarm.on_train_begin()
    for epoch in range(settings.epochs):
        model.train()
        for batch in batches(len(x), random):
            optimizer.zero_grad()
            loss_of(model(x[batch]), y[batch]).backward()
            optimizer.step()
            swarm.on_batch_end()
        swarm.on_epoch_end(epoch)
    swarm.on_train_end()

    model.eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(data.x_test)).numpy()
    finish(settings, scores, data.y_test, swarm, platform="pytorch")


if __name__ == "__main__":
    main()
