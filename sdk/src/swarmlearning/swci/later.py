"""``AsyncSwci``: the same client for asyncio; each call runs in a thread of its own, so that the loop goes on.

Owns nothing but that: methods, arguments and answers are :class:`.client.Swci`'s.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any, Awaitable, Callable

from .client import Swci


class AsyncSwci:
    """A client whose methods are awaited: ``await AsyncSwci("localhost").listTasks()``.

    Arguments are those of :class:`.client.Swci`. Calls of one client run one after the other.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._client = Swci(*args, **kwargs)
        self._turn = asyncio.Lock()

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        work = functools.partial(getattr(self._client, name), *args, **kwargs)
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(None, work)

    def __repr__(self) -> str:
        return f"Async{self._client!r}"


def _twin(name: str, method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def call(self: AsyncSwci, *args: Any, **kwargs: Any) -> Any:
        return await self._call(name, *args, **kwargs)

    return call


for _name, _method in inspect.getmembers(Swci, inspect.isfunction):
    if not _name.startswith("_"):
        setattr(AsyncSwci, _name, _twin(_name, _method))
