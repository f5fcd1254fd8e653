"""The weighted mean, as a walk from the first input: b0 - c1*(b0-b1) - c2*(b0-b2) - ...

Why differences: where all inputs agree the result is exactly their value, so that frozen layers and equal
initial weights come out bit for bit, -0.0 included, which a sum of rounded products does not give. numpy's
multiply and subtract round separately (no fused step), in input order: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .method import Block, shares


class Mean:
    """Weighted arithmetic mean; the default."""

    name = "mean"

    def coefficients(self, weights: Sequence[int]) -> tuple[float, ...]:
        return shares(weights)

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: Block
    ) -> None:
        try:
            with np.errstate(over="raise", invalid="raise", under="ignore"):
                _walk(blocks, coefficients, out)
        except FloatingPointError:
            # A difference left the range (inputs near the largest float with opposite signs): those elements,
            # and only those, are summed plainly, which cannot overflow by more than a rounding.
            with np.errstate(all="ignore"):
                _walk(blocks, coefficients, out)
                bad = ~np.isfinite(out)
                out[bad] = plain([block[bad] for block in blocks], coefficients)


def _walk(blocks: Sequence[Block], coefficients: Sequence[float], out: Block) -> None:
    first = blocks[0]
    np.copyto(out, first)
    step = np.empty_like(out)
    for block, coefficient in zip(blocks[1:], coefficients[1:], strict=True):
        np.subtract(first, block, out=step)
        np.multiply(step, out.dtype.type(coefficient), out=step)
        np.subtract(out, step, out=out)


def plain(blocks: Sequence[Block], coefficients: Sequence[float]) -> Block:
    """The sum of products in float64, clipped to the dtype's range: for values whose differences leave it."""
    total = np.zeros(blocks[0].shape, np.float64)
    limit = float(np.finfo(blocks[0].dtype).max)
    for block, coefficient in zip(blocks, coefficients, strict=True):
        total += block.astype(np.float64) * coefficient
    return np.clip(total, -limit, limit).astype(blocks[0].dtype)
