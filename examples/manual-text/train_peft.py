"""Language or library? Only an adapter (LoRA) of a tiny transformer is trained and shared, at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_peft.py

``hfMode="peft"``: adapter and classifier travel, the base model never does. With SWARM_LOOPBACK=true the same program
trains alone.
"""

from __future__ import annotations

from passages import Settings, finish, load, tiny_bert, train
from peft import LoraConfig, get_peft_model
from swarmlearning.hf_transformers import SwarmCallback


def main() -> None:
    settings = Settings.read()
    data, hold_out = load(settings.data)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=8,
        lora_alpha=16,
        target_modules=["word_embeddings", "query", "value", "intermediate.dense", "output.dense"],
    )
    model = get_peft_model(tiny_bert(), lora)
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        model=model,
        hfMode="peft",
        adsValData=data,  # what this site reports of each merged model: its loss on the site's own passages
        adsValBatchSize=256,
    )
    train(settings, model, data, swarm, rate=5e-3)
    finish(settings, model, hold_out, swarm)


if __name__ == "__main__":
    main()
