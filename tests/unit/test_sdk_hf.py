"""The callback of transformers' Trainer, full and peft: real models and Trainers, over real pipes."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

pytestmark = [pytest.mark.torch, pytest.mark.timeout(240)]
WORDS, LENGTH, SAMPLES = 20, 6, 32


@pytest.fixture(scope="module")
def hf() -> Any:
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def peft(hf: Any) -> Any:
    return pytest.importorskip("peft")


def classifier(hf: Any) -> Any:
    hf.set_seed(2)
    return hf.BertForSequenceClassification(
        hf.BertConfig(
            vocab_size=WORDS,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            num_labels=2,
        )
    )


def writer(hf: Any) -> Any:
    hf.set_seed(3)
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=WORDS, n_embd=8, n_layer=1, n_head=2, n_positions=LENGTH))


def adapter(hf: Any, peft: Any, **options: Any) -> Any:
    found = peft.get_peft_model(
        classifier(hf), peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"], **options)
    )
    found.base_model.model.bert.requires_grad_(False)
    for name, parameter in found.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(True)
    return found


def samples(count: int = SAMPLES) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    rows = random.integers(1, WORDS, (count, LENGTH))
    return [{"input_ids": row.tolist(), "attention_mask": [1] * LENGTH, "labels": int(row[0] % 2)} for row in rows]


def train(hf: Any, folder: Path, model: Any, *callbacks: Any, data: Any = None, **options: Any) -> Any:
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.01, **options}
    arguments = hf.TrainingArguments(
        output_dir=str(folder / "trainer"),
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **{"save_strategy": "no", **settings},
    )
    trainer = hf.Trainer(model, arguments, train_dataset=data or samples(), callbacks=list(callbacks))
    trainer.train()
    return trainer


def state(model: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().float().numpy().copy() for name, value in model.state_dict().items()}


@pytest.mark.row("K01d")
@pytest.mark.row("K13")
@pytest.mark.row("K15")
async def test_the_trainer_syncs_at_optimizer_steps_and_keeps_the_merged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any
) -> None:
    """Batches of 4 gathered in pairs: 8 steps in 2 epochs, N=3: merges at 0, 4, 7 and the end; positional use."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.9)) as place:
        point_at(monkeypatch, place)
        model = classifier(hf)
        start = state(model)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(3, 1, "defaultbb.cqdb.sml.hpe", model=model, totalEpochs=2)
        )
        trainer = await asyncio.to_thread(
            train, hf, tmp_path, model, callback, per_device_train_batch_size=4, gradient_accumulation_steps=2
        )
        await place.shell.wait_ended()
    shell = place.shell
    assert trainer.state.global_step == 8
    assert shell.endings == [None]
    assert [call.final for call in shell.syncs] == [False, False, False, True]
    assert shell.headers[0].platform == "pytorch"
    assert list(shell.models[0]) == list(start)
    for name, value in start.items():
        np.testing.assert_array_equal(shell.models[0][name], value)
    assert callback.stepsCompleted == 8
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, shell.merged[-1][name])
    assert [report.epochs_done for report in shell.reports] == [0, 0, 1, 2]
    assert math.isnan(shell.reports[0].loss)


@pytest.mark.row("K13")
async def test_a_swarm_that_is_over_does_not_stop_the_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any
) -> None:
    """Over at the second sync: all local steps are still done, then the last merged model is loaded."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, over_after=2) as place:
        point_at(monkeypatch, place)
        model = classifier(hf)
        callback = await asyncio.to_thread(lambda: SwarmCallback(2, 1, model=model, mlPlatform="HF_TRANSFORMER"))
        trainer = await asyncio.to_thread(train, hf, tmp_path, model, callback)
        await place.shell.wait_ended()
    assert trainer.state.global_step == 8
    assert len(place.shell.syncs) == 2
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, place.shell.merged[-1][name])


@pytest.mark.row("K10c")
@pytest.mark.row("K18")
@pytest.mark.row("X08")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
async def test_only_the_adapter_travels_and_the_merged_one_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any, peft: Any, precision: str
) -> None:
    """hfMode peft: LoRA matrices and the trained head, nothing else, are sent; each merged tensor is in the model."""
    import torch
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        model = adapter(hf, peft).to(getattr(torch, precision))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model, hfMode="PEFT"))
        await asyncio.to_thread(callback.on_train_begin)
        sent, merged = place.shell.models[0], place.shell.merged[0]
        travelled = {n for n in before if "lora_" in n or "modules_to_save" in n}
        assert len(sent) == len(travelled) == 6
        assert all("lora_" in name or "classifier" in name for name in sent)
        assert {spec.dtype for spec in place.shell.headers[0].tensors} == {"BF16" if precision == "bfloat16" else "F32"}
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        if precision == "float32":
            assert changed == travelled
            held = sorted(float(model.state_dict()[name].sum()) for name in changed)
            np.testing.assert_allclose(held, sorted(float(array.sum()) for array in merged.values()), rtol=1e-5)
        else:
            assert changed
            assert changed <= travelled
        assert sum(p.requires_grad for p in model.parameters()) == 6
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K18")
async def test_the_trainer_trains_an_adapter_in_a_swarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any, peft: Any
) -> None:
    """A merge that halves everything: what is handed over later was trained from the merged adapter."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0)) as place:
        point_at(monkeypatch, place)
        model = adapter(hf, peft)
        base = model.base_model.model.bert.embeddings.word_embeddings.weight.detach().clone()
        callback = await asyncio.to_thread(lambda: SwarmCallback(1, 1, hfMode="peft"))
        await asyncio.to_thread(train, hf, tmp_path, model, callback, learning_rate=1e-3)
        await place.shell.wait_ended()
    assert place.shell.endings == [None]
    assert len(place.shell.syncs) == 9
    for name, array in place.shell.models[2].items():  # after a sync at 0, and one more step
        assert np.abs(array).max() <= 2e-3, name
    assert np.abs(place.shell.models[2]["base_model.model.classifier.bias"]).max() > 0
    for name, array in peft.get_peft_model_state_dict(model).items():
        np.testing.assert_array_equal(array.numpy(), place.shell.merged[-1][name])
    np.testing.assert_array_equal(base, model.base_model.model.bert.embeddings.word_embeddings.weight.detach())


