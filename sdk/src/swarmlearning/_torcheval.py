"""Loss and metric of a PyTorch model on validation data of any form that programs hand over.

Owns forms of data, and the functions named by lossFunction and metricFunction; whose model it is, and when it is
judged, is the callback's.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from .client.names import SwarmError

__all__ = ["checked", "judge", "loss_function", "metric_object"]

VALIDATION_BATCH_DEFAULT = 32
GENERATOR_BATCHES_MAX = 1000
LABELS = ("labels", "label", "y", "target")
"""Under which a batch that is a dict holds what the model is to say."""
METRIC_MODULES = ("torchmetrics", "torchmetrics.classification", "torchmetrics.regression")


def checked(data: Any) -> Any:
    """Validation data as DataLoaders and Datasets, or batches that were read from a generator; None stays None.

    Args:
        data: a DataLoader, a Dataset (anything with lengths and items), (x, y) of tensors, arrays or nested lists,
            x also a list of tensors for a model of several inputs; a list of loaders or datasets, or of batches; a
            generator of batches, of which at most 1000 are read, once.

    Raises:
        SwarmError: it is something else.
    """
    if data is None:
        return None
    if isinstance(data, Iterator):
        data = list(itertools.islice(data, GENERATOR_BATCHES_MAX))
    if isinstance(data, (tuple, list)):
        if len(data) == 2 and _is_array(data[1]) and (_is_array(data[0]) or _are_arrays(data[0])):
            inputs = [data[0]] if _is_array(data[0]) else list(data[0])
            return [TensorDataset(*map(torch.as_tensor, (*inputs, data[1])))]
        if data and all(isinstance(one, Mapping) or _are_arrays(one) for one in data):
            return [list(data)]
        return [_source(one) for one in data]
    return [_source(data)]


def _source(one: Any) -> Any:
    is_map = hasattr(one, "__getitem__") and hasattr(one, "__len__")
    if isinstance(one, (DataLoader, Dataset)) or (is_map and not isinstance(one, (str, np.ndarray, torch.Tensor))):
        return one
    raise SwarmError(
        f"adsValData is {type(one).__name__}, it must be a torch.utils.data.DataLoader, a Dataset, (x, y),"
        " a generator of batches, or a list of them."
    )


def _is_array(one: Any) -> bool:
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return True
    if not isinstance(one, (list, tuple)) or not one or any(isinstance(v, (torch.Tensor, np.ndarray)) for v in one):
        return False
    return all(isinstance(v, (int, float)) or _is_array(v) for v in one)


def _are_arrays(one: Any) -> bool:
    return (
        isinstance(one, (list, tuple)) and len(one) > 1 and all(isinstance(v, (torch.Tensor, np.ndarray)) for v in one)
    )


def loss_function(wanted: Any, arguments: Optional[Mapping[str, Any]]) -> Optional[Callable[..., Any]]:
    """The loss: a class of torch.nn by its name, a class, or a function.

    Raises:
        SwarmError: torch.nn has no such class, or it does not take the arguments.
    """
    if wanted is None or (callable(wanted) and not isinstance(wanted, type)):
        return wanted
    found = wanted if isinstance(wanted, type) else getattr(torch.nn, str(wanted), None)
    if not isinstance(found, type):
        raise SwarmError(f"lossFunction is {wanted!r}, torch.nn has no such class.")
    return _made("lossFunctionArgs", found, arguments)  # type: ignore[no-any-return]


def metric_object(wanted: Any, arguments: Optional[Mapping[str, Any]]) -> Any:
    """The metric: a class of torchmetrics by its name, a class, or an object with update and compute.

    Raises:
        SwarmError: torchmetrics is not installed or has no such class, or it does not take the arguments.
    """
    if wanted is None or (hasattr(wanted, "update") and not isinstance(wanted, type)):
        return wanted
    found = wanted if isinstance(wanted, type) else None
    if found is None:
        try:
            modules = [importlib.import_module(name) for name in METRIC_MODULES]
        except ImportError:
            raise SwarmError(
                f"metricFunction is {wanted!r} but torchmetrics is not installed here:"
                " pip install torchmetrics, or leave metricFunction out."
            ) from None
        found = next((getattr(one, str(wanted)) for one in modules if hasattr(one, str(wanted))), None)
    if found is None:
        raise SwarmError(f"metricFunction is {wanted!r}, torchmetrics has no such class.")
    return _made("metricFunctionArgs", found, arguments)


def _made(name: str, kind: Any, arguments: Optional[Mapping[str, Any]]) -> Any:
    try:
        return kind(**(arguments or {}))
    except (TypeError, ValueError) as fault:
        raise SwarmError(f"{kind.__name__} does not take {name} {dict(arguments or {})!r}: {fault}") from None


def judge(
    model: torch.nn.Module,
    sources: Sequence[Any],
    loss_of: Optional[Callable[..., Any]],
    metric: Any,
    *,
    batch_size: int = VALIDATION_BATCH_DEFAULT,
    collate: Optional[Callable[..., Any]] = None,
) -> tuple[float, float]:
    """(loss, metric), NaN for what is not known; the model's modes are left as they were.

    The loss is the mean over all samples, whatever the batches: see :class:`Mean`. Without a function it is the mean
    of what the model itself computes, where it does (as those of transformers do, given labels); a model that shows
    no loss at its first batch, and is measured by nothing else, is not asked again.
    """
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    metric = metric.to(device) if hasattr(metric, "to") else metric
    if metric is not None and hasattr(metric, "reset"):
        metric.reset()
    mean, measured = Mean(loss_of), False
    with _evaluating(model), torch.no_grad():
        for source in sources:
            for batch in _batches(source, batch_size, collate):
                output, target, size = _output(model, _moved(batch, device))
                own = getattr(output, "loss", None)
                answer = getattr(output, "logits", output)
                if loss_of is not None and target is not None:
                    mean.add(answer, target, size)
                elif loss_of is None and own is not None:
                    mean.add_mean(float(own), size)
                elif loss_of is None and metric is None:
                    return math.nan, math.nan
                if metric is not None and target is not None:
                    measured = True
                    metric.update(answer, target)
    return mean.value(), _number(metric.compute()) if measured else math.nan


class Mean:
    """The mean of a loss over all samples, from the losses of batches of any sizes.

    A batch's mean counts by its samples; a sum, or one loss a sample, is added up. Which of them a function gives, its
    ``reduction`` says, as for all of torch.nn; of a function that does not say so, the first batch is asked in two
    parts as well: means of parts average to the whole's, sums add up to it. The means of CrossEntropyLoss and NLLLoss
    are over the weights of the classes that are not ignored (torch.nn), and count by those.
    """

    def __init__(self, loss_of: Optional[Callable[..., Any]]) -> None:
        self._loss_of = loss_of
        self._kind: Optional[str] = getattr(loss_of, "reduction", None)
        self._total = self._count = 0.0

    def add(self, answer: Any, target: Any, size: int) -> None:
        """One batch: what the model says, what it was to say, samples."""
        assert self._loss_of is not None
        loss = self._loss_of(answer, target)
        if isinstance(loss, torch.Tensor) and loss.ndim:
            self._total += float(loss.sum())
            self._count += size
            return
        if self._kind not in ("mean", "sum"):
            self._kind = _reduction(self._loss_of, answer, target, float(loss))
        if self._kind == "sum":
            self._total += float(loss)
            self._count += size
        else:
            self.add_mean(float(loss), _shares(self._loss_of, target, size))

    def add_mean(self, loss: float, count: float) -> None:
        """The mean loss of so many samples, or of parts that weigh so much together."""
        if count:  # a batch in which nothing counts has no mean
            self._total += loss * count
            self._count += count

    def value(self) -> float:
        """NaN if there was nothing to judge by."""
        return self._total / self._count if self._count else math.nan


def _reduction(loss_of: Callable[..., Any], answer: Any, target: Any, whole: float) -> Optional[str]:
    """``mean`` or ``sum``; None if this batch does not tell (it counts as a mean)."""
    size = len(target) if isinstance(target, torch.Tensor) and target.ndim else 0
    if size < 2 or not isinstance(answer, torch.Tensor) or len(answer) != size or not math.isfinite(whole):
        return None
    cut = max(1, size // 3)  # unequal parts: a plain average of means is no mean
    try:
        parts = [float(loss_of(answer[part], target[part])) for part in (slice(None, cut), slice(cut, None))]
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None  # it takes whole batches only
    mean, total = (parts[0] * cut + parts[1] * (size - cut)) / size, sum(parts)
    close = [abs(one - whole) <= 1e-3 * max(abs(mean), abs(total)) for one in (mean, total)]
    return None if close[0] == close[1] else "mean" if close[0] else "sum"


def _shares(loss_of: Any, target: Any, size: int) -> float:
    """What a batch's mean was divided by, as far as the samples do not tell it."""
    classes = isinstance(loss_of, (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss))
    if not classes or not isinstance(target, torch.Tensor) or target.is_floating_point():
        return float(size)
    kept = target[target != loss_of.ignore_index]
    if loss_of.weight is None:
        return float(kept.numel())
    return float(loss_of.weight.to(kept.device)[kept].sum())


