"""PyTorch models, data and programs of every shape that people have: real torch, over real pipes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.timeout(240)]


def network() -> Any:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


def data(size: int = 40) -> Any:
    torch.manual_seed(4)
    x = torch.randn(size, 4)
    return x, (x[:, 0] > 0).long()


async def merged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any) -> tuple[Any, Any]:
    """One merge that adds 1 to all; what was sent and what was merged."""
    from swarmlearning.pyt import SwarmCallback

    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1)) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        sent, merged = place.shell.models[0], place.shell.merged[0]
        await asyncio.to_thread(callback.on_train_end)
        return sent, merged


@pytest.mark.row("K12")
async def test_a_part_of_a_model_can_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """model=net.part shares that part under its own names; the rest stays the site's own."""
    net = torch.nn.ModuleDict({"body": network(), "head": torch.nn.Linear(2, 2)})
    head = net["head"].weight.detach().clone()
    sent, _ = await merged_once(tmp_path, monkeypatch, net["body"])
    assert list(sent) == list(network().state_dict())
    assert torch.equal(net["head"].weight, head)


async def test_a_compiled_model_has_the_names_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile's wrapper does not show, so that sites may differ in it; the model has the merged values."""
    model = network()
    sent, _ = await merged_once(tmp_path, monkeypatch, torch.compile(model, backend="eager"))
    assert list(sent) == list(model.state_dict())
    assert int(model[1].num_batches_tracked) == 2  # two merges


async def test_a_distributed_model_has_the_names_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DistributedDataParallel wrapper, around a compiled model too, is looked through."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = network()
        wrapped = torch.nn.parallel.DistributedDataParallel(torch.compile(model, backend="eager"))
        sent, _ = await merged_once(tmp_path, monkeypatch, wrapped)
        assert list(sent) == list(model.state_dict())
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.row("K20")
async def test_tied_and_frozen_parameters_stay_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers with one weight, one of them frozen parts: merged once in effect, still one tensor, still frozen."""
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3), "c": torch.nn.Linear(3, 1)})
    model["b"].weight = model["a"].weight
    model["c"].requires_grad_(False)
    before = model["a"].weight.detach().clone()
    _, merged = await merged_once(tmp_path, monkeypatch, model)
    assert model["b"].weight is model["a"].weight
    np.testing.assert_array_equal(merged["a.weight"], merged["b.weight"])
    torch.testing.assert_close(model["a"].weight.detach(), before + 2)  # two merges
    assert [p.requires_grad for p in model.parameters()].count(False) == 2


@pytest.mark.row("K17")
@pytest.mark.parametrize(
    "scalar",
    [
        torch.tensor(5),
        torch.tensor(2.5),
        torch.tensor([7]),
        torch.tensor(1.5, dtype=torch.bfloat16),
        torch.tensor(True),
    ],
    ids=["int64", "float32", "one element", "bfloat16", "bool"],
)
async def test_scalars_survive_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scalar: Any) -> None:
    """0-d and 1-element buffers of each type come back with their type, shape and the merged value."""
    from swarmlearning.pyt import SwarmCallback

    kind = scalar.dtype
    async with bridge_at(tmp_path, merge=lambda _, a: a + a.dtype.type(1) if a.dtype.kind in "if" else a) as place:
        point_at(monkeypatch, place)
        model = torch.nn.Linear(1, 1)
        model.register_buffer("counter", scalar.clone())
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model))
        await asyncio.to_thread(callback.on_train_begin)
        expected = scalar + 1 if kind in (torch.int64, torch.float32) else scalar
        assert (model.counter.dtype, model.counter.shape) == (kind, scalar.shape)
        assert torch.equal(model.counter, expected)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("X09")
@pytest.mark.parametrize(
    "kind", ["tuple", "nested lists", "arrays", "generator", "dataset", "loader", "list of loaders"]
)
async def test_validation_data_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Each form gives the same loss and metric at each of two evaluations."""
    from swarmlearning.pyt import SwarmCallback

    pytest.importorskip("torchmetrics")
    x, y = data()
    whole = torch.utils.data.TensorDataset(x, y)

    def loader(low: int, high: int) -> Any:
        return torch.utils.data.DataLoader(torch.utils.data.Subset(whole, range(low, high)), batch_size=16)

    given: Any = {
        "tuple": lambda: (x, y),
        "nested lists": lambda: [x.tolist(), y.tolist()],
        "arrays": lambda: (x.numpy(), y.numpy()),
        "generator": lambda: ((x[i : i + 16], y[i : i + 16]) for i in range(0, 40, 16)),
        "dataset": lambda: whole,
        "loader": lambda: loader(0, 40),
        "list of loaders": lambda: [loader(0, 10), loader(10, 40)],
    }[kind]()
    async with bridge_at(tmp_path, evaluations=2) as place:
        point_at(monkeypatch, place)
        model = network()
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                4,
                1,
                model=model,
                adsValData=given,
                adsValBatchSize=8,
                lossFunction="CrossEntropyLoss",
                lossFunctionArgs={"reduction": "sum"},
                metricFunction="Accuracy",
                metricFunctionArgs={"task": "multiclass", "num_classes": 2},
            )
        )
        await asyncio.to_thread(callback.on_train_begin)
        model.eval()
        with torch.no_grad():
            output = model(x)
        for report in place.shell.reports:
            assert report.loss == pytest.approx(float(torch.nn.functional.cross_entropy(output, y)), rel=1e-5)
            assert report.metric == pytest.approx(float((output.argmax(1) == y).float().mean()), rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K09")
async def test_loss_and_metric_functions_with_their_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class names in torch.nn and torchmetrics with Args: the mean over all samples, weights counted; metric."""
    from swarmlearning.pyt import SwarmCallback, SwarmError

    torchmetrics = pytest.importorskip("torchmetrics")
    x, y = data()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    weights = torch.tensor([1.0, 3.0])
    options: dict[str, Any] = {
        "adsValData": loader,
        "lossFunction": "CrossEntropyLoss",
        "lossFunctionArgs": {"weight": weights},
        "metricFunction": "MulticlassF1Score",
        "metricFunctionArgs": {"num_classes": 2, "average": "macro"},
    }
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = network()
        with pytest.raises(SwarmError, match="model is NoneType"):
            SwarmCallback(4, 1, **options)
        with pytest.raises(SwarmError, match=r"CrossEntropyLoss does not take lossFunctionArgs .*heaviness"):
            SwarmCallback(4, 1, model=model, **{**options, "lossFunctionArgs": {"heaviness": 1}})
        callback = await asyncio.to_thread(lambda: SwarmCallback(4, 1, model=model, **options))
        await asyncio.to_thread(callback.on_train_begin)
        model.eval()
        loss_of = torch.nn.CrossEntropyLoss(weight=weights)
        metric = torchmetrics.classification.MulticlassF1Score(num_classes=2, average="macro")
        with torch.no_grad():
            loss, expected = float(loss_of(model(x), y)), float(metric(model(x), y))
        assert place.shell.reports[0].loss == pytest.approx(loss, rel=1e-5)
        assert place.shell.reports[0].metric == pytest.approx(expected, rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


async def test_models_of_several_inputs_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches (a, b, target) and ([a, b], target): the model is called with both inputs."""
    from swarmlearning.pyt import SwarmCallback

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 1)

        def forward(self, a: Any, b: Any) -> Any:
            return self.layer(torch.cat([a, b], 1))[:, 0]

    x, y = data()
    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        model = Two()
        callback = await asyncio.to_thread(
            lambda: SwarmCallback(
                4, 1, model=model, adsValData=([x, x], y.float()), lossFunction=lambda o, t: ((o - t) ** 2).sum()
            )
        )
        await asyncio.to_thread(callback.on_train_begin)
        with torch.no_grad():
            expected = float(((model(x, x) - y.float()) ** 2).mean())
        assert place.shell.reports[0].loss == pytest.approx(expected, rel=1e-5)
        await asyncio.to_thread(callback.on_train_end)