@pytest.mark.row("K10c")
async def test_the_whole_peft_model_travels_when_peft_mode_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any, peft: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """hfMode full, the default, shares base and adapter, as the original's, and says how to share less."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = adapter(hf, peft)
        callback = await asyncio.to_thread(lambda: SwarmCallback(1, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        assert list(place.shell.models[0]) == list(model.state_dict())
        assert "hfMode='peft' shares the adapter" in capsys.readouterr().out
        await asyncio.to_thread(callback.on_train_end)


async def test_tied_parameters_travel_once_and_stay_tied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any
) -> None:
    """A language model whose output layer is its embedding sends it once; both have the merged values."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        model = writer(hf)
        callback = await asyncio.to_thread(lambda: SwarmCallback(1, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        assert set(model.state_dict()) - set(place.shell.models[0]) == {"lm_head.weight"}
        assert model.lm_head.weight is model.transformer.wte.weight
        np.testing.assert_array_equal(model.lm_head.weight.detach(), place.shell.merged[0]["transformer.wte.weight"])
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K18")
@pytest.mark.parametrize("kind", ["dataset", "loader", "batches", "generator"])
async def test_validation_data_is_judged_by_the_model_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any, kind: str
) -> None:
    """adsValData of each form: the mean of the model's own loss, and a metric of the logits."""
    import torch
    from swarmlearning.hf_transformers import SwarmCallback

    pytest.importorskip("torchmetrics")
    rows = [{**row, "text": "not for the model"} for row in samples(20)]

    def loader() -> Any:
        return torch.utils.data.DataLoader(samples(20), batch_size=8, collate_fn=hf.default_data_collator)

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            return rows[index]

    data = {"dataset": Rows, "loader": loader, "batches": lambda: list(loader()), "generator": lambda: iter(loader())}
    async with bridge_at(tmp_path, evaluations=2) as place:
        point_at(monkeypatch, place)
        model = classifier(hf)
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                1,
                1,
                model=model,
                adsValData=data[kind](),
                metricFunction="Accuracy",
                metricFunctionArgs={"task": "multiclass", "num_classes": 2},
            )
        )
        await asyncio.to_thread(callback.on_train_begin)
        model.eval()
        with torch.no_grad():
            whole = hf.default_data_collator(samples(20))
            output = model(**whole)
        right = (output.logits.argmax(1) == whole["labels"]).float().mean()
        for report in place.shell.reports:
            assert report.loss == pytest.approx(float(output.loss), rel=1e-5)
            assert report.metric == pytest.approx(float(right), rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K10a")
@pytest.mark.row("X02")
def test_platform_and_mode_are_checked(monkeypatch: pytest.MonkeyPatch, hf: Any) -> None:
    """mlPlatform and ml_platform are the same argument; what does not fit is named, with the way out."""
    from swarmlearning.hf_transformers import SwarmCallback, SwarmError

    monkeypatch.setenv("SWARM_LOOPBACK", "True")
    model = classifier(hf)
    for name in ("mlPlatform", "ml_platform"):
        assert SwarmCallback(1, 1, model=model, **{name: "HF_TRANSFORMER"}).mlPlatform.name == "HF_TRANSFORMER"
        with pytest.raises(SwarmError, match="ml_platform is 'KERAS'"):
            SwarmCallback(1, 1, model=model, **{name: "KERAS"})
    with pytest.raises(SwarmError, match="one of full, peft"):
        SwarmCallback(1, 1, model=model, hfMode="half")
    with pytest.raises(SwarmError, match="without an adapter: hand over what get_peft_model returned"):
        SwarmCallback(1, 1, model=model, hfMode="peft")
    with pytest.raises(SwarmError, match=r"model is str, it must be a torch\.nn\.Module"):
        SwarmCallback(1, 1, model="bert")


async def test_best_checkpoints_and_early_stopping_go_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hf: Any
) -> None:
    """load_best_model_at_end and EarlyStopping beside ours: the swarm's final model is what remains."""
    from swarmlearning.hf_transformers import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a * a.dtype.type(0.99)) as place:
        point_at(monkeypatch, place)
        model = classifier(hf)
        callback = await asyncio.to_thread(lambda: SwarmCallback(3, 1, model=model))

        def fit() -> None:
            arguments = hf.TrainingArguments(
                output_dir=str(tmp_path / "best"),
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
                num_train_epochs=3,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=1,
                load_best_model_at_end=True,
                metric_for_best_model="eval_loss",
                per_device_train_batch_size=8,
            )
            hf.Trainer(
                model,
                arguments,
                train_dataset=samples(),
                eval_dataset=samples(8),
                callbacks=[hf.EarlyStoppingCallback(1), callback],
            ).train()

        await asyncio.to_thread(fit)
        await place.shell.wait_ended()
    assert place.shell.endings == [None]
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, place.shell.merged[-1][name])
