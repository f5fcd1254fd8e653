"""A profile's ``usrcontaineropts``: what a program's container gets of its host's devices (row P16).

Owns how the options are read; whether they are allowed is the policy's business. They are named as ``docker run`` and
as NVIDIA's and AMD's pages write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import OperatorFault
from ..tasktext.profile import OptionValue
from .containers import Devices, Gpus

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
SHM_BYTES_MAX = 2**50
_DEVICE = re.compile(r"(/[^:\s]+)(:/[^:\s]+)?(:[rwm]{1,3})?")
_GPU_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._-]*")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")


def devices(options: Sequence[tuple[str, OptionValue]]) -> tuple[Devices, tuple[str, ...]]:
    """What the options mean, and the names of those that mean nothing here.

    Raises:
        OperatorFault: a value cannot be read; says which and how it is written.
    """
    found = Devices()
    unknown = []
    for name, value in options:
        read = _READ.get(name)
        if read is None:
            unknown.append(name)
        elif value is not None:
            found = read(found, value)
    return found, tuple(unknown)


def _wrong(name: str, value: OptionValue, form: str) -> OperatorFault:
    return OperatorFault(f"usrcontaineropts: {name} is {value!r}; write {form}")


def _texts(value: OptionValue) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def gpus_of(value: OptionValue) -> Gpus:
    """``all``, a number, or ``device=`` with numbers or UUIDs; quotes that a shell would need are left out."""
    text = ",".join(_texts(value)).strip().strip("\"'").strip()
    if text.lower() in ("all", "device=all", "-1", "true"):
        return Gpus(count=-1)
    if text.isdecimal() and int(text) > 0:
        return Gpus(count=int(text))
    named = text.removeprefix("device=").strip("\"'")
    ids = tuple(part.strip() for part in named.split(","))
    if text.startswith("device=") and all(_GPU_ID.fullmatch(one) for one in ids):
        return Gpus(ids=ids)
    raise _wrong("gpus", value, "all, a number of GPUs, or device=0,1 with numbers or UUIDs")


def size_of(text: str) -> int:
    """A size as Docker writes it: ``16G``, ``64m``, ``1.5gb``, a number of bytes; 0: it is none."""
    match = _SIZE.fullmatch(text.strip())
    size = 0 if match is None else int(float(match[1]) * 1024 ** _POWER[match[2].lower()])
    return size if size <= SHM_BYTES_MAX else 0


def bytes_of(value: OptionValue) -> int:
    """Of /dev/shm."""
    size = size_of(str(value))
    if isinstance(value, bool) or not size:
        raise _wrong("shm-size", value, "a size such as 16G or 512m")
    return size


def _device(found: Devices, value: OptionValue) -> Devices:
    for one in _texts(value):
        if not _DEVICE.fullmatch(one):
            raise _wrong("device", value, "/dev/kfd, or /dev/kfd:/dev/kfd:rwm, or a list of these")
    return replace(found, paths=found.paths + _texts(value))


def _flag(found: Devices, value: OptionValue) -> Devices:
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise _wrong("privileged", value, "true or false")
    return replace(found, privileged=text in _TRUE)


_READ: dict[str, Callable[[Devices, OptionValue], Devices]] = {
    "gpus": lambda found, value: replace(found, gpus=gpus_of(value)),
    "device": _device,
    "ipc": lambda found, value: replace(found, ipc=str(value)),
    "shm-size": lambda found, value: replace(found, shm_bytes=bytes_of(value)),
    "group-add": lambda found, value: replace(found, groups=found.groups + _texts(value)),
    "cap-add": lambda found, value: replace(found, capabilities=found.capabilities + _texts(value)),
    "security-opt": lambda found, value: replace(found, security=found.security + _texts(value)),
    "privileged": _flag,
}
