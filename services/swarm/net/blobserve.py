"""Serving blobs: a bare ASGI application for ``/v1/blobs/...``; who may read is asked, never decided here.

    GET /v1/blobs/<64 hex>/chunks   {"size", "chunk_bytes", "algorithm", "hashes": [hex, ...]}
    GET /v1/blobs/<64 hex>          the bytes; one Range ``bytes=a-b`` gives 206

Unknown, forbidden and malformed ids have one answer, so that nobody learns what exists here. It is a bare
application because a framework's file response is slower and cannot be bounded a piece at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from swarm.core.blobid import ChunkList
from swarm.core.errors import LocalFault
from swarm.core.ids import BlobId

from .answers import ApiError, Receive, Scope, Send, error_body, peer_of, send_json
from .identity import PeerIdentity

log = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024
SEND_SECONDS = 30.0
"""A reader that takes no piece (1 MiB) within this time is let go, so that it cannot hold a connection."""

_PATH = re.compile(r"/v1/blobs/([0-9a-f]{64})(/chunks)?")
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")

MayRead = Callable[[PeerIdentity, BlobId], Awaitable[bool]]


class BlobSource(Protocol):
    """What serving needs of a store."""

    def has(self, blob_id: BlobId) -> bool: ...
    def path(self, blob_id: BlobId) -> Path: ...
    def chunks(self, blob_id: BlobId) -> ChunkList: ...


class RangeError(ValueError):
    """The Range header asks for nothing that this blob has."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a Range header over ``size`` bytes; None where the whole is meant.

    One range only; several, or another unit, are answered with the whole, as HTTP allows.

    Raises:
        RangeError: the range begins at or behind the end, runs backwards, or asks for the last 0 bytes.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = size if match[2] == "" else min(int(match[2]) + 1, size)
    if start >= end:
        raise RangeError(f"range {header} is outside a blob of {size} bytes")
    return start, end


class BlobApp:
    """The ASGI application.

    Args:
        store: what is held here.
        may_read: whether this peer may read this blob, now.
        moved: told the number of bytes of each piece sent (for metrics).
    """

    def __init__(self, store: BlobSource, may_read: MayRead, *, moved: Callable[[int], None] | None = None) -> None:
        self._store = store
        self._may_read = may_read
        self._moved = moved or (lambda count: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] != "http":
                raise ApiError(404, "not_found", "no such blob for you here")
            await self._answer(scope, send)
        except ApiError as error:
            await send_json(send, error.status, error_body(error.code, error.message))

    async def _answer(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            raise ApiError(405, "method_not_allowed", "blobs are read with GET")
        peer = peer_of(scope)
        match = _PATH.fullmatch(scope["path"])
        blob_id = BlobId(bytes.fromhex(match[1])) if match else BlobId(bytes(32))
        allowed = await self._may_read(peer, blob_id)
        if match is None or not allowed or not self._store.has(blob_id):
            raise ApiError(404, "not_found", "no such blob for you here")
        try:
            chunks = self._store.chunks(blob_id)
            if match[2]:
                await send_json(send, 200, _as_json(chunks))
                return
            handle = os.open(self._store.path(blob_id), os.O_RDONLY)
        except (LocalFault, FileNotFoundError) as error:
            # Removed in this moment, or damaged: for the peer it is not here.
            log.warning("blob %s asked for by %s: %s", blob_id.hex(), peer, error)
            raise ApiError(404, "not_found", "no such blob for you here") from error
        try:
            await self._send_bytes(handle, chunks.size, _header(scope, b"range"), send)
        except TimeoutError:
            log.warning("%s took no piece of blob %s within %s s", peer, blob_id.hex(), SEND_SECONDS)
        finally:
            os.close(handle)

    async def _send_bytes(self, handle: int, size: int, asked: str | None, send: Send) -> None:
        try:
            part = parse_range(asked, size)
        except RangeError as error:
            message = error_body("bad_range", str(error))
            await send_json(send, 416, message, [(b"content-range", f"bytes */{size}".encode())])
            return
        start, end = part or (0, size)
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(end - start).encode()),
            (b"accept-ranges", b"bytes"),
        ]
        if part is not None:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{size}".encode()))
        await send({"type": "http.response.start", "status": 206 if part else 200, "headers": headers})
        while start < end:
            # In the loop, not in a thread: 1 MiB from the page cache takes 0.1 ms, a thread's hand-over more.
            piece = os.pread(handle, min(PIECE_BYTES, end - start), start)
            if not piece:
                raise LocalFault("a blob file became shorter while it was served")
            start += len(piece)
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": start < end})
            self._moved(len(piece))


def _as_json(chunks: ChunkList) -> dict[str, object]:
    return {
        "size": chunks.size,
        "chunk_bytes": chunks.chunk_bytes,
        "algorithm": chunks.algorithm,
        "hashes": [h.hex() for h in chunks.hashes],
    }


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None
