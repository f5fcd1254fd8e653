"""What a merge method is: arithmetic on blocks of one dtype; files, nodes and rounds are others' business."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 256 * 1024
"""Unit of arithmetic: small enough that one block of every operand stays in the second-level cache."""
SHARE_TOLERANCE = 1e-6
"""How far recorded shares may lie from those that somebody else computes from the same inputs, and from 1 in sum."""

Block = npt.NDArray[Any]
"""A one-dimensional run of elements."""


class Method(Protocol):
    """A way to merge the models of one round.

    Results may depend on the order of the inputs, which the protocol fixes (ascending by node address),
    and on nothing else: not on how a tensor is cut into blocks, not on the machine.
    """

    name: str
    """ASCII, at most 32 characters, lower case; it stands on chain."""

    def coefficients(self, weights: Sequence[int]) -> tuple[float, ...] | None:
        """The share of each input, in input order; they stand in the result that is signed.

        None: they follow from the inputs' values; the method is :class:`Measured`.

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


class Anchor(enum.Enum):
    """The point from which a measured method wants the inputs' differences."""

    MEDIAN = "the inputs' coordinate median: near most of them, so that differences keep their digits"
    PREVIOUS = "the merged model of the round before"


@runtime_checkable
class Measured(Protocol):
    """A method whose shares follow from where the inputs lie; a first pass over them measures that.

    With ``anchor`` PREVIOUS the previous merged model is one more input of ``merge_block``, the first, with the
    share that the others leave of 1; where there is none yet (round 0), the shares are those of the weights.
    """

    name: str
    anchor: Anchor
    pairs: bool
    """Whether inner products of different inputs' differences are needed, or lengths only."""

    def solve(self, weights: Sequence[int], gram: npt.NDArray[np.float64]) -> tuple[float, ...]:
        """Shares from inner products of the inputs' differences to the anchor (only its diagonal without pairs)."""
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


def rest(coefficients: Sequence[float]) -> float:
    """What the shares leave of 1, for the previous merged model; one rounding, in any order."""
    return 1.0 - math.fsum(coefficients)


def shares_fault(coefficients: Sequence[float], *, whole: bool) -> str | None:
    """What is wrong with shares that somebody else computed, or None.

    Args:
        whole: they must sum to 1; else the previous merged model may have the rest.
    """
    for index, share in enumerate(coefficients):
        if not 0.0 <= share <= 1.0:
            return f"share {index} is {share}, not within 0..1"
    total = math.fsum(coefficients)
    if total > 1.0 + SHARE_TOLERANCE or (whole and total < 1.0 - SHARE_TOLERANCE):
        return f"its shares sum to {total}, not to 1"
    return None
