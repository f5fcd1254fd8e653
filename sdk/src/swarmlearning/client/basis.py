"""What every callback is made of: its arguments, checked, and what a framework says of its model.

Owns the constructor and the methods that a framework overrides (rows K01-K08); the life cycle (when to sync, what to
load, how it ends) is ``swarm``'s.
"""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Callable, NoReturn, Optional, TypeVar

import numpy as np
import numpy.typing as npt

from ..tensorfile import BFloat16Bits
from .arguments import COMMON_ARGUMENTS, INT32_MAX, choice, is_on, merge_method, truncated, whole
from .dataschema import schema_text
from .logger import usable
from .names import CheckinModel, SLMergeMethod, SLPlatforms, SwarmError
from .pipe.channel import ChannelError
from .pipe.session import Session
from .randomness import random_state, restore_random_state
from .result import ResultFiles
from .resume import Resume, State
from .samples import Weight
from .spelling import judged

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
MAX_PEERS = 0
FITS_MAX = 1000

__all__ = ["CallbackBasis"]

_T = TypeVar("_T")


class CallbackBasis(ABC):
    """What ``SwarmCallbackBase`` is made of: the arguments that all callbacks share, and what a framework has to say.

    Args:
        syncFrequency: batches between two syncs; a positive int or its text.
        minPeers: members that a round needs; a positive int or its text.
        trainingContract: name of the job.
        params: the callback's keyword arguments; unknown ones are named in one warning, misspelt ones are refused if
            their values would be lost. ``fits``: how many calls of
            fit() (pairs of on_train_begin and on_train_end) the run is, 1 if not given; all merge when they begin.
            ``nodeWeightage``: 1 to 100, or "samples": the number that ``samples`` or ``trainData`` tells, or that the
            framework shows (transformers, Lightning, SwarmSklearnTrainer). ``strict``: True (or SWARM_STRICT=1) makes
            ``on_train_end`` raise if nothing that this program learnt went into the swarm's model.
            ``dataSchema``: what this site's data look like, compared with the others' before training: "auto" (read
            off adsValData), or a dict with any of columns, labels, image, inputs, outputs.

    Raises:
        SwarmError: an argument is out of range.
    """

    loopback: bool
    resumedEpoch: int = 0
    """After ``on_train_begin``: epochs that an earlier process of this program has done in this run. A loop that is
    to end where it was planned is ``for epoch in range(callback.resumedEpoch, epochs)``."""
    mlPlatform: Optional[SLPlatforms] = None

    _takes_scalars = False
    """``_loadModelWeightsFromDict`` takes 0-d arrays."""
    _own_arguments: frozenset[str] = frozenset()
    """Names of keyword arguments that a subclass reads by itself."""

    def __init__(
        self, syncFrequency: Any, minPeers: Any, trainingContract: Optional[str], params: Mapping[str, Any]
    ) -> None:
        self.logger: Any = usable(params.get("logger"))
        asked = {"syncFrequency": syncFrequency, "minPeers": minPeers, "trainingContract": trainingContract, **params}
        self._look_at_names(asked)
        params = truncated(asked, self.logger.warning)
        self.syncFrequency = self._checked(whole, "syncFrequency", params["syncFrequency"], 1, INT32_MAX)
        self.currentSyncFrequency = self.stepsBeforeNextSync = self.syncFrequency
        self.minPeers = self._checked(whole, "minPeers", params["minPeers"], 1, INT32_MAX)
        self.maxPeers = self._checked(whole, "maxPeers", params.get("maxPeers") or MAX_PEERS, 0, INT32_MAX)
        if 0 < self.maxPeers < self.minPeers:
            self._logAndRaiseError(
                f"maxPeers is {self.maxPeers}, below minPeers {self.minPeers}. Raise it, or leave it out."
            )
        if self.maxPeers:
            self.logger.warning("maxPeers %d has no effect: a round takes every member that is in.", self.maxPeers)
        if not isinstance(trainingContract, str) or not trainingContract:
            self._logAndRaiseError(f"trainingContract is {trainingContract!r}, it must be the name of a job.")
        self.trainingContract: str = trainingContract
        self._weight = self._checked(Weight, params)
        self._schema = self._checked(schema_text, params.get("dataSchema"), params.get("adsValData"))
        self.nodeWeightage = self._weight.asked
        self.checkinModelOnTrainEnd = self._checked(
            choice, "checkinModelOnTrainEnd", params.get("checkinModelOnTrainEnd", "snapshot"), CheckinModel
        )
        self.mergeMethod = self._checked(merge_method, params.get("mergeMethod", "mean"))
        self._fits_ended = 0
        self._fits_left = self._checked(whole, "fits", params.get("fits", 1), 1, FITS_MAX)
        self.totalEpochs = self._total_epochs(params.get("totalEpochs"))
        self.valData = params.get("adsValData")
        self.valBatchSize = params.get("adsValBatchSize")
        self.useAdaptiveSync = bool(params.get("useAdaptiveSync", False))
        if self.useAdaptiveSync and self.valData is None:
            self._logAndRaiseError("useAdaptiveSync needs validation data: pass adsValData too.")
        (
            self.valGen,
            self.validationSteps,
            self.valX,
            self.valY,
            self.valSampleWeight,
        ) = self._getValidationDataForAdaptiveSync(self.valData, self.valBatchSize)
        self.isSwarmTrainingOver = False
        self.userMergeDone = False
        self.epochsCompleted = self.stepsCompleted = 0
        self.lastSuccessfulMergeDictInActTrng: Optional[Mapping[str, npt.NDArray[Any]]] = None
        self._session: Optional[Session] = None
        self._finished = self._begun = self._judged_badly = self._told_idle = False
        self._in_batch = False
        self._scalars: Optional[frozenset[str]] = None
        self._asked = self._late_told = self._told_failure = False
        self._told_at = 0.0
        self.loopback = is_on(os.environ.get("SWARM_LOOPBACK", ""))
        if self.loopback and not isinstance(self.mergeMethod, SLMergeMethod):
            known = ", ".join(SLMergeMethod.__members__)
            self.logger.warning("mergeMethod %s is none of %s: only an SL knows it", self.mergeMethod.name, known)
        self.strict = bool(params.get("strict")) or is_on(os.environ.get("SWARM_STRICT", ""))
        self._came_late = False
        try:
            self._resume = Resume(self.trainingContract, logger=self.logger)
            self._results = ResultFiles(logger=self.logger, loopback=self.loopback)
        except (ValueError, ChannelError) as fault:
            self._logAndRaiseError(str(fault))
        self.logger.info(
            "Swarm callback: syncFrequency %d, minPeers %d, trainingContract %s, nodeWeightage %s,"
            " mergeMethod %s, checkinModelOnTrainEnd %s, useAdaptiveSync %s, loopback %s",
            self.syncFrequency,
            self.minPeers,
            self.trainingContract,
            self.nodeWeightage,
            self.mergeMethod.name,
            self.checkinModelOnTrainEnd.name,
            self.useAdaptiveSync,
            self.loopback,
        )

    # ---- what a framework has to say

    @abstractmethod
    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        """Check the framework's own arguments and set ``mlPlatform``."""

    @abstractmethod
    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        """Check validation data; returns (generator, steps, x, y, sample weights), None where not used."""

    @abstractmethod
    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        """The model's parameters by name, in the model's order."""

    @abstractmethod
    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put parameters into the model. The arrays are valid during the call only: copy what is kept."""

    @abstractmethod
    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        """Loss and metric of the model as it is now, on the validation data; NaN is what is not known."""

    # ---- what a framework may say

    def _shared_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the model shares; scalars that were handed over as one element are scalars again."""
        found = self._saveModelWeightsToDict()
        if self._scalars is None:
            self._scalars = frozenset(name for name, array in found.items() if np.ndim(array) == 0)
        return {
            name: array.reshape(()) if name in self._scalars and np.shape(array) == (1,) else array
            for name, array in found.items()
        }

    def _loadable(self, merged: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """What ``_loadModelWeightsFromDict`` is given: scalars as one element, as in the original (row K17).

        ``torch.Tensor(array)`` takes a scalar integer for a size. Keras compares shapes, so its scalars stay.
        """
        if self._takes_scalars or self.mlPlatform in (SLPlatforms.TF, SLPlatforms.KERAS):
            return merged
        return {name: array.reshape(1) if array.ndim == 0 else array for name, array in merged.items()}

    def _unlike(self, merged: Mapping[str, npt.NDArray[Any]]) -> list[str]:
        """Names of arrays that the model does not give back as they were just loaded, each in the model's own type.

        A framework that makes sure of it while it loads says so by an empty list.
        """
        held = self._saveModelWeightsToDict()
        return [name for name, value in merged.items() if name not in held or not _same(held[name], value)]

    def _optimizerState(self) -> State:
        """The optimiser's arrays, named ``optimizer/...``, and what else it needs, as JSON. Nothing is kept here."""
        return {}, {}

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        """Put back what ``_optimizerState`` kept; False if there was nothing. ValueError: it does not fit."""
        return False

    def _randomState(self) -> dict[str, npt.NDArray[Any]]:
        """The state of random numbers, named ``random/...``."""
        return random_state()

    def _restoreRandomState(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put back what ``_randomState`` kept. ValueError: it does not fit."""
        restore_random_state(arrays)

    # ---- said and checked

    def _look_at_names(self, asked: Mapping[str, Any]) -> None:
        """Arguments that are spelt in another way than today are said, or refused if their values would be lost."""
        plain = {one.name for one in inspect.signature(type(self).__init__).parameters.values() if one.kind in NAMED}
        known = (COMMON_ARGUMENTS | self._own_arguments | plain | {"syncFrequency", "minPeers", "trainingContract"}) - {
            "self"
        }
        unknown = {name: value for name, value in asked.items() if name not in known}
        ignored, harmless, lost = judged(unknown, known, {name: asked[name] for name in asked if name in known})
        if ignored:
            self.logger.warning("Unknown arguments are ignored: %s", ", ".join(ignored))
        if harmless:
            self.logger.warning("%s", harmless)
        if lost:
            self._logAndRaiseError(lost)

    def _logAndRaiseError(self, message: str) -> NoReturn:
        """Log an error, then raise it as SwarmError."""
        self.logger.error(message)
        raise SwarmError(message) from None  # one sentence

    @staticmethod
    def safeCastType(val: Any, toType: Callable[[Any], _T], valDefault: Optional[_T] = None) -> Optional[_T]:
        """``toType(val)``, or ``valDefault`` if that cannot be."""
        try:
            return toType(val)
        except (ValueError, TypeError):
            return valDefault

    def _checked(self, check: Callable[..., _T], *arguments: Any) -> _T:
        """What ``check`` returns; its ValueError is logged and raised as SwarmError."""
        try:
            return check(*arguments)
        except ValueError as fault:
            self._logAndRaiseError(str(fault))

    def _total_epochs(self, value: Any) -> int:
        if value is None:
            self.logger.warning("totalEpochs is not given: progress of this site cannot be shown")
            return 0
        return self._checked(whole, "totalEpochs", value, 1, INT32_MAX)


def _same(held: npt.NDArray[Any], value: npt.NDArray[Any]) -> bool:
    """Equal values, whatever the shape of scalars; NaN is equal to NaN."""
    own, other = _numbers(held), _numbers(value)
    if own.size != other.size:
        return False
    return np.array_equal(own, other.astype(own.dtype).reshape(own.shape), equal_nan=own.dtype.kind in "fc")


def _numbers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if isinstance(array, BFloat16Bits):
        return (np.asarray(array).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)
