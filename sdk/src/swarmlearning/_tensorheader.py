"""What stands at the head of a tensor file: names, dtypes, shapes, offsets; parsed with bounds, planned, encoded.

Owns the header's rules and the comparison of two headers. Tensor data is ``tensorfile``'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Optional, Union, cast

import numpy as np

FORMAT = "swarm.1"
HEADER_BYTES_MAX = 16 * 1024 * 1024
TENSORS_MAX = 100_000
NAME_BYTES_MAX = 512
DIMENSIONS_MAX = 32
METADATA_BYTES_MAX = 64 * 1024
DIFFERENCES_MAX = 20
_BRACKETS_MAX = 8 * TENSORS_MAX

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""safetensors name -> numpy dtype of its bytes; BF16 is carried as its 16 raw bits."""

PathLike = Union[str, "os.PathLike[str]"]


class TensorFileError(ValueError):
    """A tensor file breaks the format or a bound; the text names the file, the tensor and the values."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: ``start`` and ``end`` are byte offsets within the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        """Number of elements."""
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True)
class Header:
    """What a tensor file says of itself; ``tensors`` stand in the program's order.

    ``data_offset`` is the byte at which the data section starts; ``file_size`` is in bytes.
    """

    tensors: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    data_offset: int
    file_size: int

    @property
    def platform(self) -> str:
        return self.metadata.get("platform", "")

    def by_offset(self) -> tuple[TensorSpec, ...]:
        """The tensors in the order of their bytes in the file."""
        return tuple(sorted(self.tensors, key=lambda spec: (spec.start, spec.end)))

    def manifest(self) -> bytes:
        """Canonical JSON of what must be equal across a swarm: platform, names, dtypes, shapes, order."""
        body = {
            "platform": self.platform,
            "tensors": [[spec.name, spec.dtype, list(spec.shape)] for spec in self.tensors],
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")

    def differences(self, other: Header) -> list[str]:
        """Sentences that say how ``other`` differs from this manifest; empty when they are equal.

        At most 20 sentences, the last one saying how many were left out.
        """
        found: list[str] = []
        if self.platform != other.platform:
            found.append(f"the platform is {other.platform!r}, expected {self.platform!r}")
        mine = {spec.name: spec for spec in self.tensors}
        theirs = {spec.name: spec for spec in other.tensors}
        for name, spec in mine.items():
            got = theirs.get(name)
            if got is None:
                found.append(f"tensor {name!r} ({spec.dtype}, shape {list(spec.shape)}) is missing")
                continue
            if got.shape != spec.shape:
                found.append(f"tensor {name!r} has shape {list(got.shape)}, expected {list(spec.shape)}")
            if got.dtype != spec.dtype:
                found.append(f"tensor {name!r} has dtype {got.dtype}, expected {spec.dtype}")
        found.extend(
            f"tensor {name!r} ({spec.dtype}, shape {list(spec.shape)}) is not expected"
            for name, spec in theirs.items()
            if name not in mine
        )
        if not found and list(mine) != list(theirs):
            wanted, got_names = list(mine), list(theirs)
            first = next(i for i, name in enumerate(wanted) if got_names[i] != name)
            found.append(
                f"tensor number {first} is {got_names[first]!r}, expected {wanted[first]!r}:"
                " same tensors in another order"
            )
        if len(found) > DIFFERENCES_MAX:
            left_out = len(found) - DIFFERENCES_MAX + 1
            found = [*found[: DIFFERENCES_MAX - 1], f"and {left_out} more differences"]
        return found


def read_header(path: PathLike) -> Header:
    """Read and check the header of a tensor file; tensor data is not touched.

    Raises:
        TensorFileError: any bound or rule of the format is broken.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        where = Path(os.fspath(path)).name
        if size < 8:
            raise TensorFileError(f"{where}: {size} bytes are too few for a tensor file")
        length = int.from_bytes(_exactly(file, 8, where), "little")
        if length > HEADER_BYTES_MAX:
            raise TensorFileError(f"{where}: header length {length} is above {HEADER_BYTES_MAX} bytes")
        if 8 + length > size:
            raise TensorFileError(f"{where}: header length {length} does not fit a file of {size} bytes")
        raw = _exactly(file, length, where)
    return _parse(raw, size, where)


def _exactly(file: IO[bytes], length: int, where: str) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise TensorFileError(f"{where}: the file ended after {len(data)} of {length} header bytes")
    return data


def _parse(raw: bytes, file_size: int, where: str) -> Header:
    if not raw.startswith(b"{"):
        raise TensorFileError(f"{where}: not a tensor file, the header starts with {raw[:8]!r}")
    if raw.count(b"[") + raw.count(b"{") > _BRACKETS_MAX:
        raise TensorFileError(f"{where}: the header has more than {_BRACKETS_MAX} brackets")
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except TensorFileError as fault:
        raise TensorFileError(f"{where}: {fault}") from None
    except (ValueError, RecursionError) as fault:
        raise TensorFileError(f"{where}: the header is not JSON: {fault}"[:300]) from None
    metadata: dict[str, str] = {}
    if "__metadata__" in entries:
        metadata = _metadata(entries.pop("__metadata__"), where)
    if len(entries) > TENSORS_MAX:
        raise TensorFileError(f"{where}: {len(entries)} tensors are more than {TENSORS_MAX}")
    specs = tuple(_spec(name, entry, where) for name, entry in entries.items())
    data_offset = 8 + len(raw)
    _check_tiling(specs, file_size - data_offset, where)
    return Header(specs, metadata, data_offset, file_size)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise TensorFileError(f"the name {shown(twice)} stands twice in the header")
    return found


