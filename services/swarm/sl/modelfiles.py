"""Model files as a merge reads them: runs of one dtype, bytes at an offset, a place in words. Decides nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from swarmlearning import tensorfile

from swarm.core.errors import PeerFault


class UnusableInput(PeerFault):
    """One input cannot be merged.

    Attributes:
        index: its position in the inputs.
        kind: ``unreadable``, ``manifest``, ``not_finite`` or ``far``.
    """

    def __init__(self, index: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.index = index
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring tensors of one dtype: methods work element by element, so they are read as one."""

    dtype: str
    start: int
    end: int


def read_header(index: int, path: Path) -> tensorfile.Header:
    try:
        return tensorfile.read_header(path)
    except (tensorfile.TensorFileError, OSError) as error:
        raise UnusableInput(index, "unreadable", f"input {index} cannot be read: {error}") from error


def runs(header: tensorfile.Header) -> list[Run]:
    runs: list[Run] = []
    for spec in header.by_offset():
        if spec.start == spec.end:
            continue
        if runs and runs[-1].dtype == spec.dtype:
            runs[-1] = Run(spec.dtype, runs[-1].start, spec.end)
        else:
            runs.append(Run(spec.dtype, spec.start, spec.end))
    return runs


def fill(index: int, file: IO[bytes], offset: int, target: npt.NDArray[np.uint8]) -> None:
    done = 0
    while done < target.size:
        got = os.preadv(file.fileno(), [target[done:].data], offset + done)
        if got == 0:
            raise UnusableInput(index, "unreadable", f"input {index} ended at byte {offset + done} while it was read")
        done += got


def describe(header: tensorfile.Header, offset: int, dtype: str, value: np.generic[Any]) -> str:
    """Which tensor holds the value, and where."""
    spec = next(spec for spec in header.by_offset() if spec.start <= offset < spec.end)
    at = (offset - spec.start) // tensorfile.DTYPES[dtype].itemsize
    position = [int(i) for i in np.unravel_index(at, spec.shape)] if spec.shape else []
    shown = "NaN or infinity" if isinstance(value, np.uint16) else str(value)  # bfloat16 has no numpy type
    return f"tensor {spec.name!r} holds {shown} at position {position}"
