"""Frames of the pipe: a header of exactly 22 bytes, then the body.

Owns the header's bytes, the version rule (F06) and the size bounds that are checked before a body is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from .messages import BY_TYPE, MessageType, encode

__all__ = [
    "API_VERSION",
    "BODY_BYTES_MAX",
    "HEADER_BYTES",
    "INLINE_BYTES_MAX",
    "FrameError",
    "FrameHeader",
    "decode_body",
    "decode_header",
    "encode_header",
    "frame",
]

API_VERSION = 2
HEADER_BYTES = 22
BODY_BYTES_MAX = 64 * 1024
"""Largest body of a message that carries no weights."""
INLINE_BYTES_MAX = 2**31 - 1
"""Largest body that carries the weights themselves (2.1 and 2.2 wheels): protobuf's own limit."""

_LAYOUT = struct.Struct("<3sIBIBIBI")
_TAGS = (b"\x0a\x0a\x0d", 0x15, 0x15, 0x1D)
_CARRIES_WEIGHTS = frozenset({MessageType.SYNC_REQUEST, MessageType.CLOSE_REQUEST, MessageType.LOSS_REQUEST})


class FrameError(ValueError):
    """The other side sent bytes that are no frame of wire version 2, or a frame out of bounds."""


@dataclass(frozen=True)
class FrameHeader:
    """Type and size (in bytes) of the body that follows."""

    type: MessageType
    size: int


def encode_header(kind: MessageType, size: int) -> bytes:
    """The 22 bytes before a body of ``size`` bytes; an empty body cannot be framed."""
    if not 1 <= size <= INLINE_BYTES_MAX:
        raise FrameError(f"a body of {size} bytes cannot be framed, allowed are 1 to {INLINE_BYTES_MAX}")
    return _LAYOUT.pack(_TAGS[0], API_VERSION, _TAGS[1], API_VERSION, _TAGS[2], int(kind), _TAGS[3], size)


def decode_header(raw: bytes, *, inline: bool = False) -> FrameHeader:
    """Read a header; ``inline`` allows bodies that carry weights up to INLINE_BYTES_MAX.

    Raises:
        FrameError: not a header, another version, an unknown type, or a size above the bound.
    """
    if len(raw) != HEADER_BYTES:
        raise FrameError(f"a header has {HEADER_BYTES} bytes, got {len(raw)}")
    start, version, tag_minimum, _, tag_type, kind, tag_size, size = _LAYOUT.unpack(raw)
    if (start, tag_minimum, tag_type, tag_size) != _TAGS:
        raise FrameError(f"these bytes are no message header: {raw.hex()}")
    if version != API_VERSION:
        raise FrameError(
            "Mismatch in the Swarm API version between ML and SL: "
            f"expected version {API_VERSION}, the header says {version};"
            " install the swarmlearning wheel that belongs to this SL"
        )
    try:
        known = MessageType(kind)
    except ValueError:
        raise FrameError(f"unsupported message type {kind}, known are 1 to 10 and 100") from None
    bound = INLINE_BYTES_MAX if inline and known in _CARRIES_WEIGHTS else BODY_BYTES_MAX
    if not 1 <= size <= bound:
        raise FrameError(f"a {known.name} message claims {size} bytes, allowed are 1 to {bound}")
    return FrameHeader(known, size)


def decode_body(kind: MessageType, raw: bytes) -> Any:
    """Parse a body.

    Raises:
        FrameError: the bytes are not a message of this type.
    """
    message = BY_TYPE[kind]()
    try:
        message.ParseFromString(raw)
    except (DecodeError, UnicodeDecodeError, ValueError) as fault:
        raise FrameError(f"the body of a {kind.name} message cannot be read: {fault}") from fault
    return message


def frame(kind: MessageType, message: Any) -> tuple[bytes, bytes]:
    """Header and body of a message; they are written one after the other."""
    body = encode(message)
    return encode_header(kind, len(body)), body
