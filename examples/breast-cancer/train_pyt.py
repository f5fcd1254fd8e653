"""Benign or malignant? A small PyTorch network, trained at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_pyt.py

An ordinary training loop; the swarm needs the callback and four calls. With SWARM_LOOPBACK=true the same
program trains alone.
"""

from __future__ import annotations

import numpy as np
import torch
from biopsies import Settings, batches, finish, load
from swarmlearning.pyt import SwarmCallback
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(settings.seed)

    model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Flatten(0))
    loss_of = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        model=model,
        # What this site reports of each merged model: its loss on the site's own patients.
        adsValData=DataLoader(TensorDataset(x, y), batch_size=64),
        lossFunction="BCEWithLogitsLoss",
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
    parameters = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    finish(settings, scores, data.y_test, parameters, platform="pytorch")


if __name__ == "__main__":
    main()
