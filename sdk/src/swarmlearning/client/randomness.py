"""The state of Python's and numpy's random numbers, as arrays: kept in a resume file, and put back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["random_state", "restore_random_state"]

WORDS = 624


def random_state() -> dict[str, npt.NDArray[Any]]:
    """Arrays named ``random/...``; the global generators of Python and numpy."""
    version, words, gauss = random.getstate()
    found: dict[str, npt.NDArray[Any]] = {
        "random/python/state": np.array(words, np.uint32),
        "random/python/gauss": np.array([version, gauss is not None, gauss or 0.0], np.float64),
    }
    kind, key, position, has_gauss, cached = np.random.get_state(legacy=True)
    if kind == "MT19937":
        found["random/numpy/state"] = np.asarray(key, np.uint32)
        found["random/numpy/gauss"] = np.array([position, has_gauss, cached], np.float64)
    return found


def restore_random_state(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Put the state back, as far as it is there.

    Raises:
        ValueError: an array is not what :func:`random_state` makes.
    """
    if "random/python/state" in arrays:
        words = _checked(arrays, "random/python/state", np.uint32, WORDS + 1)
        version, has, gauss = _checked(arrays, "random/python/gauss", np.float64, 3).tolist()
        if version != 3 or not 0 <= int(words[-1]) <= WORDS:
            raise ValueError("the state of Python's random numbers is of another version")
        random.setstate((3, tuple(words.tolist()), gauss if has else None))
    if "random/numpy/state" in arrays:
        key = _checked(arrays, "random/numpy/state", np.uint32, WORDS)
        position, has, cached = _checked(arrays, "random/numpy/gauss", np.float64, 3).tolist()
        if not 0 <= position <= WORDS:
            raise ValueError("the state of numpy's random numbers is out of bounds")
        np.random.set_state(("MT19937", key, int(position), int(bool(has)), cached))


def _checked(arrays: Mapping[str, npt.NDArray[Any]], name: str, dtype: Any, length: int) -> npt.NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    array = np.array(arrays[name])
    if array.dtype != dtype or array.shape != (length,):
        raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} [{length}]")
    return array
