"""The three ways a program hands over its model, told apart by the bytes of one field (rows F03, F11, F12, D25).

Owns the exchange folder and every conversion to and from tensor files. Only fixed file names are accepted, links
are not followed, pickles are read by a reader that runs nothing. All functions block: call them in a thread.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import math
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from swarmlearning import legacy_pickle, tensorfile

from swarm.core.errors import LocalFault, OperatorFault, ProgramFault
from swarm.store.files import room_for

from . import inline
from .api import LossReport
from .shared import ANYBODY, make_folder

TRAINED_TENSORS, MERGED_TENSORS = "trained_weights.safetensors", "merged_weights.safetensors"
TRAINED_PICKLE, MERGED_PICKLE = "trained_weights.pkl", "merged_weights.pkl"
COPY_BYTES = 1 << 20
NAME_BYTES_MAX = 4096
"""A field of at most this size that holds no weights was meant as a file name."""


class Form(enum.Enum):
    """How this session's program speaks."""

    TENSORS = "safetensors file"
    PICKLE = "pickle file (2.3 wheel)"
    INLINE = "inline weights (2.1 or 2.2 wheel)"


def recognise(field: bytes | memoryview) -> Form:
    """The form of a SyncRequest by the bytes of its field 5; anything unknown counts as inline and is checked."""
    if len(field) <= 64:
        if bytes(field) == TRAINED_TENSORS.encode():
            return Form.TENSORS
        if bytes(field) == TRAINED_PICKLE.encode():
            return Form.PICKLE
    return Form.INLINE


def of_original(report: LossReport) -> LossReport:
    """An original client's report: its loss is marked, and the 0 and 0 of one that measured nothing are unknown.

    Its Hugging Face client always says so, and its PyTorch client without functions; no loss and metric are both 0.
    """
    if report.loss == 0 and report.metric == 0:
        return replace(report, loss=math.nan, metric=math.nan)
    return replace(report, own_figure=not math.isnan(report.loss))


def prepare_folder(folder: Path) -> None:
    """Make the exchange folder and the two files old programs look for (F03), open to any local user.

    Raises:
        OperatorFault: the folder or a file cannot be made or used.
    """
    try:
        make_folder(folder, ANYBODY)
        for name in (TRAINED_PICKLE, MERGED_PICKLE):
            path = folder / name
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(path, flags, 0o777)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OperatorFault(f"{path} is not a plain file; delete it")
                with contextlib.suppress(PermissionError):  # the program's user made it
                    os.fchmod(descriptor, 0o777)
            finally:
                os.close(descriptor)
    except OSError as fault:
        raise OperatorFault(
            f"the exchange folder {folder} cannot be used: {fault.strerror or fault};"
            " mount it writable in SL and program, which may be two users (chmod 777), or set SWARM_EXCHANGE_DIR on"
            " both sides"
        ) from fault


def take(form: Form, folder: Path, spool: Path | None, field: slice, target: Path) -> None:
    """Make the canonical tensor file ``target`` out of what the program handed over.

    Args:
        spool: for INLINE, the file that holds the message body; ``field`` is where the weights stand in it.

    Raises:
        ProgramFault: the model is missing, broken, or in no accepted form; the text names what is wrong.
    """
    try:
        if form is Form.TENSORS:
            _take_over(folder / TRAINED_TENSORS, target)
            tensorfile.read_header(target)
        elif form is Form.PICKLE:
            copy = target.with_suffix(".pkl")
            _copy(folder / TRAINED_PICKLE, copy)
            try:
                _store(legacy_pickle.load(copy), target)
            finally:
                copy.unlink()
        else:
            _take_inline(spool, field, target)
    except (tensorfile.TensorFileError, legacy_pickle.PickleRefused) as fault:
        target.unlink(missing_ok=True)
        raise ProgramFault(f"the model handed over as {form.value} is refused: {fault}") from fault


def mapped(path: Path) -> memoryview:
    """A read-only view of a file that is not empty."""
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _take_inline(spool: Path | None, field: slice, target: Path) -> None:
    if spool is None or field.stop <= field.start:
        raise ProgramFault("the program sent neither a known file name nor weights")
    weights = mapped(spool)[field]
    try:
        arrays = inline.read_weights(weights)
    except ProgramFault as fault:
        if len(weights) > NAME_BYTES_MAX:
            raise
        raise ProgramFault(
            f"the program names the file {bytes(weights[:80])!a}; accepted are only {TRAINED_TENSORS}"
            f" and {TRAINED_PICKLE} in the exchange folder, or the weights themselves ({fault})"
        ) from fault
    _store(arrays, target)


