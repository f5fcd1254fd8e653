"""Reads and writes the pickle files of the original 2.3 wheel without ever running a pickle.

The reader interprets the few pickle instructions that a ``dict[str, numpy.ndarray]`` needs and maps the few
names it may contain onto markers of its own: no import, no call and no allocation is steered by the file.
Arrays come back as read-only views of the mapped file. Only an SL uses this, for programs with the original
wheel; our own files are tensor files.
"""

from __future__ import annotations

import enum
import mmap
import os
import re
import struct
from collections.abc import Mapping
from typing import IO, Any, Callable, NoReturn, Optional, Union

import numpy as np
import numpy.typing as npt

__all__ = ["PICKLE_BYTES_MAX", "PickleRefused", "dump", "load"]

PICKLE_BYTES_MAX = 64 * 1024**3
INSTRUCTIONS_MAX = 4_000_000
STACK_MAX = 300_000
MEMO_MAX = 1_000_000
TEXT_BYTES_MAX = 4096

PathLike = Union[str, "os.PathLike[str]"]


class PickleRefused(ValueError):
    """The pickle is not a plain dict of named arrays; nothing of it was executed."""


class _Name(enum.Enum):
    """What a global in the file may stand for."""

    NDARRAY = "ndarray"
    DTYPE = "dtype"
    RECONSTRUCT = "_reconstruct"
    FROMBUFFER = "_frombuffer"
    SCALAR = "scalar"


_NAMES = {
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Name.SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _Name.FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Name.FROMBUFFER,
}
_DTYPE_TEXT = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1)")


class _Dtype:
    def __init__(self, code: str) -> None:
        self.code, self.order = code.lstrip("<>|="), "<"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """An array whose data may still be to come."""

    value: Optional[npt.NDArray[Any]] = None


_MARK = object()


