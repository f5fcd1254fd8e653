"""JSON-RPC to a chain, as one small Protocol with two transports: embedded and unix socket.

Owns requests, answers and their bounds. Which methods exist and what they mean is the caller's business;
the path from an SL to its SN is another transport of the same Protocol, and lives with the SL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

from swarm.core.errors import ChainFault, OperatorFault

from .results import check_result

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""Largest answer we read from a node."""
REQUEST_SECONDS_MAX = 30.0
LIMIT = -32005
"""JSON-RPC's usual code for "limit exceeded"."""
LOGS_BYTES_MAX = 4 * 1024 * 1024
"""Largest answer to one eth_getLogs; a few KB are usual."""
LOGS_AT_ONCE_MAX = 4
IN_FLIGHT_MAX = 256
"""Requests waiting on one socket; the next caller waits for a place."""
UNIX_PATH_BYTES_MAX = 103
"""The shortest limit among the systems we run on."""


class RpcError(ChainFault):
    """A node answered with a JSON-RPC error.

    Args:
        code: JSON-RPC code; 3 is a revert on geth and anvil.
        data: the error's data as sent; revert bytes as 0x-hex if there are any.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"the chain node refused: {message} (code {code})")


class RpcUnreachable(ChainFault):
    """No answer: the node is down, the path to it broken, or the time was up. The request may have worked."""


class Rpc(Protocol):
    """One JSON-RPC call; raises RpcError (the node said no) or RpcUnreachable (no answer)."""

    async def __call__(self, method: str, params: list[Any]) -> Any: ...


class Handler(Protocol):
    """A chain inside this process. It raises errors that carry ``code``, ``message`` and ``data``."""

    def handle(self, method: str, params: list[Any]) -> Any: ...


def unwrap(answer: Any, method: str) -> Any:
    """The result inside one JSON-RPC answer.

    Raises:
        RpcError: it holds an error.
        ChainFault: it is not a JSON-RPC answer at all, or its result is not what ``method`` gives.
    """
    if isinstance(answer, Mapping):
        error = answer.get("error")
        if isinstance(error, Mapping):
            code = error.get("code")
            raise RpcError(
                code if isinstance(code, int) else -32000,
                str(error.get("message", ""))[:2000],
                error.get("data"),
            )
        if "result" in answer:
            return check_result(method, answer["result"])
    raise ChainFault(f"the answer to {method} is not JSON-RPC 2.0: {answer!r:.200}")


class EmbeddedRpc:
    """Calls a chain in this process on one worker thread: the event loop never waits for the EVM."""

    def __init__(self, chain: Handler) -> None:
        self._chain = chain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chain")

    async def __call__(self, method: str, params: list[Any]) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._chain.handle, method, params)
        except ChainFault as error:  # its own kind of RpcError, or a fault without a code
            code = getattr(error, "code", None)
            if not isinstance(code, int):
                raise
            raise RpcError(code, str(getattr(error, "message", error)), getattr(error, "data", None)) from error

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)


def embedded_rpc(chain: Handler) -> EmbeddedRpc:
    return EmbeddedRpc(chain)


class IpcRpc:
    """JSON-RPC over a node's unix socket: one connection, many requests in flight, reconnects by itself.

    Subscription messages go to ``on_notification``; a subscription ends with its connection.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        seconds_max: float = REQUEST_SECONDS_MAX,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        self._answer_bytes_max = answer_bytes_max
        self._path = os.fspath(path)
        if len(os.fsencode(self._path)) > UNIX_PATH_BYTES_MAX:
            raise OperatorFault(
                f"the path of the node's socket has more than {UNIX_PATH_BYTES_MAX} bytes: {self._path}; "
                "choose a state folder with a shorter path"
            )
        self._seconds_max = seconds_max
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._places = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.notifications: asyncio.Queue[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __call__(self, method: str, params: list[Any]) -> Any:
        number = next(self._ids)
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"
        try:
            async with asyncio.timeout(self._seconds_max), self._places:
                answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                writer = await self._connected()
                self._waiting[number] = answer
                writer.write(body)
                await writer.drain()
                return unwrap(await answer, method)
        except TimeoutError:
            raise RpcUnreachable(f"{method} at {self._path}: no answer in {self._seconds_max} s") from None
        except OSError as error:
            raise RpcUnreachable(f"{method} at {self._path}: {error}") from error
        finally:
            self._waiting.pop(number, None)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._drop(ConnectionError("closed here"))

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=self._answer_bytes_max)
                self._reading = asyncio.create_task(self._read(reader), name=f"ipc {self._path}")
            return self._writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        reason: Exception = ConnectionError("the node closed the connection")
        try:
            while line := await reader.readline():
                message = json.loads(line)
                number = message.get("id") if isinstance(message, dict) else None
                waiting = self._waiting.get(number) if isinstance(number, int) else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
                elif isinstance(message, dict) and "method" in message:
                    self._notify(message)
        except (ValueError, RecursionError) as error:  # longer than ANSWER_BYTES_MAX, or not JSON
            reason = ConnectionError(f"unreadable answer: {error}")
            if len(self._waiting) == 1:
                over = (
                    f"its answer is unreadable or has more than {self._answer_bytes_max} bytes; ask for less at a time"
                )
                reason = RpcError(LIMIT, over)
        except OSError as error:
            reason = error
        self._drop(reason)

    def _drop(self, reason: Exception) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(reason)
        self._notify(None)

    def _notify(self, message: Any) -> None:
        if self.notifications is None:
            return
        if self.notifications.full():
            self.notifications.get_nowait()  # wake-ups only: the newest is worth as much as all
        self.notifications.put_nowait(message)


class LogsApart:
    """JSON-RPC over a shared line, but each ``eth_getLogs`` over one of its own.

    Its answer alone can be of any size: a wide question then ends its own line, and fails for who asked it alone.
    """

    def __init__(self, shared: Rpc, path: str | os.PathLike[str]) -> None:
        self._shared, self._path = shared, path
        self._places = asyncio.Semaphore(LOGS_AT_ONCE_MAX)

    async def __call__(self, method: str, params: list[Any]) -> Any:
        if method != "eth_getLogs":
            return await self._shared(method, params)
        async with self._places, IpcRpc(self._path, answer_bytes_max=LOGS_BYTES_MAX) as own:
            return await own(method, params)


def ipc_rpc(path: str | os.PathLike[str], *, seconds_max: float = REQUEST_SECONDS_MAX) -> IpcRpc:
    return IpcRpc(path, seconds_max=seconds_max)
