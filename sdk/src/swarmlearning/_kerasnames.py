"""Names for a Keras model's weights that are the same at every site (Keras 2 and 3).

Keras numbers layers and variables without a name through a process: ``dense_3`` at a site that built another model
before is ``dense`` elsewhere. Here those are numbered anew, kind by kind, in the order in which the model holds them,
which is also the order of ``get_weights``. Names that a program gave stay, and their numbers are not given twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["all_layers", "weight_names"]

MARK_CHARS = 12
_VARIABLE = re.compile(r"(variable|Variable)(_\d+)?((?::\d+)?)")


def weight_names(model: Any, marks: Mapping[str, str]) -> list[str]:
    """One name for each weight: its path below the model, made unique by a number.

    Args:
        marks: what tables that are not weights hold, by layer; the first name carries it, so that sites with other
            tables have other names and are told so before the first merge.
    """
    layers = all_layers(model)
    fresh = _renamed(layers)
    holders: dict[int, list[Any]] = {}
    for layer in layers:
        for weight in getattr(layer, "weights", ()):
            holders.setdefault(id(weight), []).append(layer)
    names: list[str] = []
    seen: dict[str, int] = {}
    nameless: dict[str, int] = {}
    for weight in model.weights:
        name = str(getattr(weight, "path", None) or weight.name)
        if name.startswith(f"{model.name}/"):  # numbered by Keras: another number at another site
            name = name[len(model.name) + 1 :]
        known = {layer.name: fresh[id(layer)] for layer in holders.get(id(weight), ())}
        *parents, last = name.split("/")
        found = _VARIABLE.fullmatch(last)
        if found is not None:
            kind, _, end = found.groups()
            last = _numbered(kind, nameless.get(kind, 0)) + end
            nameless[kind] = nameless.get(kind, 0) + 1
        name = "/".join([*(known.get(part, part) for part in parents), last])
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    if marks and names:
        text = "\n".join(f"{layer} {mark}" for layer, mark in marks.items())
        names[0] += f"@{hashlib.sha256(text.encode()).hexdigest()[:MARK_CHARS]}"
    return names


def all_layers(model: Any) -> list[Any]:
    """The model's layers at every depth, without the model; each once, in the model's order."""
    flatten = getattr(model, "_flatten_layers", None)  # a graph of TensorFlow 1 has none
    found = {id(one): one for one in flatten(include_self=False)} if flatten is not None else {}
    return list(found.values())


def _renamed(layers: list[Any]) -> dict[int, str]:
    stems = {id(layer): _stem(layer) for layer in layers}
    given = {layer.name for layer in layers if stems[id(layer)] is None}
    counts: dict[str, int] = {}
    names = {}
    for layer in layers:
        stem = stems[id(layer)]
        if stem is None:
            names[id(layer)] = layer.name
            continue
        while _numbered(stem, counts.get(stem, 0)) in given:
            counts[stem] = counts.get(stem, 0) + 1
        names[id(layer)] = _numbered(stem, counts.get(stem, 0))
        counts[stem] = counts.get(stem, 0) + 1
    return names


def _stem(layer: Any) -> str | None:
    """``dense`` for a Dense that Keras named ``dense_7``; None for a name that a program gave.

    The two copies in a Bidirectional are ``forward_`` and ``backward_`` with the name that Keras gave the original.
    """
    kinds = {_snake(type(layer).__name__)}
    if hasattr(layer, "get_layer"):  # Model(inputs, outputs) is a Functional, and named model or functional
        kinds |= {"model", "functional"}
    found = re.fullmatch(r"((?:(?:forward|backward)_)?(.+?))(?:_\d+)?", layer.name)
    return found[1] if found is not None and found[2] in kinds else None


def _snake(name: str) -> str:
    """As Keras makes a layer's name of its class."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(stem: str, number: int) -> str:
    return f"{stem}_{number}" if number else stem
