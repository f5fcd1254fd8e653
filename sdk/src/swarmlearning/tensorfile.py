"""The one tensor format between sites: safetensors, read with bounds and written deterministically.

Owns layout, bounds and comparison of tensor files; knows no training framework and no wire.

Layout: u64 little-endian header length, header (JSON, padded with blanks to a multiple of 8), data. The
*program's* order of tensors is the order of keys in the header; the data is laid out by falling item
size (stable), so that every tensor is aligned. Same tensors, order and metadata give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Mapping, Optional

import numpy as np
import numpy.typing as npt

from ._tensorheader import (
    DIFFERENCES_MAX,
    DTYPES,
    HEADER_BYTES_MAX,
    NAME_BYTES_MAX,
    TENSORS_MAX,
    Header,
    PathLike,
    TensorFileError,
    TensorSpec,
    header_json,
    plan,
    read_header,
    shown,
)

__all__ = [
    "DIFFERENCES_MAX",
    "DTYPES",
    "HEADER_BYTES_MAX",
    "NAME_BYTES_MAX",
    "TENSORS_MAX",
    "BFloat16Bits",
    "Header",
    "TensorArrays",
    "TensorFileError",
    "TensorSpec",
    "atomic_file",
    "from_float32",
    "open_arrays",
    "plan",
    "read_header",
    "to_float32",
    "write",
    "write_header",
]

_COPY_BYTES = 1 << 20
_BY_NUMPY = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


class BFloat16Bits(np.ndarray):
    """A uint16 array that holds bfloat16 values: numpy itself has no such type."""


class TensorArrays(Mapping[str, "npt.NDArray[Any]"]):
    """Views of a tensor file by name, in the program's order; BF16 comes as BFloat16Bits (uint16).

    ``header`` is the file's checked header. The views map the file: they stay valid as long as they are held.
    They are read-only, or with ``private`` writable without the file ever changing.
    """

    def __init__(self, path: PathLike, *, private: bool = False) -> None:
        self.header = read_header(path)
        data_bytes = self.header.file_size - self.header.data_offset
        self._data: npt.NDArray[np.uint8]
        if data_bytes:
            self._data = np.memmap(
                path,
                dtype=np.uint8,
                mode="c" if private else "r",
                offset=self.header.data_offset,
                shape=(data_bytes,),
            )
        else:
            self._data = np.empty(0, np.uint8)
            self._data.flags.writeable = private
        self._specs = {spec.name: spec for spec in self.header.tensors}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        spec = self._specs[name]
        flat = np.asarray(self._data)[spec.start : spec.end]
        shaped = flat.view(DTYPES[spec.dtype]).reshape(spec.shape)
        return shaped.view(BFloat16Bits) if spec.dtype == "BF16" else shaped

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def as_float32(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor as float32, whatever its dtype."""
        return to_float32(self[name], self._specs[name].dtype)


def open_arrays(path: PathLike) -> TensorArrays:
    """Map a tensor file read-only.

    Raises:
        TensorFileError: any bound or rule of the format is broken.
        OSError: the file cannot be read.
    """
    return TensorArrays(path)


def to_float32(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Values of a stored tensor as float32; ``dtype`` is its safetensors name (needed for BF16)."""
    if dtype == "BF16":
        wide = np.asarray(array).astype(np.uint32) << np.uint32(16)
        return np.asarray(wide).view(np.float32).reshape(array.shape)
    return array.astype(np.float32, copy=False)


def from_float32(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bfloat16 bits nearest to float32 values (ties to even); NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    rounded[np.isnan(bits.view(np.float32))] = 0x7FC0
    return rounded.reshape(np.shape(values))


# ---- writing


def write_header(file: IO[bytes], header: Header) -> None:
    """Write the header of a planned file at its start and give the file its final size.

    For streaming: the caller then puts each tensor's bytes at ``header.data_offset + spec.start`` (seek or
    ``os.pwrite``); sequential writers go through ``header.by_offset()``. Parts not written read as zero.
    """
    raw = header_json(header.tensors, header.metadata)
    if 8 + len(raw) != header.data_offset:
        raise TensorFileError(
            f"this header was not planned here: it takes {8 + len(raw)} bytes, not {header.data_offset}"
        )
    file.seek(0)
    file.truncate(header.file_size)
    file.write(len(raw).to_bytes(8, "little") + raw)
    file.flush()


def write(
    path: PathLike,
    tensors: Mapping[str, npt.ArrayLike],
    metadata: Mapping[str, str],
    *,
    dtypes: Optional[Mapping[str, str]] = None,
    durable: bool = True,
    mode: int = 0o600,
) -> Header:
    """Write tensors atomically: a sibling temporary file is completed, then renamed.

    Args:
        tensors: name -> array in the program's order; scalars stay 0-d.
        metadata: texts; ``platform`` says which kind of program wrote the file.
        dtypes: name -> "BF16" for arrays that are bfloat16 bits in plain uint16.
        durable: fsync file and folder; a file that another process takes over at once needs none.
        mode: permission bits of the new file, whatever the umask: a file for another user is named so on purpose.

    Raises:
        TensorFileError: a dtype is not storable, or a bound is broken.
        OSError: the file cannot be written.
    """
    arrays = {name: np.asanyarray(array) for name, array in tensors.items()}
    names = {name: _dtype_name(name, array, (dtypes or {}).get(name)) for name, array in arrays.items()}
    header = plan(((name, names[name], array.shape) for name, array in arrays.items()), metadata)
    with atomic_file(path, durable=durable, mode=mode) as file:
        write_header(file, header)
        for spec in header.by_offset():
            stored = arrays[spec.name]
            if names[spec.name] != "BF16":
                stored = stored.astype(DTYPES[spec.dtype], copy=False)
            file.write(np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data)
    return header


def _dtype_name(name: str, array: npt.NDArray[Any], wanted: Optional[str]) -> str:
    if wanted == "BF16" or isinstance(array, BFloat16Bits) or array.dtype.name == "bfloat16":
        if array.dtype.itemsize != 2:
            raise TensorFileError(f"tensor {shown(name)} is {array.dtype}, not bfloat16 bits in uint16")
        return "BF16"
    found = _BY_NUMPY.get(array.dtype.newbyteorder("<"))
    if found is None or (wanted is not None and wanted != found):
        raise TensorFileError(
            f"tensor {shown(name)} has dtype {array.dtype}, which cannot be stored"
            f" as {wanted or 'any of ' + ', '.join(DTYPES)}"
        )
    return found


@contextlib.contextmanager
def atomic_file(path: PathLike, *, durable: bool = True, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A new file that takes the name ``path`` only if the block ends without an exception."""
    target = Path(os.fspath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(temporary, flags, mode), "r+b", buffering=_COPY_BYTES) as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
                with contextlib.suppress(PermissionError):  # a file system that has no such bits
                    os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
