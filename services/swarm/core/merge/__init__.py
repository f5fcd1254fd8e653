"""Merge arithmetic: methods by name, block by block, the same bytes on every machine."""

from .gram import UNIT, Gram
from .median import lower_median
from .method import BLOCK_BYTES, SHARE_TOLERANCE, Anchor, Block, Measured, Method, rest, shares, shares_fault
from .outer import Outer, ahead, split, stepped
from .registry import get, known, measured_fault, register
from .statistics import takes_step, variances
from .values import FLOATS, as_float, merge_values, non_finite

__all__ = [
    "BLOCK_BYTES",
    "FLOATS",
    "SHARE_TOLERANCE",
    "UNIT",
    "Anchor",
    "Block",
    "Gram",
    "Measured",
    "Method",
    "Outer",
    "ahead",
    "as_float",
    "get",
    "known",
    "lower_median",
    "measured_fault",
    "merge_values",
    "non_finite",
    "register",
    "rest",
    "shares",
    "shares_fault",
    "split",
    "stepped",
    "takes_step",
    "variances",
]
