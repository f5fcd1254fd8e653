"""Which digit is it? The convolutional network of train_pyt.py as a LightningModule, at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_lightning.py

The swarm is one more callback of the Trainer. With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from digits import Settings, batch_size, finish, load
from swarmlearning.lightning import SwarmCallback
from torch.utils.data import DataLoader, TensorDataset
from train_pyt import network


class Digits(pl.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        x, y = batch
        return torch.nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    pl.seed_everything(settings.seed, verbose=False)
    torch.set_num_threads(1)

    model = Digits()
    pictures = TensorDataset(torch.from_numpy(data.x), torch.from_numpy(data.y))
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        # What this site reports of each merged model: its loss on the site's own pictures.
        adsValData=pictures,
        adsValBatchSize=256,
        lossFunction="CrossEntropyLoss",
        lossFunctionArgs={"reduction": "sum"},
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=settings.epochs,
        callbacks=[swarm],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(pictures, batch_size=batch_size(len(pictures)), shuffle=True))

    model.eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(data.x_test)).numpy()
    finish(settings, scores, data.y_test, swarm, platform="pytorch")


if __name__ == "__main__":
    main()
