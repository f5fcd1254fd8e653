"""The JobOptions contract: one text a job, which operators change between runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from swarm.core.ids import Address, Digest

from .client import Receipt
from .facade import Facade

GAS_SET = 3_000_000
"""64 words of storage at most."""


class JobOptions(Facade):
    CONTRACT = "JobOptions"
    FUNCTIONS: ClassVar[Mapping[str, str]] = {"set": "set", "get": "get", "training": "training"}

    async def set(self, job: Digest, options: str) -> Receipt:
        """Replace a job's options (at most 2,048 bytes). Role SN, SWCI or SWOP; refused while a run is open."""
        return await self._send("set", job, options, gas=GAS_SET)

    async def get(self, job: Digest) -> tuple[str, int]:
        """The text that holds now, "" where none was set, and how often it was changed."""
        text, version = await self._ask("get", job)
        return str(text), int(version)

    async def training(self) -> Address:
        """The Training contract whose jobs these are."""
        return Address(await self._ask("training"))
