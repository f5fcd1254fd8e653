"""The Directory contract: name -> address and version. A node needs this one address only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from swarm.core.chain_view import Entry
from swarm.core.ids import Address

from .client import Receipt
from .facade import OWNED_FUNCTIONS, Owned


class Directory(Owned):
    CONTRACT = "Directory"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {**OWNED_FUNCTIONS, "set": "set", "get": "get", "names": "names"}

    async def set(self, name: str, target: Address, version: int) -> Receipt:
        """Bind ``name`` (1 to 32 ASCII characters) to ``target``. Owner only; ``version`` must grow."""
        return await self._send("set", _word(name), target, version)

    async def get(self, name: str) -> Entry:
        """Raises Reverted (DirectoryUnknownName) when there is none."""
        found = await self._ask("get", _word(name))
        return Entry(found["target"], found["version"])

    async def names(self) -> list[str]:
        return [word.rstrip(b"\0").decode("ascii", "replace") for word in await self._ask("names")]


def _word(name: str) -> bytes:
    raw = name.encode("ascii")
    if not 1 <= len(raw) <= 32:
        raise ValueError(f"a contract's name has 1 to 32 ASCII characters: {name!r}")
    return raw.ljust(32, b"\0")
