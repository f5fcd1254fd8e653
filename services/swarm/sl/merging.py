"""Merging model files: streams tensor files through a merge method in bounded memory.

Owns reading, checking and writing of the bytes; the arithmetic is ``core.merge``, the format is
``swarmlearning.tensorfile``, and which inputs count with which share is the engine's business.
"""

from __future__ import annotations

import bisect
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from swarmlearning import tensorfile

from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.merge import (
    BLOCK_BYTES,
    FLOATS,
    UNIT,
    Anchor,
    Block,
    Gram,
    Measured,
    Method,
    Outer,
    ahead,
    as_float,
    lower_median,
    merge_values,
    rest,
    shares,
    stepped,
    takes_step,
)

from .modelfiles import Run, UnusableInput, describe, fill, read_header, runs
from .oddities import SetAside

WINDOW_BYTES = 256 * 1024
"""What is held of each input, and of the result, at a time; also the unit of arithmetic."""
SMALL_WINDOW_BYTES = 32 * 1024
"""The same where memory is short (SL_RAM_INTENSIVE=False): an eighth; bytes are the same, calls more."""


class _Inputs(AbstractContextManager["_Inputs"]):
    """Open tensor files of one manifest, read side by side; every block that is read is checked.

    NaNs and infinities that all inputs share are set aside. Merged models of rounds before, where they are given,
    are read before the others, the last one as input -1: they are this node's own, so what is wrong with them is no
    peer's fault.
    """

    def __init__(self, inputs: Sequence[Path], past: Sequence[Path], window: int) -> None:
        self._first = -len(past)
        self._past = len(past) if inputs else len(past) - 1
        self._aside = SetAside([], "F32", 0)
        self._paths = [*past, *inputs]
        self._stack = ExitStack()
        self._files: list[IO[bytes]] = []
        self._buffers = [np.empty(window, np.uint8) for _ in self._paths]
        with _own_faults():
            self._headers = [read_header(index, path) for index, path in enumerate(self._paths, self._first)]
            self.plan = _common_plan(self._headers, self._first)

    def __enter__(self) -> _Inputs:
        self._files = [self._stack.enter_context(path.open("rb", buffering=0)) for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, run: Run, start: int, size: int) -> list[Block]:
        """``size`` bytes of every file's data from ``start`` on, as elements; valid until the next call."""
        blocks = []
        each = zip(self._files, self._headers, self._buffers, strict=True)
        for index, (file, header, buffer) in enumerate(each, self._first):
            with _own_faults():
                fill(index, file, header.data_offset + start, buffer[:size])
            blocks.append(buffer[:size].view(tensorfile.DTYPES[run.dtype]))
        self._aside = SetAside(blocks, run.dtype, self._past)
        if self._aside.bad is not None:
            which, at = self._aside.bad
            index, block = which + self._first, blocks[which]
            where = describe(self.plan, start + at * block.itemsize, run.dtype, block[at])
            raise UnusableInput(index, "not_finite", f"input {index}: {where}, not the same as in the others")
        return blocks

    def put_back(self, result: Block) -> None:
        """What was not finite, the same in all inputs, into what was made of the blocks read last."""
        self._aside.put_back(result)


@contextmanager
def _own_faults() -> Iterator[None]:
    try:
        yield
    except UnusableInput as fault:
        if fault.index < 0:
            text = str(fault).removeprefix(f"input {fault.index}")
            which = "the previous merged model" if fault.index == -1 else "the merged model before the previous one"
            raise LocalFault(f"{which} in this node's store cannot be used:{text}") from fault
        raise


