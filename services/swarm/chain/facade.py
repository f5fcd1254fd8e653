"""What every typed facade shares: finding functions, asking, sending, and ownership in two steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from swarm.core.errors import ChainFault
from swarm.core.ids import Address

from .client import Call, ChainClient, Receipt
from .contract import Artifact, artifact

GAS_SIMPLE = 300_000
"""Calls that write a few words."""
LISTED_MAX = 100_000
"""Entries of one list on chain that are read; a chain's fees let no list grow so long, an SN that lies could."""

T = TypeVar("T")


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

    async def _read(self, read: Callable[[Any], T], function: str, *arguments: Any, block: int | str = "latest") -> T:
        """What ``read`` makes of the answer: it decodes, but its values may still be none of ours.

        Raises:
            ChainFault: they are none; and as :meth:`_ask`.
        """
        answer = await self._ask(function, *arguments, block=block)
        try:
            return read(answer)
        except ValueError as error:
            raise ChainFault(f"the answer of {self.CONTRACT}.{function} cannot be: {error}") from error

    async def _list(
        self, read: Callable[[Any], dict[Any, T]], page: int, function: str, *before: Any, block: int | str = "latest"
    ) -> dict[Any, T]:
        """All of a list of the contract, page by page, as ``read`` makes it of a page.

        Raises:
            ChainFault: it does not end; and as :meth:`_read`.
        """
        out: dict[Any, T] = {}
        while True:
            found = await self._read(read, function, *before, len(out), page, block=block)
            known = len(out)
            out.update(found)
            if len(found) < page:
                return out
            if len(out) != known + len(found) or len(out) > LISTED_MAX:
                raise ChainFault(
                    f"the list of {self.CONTRACT}.{function} repeats itself or has over {LISTED_MAX} entries"
                )

    async def _rows(
        self,
        read: Callable[[Any], Sequence[T]],
        page: int,
        most: int,
        function: str,
        *before: Any,
        block: int | str = "latest",
    ) -> list[T]:
        """As :meth:`_list` for a list whose entries have no key of their own, and which has ``most`` entries at most.

        Raises:
            ChainFault: it does not end; and as :meth:`_read`.
        """
        out: list[T] = []
        while True:
            found = await self._read(read, function, *before, len(out), page, block=block)
            out += found
            if len(found) > page or len(out) > most:
                raise ChainFault(
                    f"the list of {self.CONTRACT}.{function} has over {most} entries, or a page over {page}"
                )
            if len(found) < page:
                return out

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
