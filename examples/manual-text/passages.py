"""What the two training programs of this folder share: settings, the model, and how a result is written.

Nothing in here knows how a swarm works.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sklearn.metrics import roc_auc_score
from swarmlearning import tensorfile

BATCHES_PER_EPOCH = 10
"""The same at every site, so that sites with unequal shares reach each synchronisation together."""
BUCKETS = 1024
"""Words are numbered by a hash: sites need no list of words that they would have to agree on first."""
WORDS = 32
"""Of a passage."""
BASE_SEED = 7
"""All sites begin with one base model, as with one that was downloaded."""


@dataclass(frozen=True)
class Settings:
    """From the environment: DATA (npz file), OUT (folder), EPOCHS, SYNC_FREQUENCY (steps), MIN_PEERS, SEED."""

    data: Path
    out: Path
    epochs: int
    sync_frequency: int
    min_peers: int
    seed: int

    @classmethod
    def read(cls) -> Settings:
        env = os.environ
        if "DATA" not in env:
            raise SystemExit("set DATA to a share written by shares.py, for example DATA=shares/share1.npz")
        return cls(
            data=Path(env["DATA"]),
            out=Path(env.get("OUT", ".")),
            epochs=int(env.get("EPOCHS", "20")),
            sync_frequency=int(env.get("SYNC_FREQUENCY", str(BATCHES_PER_EPOCH))),
            min_peers=int(env.get("MIN_PEERS", "2")),
            seed=int(env.get("SEED", "0")),
        )


class Passages(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Numbered words and labels as a Trainer wants them."""

    def __init__(self, tokens: np.ndarray, labels: np.ndarray) -> None:
        self._tokens, self.labels = torch.from_numpy(tokens.astype(np.int64)), labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        tokens = self._tokens[row]
        return {"input_ids": tokens, "attention_mask": (tokens > 0).long(), "labels": int(self.labels[row])}


def load(path: Path) -> tuple[Passages, Passages]:
    """The share, and the hold-out that is common to all sites."""
    with np.load(path) as file:
        return Passages(file["x"], file["y"]), Passages(file["x_test"], file["y_test"])


def tiny_bert() -> Any:
    """A transformer of 47,000 parameters with random weights: BERT's layers, small enough for any laptop."""
    torch.set_num_threads(1)
    transformers.set_seed(BASE_SEED)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=BUCKETS,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=WORDS,
            num_labels=2,
        )
    )


def train(settings: Settings, model: Any, data: Passages, swarm: Any, rate: float) -> None:
    """An ordinary Trainer; the swarm is one more callback."""
    transformers.set_seed(settings.seed)
    arguments = transformers.TrainingArguments(
        output_dir=str(settings.out / "trainer"),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=max(1, -(-len(data) // BATCHES_PER_EPOCH)),
        learning_rate=rate,
        lr_scheduler_type="constant",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=settings.seed,
    )
    transformers.Trainer(model, arguments, train_dataset=data, callbacks=[swarm]).train()


def finish(settings: Settings, model: Any, hold_out: Passages, swarm: Any) -> None:
    """Write model.safetensors (what the swarm merged last) and result.json into OUT, and say how good the model is."""
    model.eval()
    batch = transformers.default_data_collator([hold_out[row] for row in range(len(hold_out))])
    with torch.no_grad():
        likely = model(**batch).logits.softmax(dim=1)[:, 1].numpy()
    settings.out.mkdir(parents=True, exist_ok=True)
    tensorfile.write(settings.out / "model.safetensors", swarm._saveModelWeightsToDict(), {"platform": "pytorch"})
    accuracy = float(np.mean((likely > 0.5) == (hold_out.labels > 0)))
    auc = float(roc_auc_score(hold_out.labels, likely))
    (settings.out / "result.json").write_text(json.dumps({"accuracy": accuracy, "auc": auc}) + "\n")
    print(f"hold-out of {len(hold_out)} passages: accuracy {accuracy:.4f}, AUC {auc:.4f}")
