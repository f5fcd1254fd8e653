"""An ML program with a real framework, as a user writes it, for tests of joining, leaving and coming back.

Everything comes from the environment: FRAMEWORK (a name of TRAIN), EPOCHS, BATCHES (of an epoch), EVERY, MIN_PEERS,
BATCH_SECONDS, OUT (folder), DATA_SEED (other numbers, other data), and GATE (a file; no batch is trained after
GATE_EPOCHS epochs while it is not there).
All learn the same small regression or classification. result.json tells what the program went through.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS, BATCHES = int(os.environ.get("EPOCHS", 6)), int(os.environ.get("BATCHES", 3))
PAUSE = float(os.environ.get("BATCH_SECONDS", 0.0))
ROWS = 8
"""Samples in a batch."""
GATE, GATE_EPOCHS = os.environ.get("GATE"), int(os.environ.get("GATE_EPOCHS", 0))
OUT = Path(os.environ["OUT"])
ARGUMENTS: dict[str, Any] = {
    "syncFrequency": os.environ.get("EVERY", "1"),
    "minPeers": os.environ.get("MIN_PEERS", "2"),
    "totalEpochs": EPOCHS,
}
X = np.random.default_rng(int(os.environ.get("DATA_SEED", 1))).normal(size=(BATCHES * ROWS, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
LABELS = (Y[:, 0] > 0).astype(np.int64)
TOKENS = np.where(LABELS[:, None] > 0, 2, 1) * np.ones((1, 4), np.int64)
BEGUN: list[int] = []
"""Epochs done when a batch was begun."""


def before_batch(swarm: Any) -> None:
    """Called before each batch: trains slowly, and waits at the gate."""
    time.sleep(PAUSE)
    BEGUN.append(swarm.epochsCompleted)
    while GATE is not None and swarm.epochsCompleted >= GATE_EPOCHS and not Path(GATE).exists():
        time.sleep(0.05)


def told(swarm: Any, values: list[Any], steps: int, losses: tuple[float, float]) -> dict[str, Any]:
    return {
        "values": values,
        "optimiser_steps": steps,
        "epochs": swarm.epochsCompleted,
        "began_at_epoch": BEGUN[0] if BEGUN else EPOCHS,
        "batches": len(BEGUN),
        "loss_before": losses[0],
        "loss_after": losses[1],
    }


def state_of(model: Any, keep: Callable[[str], bool] = lambda name: True) -> list[Any]:
    return [np.array(one.detach()) for name, one in model.state_dict().items() if keep(name)]


def steps_of(optimizer: Any) -> int:
    return max((int(state["step"]) for state in optimizer.state_dict()["state"].values()), default=0)


def with_torch() -> dict[str, Any]:
    import torch
    from swarmlearning.pyt import SwarmCallback

    torch.manual_seed(2)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.from_numpy(X), torch.from_numpy(Y)

    def loss(rows: slice) -> Any:
        return torch.nn.functional.mse_loss(model(x[rows]), y[rows])

    before = float(loss(slice(None)))
    swarm = SwarmCallback(model=model, **ARGUMENTS)
    swarm.on_train_begin()
    for epoch in range(swarm.resumedEpoch, EPOCHS):
        for batch in range(BATCHES):
            before_batch(swarm)
            optimizer.zero_grad()
            loss(slice(ROWS * batch, ROWS * batch + ROWS)).backward()
            optimizer.step()
            swarm.on_batch_end()
        swarm.on_epoch_end(epoch)
    swarm.on_train_end()
    values = state_of(model)
    return told(swarm, values, steps_of(optimizer), (before, float(loss(slice(None)))))


def with_keras() -> dict[str, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from swarmlearning.tf import SwarmCallback
    from tensorflow import keras  # the package keras of 2.7 has no Adam of its own

    class Slowly(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            before_batch(swarm)

    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = model.evaluate(X, Y, verbose=0)
    swarm = SwarmCallback(**ARGUMENTS)
    model.fit(X, Y, batch_size=ROWS, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[Slowly(), swarm])
    values = model.get_weights()
    return told(swarm, values, int(np.asarray(model.optimizer.iterations)), (before, model.evaluate(X, Y, verbose=0)))


def with_fastai() -> dict[str, Any]:
    import torch
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Callback, Learner
    from swarmlearning.pyt import SwarmCallback

    class Swarm(Callback):  # type: ignore[misc]
        def before_fit(self) -> None:
            swarm.on_train_begin()

        def before_batch(self) -> None:
            if self.training:
                before_batch(swarm)

        def after_batch(self) -> None:
            if self.training:
                swarm.on_batch_end()

        def after_epoch(self) -> None:
            swarm.on_epoch_end(self.epoch)

        def after_fit(self) -> None:
            swarm.on_train_end()

    torch.manual_seed(2)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    data = list(zip(torch.from_numpy(X), torch.from_numpy(Y), strict=True))
    loaders = DataLoaders(*(DataLoader(data, bs=ROWS, num_workers=0) for _ in ("train", "valid")), device="cpu")
    learner = Learner(loaders, model, loss_func=torch.nn.functional.mse_loss, lr=0.01, path=OUT)
    before = float(learner.validate()[0])
    swarm = SwarmCallback(model=learner.model, **ARGUMENTS)
    with learner.no_logging():
        learner.fit(EPOCHS, cbs=Swarm())
    steps = max(int(learner.opt.state[one].get("step", 0)) for one in model.parameters())
    return told(swarm, state_of(model), steps, (before, float(learner.validate()[0])))


def with_lightning() -> dict[str, Any]:
    import lightning.pytorch as lightning
    import torch
    from swarmlearning.lightning import SwarmCallback

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))

        def loss(self, batch: Any) -> Any:
            return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def training_step(self, batch: Any, number: int) -> Any:
            return self.loss(batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    class Slowly(lightning.Callback):  # type: ignore[misc]
        def on_train_batch_start(self, *_: Any) -> None:
            before_batch(swarm)

    torch.manual_seed(2)
    torch.set_num_threads(1)
    model, data = Module(), torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    before = float(model.loss(data.tensors))
    swarm = SwarmCallback(**ARGUMENTS)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=OUT,
        callbacks=[Slowly(), swarm],
    )
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=ROWS))
    losses = before, float(model.loss(data.tensors))
    return told(swarm, state_of(model), steps_of(trainer.optimizers[0]), losses)


def with_transformers(mode: str) -> dict[str, Any]:
    import torch
    import transformers
    from swarmlearning.hf_transformers import SwarmCallback

    class Slowly(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            before_batch(swarm)

    torch.set_num_threads(1)
    transformers.set_seed(2)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=4, max_position_embeddings=4, num_labels=2, **small)
    model: Any = transformers.BertForSequenceClassification(config)
    if mode == "peft":
        import peft

        options = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
        model = peft.get_peft_model(model, options)
    data = [{"input_ids": torch.from_numpy(t), "labels": int(y)} for t, y in zip(TOKENS, LABELS)]  # noqa: B905
    whole = transformers.default_data_collator(data)

    def loss() -> float:
        model.eval()
        with torch.no_grad():
            return float(model(**whole).loss)

    before = loss()
    arguments = transformers.TrainingArguments(
        output_dir=str(OUT / "trainer"),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=ROWS,
        learning_rate=0.01,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    swarm = SwarmCallback(model=model, hfMode=mode, **ARGUMENTS)
    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[Slowly(), swarm])
    trainer.train()
    # The base of a peft model never travels; it is the same everywhere because the seed is.
    return told(swarm, state_of(model), steps_of(trainer.optimizer), (before, loss()))


def with_sklearn() -> dict[str, Any]:
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss
    from swarmlearning.sklearn import SwarmCallback, SwarmSklearnTrainer

    class Slow(SGDClassifier):  # type: ignore[misc]
        def partial_fit(self, *arguments: Any, **more: Any) -> Any:
            if "swarm" in made:
                before_batch(made["swarm"])
            return super().partial_fit(*arguments, **more)

    x = X.astype(np.float64)  # from float32 data old versions make float64 weights, later ones float32
    made: dict[str, Any] = {}
    model = Slow(loss="log_loss", random_state=2)
    model.partial_fit(x[:ROWS], LABELS[:ROWS], classes=[0, 1])
    before = log_loss(LABELS, model.predict_proba(x))
    swarm = made["swarm"] = SwarmCallback(model=model, **ARGUMENTS)
    SwarmSklearnTrainer(swarm).fit(x, LABELS, batch_size=ROWS, epochs=EPOCHS, random_state=2)
    losses = before, log_loss(LABELS, model.predict_proba(x))
    return told(swarm, [model.coef_, model.intercept_], int(model.t_) - 1, losses)


TRAIN: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": with_torch,
    "keras": with_keras,
    "fastai": with_fastai,
    "lightning": with_lightning,
    "hf": lambda: with_transformers("full"),
    "peft": lambda: with_transformers("peft"),
    "sklearn": with_sklearn,
}


def main() -> None:
    found = TRAIN[os.environ["FRAMEWORK"]]()
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in found.pop("values")))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "result.json").write_text(json.dumps({"sha256": digest.hexdigest(), **found}))


if __name__ == "__main__":
    main()
