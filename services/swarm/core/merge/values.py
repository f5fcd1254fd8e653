"""Merging runs of elements of any stored dtype: what a method computes in, and how results are rounded.

stored      computed in   rounded
F32, F64    itself        not
F16, BF16   float32       to nearest, ties to even
integers    float64       to nearest, ties to even, never outside the inputs' own range: where all agree, their value.
                          Counters, num_batches_tracked. Beyond 2**53, which float64 cannot hold, the method gets
                          the differences to the smallest input instead, and what meets an input's is that input.
BOOL        float64       weighted majority: True where it has more than half; a tie is False

The table holds for every method: integers go through its own arithmetic (a median stays a median), booleans are
voted on with its shares.
dtypes are named as in safetensors; BF16 arrives as its uint16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .method import BLOCK_BYTES, Block, Method

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
EXACT = 2**53
"""Integers up to here are exact in float64."""
_INTEGERS = frozenset({"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"})


def merge_values(
    method: Method,
    dtype: str,
    blocks: Sequence[Block],
    coefficients: Sequence[float],
    out: Block,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Merge equally long one-dimensional arrays of one dtype into ``out``, block by block.

    Args:
        dtype: safetensors name of the elements' dtype.
        blocks: one array per input, in the order of ``coefficients``; floats must be finite.
        out: same length and numpy dtype; overlaps no input.
        block_bytes: how much is worked on at once; never changes the result.

    Raises:
        ValueError: lengths or dtypes differ, an unknown dtype, or not one coefficient per input.
    """
    if len(blocks) != len(coefficients) or not blocks:
        raise ValueError(f"{len(blocks)} inputs but {len(coefficients)} coefficients")
    for index, block in enumerate(blocks):
        if block.shape != out.shape or block.dtype != out.dtype or block.ndim != 1:
            raise ValueError(
                f"input {index} is {block.dtype}{block.shape}, the output {out.dtype}{out.shape}: not alike"
            )
    step = max(1, block_bytes // out.dtype.itemsize)
    for start in range(0, out.size, step):
        part = slice(start, start + step)
        _merge_one(method, dtype, [block[part] for block in blocks], coefficients, out[part])


def _merge_one(method: Method, dtype: str, blocks: Sequence[Block], coefficients: Sequence[float], out: Block) -> None:
    if dtype in ("F32", "F64"):
        method.merge_block(blocks, coefficients, out)
    elif dtype == "F16":
        out[:] = _computed(method, [as_float(b, dtype) for b in blocks], coefficients)
    elif dtype == "BF16":
        out[:] = _to_bfloat16(_computed(method, [as_float(b, dtype) for b in blocks], coefficients))
    elif dtype in _INTEGERS:
        out[:] = _integers(method, blocks, coefficients)
    elif dtype == "BOOL":
        ones = [b.astype(np.float64) for b in blocks]
        votes = np.zeros(out.shape, np.float64)
        for one, coefficient in zip(ones, coefficients, strict=True):
            votes += one * coefficient
        out[:] = votes > 0.5
    else:
        raise ValueError(f"values of dtype {dtype!r} cannot be merged")


def _computed(method: Method, blocks: Sequence[npt.NDArray[Any]], coefficients: Sequence[float]) -> npt.NDArray[Any]:
    result = np.empty_like(blocks[0])
    method.merge_block(blocks, coefficients, result)
    return result


def _integers(method: Method, blocks: Sequence[Block], coefficients: Sequence[float]) -> Block:
    low: Block = np.minimum.reduce(blocks)
    high: Block = np.maximum.reduce(blocks)
    kind = low.dtype
    wide = (high > EXACT) | (low < -EXACT) if kind == np.int64 else high > EXACT if kind == np.uint64 else None
    if wide is None or not wide.any():
        return _narrow(method, blocks, coefficients, low, high)
    out: Block = np.empty_like(low)
    near = ~wide
    if near.any():
        out[near] = _narrow(method, [b[near] for b in blocks], coefficients, low[near], high[near])
    out[wide] = _wide(method, [b[wide] for b in blocks], coefficients, low[wide])
    return out


def _narrow(method: Method, blocks: Sequence[Block], coefficients: Sequence[float], low: Block, high: Block) -> Block:
    """Of values that float64 holds exactly."""
    found = np.rint(_computed(method, [b.astype(np.float64) for b in blocks], coefficients))
    found = np.clip(found, low.astype(np.float64), high.astype(np.float64))
    return np.asarray(found.astype(low.dtype))


def _wide(method: Method, blocks: Sequence[Block], coefficients: Sequence[float], low: Block) -> Block:
    """Of 64-bit values that float64 does not hold: base + the merge of the differences to it.

    The base is even, so that ties go to even values as everywhere. Unsigned differences hold all distances.
    """
    base = (low & ~low.dtype.type(1)).view(np.uint64)
    away = [b.view(np.uint64) - base for b in blocks]
    floats = [one.astype(np.float64) for one in away]
    found = np.rint(_computed(method, floats, coefficients))
    found = np.clip(found, np.minimum.reduce(floats), np.maximum.reduce(floats))
    whole = np.where(found < 2.0**63, found, 0.0).astype(np.uint64)
    above = found >= 2.0**63
    whole[above] = np.where(found[above] < 2.0**64, found[above] - 2.0**63, 0.0).astype(np.uint64) + np.uint64(2**63)
    for one, number in zip(away, floats, strict=True):
        np.copyto(whole, one, where=found == number)
    return np.asarray((base + whole).view(low.dtype))


def non_finite(block: Block, dtype: str) -> npt.NDArray[np.bool_] | None:
    """Where a one-dimensional block holds NaN or infinity; None if nowhere.

    Args:
        dtype: safetensors name; integers and booleans are always finite.
    """
    if dtype not in FLOATS:
        return None
    finite = (block & 0x7F80) != 0x7F80 if dtype == "BF16" else np.isfinite(block)
    return None if finite.all() else ~np.asarray(finite)


def as_float(block: Block, dtype: str) -> Block:
    """Values of a floating-point dtype as what methods compute in: float32, or float64 for F64."""
    if dtype == "BF16":
        return _from_bfloat16(block)
    return block.astype(np.float32) if dtype == "F16" else block


def from_float(values: npt.NDArray[np.float64], dtype: str) -> Block:
    """float64 values in a floating-point dtype, to nearest, ties to even; BF16 by way of float32."""
    if dtype == "BF16":
        return _to_bfloat16(values.astype(np.float32))
    return values.astype({"F64": np.float64, "F32": np.float32, "F16": np.float16}[dtype])


def _from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Nearest bfloat16, ties to even; a finite value beyond the largest becomes the largest."""
    bits = values.view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    infinite = (rounded & 0x7FFF) == 0x7F80
    rounded[infinite] -= np.uint16(1)
    return rounded
