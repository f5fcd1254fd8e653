"""A small TCP proxy that cuts, stalls or counts, to stand between two real nodes in tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE_BYTES = 16 * 1024


@dataclass
class FaultProxy:
    """Forwards to ``target_port`` on loopback.

    Attributes:
        cut_after: bytes towards the client after which a connection is reset; None never cuts.
        stall_after: bytes towards the client after which nothing more passes; None never stalls.
        to_client: bytes passed towards clients so far, over all connections.
        connections: connections accepted so far.
    """

    target_port: int
    cut_after: int | None = None
    stall_after: int | None = None
    to_client: int = 0
    to_server: int = 0
    connections: int = 0
    port: int = 0
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            up = asyncio.create_task(self._up(reader, up_writer))
            try:
                await self._down(up_reader, writer)
            finally:
                up.cancel()
                up_writer.transport.abort()
                writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                self.to_server += len(data)
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(PIECE_BYTES):
            if self.cut_after is not None and passed + len(data) > self.cut_after:
                return
            if self.stall_after is not None and passed + len(data) > self.stall_after:
                self.stalled.set()
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()
            passed += len(data)
            self.to_client += len(data)


@contextlib.asynccontextmanager
async def fault_proxy(
    target_port: int, *, cut_after: int | None = None, stall_after: int | None = None
) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target_port, cut_after, stall_after)
    server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(proxy._tasks):
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
