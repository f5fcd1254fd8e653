"""Swarm callback for PyTorch: the whole state_dict is shared, buffers and counters included, dtypes kept.

Rows K01, K08, K09, K12. Your loop calls the hooks; training is never stopped from here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

import numpy.typing as npt

from ._optional import framework

with framework("swarmlearning.pyt", "torch", install="torch"):
    import torch

from ._torcheval import VALIDATION_BATCH_DEFAULT, checked, judge, loss_function, metric_object
from ._torchload import put, unshared
from ._torchprox import Proximal
from ._torchranks import several_ranks
from ._torchstate import Optimizers, random_state, restore_random_state, to_numpy, to_torch
from .client.arguments import strength
from .client.loops import LoopCallback
from .client.resume import State
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SLPlatforms, SwarmCallbackBase, SwarmError

__all__ = ["SwarmCallback", "SwarmError", "TorchCallback"]


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The program's own module, whose names are the same at every site, below DataParallel and torch.compile."""
    while True:
        if isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
            model = model._orig_mod
        else:
            return model


class Context:
    """Holds the model that is shared."""

    def __init__(self, model: Any) -> None:
        self.model = model


class TorchCallback(SwarmCallbackBase):
    """What the callbacks of everything that trains PyTorch models have in common; their hooks differ.

    Args:
        syncFrequency: batches between two syncs.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        model: the torch.nn.Module, or the part of one that is shared; DataParallel, DistributedDataParallel and
            torch.compile are looked through.
        adsValData: validation data: a DataLoader, a Dataset, (x, y), a generator of batches, or a list of them.
        adsValBatchSize: batch size for evaluating what is no loader; 32 if not given.
        lossFunction, lossFunctionArgs: class name in torch.nn and its arguments, or a function of (output, target);
            the loss is the mean over the samples, whatever the batches, or their sum by their number for
            reduction="sum". Without loss and metric function nothing is evaluated.
        metricFunction, metricFunctionArgs: class name in torchmetrics and its arguments, or an object like those.
            What has no function, or no adsValData, is unknown to the others.
        optimizer: the optimizer, or a list of them, whose state a restarted program takes up again; without it those
            that step the model's parameters are found by themselves.
        proximalMu: above 0, each optimizer step is drawn towards the model merged last (FedProx): mu * (w - merged)
            is added to the gradients. Costs one more copy of the trained parameters.
        kwargs: the arguments all callbacks share, see SwarmCallbackBase.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _own_arguments = frozenset(
        {"model", "lossFunction", "lossFunctionArgs", "metricFunction", "metricFunctionArgs", "optimizer", "proximalMu"}
    )
    _takes_scalars = True
    _collate: Optional[Callable[..., Any]] = None
    """Makes a batch of a dataset's samples; None is torch's own way."""
    _has_own_loss = False
    """Models of this framework say their loss by themselves, given labels."""

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        self.lossFunction: Any = kwargs.get("lossFunction")
        self.lossFunctionArgs: Optional[Mapping[str, Any]] = kwargs.get("lossFunctionArgs")
        self.metricFunction: Any = kwargs.get("metricFunction")
        self.metricFunctionArgs: Optional[Mapping[str, Any]] = kwargs.get("metricFunctionArgs")
        super().__init__(syncFrequency, minPeers, trainingContract, kwargs)
        self._skipped: set[str] = set()
        self.weightNames: list[str] = []
        self._verifyAndSetPlatformContext(kwargs)
        if self._judges():
            loss_function(self.lossFunction, self.lossFunctionArgs)
            metric_object(self.metricFunction, self.metricFunctionArgs)
        elif self.valData is None:
            self.logger.warning("adsValData is not given: loss and metric of merged models cannot be shown")
        else:
            self.logger.info("adsValData is given, lossFunction and metricFunction are not: nothing is evaluated")
        if self.useAdaptiveSync and self.lossFunction is None and not self._has_own_loss:
            self.logger.warning("useAdaptiveSync goes by the loss, and there is no lossFunction: the interval stays")
        self._optimizers = Optimizers(self._parameters, self._given_optimizers(kwargs.get("optimizer")))
        if self._optimizers.unseen and not self.loopback:
            self.logger.warning(
                "PyTorch %s does not tell which optimizer steps this model: pass optimizer=, or a restarted program"
                " goes on without its state",
                torch.__version__,
            )
        mu = self._checked(strength, "proximalMu", kwargs.get("proximalMu"))
        self._proximal = Proximal(mu, self._parameters) if mu and not self.loopback else None
        if self.loopback:
            self._optimizers.forget()
        self._swarmInitialize()

    def _swarmInitialize(self) -> None:
        self._look_for_ranks()
        super()._swarmInitialize()

    def _swarmOnTrainBegin(self) -> None:
        self._look_for_ranks()
        super()._swarmOnTrainBegin()

    def _look_for_ranks(self) -> None:
        trouble = "" if self.loopback else several_ranks(os.environ)
        if trouble:
            self._logAndRaiseError(trouble)

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        platform = params.get("ml_platform", params.get("mlPlatform", SLPlatforms.PYTORCH.name))
        if getattr(platform, "name", platform) != SLPlatforms.PYTORCH.name:
            self._logAndRaiseError(f"ml_platform is {platform!r}, this callback is for PYTORCH.")
        self.mlPlatform = SLPlatforms.PYTORCH
        model = params.get("model")
        if not isinstance(model, torch.nn.Module):
            self._logAndRaiseError(f"model is {type(model).__name__}, it must be a torch.nn.Module.")
        self.model = model
        self.mlCtx = Context(model)
        self.hfMode: Optional[str] = None

    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        self._sources: Any = None
        if self._judges() or self.useAdaptiveSync:
            self._sources = checked(valData)
        elif valData is not None and not isinstance(valData, Iterator):  # nobody asks: a generator is not read
            try:
                checked(valData)
            except SwarmError as fault:
                self.logger.warning("adsValData is not used, since nothing is evaluated by it: %s", fault)
        return None, None, None, None, None

    def _judges(self) -> bool:
        """Whether there is something to judge merged models by."""
        functions = self.lossFunction is not None or self.metricFunction is not None
        return self.valData is not None and (functions or self._has_own_loss)

    def _shared_model(self) -> torch.nn.Module:
        return unwrapped(self.mlCtx.model)

    def _given_optimizers(self, given: Any) -> list[torch.optim.Optimizer]:
        found = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
        for one in found:
            if not isinstance(one, torch.optim.Optimizer):
                self._logAndRaiseError(
                    f"optimizer is {type(one).__name__}, it must be a torch.optim.Optimizer or a list of them."
                )
        return found

    def _parameters(self) -> Iterator[torch.nn.Parameter]:
        if self.mlCtx.model is not None:
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

    def _swarmOnBatchEnd(self) -> None:
        super()._swarmOnBatchEnd()
        if self.isSwarmTrainingOver and self._proximal is not None:
            self._proximal.forget()

    def _swarmOnTrainEnd(self) -> None:
        super()._swarmOnTrainEnd()
        self._optimizers.forget()
        if self._proximal is not None and self._finished:
            self._proximal.forget()

    def _shared_state(self) -> Mapping[str, Any]:
        """What travels, by name; the tensors are the model's own."""
        state: Mapping[str, Any] = self._shared_model().state_dict()
        return state

    def _put_state(self, merged: dict[str, torch.Tensor]) -> None:
        put(self._shared_model(), merged, self._shared_state)

    def _unlike(self, merged: Mapping[str, npt.NDArray[Any]]) -> list[str]:
        return []  # looked at while it was loaded: _torchload

    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        found: dict[str, npt.NDArray[Any]] = {}
        for name, value in self._shared_state().items():
            if not isinstance(value, torch.Tensor):
                if name not in self._skipped:
                    self._skipped.add(name)
                    self.logger.warning("%s is a %s and is not shared", name, type(value).__name__)
                continue
            found[name] = to_numpy(name, value)
        if not found:
            self._logAndRaiseError(
                f"{type(self._shared_model()).__name__}.state_dict() gives no tensors: there is nothing to share."
            )
        if not self.weightNames:
            own = unshared(self._shared_model(), self._shared_state())
            if own:
                self.logger.warning(
                    "%d trained parameters are not in state_dict() and stay this site's own, %s among them",
                    *(len(own), own[0]),
                )
        self.weightNames = list(found)
        return found

    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        own = self._shared_state()
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
        try:
            self._put_state(merged)
        except SwarmError as fault:
            self._logAndRaiseError(str(fault))
        if self._proximal is not None:
            self._proximal.anchor()

    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        if not self._judges():
            return math.nan, math.nan
        return judge(
            self._shared_model(),
            self._sources,
            loss_function(self.lossFunction, self.lossFunctionArgs),
            metric_object(self.metricFunction, self.metricFunctionArgs),
            batch_size=int(self.valBatchSize or VALIDATION_BATCH_DEFAULT),
            collate=self._collate,
        )


class SwarmCallback(TorchCallback, LoopCallback):
    """Call ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end(epoch)`` and ``on_train_end()`` in your loop.

    The arguments are those of :class:`TorchCallback`.
    """
