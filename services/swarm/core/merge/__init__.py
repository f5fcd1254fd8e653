"""Merge arithmetic: methods by name, block by block, the same bytes on every machine."""

from .method import BLOCK_BYTES, Method, shares
from .registry import get, known, register
from .values import FLOATS, first_non_finite, merge_values

__all__ = [
    "BLOCK_BYTES",
    "FLOATS",
    "Method",
    "first_non_finite",
    "get",
    "known",
    "merge_values",
    "register",
    "shares",
]
