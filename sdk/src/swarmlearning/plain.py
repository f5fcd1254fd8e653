"""Swarm callback for any training loop: numpy, scikit-learn, or your own. No framework is imported."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

from .client.loops import LoopCallback
from .client.resume import State
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SwarmError, detached

__all__ = ["Parameters", "SwarmCallback", "SwarmError"]

_STATE = "optimizer/"
Parameters = Union[Mapping[str, npt.ArrayLike], Sequence[npt.ArrayLike]]
"""A model as named arrays, or as a list of arrays whose order never changes."""


class SwarmCallback(LoopCallback):
    """Calls in your loop: ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end()``, ``on_train_end()``.

    Args:
        syncFrequency: batches between two syncs.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        get_parameters: returns the model's arrays, by name or as a list.
        set_parameters: takes what ``get_parameters`` returns, merged; the arrays are its to keep.
        evaluate: given the merged parameters, already set, returns (loss, metric) on validation data; without it
            both are reported as NaN: not known.
        get_state: returns what else a restarted program needs (momenta, counters) as named arrays, for the resume file.
        set_state: takes what ``get_state`` returned to an earlier process of this program; the arrays are its to keep.
        kwargs: the arguments all callbacks share, see SwarmCallbackBase.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _takes_scalars = True

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        *,
        get_parameters: Optional[Callable[[], Parameters]] = None,
        set_parameters: Optional[Callable[[Any], object]] = None,
        evaluate: Optional[Callable[[Any], tuple[float, float]]] = None,
        get_state: Optional[Callable[[], Mapping[str, npt.ArrayLike]]] = None,
        set_state: Optional[Callable[[dict[str, npt.NDArray[Any]]], object]] = None,
        **kwargs: Any,
    ) -> None:
        self._get_state, self._set_state = get_state, set_state
        self._get: Any = get_parameters
        self._set: Any = set_parameters
        self._measure = evaluate
        self._current: Any = None
        self._listed = False
        super().__init__(syncFrequency, minPeers, trainingContract, kwargs)
        self._verifyAndSetPlatformContext(kwargs)
        self._swarmInitialize()

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        if not callable(self._get) or not callable(self._set):
            self._logAndRaiseError("get_parameters and set_parameters must be functions.")

    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        return None, None, None, None, None

    def _optimizerState(self) -> State:
        if self._get_state is None:
            return {}, {}
        return {_STATE + name: np.asarray(value) for name, value in self._get_state().items()}, {}

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        kept = {name[len(_STATE) :]: np.array(arrays[name]) for name in arrays if name.startswith(_STATE)}
        if not kept or self._set_state is None:
            return False
        self._set_state(kept)
        return True

    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        given = self._get()
        self._listed = not isinstance(given, Mapping)
        if isinstance(given, Mapping):
            return {str(name): np.asarray(value) for name, value in given.items()}
        width = len(str(len(given)))
        return {f"parameter_{index:0{width}d}": np.asarray(value) for index, value in enumerate(given)}

    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        owned = detached(paramsDict)
        self._current = list(owned.values()) if self._listed else owned
        self._set(self._current)

    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        if self._measure is None:
            return math.nan, math.nan
        current = self._get() if self._current is None else self._current  # in loop-back nothing was merged
        loss, metric = self._measure(current)
        return float(loss), float(metric)
