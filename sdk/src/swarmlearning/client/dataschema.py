"""What this site's data look like, as text for the SL: given by the program, or read off its validation data.

No sample ever travels: names of columns, dtypes, shapes, and the set of labels. Bounds are the SL's
(core/dataschema); here is what can be said before there is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

__all__ = ["AUTO", "TEXT_BYTES_MAX", "schema_text"]

AUTO = "auto"
TEXT_BYTES_MAX = 48 * 1024
LABELS_MAX = 1000
FIELDS = ("columns", "labels", "image", "inputs", "outputs")


def schema_text(given: Any, validation: Any) -> str:
    """The description as JSON; "" if none was asked for.

    Args:
        given: None, "auto" (read off ``validation``), or an object with any of the FIELDS.
        validation: adsValData.

    Raises:
        ValueError: it is neither, or too long; or the validation data does not show what it is like.
    """
    if given is None:
        return ""
    if isinstance(given, str) and given.strip().lower() == AUTO:
        given = _seen(validation)
    if not isinstance(given, Mapping) or not given or not set(given) <= set(FIELDS):
        raise ValueError(
            f"dataSchema is {str(given)[:100]!r}, it must be {AUTO!r} or a dict with any of {', '.join(FIELDS)}."
        )
    try:
        text = json.dumps(dict(given), default=_plain, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"dataSchema cannot be sent: {fault}") from fault
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise ValueError(f"dataSchema has {len(text.encode())} bytes as JSON, allowed are {TEXT_BYTES_MAX}.")
    return text


def _plain(value: Any) -> Any:
    """Numpy's and the frameworks' values as JSON has them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (type, np.dtype)) or type(value).__name__ in ("dtype", "DType"):
        return str(np.dtype(value)) if isinstance(value, (type, np.dtype)) else str(value)
    return list(value)


def _seen(data: Any) -> dict[str, Any]:
    if hasattr(data, "dataset") and hasattr(data, "batch_sampler"):
        data = data.dataset
    if hasattr(data, "tensors"):
        data = tuple(data.tensors)
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if isinstance(data, (tuple, list)) and len(data) in (2, 3) and all(_is_array(one) for one in data[:2]):
        x, y = data[0], data[1]
        found: dict[str, Any] = {"inputs": [_part(x)], "outputs": [_part(y)]}
        if hasattr(x, "columns") and hasattr(x, "dtypes"):
            found["columns"] = {str(name): str(kind) for name, kind in zip(x.columns, x.dtypes)}  # noqa: B905
        labels = _labels(y)
        if labels is not None:
            found["labels"] = labels
        return found
    raise ValueError(
        "dataSchema is 'auto', and adsValData does not show what it is like (arrays or tensors (x, y), a DataLoader or"
        " TensorDataset of them): describe it, dataSchema={'labels': [...], 'image': [h, w, c]}."
    )


def _is_array(one: Any) -> bool:
    return hasattr(one, "shape") and (hasattr(one, "dtype") or hasattr(one, "dtypes"))


def _part(one: Any) -> dict[str, Any]:
    kind = "table" if hasattr(one, "dtypes") and not hasattr(one, "dtype") else str(one.dtype).replace("torch.", "")
    return {"dtype": kind, "shape": [int(size) for size in one.shape[1:]]}


def _labels(y: Any) -> Optional[list[Any]]:
    """The set of labels, if they are few integers, booleans or texts in one column."""
    array = np.asarray(y)
    if array.dtype.kind not in "iubUO" or array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1):
        return None
    found = set(array.reshape(-1).tolist())
    plain = all(isinstance(one, (int, str)) for one in found)
    return sorted(found, key=str) if plain and len(found) <= LABELS_MAX else None