def _no_constant(text: str) -> Any:
    raise TensorFileError(f"the header holds {text}")


def _metadata(entry: Any, where: str) -> dict[str, str]:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise TensorFileError(f"{where}: __metadata__ must map texts to texts")
    try:
        size = sum(len(k.encode("utf-8")) + len(v.encode("utf-8")) for k, v in entry.items())
    except UnicodeEncodeError as fault:
        raise TensorFileError(f"{where}: __metadata__ is not valid text") from fault
    if size > METADATA_BYTES_MAX:
        raise TensorFileError(f"{where}: {size} bytes of metadata are more than {METADATA_BYTES_MAX}")
    return cast("dict[str, str]", entry)


def _check_name(name: str, where: str) -> None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as fault:
        raise TensorFileError(f"{where}: tensor name {shown(name)} is not valid text") from fault
    if not 1 <= size <= NAME_BYTES_MAX:
        raise TensorFileError(f"{where}: tensor name {shown(name)} has {size} bytes, allowed are 1 to {NAME_BYTES_MAX}")
    if name == "__metadata__":
        raise TensorFileError(f"{where}: no tensor may be named '__metadata__'")


def _spec(name: str, entry: Any, where: str) -> TensorSpec:
    _check_name(name, where)
    label = f"{where}: tensor {shown(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise TensorFileError(f"{label} must have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise TensorFileError(f"{label} has unknown dtype {shown(dtype)}")
    if not isinstance(shape, list) or len(shape) > DIMENSIONS_MAX or not all(map(_is_size, shape)):
        raise TensorFileError(f"{label} has shape {shown(shape)}, not up to {DIMENSIONS_MAX} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise TensorFileError(f"{label} has data_offsets {shown(offsets)}, not two offsets")
    spec = TensorSpec(name, dtype, tuple(shape), offsets[0], offsets[1])
    needed = spec.count * DTYPES[dtype].itemsize
    if spec.end - spec.start != needed:
        raise TensorFileError(
            f"{label} ({dtype}, shape {shown(shape)}) needs {needed} bytes"
            f" but its offsets {offsets} hold {spec.end - spec.start}"
        )
    return spec


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _check_tiling(specs: Sequence[TensorSpec], data_bytes: int, where: str) -> None:
    at = 0
    for spec in sorted(specs, key=lambda s: (s.start, s.end)):
        if spec.start != at:
            kind = "overlaps the one before it" if spec.start < at else "leaves a hole before it"
            raise TensorFileError(
                f"{where}: tensor {shown(spec.name)} starts at {spec.start}, expected {at}: it {kind}"
            )
        at = spec.end
    if at != data_bytes:
        raise TensorFileError(f"{where}: the tensors take {at} bytes, the file holds {data_bytes}")


def shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 120 else text[:117] + "..."


def plan(tensors: Iterable[tuple[str, str, Sequence[int]]], metadata: Optional[Mapping[str, str]] = None) -> Header:
    """Lay out a file for (name, dtype, shape) in the program's order; nothing is written.

    ``metadata`` gains ``format``. Raises TensorFileError for names, dtypes, shapes or sizes out of bounds.
    """
    given = list(tensors)
    if len(given) > TENSORS_MAX:
        raise TensorFileError(f"{len(given)} tensors are more than {TENSORS_MAX}")
    for name, dtype, shape in given:
        _check_name(name, "plan")
        if dtype not in DTYPES:
            raise TensorFileError(f"tensor {shown(name)} has unknown dtype {shown(dtype)}")
        if len(shape) > DIMENSIONS_MAX:
            raise TensorFileError(f"tensor {shown(name)} has {len(shape)} dimensions")
    if len({name for name, _, _ in given}) != len(given):
        raise TensorFileError("two tensors have the same name")
    meta = _metadata({**(metadata or {}), "format": FORMAT}, "plan")
    placed: dict[str, TensorSpec] = {}
    at = 0
    for name, dtype, shape in sorted(given, key=lambda one: -DTYPES[one[1]].itemsize):
        dims = tuple(int(size) for size in shape)
        spec = TensorSpec(name, dtype, dims, at, at)
        spec = TensorSpec(name, dtype, dims, at, at + spec.count * DTYPES[dtype].itemsize)
        placed[name], at = spec, spec.end
    specs = tuple(placed[name] for name, _, _ in given)
    data_offset = 8 + len(header_json(specs, meta))
    return Header(specs, meta, data_offset, data_offset + at)


def header_json(specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    body: dict[str, Any] = {"__metadata__": {key: metadata[key] for key in sorted(metadata)}}
    for spec in specs:
        body[spec.name] = {
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "data_offsets": [spec.start, spec.end],
        }
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    raw += b" " * (-len(raw) % 8)
    if len(raw) > HEADER_BYTES_MAX:
        raise TensorFileError(f"a header of {len(raw)} bytes is above {HEADER_BYTES_MAX}")
    return raw
