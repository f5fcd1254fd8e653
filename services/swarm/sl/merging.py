"""Merging model files: streams tensor files through a merge method in bounded memory.

Owns reading, checking and writing of the bytes; the arithmetic is ``core.merge``, the format is
``swarmlearning.tensorfile``, and which inputs count with which share is the engine's business.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from swarmlearning import tensorfile

from swarm.core.errors import LocalFault, PeerFault
from swarm.core.merge import Method, first_non_finite, merge_values

WINDOW_BYTES = 256 * 1024
"""What is held of each input, and of the result, at a time; also the unit of arithmetic."""


class UnusableInput(PeerFault):
    """One input cannot be merged.

    Attributes:
        index: its position in the inputs.
        kind: ``unreadable``, ``manifest`` or ``not_finite``.
    """

    def __init__(self, index: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.index = index
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring tensors of one dtype: methods work element by element, so they are read as one."""

    dtype: str
    start: int
    end: int


def merge_files(
    inputs: Sequence[Path],
    coefficients: Sequence[float],
    out: Path,
    method: Method,
    *,
    window: int = WINDOW_BYTES,
) -> None:
    """Merge tensor files of one manifest into ``out``, which appears only when it is complete.

    Memory is (number of inputs + 2) windows and the headers, whatever the model's size. The result's metadata
    is the platform alone, so that its bytes depend on the parameters and nothing else. ``out`` is not synced
    to disk: the store that takes it in does that.

    Args:
        inputs: in the protocol's order, ascending by node.
        coefficients: one per input, as ``method.coefficients`` gave them.
        window: bytes, a multiple of 8.

    Raises:
        UnusableInput: an input is unreadable, of another manifest or layout, or not finite; the text names
            the input's index, the tensor and the position.
        LocalFault: no inputs, or not one coefficient each.
    """
    if not inputs or len(inputs) != len(coefficients):
        raise LocalFault(f"{len(inputs)} inputs with {len(coefficients)} coefficients cannot be merged")
    headers = [_header(index, path) for index, path in enumerate(inputs)]
    plan = _common_plan(headers)
    buffers = [np.empty(window, np.uint8) for _ in inputs]
    result = np.empty(window, np.uint8)
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb", buffering=0)) for path in inputs]
        merged = stack.enter_context(tensorfile.atomic_file(out, durable=False))
        tensorfile.write_header(merged, plan)
        for run in _runs(plan):
            for start in range(run.start, run.end, window):
                size = min(window, run.end - start)
                blocks = []
                for index, (file, header) in enumerate(zip(files, headers, strict=True)):
                    _fill(index, file, header.data_offset + start, buffers[index][:size])
                    block = buffers[index][:size].view(tensorfile.DTYPES[run.dtype])
                    bad = first_non_finite(block, run.dtype)
                    if bad is not None:
                        raise _not_finite(index, plan, start + bad * block.itemsize, run.dtype, block[bad])
                    blocks.append(block)
                part = result[:size].view(tensorfile.DTYPES[run.dtype])
                merge_values(method, run.dtype, blocks, coefficients, part, block_bytes=window)
                _write(merged, plan.data_offset + start, result[:size])


def check_finite(path: Path, *, window: int = 16 * WINDOW_BYTES) -> None:
    """Read a tensor file once and find the first NaN or infinity.

    Raises:
        UnusableInput: not finite or unreadable; ``index`` is 0.
    """
    header = _header(0, path)
    buffer = np.empty(window, np.uint8)
    with path.open("rb", buffering=0) as file:
        for run in _runs(header):
            for start in range(run.start, run.end, window):
                size = min(window, run.end - start)
                _fill(0, file, header.data_offset + start, buffer[:size])
                block = buffer[:size].view(tensorfile.DTYPES[run.dtype])
                bad = first_non_finite(block, run.dtype)
                if bad is not None:
                    raise _not_finite(0, header, start + bad * block.itemsize, run.dtype, block[bad])


def _header(index: int, path: Path) -> tensorfile.Header:
    try:
        return tensorfile.read_header(path)
    except (tensorfile.TensorFileError, OSError) as error:
        raise UnusableInput(index, "unreadable", f"input {index} cannot be read: {error}") from error


def _common_plan(headers: Sequence[tensorfile.Header]) -> tensorfile.Header:
    first = headers[0]
    plan = tensorfile.plan(
        [(spec.name, spec.dtype, spec.shape) for spec in first.tensors], {"platform": first.platform}
    )
    for index, header in enumerate(headers):
        differences = plan.differences(header)
        if differences:
            raise UnusableInput(index, "manifest", f"input {index} does not fit the others: {'; '.join(differences)}")
        if header.tensors != plan.tensors:
            raise UnusableInput(
                index,
                "manifest",
                f"input {index} lays its tensors out in another order of bytes than this format",
            )
    return plan


def _runs(header: tensorfile.Header) -> list[_Run]:
    runs: list[_Run] = []
    for spec in header.by_offset():
        if spec.start == spec.end:
            continue
        if runs and runs[-1].dtype == spec.dtype:
            runs[-1] = _Run(spec.dtype, runs[-1].start, spec.end)
        else:
            runs.append(_Run(spec.dtype, spec.start, spec.end))
    return runs


def _fill(index: int, file: IO[bytes], offset: int, target: npt.NDArray[np.uint8]) -> None:
    done = 0
    while done < target.size:
        got = os.preadv(file.fileno(), [target[done:].data], offset + done)
        if got == 0:
            raise UnusableInput(index, "unreadable", f"input {index} ended at byte {offset + done} while it was read")
        done += got


def _write(file: IO[bytes], offset: int, data: npt.NDArray[np.uint8]) -> None:
    done = 0
    while done < data.size:
        done += os.pwrite(file.fileno(), data[done:].data, offset + done)


def _not_finite(
    index: int, header: tensorfile.Header, offset: int, dtype: str, value: np.generic[Any]
) -> UnusableInput:
    spec = next(spec for spec in header.by_offset() if spec.start <= offset < spec.end)
    at = (offset - spec.start) // tensorfile.DTYPES[dtype].itemsize
    position = [int(i) for i in np.unravel_index(at, spec.shape)] if spec.shape else []
    shown = "NaN or infinity" if dtype == "BF16" else str(value)
    return UnusableInput(
        index, "not_finite", f"input {index}: tensor {spec.name!r} holds {shown} at position {position}"
    )
