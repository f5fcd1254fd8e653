"""What an attacker writes into a raw connection, and how much of it is taken."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

UPGRADE = (
    b"GET /v1/events HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
POST = b"POST /v1/take HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def pour(line: ssl.SSLSocket, pieces: Iterator[bytes], seconds: float) -> int:
    """Send until the other end has enough, or takes nothing for ``seconds``; how many bytes went."""
    line.settimeout(seconds)
    sent = 0
    try:
        for piece in pieces:
            line.sendall(piece)
            sent += len(piece)
    except OSError:
        return sent
    return sent


def endless(first: bytes, piece: bytes, count: int) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield first
        for _ in range(count):
            yield piece

    return pieces


def masked(opcode: int, data: bytes, *, last: bool = True) -> bytes:
    """One frame of a WebSocket client."""
    return bytes([(0x80 if last else 0) | opcode, 0x80 | len(data)]) + bytes(4) + data