def find_shares(
    inputs: Sequence[Path], weights: Sequence[int], method: Method, previous: Path | None = None
) -> tuple[float, ...]:
    """The inputs' shares: from the weights, or for a measured method from a pass over the inputs.

    Memory, whatever the model's size: about 0.4 MB an input and, for inner products of all pairs, 1 KiB a pair.

    Args:
        previous: the merged model of the round before, None in round 0.

    Raises:
        UnusableInput: as :func:`merge_files`; ``far`` if distances leave the range of float64.
        LocalFault: the previous merged model cannot be read.
    """
    known = method.coefficients(weights)
    if known is not None:
        return known
    if not isinstance(method, Measured):
        raise OperatorFault(f"the merge method {method.name} gives no coefficients and has no solve()")
    if method.anchor is Anchor.PREVIOUS and previous is None:
        return shares(weights)
    anchored = method.anchor is Anchor.PREVIOUS
    gram = _measure(inputs, previous if anchored else None, pairs=method.pairs)
    if not np.isfinite(gram).all():
        index = int(np.argmax(np.diag(gram)))
        raise UnusableInput(index, "far", f"input {index} is so far from the others that no distance can be computed")
    return method.solve(weights, gram)


def _measure(inputs: Sequence[Path], previous: Path | None, *, pairs: bool) -> npt.NDArray[np.float64]:
    gram = Gram(len(inputs), pairs=pairs)
    window = UNIT * 8
    extra = 0 if previous is None else 1
    with _Inputs(inputs, [] if previous is None else [previous], window) as files:
        for run in runs(files.plan):
            if run.dtype not in FLOATS:
                continue
            unit = UNIT * tensorfile.DTYPES[run.dtype].itemsize
            for start in range(run.start, run.end, unit):
                read = files.read(run, start, min(unit, run.end - start))
                blocks = [as_float(block, run.dtype) for block in read]
                if previous is None:
                    base = np.empty_like(blocks[0])
                    lower_median(blocks, base)
                else:
                    base = blocks[0]
                gram.add(_differences(blocks[extra:], base))
    return gram.matrix()


def _differences(blocks: Sequence[Block], base: Block) -> list[npt.NDArray[np.float64]]:
    wide = base.astype(np.float64)
    found = []
    with np.errstate(over="ignore"):
        for block in blocks:
            difference = block.astype(np.float64)
            difference -= wide
            found.append(difference)
    return found