def load(path: PathLike) -> dict[str, npt.NDArray[Any]]:
    """Read a dict of arrays from a pickle of protocol 3 to 5.

    Raises:
        PickleRefused: anything but strings, numbers and plain numpy arrays in one dict; the text names it.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 2 <= size <= PICKLE_BYTES_MAX:
            raise PickleRefused(f"a pickle of {size} bytes is not within 2..{PICKLE_BYTES_MAX}")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _Reader(data).run()


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> dict[str, npt.NDArray[Any]]:
        if self.take(1)[0] != 0x80 or self.take(1)[0] not in (3, 4, 5):
            raise PickleRefused("not a pickle of protocol 3, 4 or 5")
        for _ in range(INSTRUCTIONS_MAX):
            if self.at >= len(self.data):
                raise PickleRefused(f"the file ends after {self.at} bytes, in the middle of the pickle")
            code = self.data[self.at]
            self.at += 1
            if code == _STOP:
                return self.result()
            step = _BY_CODE.get(code)
            if step is None:
                raise PickleRefused(
                    f"instruction {bytes([code])!r} at byte {self.at - 1} has no place in a dict of arrays"
                )
            step(self)
            if len(self.stack) > STACK_MAX:
                raise PickleRefused(f"more than {STACK_MAX} values are stacked")
        raise PickleRefused(f"more than {INSTRUCTIONS_MAX} instructions")

    def result(self) -> dict[str, npt.NDArray[Any]]:
        top = self.pop()
        if self.stack or type(top) is not dict:
            raise PickleRefused(f"the pickle holds a {type(top).__name__}, not one dict of arrays")
        found: dict[str, npt.NDArray[Any]] = {}
        for name, value in top.items():
            if type(name) is not str or not isinstance(value, _Array) or value.value is None:
                raise PickleRefused(f"entry {_shown(name)!r} is not a named array")
            found[name] = value.value
        return found

    # primitive moves
    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise PickleRefused(f"{count} bytes are claimed at byte {self.at}, the file has {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def pop(self) -> Any:
        if not self.stack:
            raise PickleRefused(f"the stack is empty at byte {self.at}")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                taken = self.stack[index + 1 :]
                del self.stack[index:]
                return taken
        raise PickleRefused(f"no mark on the stack at byte {self.at}")

    def text(self, length: int) -> None:
        if length > TEXT_BYTES_MAX:
            raise PickleRefused(f"a text of {length} bytes is longer than {TEXT_BYTES_MAX}")
        try:
            self.stack.append(str(self.take(length), "utf-8"))
        except UnicodeDecodeError as fault:
            raise PickleRefused(f"a text at byte {self.at} is not UTF-8") from fault

    def bytes_(self, length: int) -> None:
        self.stack.append(self.take(length))

    def line(self) -> str:
        end = bytes(self.data[self.at : self.at + TEXT_BYTES_MAX]).find(b"\n")
        if end < 0:
            raise PickleRefused(f"a name at byte {self.at} does not end")
        raw = self.take(end + 1)
        return str(raw[:-1], "utf-8", "backslashreplace")

    # instructions
    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def put(self, index: int) -> None:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleRefused(f"nothing to remember at byte {self.at}")
        if len(self.memo) >= MEMO_MAX:
            raise PickleRefused(f"more than {MEMO_MAX} values are remembered")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise PickleRefused(f"memo {index} is asked for at byte {self.at} but was never set")
        self.stack.append(self.memo[index])

    def global_(self, module: Any, name: Any) -> None:
        known = _NAMES.get((module, name)) if type(module) is str and type(name) is str else None
        if known is None:
            raise PickleRefused(f"the pickle asks for {_shown(module)}.{_shown(name)}, only numpy arrays are read")
        self.stack.append(known)

    def stack_global(self) -> None:
        name = self.pop()
        self.global_(self.pop(), name)

    def integer(self, length: int) -> None:
        if length > 16:
            raise PickleRefused(f"an integer of {length} bytes")
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2 or not self.stack or type(self.stack[-1]) is not dict:
            raise PickleRefused(f"entries at byte {self.at} do not belong to a dict")
        target = self.stack[-1]
        for index in range(0, len(items), 2):
            key, value = items[index], items[index + 1]
            if type(key) is not str:
                raise PickleRefused(f"a key is a {type(key).__name__}, not a name")
            target[key] = value

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(arguments) is not tuple:
            raise PickleRefused(f"a call without arguments at byte {self.at}")
        if function is _Name.DTYPE and len(arguments) == 3:
            code = arguments[0]
            if type(code) is not str or not _DTYPE_TEXT.fullmatch(code):
                raise PickleRefused(f"dtype {_shown(code)!r} is not a plain number type")
            self.stack.append(_Dtype(code))
        elif function is _Name.RECONSTRUCT and len(arguments) == 3 and arguments[0] is _Name.NDARRAY:
            self.stack.append(_Array())
        elif function is _Name.FROMBUFFER and len(arguments) == 4:
            raw, dtype, shape, order = arguments
            if order not in ("C", "F"):
                raise PickleRefused(f"array order {_shown(order)!r} is neither C nor F")
            built = _Array()
            built.value = _view(raw, dtype, shape, order)
            self.stack.append(built)
        elif function is _Name.SCALAR and len(arguments) == 2:
            built = _Array()
            built.value = _view(arguments[1], arguments[0], (), "C")
            self.stack.append(built)
        else:
            raise PickleRefused(f"a call of {function if isinstance(function, _Name) else type(function).__name__}")

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if isinstance(target, _Dtype) and type(state) is tuple and len(state) in (8, 9):
            if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
                raise PickleRefused("a dtype with fields or sub-arrays")
            target.order = state[1] if state[1] in ("<", ">") else "<"
        elif isinstance(target, _Array) and type(state) is tuple and len(state) == 5:
            _, shape, dtype, fortran, raw = state
            target.value = _view(raw, dtype, shape, "F" if fortran is True else "C")
        else:
            raise PickleRefused(f"a state for {type(target).__name__} at byte {self.at}")


def _view(raw: Any, dtype: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
    if not isinstance(raw, memoryview) or not isinstance(dtype, _Dtype) or type(shape) is not tuple:
        raise PickleRefused("an array is not made of bytes, dtype and shape")
    if len(shape) > 32 or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise PickleRefused(f"an array of {len(shape)} dimensions has a size that is no size")
    kind = dtype.numpy()
    needed = kind.itemsize
    for size in shape:
        needed *= size
    if needed != len(raw):
        raise PickleRefused(f"an array of shape {list(shape)} and type {kind} needs {needed} bytes, has {len(raw)}")
    return np.frombuffer(raw, dtype=kind).reshape(shape, order="F" if order == "F" else "C")


def _shown(value: Any) -> str:
    """Text for a message; anything but a text is named by its type: a nested tuple could print for ever."""
    return value[:80] if type(value) is str else type(value).__name__


def _refuse_persistent(reader: _Reader) -> NoReturn:
    raise PickleRefused("the pickle asks for a persistent object")


_STEPS: dict[bytes, Callable[[_Reader], object]] = {
    b"\x95": lambda r: r.number("<Q"),
    b"}": lambda r: r.stack.append({}),
    b")": lambda r: r.stack.append(()),
    b"(": lambda r: r.stack.append(_MARK),
    b"N": lambda r: r.stack.append(None),
    b"\x88": lambda r: r.stack.append(True),
    b"\x89": lambda r: r.stack.append(False),
    b"J": lambda r: r.stack.append(r.number("<i")),
    b"K": lambda r: r.stack.append(r.number("<B")),
    b"M": lambda r: r.stack.append(r.number("<H")),
    b"\x8a": lambda r: r.integer(r.number("<B")),
    b"\x8c": lambda r: r.text(r.number("<B")),
    b"X": lambda r: r.text(r.number("<I")),
    b"\x8d": lambda r: r.text(r.number("<Q")),
    b"C": lambda r: r.bytes_(r.number("<B")),
    b"B": lambda r: r.bytes_(r.number("<I")),
    b"\x8e": lambda r: r.bytes_(r.number("<Q")),
    b"\x96": lambda r: r.bytes_(r.number("<Q")),
    b"\x85": lambda r: r.tuple_of(1),
    b"\x86": lambda r: r.tuple_of(2),
    b"\x87": lambda r: r.tuple_of(3),
    b"t": lambda r: r.stack.append(tuple(r.pop_mark())),
    b"\x94": lambda r: r.put(len(r.memo)),
    b"q": lambda r: r.put(r.number("<B")),
    b"r": lambda r: r.put(r.number("<I")),
    b"h": lambda r: r.get(r.number("<B")),
    b"j": lambda r: r.get(r.number("<I")),
    b"c": lambda r: r.global_(r.line(), r.line()),
    b"\x93": _Reader.stack_global,
    b"s": lambda r: r.set_items(list(reversed([r.pop(), r.pop()]))),
    b"u": lambda r: r.set_items(r.pop_mark()),
    b"R": _Reader.reduce,
    b"b": _Reader.build,
    b"P": _refuse_persistent,
    b"Q": _refuse_persistent,
}

_BY_CODE = {code[0]: step for code, step in _STEPS.items()}
_STOP = ord(".")


# ---- writing


def dump(file: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a dict of arrays as protocol 4, array by array, for Python 3.8 and numpy 1 to load.

    Names of functions are those of numpy 1 (``numpy.core``), which numpy 2 still understands.
    """
    file.write(b"\x80\x04}(")
    for name, array in arrays.items():
        raw_name = name.encode("utf-8")
        plain = np.asarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        contiguous = np.ascontiguousarray(plain)
        code = plain.dtype.str[1:].encode("ascii")
        order = b"|" if plain.dtype.itemsize == 1 else b"<"
        file.write(b"X" + struct.pack("<I", len(raw_name)) + raw_name)
        file.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR")
        file.write(b"(K\x01(" + b"".join(_integer(size) for size in plain.shape) + b"t")
        file.write(b"cnumpy\ndtype\nX" + struct.pack("<I", len(code)) + code + b"\x89\x88\x87R")
        file.write(b"(K\x03X\x01\x00\x00\x00" + order + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
        file.write(b"\x89\x8e" + struct.pack("<Q", contiguous.nbytes))
        file.write(contiguous.reshape(-1).view(np.uint8).data)
        file.write(b"tb")
    file.write(b"u.")


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw
