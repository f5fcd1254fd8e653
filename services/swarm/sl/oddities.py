"""NaNs, infinities and variances below zero in model files: which tensors hold them, and how they pass a merge.

Owns reading them off a file and setting them aside while a method works; whether a model may hold them is
``core.engine.oddities``' business.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from swarmlearning import tensorfile

from swarm.core.engine.context import Odd
from swarm.core.ids import Digest
from swarm.core.merge import FLOATS, Block, as_float, non_finite, variances

from .modelfiles import describe, fill, read_header, runs

WINDOW_BYTES = 4 * 1024 * 1024
"""What is held of a file while it is looked through."""


def find_oddities(path: Path, *, window: int = WINDOW_BYTES) -> tuple[Odd, str]:
    """Read a tensor file once: a digest of each tensor's NaNs and infinities, and the first of them in words.

    Raises:
        UnusableInput: the file is unreadable; ``index`` is 0.
    """
    header = read_header(0, path)
    buffer, found, where = np.empty(window, np.uint8), dict[str, Any](), ""
    specs = [spec for spec in header.by_offset() if spec.start < spec.end]
    ends = [spec.end for spec in specs]
    with path.open("rb", buffering=0) as file:
        for run in runs(header):
            for start in range(run.start, run.end, window):
                size = min(window, run.end - start)
                fill(0, file, header.data_offset + start, buffer[:size])
                block = buffer[:size].view(tensorfile.DTYPES[run.dtype])
                odd = non_finite(block, run.dtype)
                if odd is None:
                    continue
                at = np.flatnonzero(odd)
                bits = bits_of(block[at])
                where = where or describe(header, start + int(at[0]) * block.itemsize, run.dtype, block[at[0]])
                while at.size:
                    spec = specs[bisect.bisect_right(ends, start + int(at[0]) * block.itemsize)]
                    count = int(np.searchsorted(at, (spec.end - start) // block.itemsize))
                    digest = found.setdefault(spec.name, hashlib.sha256(spec.name.encode() + b"\0"))
                    places = at[:count].astype(np.int64) + (start - spec.start) // block.itemsize
                    digest.update(np.stack([places, bits[:count].astype(np.int64)], axis=1).tobytes())
                    at, bits = at[count:], bits[count:]
    return frozenset(Digest(one.digest()) for one in found.values()), where


def negative_variance(path: Path, *, window: int = WINDOW_BYTES) -> str:
    """The first value below zero in a tensor that is a variance, in words; "" if there is none.

    Raises:
        UnusableInput: as :func:`find_oddities`.
    """
    header = read_header(0, path)
    named, buffer = set(variances([spec.name for spec in header.tensors])), np.empty(window, np.uint8)
    with path.open("rb", buffering=0) as file:
        for spec in header.by_offset():
            if spec.name not in named or spec.dtype not in FLOATS:
                continue
            for start in range(spec.start, spec.end, window):
                size = min(window, spec.end - start)
                fill(0, file, header.data_offset + start, buffer[:size])
                block = as_float(buffer[:size].view(tensorfile.DTYPES[spec.dtype]), spec.dtype)
                below = np.flatnonzero(block < 0)
                if below.size:
                    at = start + int(below[0]) * tensorfile.DTYPES[spec.dtype].itemsize
                    return describe(header, at, spec.dtype, block[below[0]])
    return ""


def bits_of(block: Block) -> Block:
    """The elements as signed integers of their size."""
    return block.view(f"<i{block.itemsize}")


class SetAside:
    """The values of one block that are not finite: the same in every input, and in the result as well.

    The methods see zeros in their place; a merged model of rounds before, where it is not finite, takes the last
    file's values, so that nothing is measured or stepped from there.

    Args:
        past: how many of the blocks are merged models of rounds before.
        first: the index by which an error calls the first block.
    """

    def __init__(self, blocks: Sequence[Block], dtype: str, past: int) -> None:
        self.bad: tuple[int, int] | None = None
        """(block, element) of the first value that is not the same in the others."""
        self._kept: tuple[npt.NDArray[np.bool_], Block] | None = None
        odds = [non_finite(block, dtype) for block in blocks]
        if all(odd is None for odd in odds):
            return
        last, common = blocks[-1], odds[-1]
        nowhere = np.zeros(last.shape, np.bool_)
        common = nowhere if common is None else common
        kept = last[common].copy()
        for index in range(past, len(blocks)):
            block, odd = blocks[index], odds[index]
            odd = nowhere if odd is None else odd
            other = odd != common
            other[common] |= bits_of(block[common]) != bits_of(kept)
            if other.any():
                at = int(np.argmax(other))
                self.bad = (index if odd[at] else len(blocks) - 1), at
                return
        for block in blocks[past:]:
            block[common] = 0
        for block, odd in zip(blocks[:past], odds[:past], strict=True):
            away = common if odd is None else common | odd
            block[away] = last[away]
        self._kept = common, kept

    def put_back(self, result: Block) -> None:
        """Into the block that was made of these."""
        if self._kept is not None:
            result[self._kept[0]] = self._kept[1]
