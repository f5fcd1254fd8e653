"""What a merge method is: arithmetic on blocks of one dtype; files, nodes and rounds are others' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 256 * 1024
"""Unit of arithmetic: small enough that one block of every operand stays in the second-level cache."""

Block = npt.NDArray[Any]
"""A one-dimensional run of elements."""


class Method(Protocol):
    """A way to merge the models of one round.

    Results may depend on the order of the inputs, which the protocol fixes (ascending by node address),
    and on nothing else: not on how a tensor is cut into blocks, not on the machine.
    """

    name: str
    """ASCII, at most 32 characters, lower case; it stands on chain."""

    def coefficients(self, weights: Sequence[int]) -> tuple[float, ...]:
        """The share of each input, in input order; they stand in the result that is signed.

        Raises:
            ValueError: no weights, a negative one, or all 0.
        """
        ...

    def merge_block(
        self, blocks: Sequence[npt.NDArray[np.floating[Any]]], coefficients: Sequence[float], out: Block
    ) -> None:
        """Merge equally long blocks, all float32 or all float64, into ``out`` of the same dtype.

        Inputs are finite and must not be changed; ``out`` overlaps none of them.
        """
        ...


def shares(weights: Sequence[int]) -> tuple[float, ...]:
    """weight / total as float64, one division each, so that every machine gets the same bits.

    Raises:
        ValueError: no weights, a negative one, or all 0.
    """
    total = sum(weights)
    if not weights or min(weights) < 0 or total == 0:
        raise ValueError(f"a merge needs weights >= 0 of which one is positive, not {list(weights)}")
    return tuple(weight / total for weight in weights)
