"""Swarm callback for PyTorch: the whole state_dict is shared, buffers and counters included, dtypes kept.

Rows K01, K08, K09, K12. Your loop calls the hooks; training is never stopped from here.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from ._torchstate import Optimizers, random_state, restore_random_state, to_numpy, to_torch
from .client.loops import LoopCallback
from .client.resume import State
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SLPlatforms, SwarmError

__all__ = ["SwarmCallback", "SwarmError"]

VALIDATION_BATCH_DEFAULT = 32


class _Context:
    """Holds the model that is shared."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model


class SwarmCallback(LoopCallback):
    """Call ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end(epoch)`` and ``on_train_end()`` in your loop.

    Args:
        syncFrequency: batches between two syncs.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        model: the torch.nn.Module; a DataParallel wrapper is looked through.
        adsValData: validation data: a DataLoader, a Dataset, or a list of them.
        lossFunction, lossFunctionArgs: class name in torch.nn and its arguments; the loss is the sum over the
            batches divided by the number of samples.
        metricFunction, metricFunctionArgs: class name in torchmetrics and its arguments.
            What has no function, or no adsValData, is reported as NaN: not known.
        optimizer: the optimizer, or a list of them, whose state a restarted program takes up again; without it those
            that step the model's parameters are found by themselves.
        kwargs: the arguments all callbacks share, see SwarmCallbackBase.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _own_arguments = frozenset(
        {"model", "lossFunction", "lossFunctionArgs", "metricFunction", "metricFunctionArgs", "optimizer"}
    )

    def __init__(
        self,
        syncFrequency: Any,
        minPeers: Any,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        super().__init__(syncFrequency, minPeers, trainingContract, kwargs)
        self.lossFunction: Optional[str] = kwargs.get("lossFunction")
        self.lossFunctionArgs: Optional[Mapping[str, Any]] = kwargs.get("lossFunctionArgs")
        self.metricFunction: Optional[str] = kwargs.get("metricFunction")
        self.metricFunctionArgs: Optional[Mapping[str, Any]] = kwargs.get("metricFunctionArgs")
        self._skipped: set[str] = set()
        self._verifyAndSetPlatformContext(kwargs)
        if self.valData is None:
            self.logger.warning("adsValData is not given: loss and metric of merged models cannot be shown")
        else:
            self._loss_object()
            self._metric_object()
        self._optimizers = Optimizers(self._parameters, self._given_optimizers(kwargs.get("optimizer")))
        if self.loopback:
            self._optimizers.forget()
        self._swarmInitialize()

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        platform = params.get("ml_platform", params.get("mlPlatform", SLPlatforms.PYTORCH.name))
        if getattr(platform, "name", platform) != SLPlatforms.PYTORCH.name:
            self._logAndRaiseError(f"ml_platform is {platform!r}, this callback is for PYTORCH.")
        self.mlPlatform = SLPlatforms.PYTORCH
        model = params.get("model")
        if not isinstance(model, torch.nn.Module):
            self._logAndRaiseError(f"model is {type(model).__name__}, it must be a torch.nn.Module.")
        self.model = model
        self.mlCtx = _Context(model)
        self.hfMode = None

    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        given = valData if isinstance(valData, (list, tuple)) else [valData]
        for one in given:
            if one is not None and not isinstance(one, (DataLoader, Dataset)):
                self._logAndRaiseError(
                    f"adsValData is {type(one).__name__}, it must be a torch.utils.data.DataLoader,"
                    " a Dataset, or a list of them."
                )
        return None, None, None, None, None

    def _shared_model(self) -> torch.nn.Module:
        model = self.mlCtx.model
        wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
        return model.module if isinstance(model, wrappers) else model

    def _given_optimizers(self, given: Any) -> list[torch.optim.Optimizer]:
        found = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
        for one in found:
            if not isinstance(one, torch.optim.Optimizer):
                self._logAndRaiseError(
                    f"optimizer is {type(one).__name__}, it must be a torch.optim.Optimizer or a list of them."
                )
        return found

    def _parameters(self) -> Iterator[torch.nn.Parameter]:
        yield from self._shared_model().parameters()

    def _optimizerState(self) -> State:
        try:
            return self._optimizers.state()
        except (ValueError, SwarmError) as fault:
            if "optimizer" not in self._skipped:
                self._skipped.add("optimizer")
                self.logger.warning("The resume file is written without optimiser state: %s", fault)
            return {}, {}

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        def trouble(text: str) -> None:
            self.logger.warning("The resume file's state does not fit this program: %s", text)

        return self._optimizers.restore(arrays, notes, trouble)

    def _randomState(self) -> dict[str, npt.NDArray[Any]]:
        return {**super()._randomState(), **random_state()}

    def _restoreRandomState(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._restoreRandomState(arrays)
        restore_random_state(arrays)

    def _swarmOnTrainEnd(self) -> None:
        super()._swarmOnTrainEnd()
        self._optimizers.forget()

    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        found: dict[str, npt.NDArray[Any]] = {}
        for name, value in self._shared_model().state_dict().items():
            if not isinstance(value, torch.Tensor):
                if name not in self._skipped:
                    self._skipped.add(name)
                    self.logger.warning("%s is a %s and is not shared", name, type(value).__name__)
                continue
            found[name] = to_numpy(name, value)
        self.weightNames = list(found)
        return found

    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        model = self._shared_model()
        own = model.state_dict()
        merged: dict[str, torch.Tensor] = {}
        for name in self.weightNames:
            if name not in paramsDict:
                self._logAndRaiseError(f"the merged model has no {name}: the members run different programs.")
            value = to_torch(paramsDict[name])
            if value.shape != own[name].shape:
                self._logAndRaiseError(
                    f"the merged {name} has shape {list(value.shape)}, this model has {list(own[name].shape)}:"
                    " the members run different programs."
                )
            merged[name] = value
        model.load_state_dict(merged, strict=False)

    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        if self.valData is None:
            return math.nan, math.nan
        model = self.mlCtx.model
        loss_of, metric = self._loss_object(), self._metric_object()
        device = next((one.device for one in model.parameters()), torch.device("cpu"))
        metric = metric.to(device) if metric is not None else None
        total, samples = 0.0, 0
        with _evaluating(model), torch.no_grad():
            for loader in self._loaders():
                samples += len(loader.dataset)
                for data, target in loader:
                    output = model(_moved(data, device))
                    wanted = _moved(target, device)
                    if loss_of is not None:
                        total += float(loss_of(output, wanted))
                    if metric is not None:
                        metric.update(output, wanted)
        loss = total / max(samples, 1) if loss_of is not None else math.nan
        return loss, float(metric.compute()) if metric is not None else math.nan

    def _loaders(self) -> Iterator[Any]:
        given: Any = self.valData
        for one in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(one, DataLoader):
                yield one
            else:
                yield DataLoader(one, batch_size=int(self.valBatchSize or VALIDATION_BATCH_DEFAULT))

    def _loss_object(self) -> Any:
        if self.lossFunction is None:
            return None
        found = getattr(torch.nn, str(self.lossFunction), None)
        if not isinstance(found, type):
            self._logAndRaiseError(f"lossFunction is {self.lossFunction!r}, torch.nn has no such class.")
        return found(**(self.lossFunctionArgs or {}))

    def _metric_object(self) -> Any:
        if self.metricFunction is None:
            return None
        try:
            module = importlib.import_module("torchmetrics")
        except ImportError as fault:
            raise SwarmError(
                f"metricFunction is {self.metricFunction!r} but torchmetrics is not installed here:"
                " pip install torchmetrics, or leave metricFunction out."
            ) from fault
        found = getattr(module, str(self.metricFunction), None)
        if found is None:
            self._logAndRaiseError(f"metricFunction is {self.metricFunction!r}, torchmetrics has no such class.")
        return found(**(self.metricFunctionArgs or {}))


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards each part in the mode it had: frozen parts stay frozen."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(one, device) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(one, device) for one in value)
    return value
