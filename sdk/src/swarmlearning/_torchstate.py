"""PyTorch's state as named arrays and back: tensors, optimizers, random numbers. No pickle, nothing executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Mapping, Optional

import numpy as np
import numpy.typing as npt
import torch

from ._torchhook import Removable, before_every_step
from .client.names import SwarmError
from .tensorfile import BFloat16Bits

__all__ = ["Optimizers", "random_state", "restore_random_state", "to_numpy", "to_torch"]

Arrays = Mapping[str, npt.NDArray[Any]]
_NUMBER = "#"
"""At the end of a name: the value is a Python number, not a tensor."""
_NAME = re.compile(r"optimizer/(\d{1,3})/(\d{1,7})/([^/#]{1,100})(#?)\Z")


def to_numpy(name: str, value: torch.Tensor) -> npt.NDArray[Any]:
    """The tensor's values, shared where it lives on the CPU; bfloat16 as BFloat16Bits.

    Raises:
        SwarmError: it has no values, not one for each place, or numpy has no such type.
    """
    trouble = _valueless(value)
    if trouble:
        raise SwarmError(f"parameter {name} {trouble}")
    plain = value.detach().cpu().contiguous()
    if plain.dtype is torch.bfloat16:
        return np.asarray(plain.view(torch.int16).numpy()).view(np.uint16).view(BFloat16Bits)
    try:
        return np.asarray(plain.numpy())
    except (TypeError, RuntimeError) as fault:
        raise SwarmError(f"parameter {name} has the type {value.dtype}, which cannot be shared: {fault}") from None


def _valueless(value: torch.Tensor) -> str:
    """What kind of tensor it is that cannot be shared, and what to do about it; nothing where it can."""
    if isinstance(value, torch.nn.parameter.UninitializedTensorMixin):
        return "has no shape yet (a lazy layer): run one batch through the model before on_train_begin()."
    if value.is_meta:
        return (
            'is on the device "meta" and has no values: load the model with its weights, or give it memory by'
            " model.to_empty(device=...) and initialise it, before on_train_begin()."
        )
    if value.layout is not torch.strided:
        kind = str(value.layout).replace("torch.", "")
        return f"is a sparse tensor ({kind}), which cannot be averaged: keep it dense (.to_dense()) in the model."
    if value.is_nested:
        return "is a nested tensor, which cannot be averaged: pad it (.to_padded_tensor(0.0)) in the model."
    if value.is_quantized:
        return f"is quantized ({value.dtype}), which cannot be averaged: train the float model, and quantize its copy."
    return ""


def to_torch(array: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor with the array's values; read-only arrays are copied."""
    usable = array if array.flags.writeable else array.copy()
    if isinstance(array, BFloat16Bits):
        return torch.from_numpy(np.asarray(usable).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.asarray(usable))


class Optimizers:
    """The optimizers of a model: those given, or those that are seen to step its parameters.

    Args:
        parameters: the model's parameters.
        given: optimizers that the program names.
    """

    def __init__(
        self, parameters: Callable[[], Iterable[torch.nn.Parameter]], given: Sequence[torch.optim.Optimizer]
    ) -> None:
        self._parameters = parameters
        self._found = list(given)
        self._fixed = bool(given)
        self._pending: dict[int, tuple[Mapping[str, Any], dict[str, npt.NDArray[Any]]]] = {}
        self._trouble: Callable[[str], object] = lambda text: None
        self._hook: Optional[Removable] = None
        if not self._fixed:
            self._hook = before_every_step(self._before_step)

    @property
    def unseen(self) -> bool:
        """None was given, and this PyTorch (below 2.0) tells of no steps: their state cannot be kept."""
        return not self._fixed and self._hook is None

    def forget(self) -> None:
        """Watch no more."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if any(optimizer is one for one in self._found):
            return
        own = {id(parameter) for parameter in self._parameters()}
        if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            return
        self._found.append(optimizer)
        kept = self._pending.pop(len(self._found) - 1, None)
        if kept is not None:
            try:
                _restore(optimizer, *kept)
            except ValueError as fault:
                self._trouble(str(fault))

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """All of them as arrays and JSON. Raises ValueError: one cannot be kept."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        notes: list[Mapping[str, Any]] = []
        for number, optimizer in enumerate(self._found):
            found, note = _state(number, optimizer)
            arrays.update(found)
            notes.append(note)
        for _, (kept, found) in sorted(self._pending.items()):  # not seen yet in this process
            arrays.update(found)
            notes.append(kept)
        return arrays, {"optimizers": notes} if notes else {}

    def restore(self, arrays: Arrays, notes: Mapping[str, Any], trouble: Callable[[str], object]) -> bool:
        """Put the state back, now or right before the optimizer's first step; False if nothing was kept.

        Args:
            trouble: told why an optimizer that is found later does not fit.

        Raises:
            ValueError: the state does not fit an optimizer that is there.
        """
        kept = notes.get("optimizers", [])
        if not isinstance(kept, list) or not all(isinstance(one, dict) for one in kept):
            raise ValueError("the optimizers' notes are no list of objects")
        self._trouble = trouble
        parts: list[dict[str, npt.NDArray[Any]]] = [{} for _ in kept]
        for name in arrays:
            found = _NAME.match(name)
            if found is not None and int(found[1]) < len(parts):
                parts[int(found[1])][name] = arrays[name]
        if self._fixed and kept and len(kept) != len(self._found):
            raise ValueError(f"{len(kept)} optimizers were kept, this program has {len(self._found)}")
        for number, note in enumerate(kept):
            if number < len(self._found):
                _restore(self._found[number], note, parts[number])
            else:
                self._pending[number] = (note, parts[number])
        return bool(kept)


