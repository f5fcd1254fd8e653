"""What Keras layers compute with beside their weights: tables, and constants made of weights (Keras 2 and 3).

Vocabularies, bins and given means are in no ``get_weights``, so they are not merged: sites compare their marks.
``Normalization`` after ``adapt`` computes with constants that it made of its weights; they are made anew here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from ._kerasnames import all_layers

__all__ = ["constants", "refresh", "table_marks"]

MARK_CHARS = 8
KINDS = ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "CategoryEncoding", "Discretization")
SETTINGS = (
    *("num_bins", "salt", "num_tokens", "output_mode", "num_oov_indices", "max_tokens", "mask_value", "mask_token"),
    *("oov_token", "ngrams", "standardize", "split", "output_sequence_length", "bin_boundaries", "idf_weights"),
)
"""Of a layer's configuration, what decides which number a value becomes."""


def table_marks(model: Any) -> dict[str, str]:
    """For each layer with a table a mark of what it holds, numbered by place: the same at sites that mean the same."""
    found = {}
    for number, layer in enumerate(one for one in all_layers(model) if _has_table(one)):
        text = json.dumps(_table(layer), sort_keys=True, default=_plain)
        name = f"{type(layer).__name__}[{number}]"
        found[name] = hashlib.sha256(text.encode()).hexdigest()[:MARK_CHARS]
    return found


def _has_table(layer: Any) -> bool:
    given = getattr(layer, "input_mean", None) is not None
    return given or hasattr(layer, "get_vocabulary") or any(one.__name__ in KINDS for one in type(layer).__mro__)


def _table(layer: Any) -> dict[str, Any]:
    if getattr(layer, "input_mean", None) is not None:
        return {"mean": layer.input_mean, "variance": layer.input_variance, "invert": getattr(layer, "invert", False)}
    config = layer.get_config()
    table = {name: config.get(name) for name in SETTINGS}
    table["bin_boundaries"] = getattr(layer, "bin_boundaries", None)
    if hasattr(layer, "get_vocabulary"):
        table["vocabulary"] = layer.get_vocabulary()
        inner = getattr(layer, "_lookup_layer", layer)
        if getattr(layer, "output_mode", None) == "tf_idf":
            table["idf_weights"] = getattr(inner, "idf_weights", None)
    return table


def _plain(value: Any) -> Any:
    """Arrays, tensors and numpy's numbers as lists and numbers; functions by name."""
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    array = _array(value)
    return array.tolist() if array.dtype != object else str(type(value).__name__)


def _array(value: Any) -> npt.NDArray[Any]:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def constants(model: Any) -> list[npt.NDArray[Any]]:
    """What ``Normalization`` layers made of their weights, and computes with."""
    adapted = [layer for layer in all_layers(model) if hasattr(layer, "adapt_mean")]
    return [np.array(_array(value)) for layer in adapted for value in (layer.mean, layer.variance)]


def refresh(model: Any, before: list[npt.NDArray[Any]]) -> None:
    """Let layers compute with the weights that were just put in.

    Args:
        before: the ``constants`` of before; steps hold them compiled in, and are compiled anew where one changed.
    """
    for layer in all_layers(model):
        if hasattr(layer, "adapt_mean"):
            layer.finalize_state()
    if all(np.array_equal(*pair) for pair in zip(before, constants(model))):  # noqa: B905
        return
    for one in (model, *all_layers(model)):
        for kind in ("test", "predict"):
            if getattr(one, f"{kind}_function", None) is not None:
                setattr(one, f"{kind}_function", None)
        if getattr(one, "train_function", None) is not None:
            one.make_train_function(force=True)
