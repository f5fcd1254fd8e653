"""Swarm callback for Keras (with TensorFlow, or Keras 3 alone): pass it to ``model.fit(callbacks=[...])``.

Row K11. The swarm stops local training when the whole run is over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from ._optional import framework

with framework("swarmlearning.tf", "tensorflow", "keras", install="tensorflow, or keras and a backend of it"):
    try:
        from tensorflow.keras.callbacks import Callback
    except ImportError:
        from keras.callbacks import Callback

from ._kerasfit import as_if_not_evaluated, has_loss, later_restorers
from ._kerasnames import weight_names
from ._kerasprox import Proximal
from ._kerastables import constants, refresh, table_marks
from ._tfgraph import GraphModel
from .client.arguments import strength
from .client.resume import State
from .client.swarm import DEFAULT_TRAINING_CONTRACT, SLPlatforms, SwarmCallbackBase, SwarmError
from .tensorfile import BFloat16Bits

__all__ = ["SwarmCallback", "SwarmError"]

GENERATOR_BATCHES_MAX = 1000


class _Context:
    """Holds the model that is shared."""

    def __init__(self, model: Any) -> None:
        self.model = model


class SwarmCallback(Callback, SwarmCallbackBase):
    """A Keras callback.

    Args:
        syncFrequency: batches between two syncs.
        minPeers: members that a round needs.
        trainingContract: name of the job.
        adsValData: validation data: (x, y) or (x, y, sample weights), x and y also lists for several inputs or
            outputs; a dataset or a list of datasets; or a generator of batches (at most 1000 are read, once).
        adsValBatchSize: batch size for evaluating arrays.
        ml_platform, tf, sess: "TF", tensorflow.compat.v1 and the session, for a graph of TensorFlow 1: there your loop
            calls ``on_train_begin()``, ``on_batch_end()``, ``on_epoch_end()`` and ``on_train_end()``.
        proximalMu: above 0, each step is drawn towards the model merged last (FedProx): mu * (w - merged) is added
            to the gradients. Keras 3 on TensorFlow or PyTorch; costs one more copy of the trainable weights.
        kwargs: the arguments all callbacks share, see SwarmCallbackBase.

    Raises:
        SwarmError: an argument is wrong, or the SL cannot be reached or refuses.
    """

    _own_arguments = frozenset({"tf", "sess", "proximalMu"})

    _takes_scalars = True

    def __init__(
        self,
        syncFrequency: Any = None,
        minPeers: Any = None,
        trainingContract: str = DEFAULT_TRAINING_CONTRACT,
        **kwargs: Any,
    ) -> None:
        Callback.__init__(self)
        self._first_epoch: Optional[int] = None
        self._moved_epoch = self._waits_for_build = False
        self._tables: Optional[dict[str, str]] = None
        SwarmCallbackBase.__init__(self, syncFrequency, minPeers, trainingContract, kwargs)
        self._mu = self._checked(strength, "proximalMu", kwargs.get("proximalMu"))
        self._proximal: Optional[Proximal] = None
        self._verifyAndSetPlatformContext(kwargs)
        if self.valData is None:
            self.logger.warning("adsValData is not given: loss and metric of merged models cannot be shown")
        self._swarmInitialize()

    def on_train_begin(self, logs: Any = None) -> None:
        """Keras hook: all members start from one model."""
        self.mlCtx = _Context(self.model)
        if self._mu and self._proximal is None and not self.loopback:
            self._proximal = Proximal(self._mu, self.model)
        self._look_around()
        self._waits_for_build = not self.loopback and not _is_built(self.model)
        if self._waits_for_build:
            self.logger.info("The model has no weights before its first batch: all members start from one model then.")
            return
        self._swarmOnTrainBegin()
        self._stop_if_over()
        if self.resumedEpoch and not self.isSwarmTrainingOver:
            self._go_on_at_epoch()

    def _look_around(self) -> None:
        """Say what of this fit() is at odds with the swarm, before it costs anything."""
        for name in [] if self.loopback else later_restorers(self):
            self.logger.warning(
                "%s stands after this callback and puts weights of its own into the model: what fit() returns may then"
                " not be the swarm's model. Put SwarmCallback last in callbacks=[...].",
                name,
            )
        if self.valData is not None and not has_loss(self.model):
            if self.useAdaptiveSync:
                self._logAndRaiseError("useAdaptiveSync needs a loss: compile the model with one.")
            self.logger.warning("The model is compiled without a loss: adsValData is not evaluated, losses are unknown")
            self.valData = None

    def _go_on_at_epoch(self) -> None:
        """Let fit() begin where an earlier process of this program ended, numbers of epochs included."""
        begin = (self._first_epoch or 0) + self.resumedEpoch
        if hasattr(self.model, "_initial_epoch"):  # Keras 3, as its BackupAndRestore does
            if not self.model._initial_epoch:
                self.model._initial_epoch, self._moved_epoch = begin, True
        elif begin >= self._planned_epochs():
            self.model.stop_training = True

    def _planned_epochs(self) -> float:
        return float((self.params or {}).get("epochs") or math.inf)

    def on_epoch_begin(self, epoch: Any = None, logs: Any = None) -> None:
        """Keras hook: notes with which number fit() begins."""
        if self._first_epoch is None and isinstance(epoch, int):
            self._first_epoch = epoch

    def on_batch_end(self, batch: Any = None, logs: Any = None) -> None:
        """Keras hook: counts the batch, syncs when it is time."""
        if self._waits_for_build:  # this batch only made the weights
            self._waits_for_build = False
            self._swarmOnTrainBegin()
        else:
            self._swarmOnBatchEnd()
        self._stop_if_over()

    def on_epoch_end(self, epoch: Any = None, logs: Any = None) -> None:
        """Keras hook: counts the epoch."""
        self._swarmOnEpochEnd()
        if self.resumedEpoch and (self._first_epoch or 0) + self.epochsCompleted >= self._planned_epochs():
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Keras hook: returns when the whole swarm has finished, with its final model loaded."""
        if self._moved_epoch:
            self.model._initial_epoch = None
        self._swarmOnTrainEnd()
        if self._proximal is not None and self._finished:
            self._proximal.forget()

    def _stop_if_over(self) -> None:
        if self.isSwarmTrainingOver and self._proximal is not None:
            self._proximal.forget()
        if self.isSwarmTrainingOver and not self.mlCtx.model.stop_training:
            self.logger.info("Swarm training is over. Stopping local training")
            self.mlCtx.model.stop_training = True

    def _verifyAndSetPlatformContext(self, params: Mapping[str, Any]) -> None:
        platform = params.get("ml_platform", params.get("mlPlatform", SLPlatforms.KERAS.name))
        name = getattr(platform, "name", platform)
        if name not in (SLPlatforms.KERAS.name, SLPlatforms.TF.name):
            self._logAndRaiseError(f"ml_platform is {platform!r}, this callback is for KERAS, or TF.")
        self.mlPlatform = SLPlatforms[name]
        if self.mlPlatform is SLPlatforms.TF:
            if self.valData is not None:
                self.logger.warning("adsValData is not evaluated with ml_platform TF: losses cannot be shown")
                self.valData = None
            self.set_model(GraphModel(params.get("tf"), params.get("sess")))
        self.hfMode = None

    def _getValidationDataForAdaptiveSync(self, valData: Any, valBatchSize: Any) -> tuple[Any, ...]:
        return None, None, None, None, None

    def _optimizerState(self) -> State:
        optimizer = getattr(self.mlCtx.model, "optimizer", None)
        notes: dict[str, Any] = {"first_epoch": self._first_epoch or 0}
        if optimizer is None:
            return {}, notes
        variables = _variables(optimizer)
        notes["optimizer"] = type(optimizer).__name__
        return {f"optimizer/{number:06d}": np.asarray(one) for number, one in enumerate(variables)}, notes

    def _restoreOptimizerState(self, arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, Any]) -> bool:
        first = notes.get("first_epoch")
        if type(first) is int and first >= 0:
            self._first_epoch = first
        optimizer = getattr(self.mlCtx.model, "optimizer", None)
        kept = [arrays[name] for name in sorted(arrays) if name.startswith("optimizer/")]
        if optimizer is None or not kept:
            return False
        if notes.get("optimizer") != type(optimizer).__name__:
            kind = str(notes.get("optimizer"))[:60]
            raise ValueError(f"the kept optimizer is {kind!r}, this program's is {type(optimizer).__name__}")
        if not getattr(optimizer, "built", True):
            optimizer.build(self.mlCtx.model.trainable_variables)
        variables = _variables(optimizer)
        if [tuple(one.shape) for one in kept] != [tuple(one.shape) for one in variables]:
            raise ValueError(f"the kept {type(optimizer).__name__} has other variables than this program's")
        for variable, array in zip(variables, kept):  # noqa: B905
            variable.assign(_usable(array))
        return True

    def _saveModelWeightsToDict(self) -> dict[str, npt.NDArray[Any]]:
        model = self.mlCtx.model
        arrays = model.get_weights()
        if self._tables is None and _is_built(model):
            self._tables = table_marks(model)
            if self._tables:
                told = ", ".join(f"{layer} {mark}" for layer, mark in self._tables.items())
                self.logger.info("Tables of layers that are not shared must be the same at every site: %s", told)
        self.weightNames = weight_names(model, self._tables or {})
        if len(self.weightNames) != len(arrays):
            self._logAndRaiseError(
                f"the model has {len(self.weightNames)} weights but returns {len(arrays)}: is it built?"
            )
        return {name: np.asarray(array) for name, array in zip(self.weightNames, arrays)}  # noqa: B905

    def _loadModelWeightsFromDict(self, paramsDict: Mapping[str, npt.NDArray[Any]]) -> None:
        missing = [name for name in self.weightNames if name not in paramsDict]
        if missing:
            self._logAndRaiseError(f"the merged model has no {missing[0]}: the members run different programs.")
        before = constants(self.mlCtx.model)
        try:
            self.mlCtx.model.set_weights([_usable(paramsDict[name]) for name in self.weightNames])
        except ValueError as fault:
            raise SwarmError(f"the merged model does not fit this model: {fault}") from None
        refresh(self.mlCtx.model, before)
        if self._proximal is not None:
            self._proximal.anchor()

    def _calculateLocalLossAndMetrics(self) -> tuple[float, float]:
        if self.valData is None:
            return math.nan, math.nan
        with as_if_not_evaluated(self.mlCtx.model):
            return self._evaluated(self.mlCtx.model, self.valData)

    def _evaluated(self, model: Any, data: Any) -> tuple[float, float]:
        if isinstance(data, Iterator) and not hasattr(data, "__len__"):
            data = self.valData = self._read_once(data)
        parts = list(data) if isinstance(data, (list, tuple)) and data and all(map(_is_dataset, data)) else None
        if parts is not None:  # equal weight for equal numbers of batches, as in one dataset
            counts = [_batches_of(part) for part in parts]
            scores = [_values(model.evaluate(part, verbose=0)) for part in parts]
            values = [sum(v * n for v, n in zip(one, counts)) / sum(counts) for one in zip(*scores)]  # noqa: B905
        elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
            weights = data[2] if len(data) == 3 else None
            values = _values(
                model.evaluate(
                    x=_arrays(data[0]),
                    y=_arrays(data[1]),
                    sample_weight=weights,
                    batch_size=self.valBatchSize,
                    verbose=0,
                )
            )
        else:
            values = _values(model.evaluate(data, verbose=0))
        return float(values[0]), float(values[1]) if len(values) > 1 else math.nan

    def _read_once(self, batches: Iterator[Any]) -> tuple[Any, ...]:
        """Keep a generator's batches, because every merged model is evaluated on them."""
        read = list(itertools.islice(batches, GENERATOR_BATCHES_MAX))
        widths = {len(batch) for batch in read if isinstance(batch, (tuple, list))}
        if not read or len(widths) != 1 or not widths <= {2, 3}:
            self._logAndRaiseError("adsValData is a generator that does not yield (x, y) or (x, y, weights).")
        return tuple(_joined([batch[part] for batch in read]) for part in range(widths.pop()))


