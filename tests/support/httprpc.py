"""JSON-RPC over loopback HTTP, for the test chain that speaks nothing else (anvil); nodes use the unix socket."""

from __future__ import annotations

import itertools
import json
from types import TracebackType
from typing import Any, Self

import aiohttp
from swarm.chain.rpc import ANSWER_BYTES_MAX, REQUEST_SECONDS_MAX, RpcUnreachable, unwrap
from swarm.core.errors import ChainFault


class HttpRpc:
    """JSON-RPC over HTTP to a node on this host."""

    def __init__(self, url: str, *, seconds_max: float = REQUEST_SECONDS_MAX) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=seconds_max)
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __call__(self, method: str, params: list[Any]) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            async with self._session.post(self._url, json=body) as response:
                raw = bytearray()
                async for chunk in response.content.iter_any():
                    raw += chunk
                    if len(raw) > ANSWER_BYTES_MAX:
                        raise ChainFault(f"{method}: the answer has more than {ANSWER_BYTES_MAX} bytes")
                return unwrap(json.loads(raw), method)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RpcUnreachable(f"{method} at {self._url}: {error or type(error).__name__}") from error
        except ValueError as error:
            raise RpcUnreachable(f"{method} at {self._url}: the answer is not JSON: {error}") from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
