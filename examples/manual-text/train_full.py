"""Language or library? All of a tiny transformer is trained, by transformers' Trainer at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_full.py

With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

from passages import Settings, finish, load, tiny_bert, train
from swarmlearning.hf_transformers import SwarmCallback


def main() -> None:
    settings = Settings.read()
    data, hold_out = load(settings.data)
    model = tiny_bert()
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        model=model,
        adsValData=data,  # what this site reports of each merged model: its loss on the site's own passages
        adsValBatchSize=256,
    )
    train(settings, model, data, swarm, rate=2e-3)
    finish(settings, model, hold_out, swarm)


if __name__ == "__main__":
    main()
