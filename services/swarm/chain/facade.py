"""What every typed facade shares: finding functions, asking, sending, and ownership in two steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from swarm.core.ids import Address

from .client import Call, ChainClient, Receipt
from .contract import Artifact, artifact

GAS_SIMPLE = 300_000
"""Calls that write a few words."""


class Facade:
    """A contract at an address, through one client.

    ``FUNCTIONS`` maps each ABI function to the method that makes it; a test holds it complete.
    """

    CONTRACT: ClassVar[str]
    FUNCTIONS: ClassVar[Mapping[str, str]]

    def __init__(self, client: ChainClient, address: Address) -> None:
        self.client = client
        self.address = address
        self._artifact: Artifact = artifact(self.CONTRACT)

    async def _ask(self, function: str, *arguments: Any, block: int | str = "latest") -> Any:
        found = self._artifact.functions[function]
        values = await self.client.call(self.address, found, arguments, block=block)
        return values[0] if len(values) == 1 else values

    async def _send(self, function: str, *arguments: Any, gas: int = GAS_SIMPLE, value: int = 0) -> Receipt:
        data = self._artifact.functions[function].encode(arguments)
        return await self.client.submit(Call(self.address, data, gas, f"{self.CONTRACT}.{function}", value))


OWNED_FUNCTIONS: Mapping[str, str] = {
    "owner": "owner",
    "pendingOwner": "pending_owner",
    "transferOwnership": "transfer_ownership",
    "acceptOwnership": "accept_ownership",
    "renounceOwnership": "renounce_ownership",
}


class Owned(Facade):
    """A contract whose owner hands over in two steps."""

    async def owner(self) -> Address:
        return Address(await self._ask("owner"))

    async def pending_owner(self) -> Address:
        return Address(await self._ask("pendingOwner"))

    async def transfer_ownership(self, to: Address) -> Receipt:
        return await self._send("transferOwnership", to)

    async def accept_ownership(self) -> Receipt:
        return await self._send("acceptOwnership")

    async def renounce_ownership(self) -> Receipt:
        return await self._send("renounceOwnership")