def _is_built(model: Any) -> bool:
    """Whether all weights are there: a subclassed model, or one without an Input, makes them in its first batch."""
    parts = (model, *getattr(model, "layers", ()))
    return bool(model.weights) and all(getattr(one, "built", True) for one in parts)


def _values(scores: Any) -> list[float]:
    """What evaluate() returned: loss first, then metrics."""
    return [float(one) for one in scores] if isinstance(scores, (list, tuple)) else [float(scores)]


def _joined(parts: list[Any]) -> Any:
    """One batch of many, for inputs and outputs in lists and dicts too."""
    if isinstance(parts[0], dict):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], (list, tuple)):
        return [_joined([part[place] for part in parts]) for place in range(len(parts[0]))]
    return np.concatenate([np.asarray(part) for part in parts])


def _arrays(given: Any) -> Any:
    """Nested lists of numbers as an array; a list of arrays, for several inputs, stays one."""
    if isinstance(given, (list, tuple)) and given and not hasattr(given[0], "shape"):
        deep = given[0]
        while isinstance(deep, (list, tuple)) and deep:
            deep = deep[0]
        return np.asarray(given) if isinstance(deep, (int, float)) else given
    return given


def _is_dataset(one: Any) -> bool:
    """A tf.data dataset, or a sequence of batches."""
    return hasattr(one, "cardinality") or (
        hasattr(one, "__len__") and hasattr(one, "__getitem__") and not hasattr(one, "shape") and not _is_plain(one)
    )


def _is_plain(one: Any) -> bool:
    return isinstance(one, (list, tuple, dict, str))


def _batches_of(dataset: Any) -> int:
    return len(dataset) if hasattr(dataset, "__len__") else sum(1 for _ in dataset)


def _variables(optimizer: Any) -> list[Any]:
    """Its step count, learning rate and momenta."""
    found = optimizer.variables
    return list(found() if callable(found) and not isinstance(found, (list, tuple)) else found)


def _usable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if isinstance(array, BFloat16Bits):
        import ml_dtypes  # comes with every Keras that knows bfloat16

        return np.asarray(array).view(ml_dtypes.bfloat16)
    return array