def _batches(source: Any, batch_size: int, collate: Optional[Callable[..., Any]]) -> Any:
    if isinstance(source, (DataLoader, list)):
        return source
    return DataLoader(source, batch_size=batch_size, collate_fn=collate)


def _output(model: torch.nn.Module, batch: Any) -> tuple[Any, Any, int]:
    """What the model says of a batch, what it was to say, and how many samples that were."""
    if isinstance(batch, Mapping):
        target = next((batch[name] for name in LABELS if name in batch), None)
        first = next(iter(batch.values()))
        return model(**batch), target, len(first)
    if not isinstance(batch, (list, tuple)) or len(batch) < 2:
        raise SwarmError(f"adsValData gives batches of {type(batch).__name__}, not of (inputs, targets).")
    *inputs, target = batch
    return model(*inputs), target, len(target) if hasattr(target, "__len__") else 1


def _number(value: Any) -> float:
    if isinstance(value, Mapping):
        value = next(iter(value.values()))  # a MetricCollection: its first
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise SwarmError(f"metricFunction gives {value.numel()} numbers, one is wanted: give it an average to take.")
    return float(value)


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
    if isinstance(value, np.ndarray):
        value = torch.as_tensor(value)
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(one, device) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_moved(one, device) for one in value]
    return value