def _state(number: int, optimizer: torch.optim.Optimizer) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    whole = optimizer.state_dict()
    kind = type(optimizer).__name__
    arrays: dict[str, npt.NDArray[Any]] = {}
    for index, state in whole["state"].items():
        for key, value in state.items():
            name = f"optimizer/{number}/{index}/{key}"
            if isinstance(value, torch.Tensor):
                arrays[name] = to_numpy(name, value)
            elif isinstance(value, (bool, int, float)):
                arrays[name + _NUMBER] = np.asarray(value)
            elif value is not None:  # None is what an optimizer takes a missing value for
                raise ValueError(f"{kind} keeps a {type(value).__name__} named {key}, which no resume file holds")
            if not _NAME.match(name):
                raise ValueError(f"{kind} keeps something named {name[:100]!r}, which no resume file holds")
    groups = []
    for group in whole["param_groups"]:
        plain = {key: _plain(kind, key, value) for key, value in group.items() if key != "params"}
        groups.append({"count": len(group["params"]), "options": plain})
    return arrays, {"class": kind, "groups": groups}


def _plain(kind: str, key: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(kind, key, one) for one in value]
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{kind} has an option {key} of type {type(value).__name__}, which no resume file holds")


def _restore(optimizer: torch.optim.Optimizer, note: Mapping[str, Any], arrays: Arrays) -> None:
    whole, kind = optimizer.state_dict(), type(optimizer).__name__
    if note.get("class") != kind:
        raise ValueError(f"the kept optimizer is {str(note.get('class'))[:60]!r}, this program's is {kind}")
    groups = note.get("groups")
    counts = [len(group["params"]) for group in whole["param_groups"]]
    if not isinstance(groups, list) or [_count(one) for one in groups] != counts:
        raise ValueError(f"the kept {kind} has other parameter groups than this program's")
    state: dict[int, dict[str, Any]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, array in arrays.items():
        found = _NAME.match(name)
        index = int(found[2]) if found is not None else -1
        if found is None or not 0 <= index < len(parameters):
            raise ValueError(f"the kept {kind} names a parameter that is not there: {name[:100]!r}")
        if array.size > max(1, parameters[index].numel()):
            raise ValueError(f"the kept {name} has shape {list(array.shape)}, too large for its parameter")
        value = array.item() if found[4] and array.shape == () else to_torch(array)
        state.setdefault(index, {})[found[3]] = value
    fresh = [
        {**own, **{key: _like(own[key], value) for key, value in one["options"].items() if key in own}}
        for own, one in zip(whole["param_groups"], groups)  # noqa: B905
    ]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": fresh})
    except (KeyError, TypeError, RuntimeError, IndexError) as fault:
        raise ValueError(f"the kept {kind} cannot be loaded: {fault}") from fault


def _count(group: Any) -> Optional[int]:
    if not isinstance(group, dict) or not isinstance(group.get("options"), dict):
        return None
    return group["count"] if type(group.get("count")) is int else None


def _like(own: Any, kept: Any) -> Any:
    """The kept option, if it is of the kind that the optimizer has there; ``params`` are never touched."""
    if isinstance(own, tuple) and isinstance(kept, list) and len(own) == len(kept):
        return tuple(_like(a, b) for a, b in zip(own, kept))  # noqa: B905
    if isinstance(own, torch.Tensor) and type(kept) in (int, float):
        return torch.full_like(own, kept)
    if isinstance(own, bool) or isinstance(kept, bool):
        return kept if isinstance(own, bool) and isinstance(kept, bool) else own
    if own is None or isinstance(own, (int, float)):
        return kept if kept is None or isinstance(kept, (int, float)) else own
    return kept if isinstance(own, str) and isinstance(kept, str) else own


def random_state() -> dict[str, npt.NDArray[Any]]:
    """Arrays named ``random/torch...``: the CPU's generator, and each GPU's if there are any in use."""
    found = {"random/torch": np.asarray(torch.get_rng_state().numpy())}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            found[f"random/cuda/{number}"] = np.asarray(state.numpy())
    return found


def restore_random_state(arrays: Arrays) -> None:
    """Put it back, as far as it is there and this machine has such generators. Raises ValueError: it does not fit."""
    try:
        if "random/torch" in arrays:
            torch.set_rng_state(_bytes_like(torch.get_rng_state(), arrays["random/torch"]))
        for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            name = f"random/cuda/{number}"
            if name in arrays:
                torch.cuda.set_rng_state(_bytes_like(torch.cuda.get_rng_state(number), arrays[name]), number)
    except RuntimeError as fault:
        raise ValueError(f"the state of torch's random numbers cannot be set: {fault}") from fault


def _bytes_like(own: torch.Tensor, kept: npt.NDArray[Any]) -> torch.Tensor:
    if kept.dtype != np.uint8 or kept.shape != tuple(own.shape):
        raise ValueError(f"the state of torch's random numbers is {kept.dtype} {list(kept.shape)}")
    return torch.from_numpy(np.array(kept))
