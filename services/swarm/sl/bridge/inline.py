"""The weights inside a message, as the 2.1 and 2.2 wheels send them (row F11): read and written by hand.

``Weights{map<string, NDArray>}`` with ``NDArray{1 string dtype, 2 repeated uint32 shape, 3 bytes data}``. Hand-read
from a mapped file because such a body may have 2 GiB: arrays are views, nothing is copied or allocated by size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from swarmlearning import tensorfile

from swarm.core.errors import ProgramFault

FIELDS_MAX = 4 * tensorfile.TENSORS_MAX
DIMENSIONS_MAX = 32
_DTYPE = re.compile(r"dtype\('([<>|=]?)([a-z]\d|[a-z]+\d{0,2})'\)")
_PLAIN = {dtype.name: dtype for name, dtype in tensorfile.DTYPES.items() if name != "BF16"}
_SHORT = {dtype.str[1:]: dtype for name, dtype in tensorfile.DTYPES.items() if name != "BF16"}


Value = int | memoryview


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Field numbers and values of a protobuf message; see :func:`fields_at`."""
    return ((number, value) for number, value, _ in fields_at(data))


def fields_at(data: memoryview) -> Iterator[tuple[int, Value, slice]]:
    """Field numbers, values (integers, or views of delimited bytes) and where those bytes stand.

    Raises:
        ProgramFault: the bytes are no message, or have more fields than the bound.
    """
    at = 0
    for _ in range(FIELDS_MAX):
        if at == len(data):
            return
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value, slice(0, 0)
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ProgramFault(f"the program sent a message with wire type {kind} at byte {at}")
        if number == 0 or size > len(data) - at:
            raise ProgramFault(f"the program sent a field of {size} bytes where {len(data) - at} are left")
        yield number, data[at : at + size], slice(at, at + size)
        at += size
    raise ProgramFault(f"the program sent a message of more than {FIELDS_MAX} fields")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for step in range(10):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * step)
        if byte < 0x80:
            return value, at
    raise ProgramFault(f"the program sent a broken number at byte {at}")


def _bytes(value: Value, what: str) -> memoryview:
    if isinstance(value, int):
        raise ProgramFault(f"the program sent a number where {what} belongs")
    return value


def text(value: Value, what: str, bytes_max: int) -> str:
    """A bounded UTF-8 text of a message. Raises ProgramFault."""
    raw = _bytes(value, what)
    if len(raw) > bytes_max:
        raise ProgramFault(f"the program sent {what} of {len(raw)} bytes, allowed are {bytes_max}")
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as fault:
        raise ProgramFault(f"the program sent {what} that is not UTF-8") from fault


def read_weights(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a Weights message, as views of ``data``, in the order of the message.

    Raises:
        ProgramFault: the bytes are no Weights message; the text names the tensor.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    for number, entry in fields(data):
        if number != 1:
            raise ProgramFault(f"the program sent neither a known file name nor weights (field {number})")
        name, body = "", memoryview(b"")
        for part, value in fields(_bytes(entry, "a weights entry")):
            if part == 1:
                name = text(value, "a tensor name", tensorfile.NAME_BYTES_MAX)
            elif part == 2:
                body = _bytes(value, "a tensor")
        if not name or name in found or len(found) >= tensorfile.TENSORS_MAX:
            raise ProgramFault(f"the program sent weights with the name {name!r} missing, twice, or one too many")
        found[name] = _array(name, body)
    if not found:
        raise ProgramFault("the program sent neither a known file name nor weights")
    return found


def _array(name: str, body: memoryview) -> npt.NDArray[Any]:
    dtype, shape, data = "", list[int](), memoryview(b"")
    for number, value in fields(body):
        if number == 1:
            dtype = text(value, "a dtype", 64)
        elif number == 2 and isinstance(value, int):
            shape.append(value)
        elif number == 2 and not isinstance(value, int):
            at = 0
            while at < len(value) and len(shape) <= DIMENSIONS_MAX:
                size, at = _varint(value, at)
                shape.append(size)
        elif number == 3:
            data = _bytes(value, "tensor data")
    kind = _numpy_type(dtype)
    if kind is None:
        raise ProgramFault(f"tensor {name!r} has the type {dtype[:64]!r}, which is no plain number type")
    if len(shape) > DIMENSIONS_MAX or any(size >= 2**32 for size in shape):
        raise ProgramFault(f"tensor {name!r} has an impossible shape of {len(shape)} dimensions")
    needed = kind.itemsize
    for size in shape:
        needed *= size
    if needed != len(data):
        raise ProgramFault(f"tensor {name!r}: shape {shape} of {kind} needs {needed} bytes, {len(data)} came")
    return np.frombuffer(data, dtype=kind).reshape(shape)


def _numpy_type(spelled: str) -> np.dtype[Any] | None:
    match = _DTYPE.fullmatch(spelled)
    if match is None:
        return None
    order, name = match.groups()
    kind = _PLAIN.get(name) or _SHORT.get(name)
    return kind.newbyteorder(">") if kind is not None and order == ">" else kind


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return encode_varint(number << 3 | 2) + encode_varint(size)


def write_weights(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[int, list[bytes | memoryview]]:
    """Size in bytes and parts of a Weights message, names sorted as deterministic protobuf does."""
    parts: list[bytes | memoryview] = []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        spelled = repr(array.dtype).encode("ascii")
        shape = b"".join(encode_varint(size) for size in arrays[name].shape)
        head = field(1, len(spelled)) + spelled
        if shape:
            head += field(2, len(shape)) + shape
        data = array.reshape(-1).view(np.uint8).data
        if len(data):
            head += field(3, len(data))
        key = name.encode("utf-8")
        prefix = field(1, len(key)) + key + field(2, len(head) + len(data))
        parts.append(field(1, len(prefix) + len(head) + len(data)) + prefix + head)
        parts.append(data)
    return sum(len(part) for part in parts), parts