def platform_of(names: Mapping[str, Any]) -> str:
    """Which kind of program uses such parameter names: old wheels do not say.

    Keras names hold '/' or ':', PyTorch names hold '.' at most.
    """
    if any("/" in name or ":" in name for name in names):
        return "keras"
    return "pytorch" if any("." in name for name in names) else "numpy"


def _store(arrays: Mapping[str, npt.NDArray[Any]], target: Path) -> None:
    tensorfile.write(target, arrays, {"platform": platform_of(arrays)}, durable=False)


def _regular(path: Path) -> os.stat_result:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise ProgramFault(f"the program announced {path.name}, which is not in {path.parent}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ProgramFault(f"{path} is not a plain file (mode {found.st_mode:o}); links are not followed")
    return found


def _take_over(source: Path, target: Path) -> None:
    """By its name where the file is this user's, or this is root; another user's is copied: it stays theirs."""
    owner = _regular(source).st_uid
    if os.geteuid() not in (0, owner):
        _copy(source, target)
        with contextlib.suppress(PermissionError):  # a folder with the sticky bit: the program replaces it itself
            source.unlink()
        return
    try:
        os.replace(source, target)
    except OSError as fault:
        if fault.errno not in (errno.EXDEV, errno.EPERM, errno.EACCES):
            raise
        _copy(source, target)
    else:
        _regular(target)


def _copy(source: Path, target: Path) -> None:
    _regular(source)
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as fault:
        raise ProgramFault(
            f"{source} cannot be read by the SL, user id {os.geteuid()}: {fault.strerror or fault}; "
            "run SL and program as one user, or let this file be readable by others (chmod o+r)"
        ) from fault
    with os.fdopen(descriptor, "rb") as file, tensorfile.atomic_file(target, durable=False) as out:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ProgramFault(f"{source} is not a plain file; links are not followed")
        while piece := file.read(COPY_BYTES):
            out.write(piece)


def give_tensors(merged: Path, folder: Path) -> None:
    """Put a copy of a merged tensor file into the exchange folder under its fixed name, at once."""
    try:
        with (
            open(merged, "rb") as source,
            tensorfile.atomic_file(folder / MERGED_TENSORS, durable=False, mode=0o644) as out,
        ):
            while piece := source.read(COPY_BYTES):
                out.write(piece)
    except OSError as fault:
        raise OperatorFault(
            f"no merged model can be written to {folder}: {fault.strerror or fault}; {room_for(fault)}"
        ) from fault


def give_pickle(merged: Path, folder: Path) -> None:
    """Write a merged model as the pickle a 2.3 program loads; in place, because its user may own the file."""
    arrays = for_old_programs(merged)
    path = folder / MERGED_PICKLE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o777)
        with os.fdopen(descriptor, "wb", buffering=COPY_BYTES) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OperatorFault(f"{path} is not a plain file; delete it")
            file.truncate(0)
            legacy_pickle.dump(file, arrays)
    except OSError as fault:
        raise OperatorFault(
            f"no merged model can be written to {path}: {fault.strerror or fault}; {room_for(fault)}"
        ) from fault


def give_inline(merged: Path, head: bytes, bytes_max: int) -> tuple[int, list[bytes | memoryview]]:
    """Size and parts of a LossRequest body: ``head`` is its fields 1 to 3, the weights follow as field 4."""
    size, parts = inline.write_weights(for_old_programs(merged))
    start = head + inline.field(4, size)
    if len(start) + size > bytes_max:
        raise LocalFault(
            f"the merged model takes {len(start) + size} bytes in a message, a 2.1 or 2.2 wheel can read {bytes_max}:"
            " use the 2.3 wheel or this project's"
        )
    return len(start) + size, [start, *parts]


def for_old_programs(merged: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Arrays as old wheels can load them: float32, PyTorch scalars as one element (rows D20, K17).

    Keras compares shapes strictly, so its scalars stay scalars.
    """
    arrays = tensorfile.open_arrays(merged)
    plain = {name: np.asarray(arrays.as_float32(name)) for name in arrays}
    if arrays.header.platform == "keras":
        return plain
    return {name: np.atleast_1d(array) for name, array in plain.items()}