@pytest.mark.row("K01c")
async def test_subclasses_may_sync_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass that has its own _swarmOnBatchEnd, by the semi-private names, as programs in the wild do."""
    from swarmlearning.pyt import SwarmCallback

    class Timed(SwarmCallback):
        rounds = 0

        def _swarmOnBatchEnd(self) -> None:
            if self.loopback:
                return
            if self.stepsBeforeNextSync == 0 and not self.isSwarmTrainingOver:
                self._SwarmCallbackBase__doSync()
                self.userMergeDone = True
                self.rounds += 1
            self.stepsBeforeNextSync -= 1

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        callback = await asyncio.to_thread(lambda: Timed(2, 1, model=network()))

        def loop() -> None:
            callback.on_train_begin({})
            for batch in range(5):
                callback.on_batch_end(batch)
            callback.on_epoch_end(0)
            callback.logger.info("the user's own line")
            callback.on_train_end({})

        await asyncio.to_thread(loop)
        assert callback.rounds == 2
        assert len(place.shell.syncs) == 4


@pytest.mark.parametrize(
    ("module", "missing", "text"),
    [
        ("pyt", "torch", "swarmlearning.pyt needs torch, which is not installed here: pip install torch"),
        ("hf_transformers", "transformers", "swarmlearning.hf_transformers needs transformers"),
        ("lightning", "lightning,pytorch_lightning", "swarmlearning.lightning needs"),
        ("sklearn", "sklearn", "needs sklearn, which is not installed here: pip install scikit-learn"),
        ("tf", "tensorflow,keras", "swarmlearning.tf needs"),
    ],
)
def test_a_missing_framework_is_one_sentence(module: str, missing: str, text: str) -> None:
    """Each module's import says which framework is not there and what to install."""
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {missing.split(',')!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        f"try:\n    import swarmlearning.{module}\n"
        "except ImportError as fault:\n    print(fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert text in done.stdout.strip()
    assert done.stdout.count("\n") == 1