def merge_files(
    inputs: Sequence[Path],
    coefficients: Sequence[float],
    out: Path,
    method: Method,
    *,
    previous: Path | None = None,
    outer: Outer | None = None,
    before: Path | None = None,
    norms: bool = False,
    window: int = WINDOW_BYTES,
) -> list[float] | None:
    """Merge tensor files of one manifest into ``out``, which appears only when it is complete.

    Memory is (number of inputs + 2) windows and the headers, whatever the model's size. The result's metadata
    is the platform alone, so that its bytes depend on the parameters and nothing else. ``out`` is not synced
    to disk: the store that takes it in does that.

    Args:
        inputs: in the protocol's order, ascending by node.
        coefficients: one per input, as :func:`find_shares` gave them, or as they are recorded.
        previous: the merged model of the round before; a method anchored there takes it as its first input.
        outer: the step on top of the merge; none without a previous model.
        before: the merged model of the round before ``previous``; None: the step has no velocity.
        norms: measure how far the inputs lie from ``previous`` on the way; needs one.
        window: bytes, a multiple of 8; never changes the result.

    Returns:
        With ``norms`` the L2 norm of each input's difference to ``previous`` over all floating-point tensors.

    Raises:
        UnusableInput: an input is unreadable, of another manifest or layout, or not finite where others are; the
            text names the input's index, the tensor and the position.
        LocalFault: no inputs, not one coefficient each, or a previous model that does not fit.
    """
    if not inputs or len(inputs) != len(coefficients):
        raise LocalFault(f"{len(inputs)} inputs with {len(coefficients)} coefficients cannot be merged")
    if norms and previous is None:
        raise LocalFault("norms are measured from the merged model before, which is not given")
    anchored = isinstance(method, Measured) and method.anchor is Anchor.PREVIOUS and previous is not None
    steps = outer if previous is not None else None
    all_shares = [rest(coefficients), *coefficients] if anchored else list(coefficients)
    gram = Gram(len(inputs), pairs=False)
    unit = UNIT * 8
    step = -(-window // unit) * unit if norms else window
    past = [previous] if previous is not None and (anchored or norms or steps is not None) else []
    if before is not None and steps is not None:
        past.insert(0, before)
    used = len(past) - 1 if anchored else len(past)
    with _Inputs(inputs, past, step) as files:
        result = np.empty(step, np.uint8)
        stepping = _stepping(files.plan)
        with tensorfile.atomic_file(out, durable=False) as merged:
            tensorfile.write_header(merged, files.plan)
            for run in runs(files.plan):
                for start in range(run.start, run.end, step):
                    size = min(step, run.end - start)
                    blocks = files.read(run, start, size)
                    if norms and run.dtype in FLOATS:
                        _add_norms(gram, blocks[len(past) - 1 :], run.dtype)
                    part = result[:size].view(tensorfile.DTYPES[run.dtype])
                    merge_values(
                        method, run.dtype, blocks[used:], all_shares, part, block_bytes=min(window, BLOCK_BYTES)
                    )
                    if steps is not None and run.dtype in FLOATS:
                        for at in _within(stepping, start, start + size, part.itemsize):
                            old = [block[at] for block in blocks[: len(past)]]
                            part[at] = stepped(steps, run.dtype, part[at], old[-1], old[0] if old[1:] else None)
                    files.put_back(part)
                    _write(merged, files.plan.data_offset + start, result[:size])
    return [math.sqrt(value) for value in np.diag(gram.matrix())] if norms else None


def look_ahead(last: Path, before: Path, outer: Outer, out: Path, *, window: int = WINDOW_BYTES) -> None:
    """Write where programs train from after the round of ``last`` when the job has a Nesterov step.

    Args:
        before: the merged model of the round before.

    Raises:
        LocalFault: one of the two cannot be read, or they do not fit.
    """
    with _Inputs([], [before, last], window) as files, tensorfile.atomic_file(out, durable=False) as made:
        stepping = _stepping(files.plan)
        tensorfile.write_header(made, files.plan)
        for run in runs(files.plan):
            for start in range(run.start, run.end, window):
                size = min(window, run.end - start)
                old, new = files.read(run, start, size)
                if run.dtype in FLOATS:
                    result = new.copy()
                    for at in _within(stepping, start, start + size, new.itemsize):
                        result[at] = ahead(outer, run.dtype, new[at], old[at])
                    new = result
                    files.put_back(new)
                _write(made, files.plan.data_offset + start, new.view(np.uint8))


def _stepping(header: tensorfile.Header) -> list[tuple[int, int]]:
    """Ranges of bytes whose tensors take an outer step, neighbours as one."""
    found: list[tuple[int, int]] = []
    for spec in header.by_offset():
        if spec.start == spec.end or not takes_step(spec.name):
            continue
        joined = bool(found) and found[-1][1] == spec.start
        found[-1:] = [(found[-1][0], spec.end)] if joined else [*found[-1:], (spec.start, spec.end)]
    return found


def _within(ranges: Sequence[tuple[int, int]], start: int, end: int, itemsize: int) -> Iterator[slice]:
    """What of the ranges lies in a window, as elements from its start on."""
    for first, last in ranges[bisect.bisect_right(ranges, start, key=lambda r: r[1]) :]:
        if first >= end:
            return
        yield slice((max(first, start) - start) // itemsize, (min(last, end) - start) // itemsize)


def _add_norms(gram: Gram, blocks: Sequence[Block], dtype: str) -> None:
    for at in range(0, blocks[0].size, UNIT):
        floats = [as_float(block[at : at + UNIT], dtype) for block in blocks]
        gram.add(_differences(floats[1:], floats[0]))


def _common_plan(headers: Sequence[tensorfile.Header], start: int) -> tensorfile.Header:
    first = headers[0]
    plan = tensorfile.plan(
        [(spec.name, spec.dtype, spec.shape) for spec in first.tensors], {"platform": first.platform}
    )
    for index, header in enumerate(headers, start):
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


def _write(file: IO[bytes], offset: int, data: npt.NDArray[np.uint8]) -> None:
    done = 0
    while done < data.size:
        done += os.pwrite(file.fileno(), data[done:].data, offset + done)
