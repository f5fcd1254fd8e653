"""One account's way to the chain: nonces, signing, sending, receipts, reverts.

One client per key and process. Signed bytes are in the outbox before anybody sees them; a retry sends the
same bytes; a nonce is given up only when its first bytes were refused outright. What the outbox stores and
how is the store's business; what calls mean is the facades'.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swarm.core.errors import ChainFault, LocalFault, Reverted
from swarm.core.ids import Address, Digest, from_hex, to_hex

from .contract import Signature
from .outbox import MemoryOutbox, Outbox, OutboxEntry
from .receipt import Receipt, data_of, number, parse_receipt, revert_of
from .rpc import Rpc, RpcError, RpcUnreachable
from .wake import Sleep, Waker

if TYPE_CHECKING:  # a process that only asks needs no keys, and eth_account takes most of a second to import
    from eth_account.signers.local import LocalAccount

__all__ = ["Call", "ChainClient", "MemoryOutbox", "Onlooker", "Outbox", "OutboxEntry", "PendingRow", "Receipt"]

_log = logging.getLogger(__name__)

TIP_WEI = 1
"""Price 0 never leaves a follower (docs/chain.md, Fees)."""
FEE_WEI_MAX = 10**9
RESERVE_WEI = 10**15 // 16
"""What one transaction may tie up: a sixteenth of the admission grant, so that several fit at once."""
GAS_MAX = 50_000_000
"""Below the block's limit of 60 million."""
RECEIPT_SECONDS_MAX = 120.0
POLL_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
RESEND_SECONDS = 10.0
KEEPER_SECONDS = 5.0
MINED_LOOK_SECONDS = 1.0
RESIGN_MAX = 3
ABREAST_MAX = 16
"""Transactions of one batch that are in flight at once."""
PENDING_MAX = 64
"""Transactions of ours under way; one more is refused."""
CONTRACT_BYTES_MAX = 128 * 1024

_KNOWN = ("already known", "already imported", "known transaction")
_NONCE_LOW = ("nonce too low",)
_INDEXING = "indexing is in progress"
"""What geth says of an unknown transaction for a while after its start."""
_REFUSED = (
    "insufficient funds",
    "intrinsic gas",
    "exceeds block gas limit",
    "gas limit",
    "oversized data",
    "invalid sender",
    "invalid chain id",
    "less than block base fee",
    "max initcode size",
    "transaction type not supported",
    "rlp",
)
_OUT_OF_GAS = ("out of gas", "outofgas")


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction to make. ``to`` None creates a contract; ``label`` names it in messages and tables."""

    to: Address | None
    data: bytes
    gas: int
    label: str
    value: int = 0
    abreast: int = 1
    """How many transactions share what one may tie up, since they are in flight together."""


@dataclass(frozen=True, slots=True)
class PendingRow:
    """One line of the table of waits. Times are the client's clock in seconds."""

    nonce: int
    hash: Digest
    label: str
    since: float
    until: float | None
    sends: int
    trouble: str


@dataclass(slots=True)
class _Flight:
    entry: OutboxEntry
    since: float
    until: float | None = None
    sends: int = 0
    sent_at: float = -RESEND_SECONDS
    trouble: str = ""
    mined_block: int | None = None
    looked_at: float = 0.0
    watched: bool = False


class Onlooker:
    """Who only asks: calls come from an address that nobody has the key of, and nothing can be sent."""

    address = "0x" + 20 * "00"

    def sign_transaction(self, fields: object) -> Any:
        raise LocalFault("a client that only reads was told to send a transaction")


class ChainClient:
    """Sends one account's transactions and makes its calls.

    Args:
        rpc: any transport; may change the node behind it at any time.
        account: this process's only chain key; an :class:`Onlooker` has none.
        outbox: durable for a node, :class:`MemoryOutbox` for a tool.
        confirmations: blocks after which a receipt is final; until then the bytes stay in the outbox.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        rpc: Rpc,
        account: LocalAccount | Onlooker,
        outbox: Outbox,
        *,
        chain_id: int,
        confirmations: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.rpc = rpc
        self.chain_id = chain_id
        self.address = Address(bytes.fromhex(account.address[2:]))
        self.waker = Waker()
        self._account = account
        self._outbox = outbox
        self._confirmations = confirmations
        self._clock = clock
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._next: int | None = None
        self._flights = {e.nonce: _Flight(e, clock()) for e in outbox.entries()}

    async def call(
        self, to: Address, function: Signature, arguments: Sequence[Any], *, block: int | str = "latest"
    ) -> tuple[Any, ...]:
        """Ask a contract; changes nothing.

        Raises:
            Reverted: the contract said no.
            ChainFault: the node failed or there is no such contract.
        """
        request = {
            "from": to_hex(self.address),
            "to": to_hex(to),
            "data": to_hex(function.encode(arguments)),
        }
        at = block if isinstance(block, str) else hex(block)
        try:
            answer = await self.rpc("eth_call", [request, at])
        except RpcError as error:
            raise revert_of(error, function.name) or error from error
        return function.decode_output(data_of(answer))

    async def submit(self, call: Call, *, seconds_max: float = RECEIPT_SECONDS_MAX) -> Receipt:
        """Send a transaction and wait for its receipt.

        Raises:
            Reverted: it was mined and refused; carries the custom error.
            ChainFault: it could not be sent, or has no receipt after ``seconds_max``: it then stays in the
                outbox and :meth:`keep` goes on sending it.
        """
        for _ in range(RESIGN_MAX):
            flight = await self._launch(call)
            flight.until = self._clock() + seconds_max
            flight.watched = True
            try:
                receipt = await self._land(flight)
            finally:
                flight.watched = False
            if receipt is not None:
                return await self._judge(call, receipt)
        raise ChainFault(
            f"{call.label}: the nonce was taken {RESIGN_MAX} times by transactions of others; "
            f"another process uses the key of {to_hex(self.address)}"
        )

    async def submit_all(self, calls: Sequence[Call], *, seconds_max: float = RECEIPT_SECONDS_MAX) -> list[Receipt]:
        """Send transactions, up to ABREAST_MAX in flight at once and mined in this order, and wait for all.

        Each must be right whatever became of those before it: they are not stopped by a refusal.

        Raises:
            Reverted, ChainFault: as :meth:`submit`, the first fault; all others have been waited for.
        """
        receipts: list[Receipt] = []
        faults: list[ChainFault] = []
        for at in range(0, len(calls), ABREAST_MAX):
            window = [replace(call, abreast=ABREAST_MAX) for call in calls[at : at + ABREAST_MAX]]
            flights: list[tuple[Call, _Flight]] = []
            try:
                for call in window:
                    flight = await self._launch(call)
                    flight.until, flight.watched = self._clock() + seconds_max, True
                    flights.append((call, flight))
            except ChainFault as fault:
                faults.append(fault)
            try:
                for call, flight in flights:
                    try:
                        raw = await self._land(flight)
                        receipts.append(await (self.submit(call) if raw is None else self._judge(call, raw)))
                    except ChainFault as fault:
                        faults.append(fault)
            finally:
                for _, flight in flights:
                    flight.watched = False
            if faults:
                raise faults[0]
        return receipts

    async def balance(self) -> int:
        """Wei of this account."""
        return number(await self.rpc("eth_getBalance", [to_hex(self.address), "latest"]))

    async def block_number(self) -> int:
        return number(await self.rpc("eth_blockNumber", []))

    def pending(self, *, mined: bool = True) -> list[PendingRow]:
        """What has no final receipt yet, by nonce; not ``mined``: only what is in no block either."""
        return [
            PendingRow(nonce, f.entry.hash, f.entry.label, f.since, f.until, f.sends, f.trouble)
            for nonce, f in sorted(self._flights.items())
            if mined or f.mined_block is None
        ]

    def resend(self) -> None:
        """Another node stands behind ``rpc``, which may know nothing of what was sent: send it again, in order."""
        for flight in self._flights.values():
            flight.sent_at = self._clock() - RESEND_SECONDS
        self.waker.wake()

    async def keep(self) -> None:
        """Look after everything nobody waits for: resend it until it is mined and final. Runs for ever."""
        while True:
            ticket = self.waker.ticket()
            await self.tend()
            await ticket.wait(KEEPER_SECONDS, self._sleep)

    async def tend(self) -> None:
        """One pass of :meth:`keep`; also right after a restart, before the first ``submit``."""
        head: int | None = None
        for flight in sorted(self._flights.values(), key=lambda f: f.entry.nonce):
            # What is mined is looked at now and then only: whether it stays, not whether it comes.
            mined_lately = flight.mined_block is not None and self._clock() - flight.looked_at < MINED_LOOK_SECONDS
            if flight.watched or mined_lately:
                continue
            flight.looked_at = self._clock()
            try:
                if head is None:
                    head = await self.block_number()
                await self._tend(flight, head)
            except (ChainFault, LocalFault) as error:
                flight.trouble = str(error)

    async def _tend(self, flight: _Flight, head: int) -> None:
        raw = await self._receipt(flight)
        if raw is not None:
            flight.mined_block = number(raw["blockNumber"])
            if head - flight.mined_block >= self._confirmations:
                self._forget(flight.entry.nonce)
            return
        orphaned, flight.mined_block = flight.mined_block is not None, None
        due = orphaned or self._clock() - flight.sent_at >= RESEND_SECONDS
        if due and await self._send(flight) == "nonce too low":
            mined = number(await self.rpc("eth_getTransactionCount", [to_hex(self.address), "latest"]))
            if await self._receipt(flight) is None and mined > flight.entry.nonce:
                _log.warning("%s is lost: nonce %d went to another", flight.entry.label, flight.entry.nonce)
                self._forget(flight.entry.nonce)

    async def _launch(self, call: Call) -> _Flight:
        """Sign, persist, send: in this order, one at a time."""
        if len(call.data) > CONTRACT_BYTES_MAX:
            raise ChainFault(f"{call.label}: {len(call.data)} bytes; a node takes {CONTRACT_BYTES_MAX}")
        if call.gas > GAS_MAX:
            raise ChainFault(f"{call.label}: needs up to {call.gas} gas; a block holds {GAS_MAX}")
        async with self._lock:
            if len(self._flights) >= PENDING_MAX:
                raise ChainFault(f"{call.label}: {PENDING_MAX} transactions of this node wait for the chain")
            nonce = await self._next_nonce()
            entry = self._sign(call, nonce)
            self._outbox.put(entry)
            self._next = nonce + 1  # before any await: a cancelled caller must not free the nonce
            flight = self._flights[nonce] = _Flight(entry, self._clock())
            try:
                await self._send(flight)
            except RpcError as error:
                if any(text in error.message.lower() for text in _REFUSED):
                    # No node has taken these bytes, so the nonce is free again and leaves no gap.
                    self._forget(nonce)
                    self._next = nonce
                    raise ChainFault(f"{call.label} was refused before it was sent on: {error.message}") from error
                flight.trouble = str(error)
            return flight

    async def _next_nonce(self) -> int:
        if self._next is None:
            counted = number(await self.rpc("eth_getTransactionCount", [to_hex(self.address), "pending"]))
            self._next = max([counted, *(nonce + 1 for nonce in self._flights)])
        return self._next

    def _sign(self, call: Call, nonce: int) -> OutboxEntry:
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": nonce,
            "gas": call.gas,
            "maxPriorityFeePerGas": TIP_WEI,
            "maxFeePerGas": max(TIP_WEI, min(FEE_WEI_MAX, RESERVE_WEI // call.abreast // call.gas)),
            "value": call.value,
            "data": to_hex(call.data),
        }
        if call.to is not None:
            fields["to"] = bytes(call.to)
        signed = self._account.sign_transaction(fields)
        return OutboxEntry(nonce, bytes(signed.raw_transaction), Digest(bytes(signed.hash)), call.label)

    async def _send(self, flight: _Flight) -> str:
        """Send the same bytes once more: "sent", "nonce too low", or "unreachable" (noted as trouble).

        Raises:
            RpcError: any other refusal.
        """
        flight.sends += 1
        flight.sent_at = self._clock()
        try:
            await self.rpc("eth_sendRawTransaction", [to_hex(flight.entry.raw)])
        except RpcUnreachable as error:
            flight.trouble = str(error)
            return "unreachable"
        except RpcError as error:
            text = error.message.lower()
            if any(known in text for known in _KNOWN):
                return "sent"
            if any(low in text for low in _NONCE_LOW):
                flight.trouble = error.message
                return "nonce too low"
            raise
        flight.trouble = ""
        return "sent"

    async def _land(self, flight: _Flight) -> dict[str, Any] | None:
        """Wait for the receipt; None if another transaction holds the nonce for good."""
        assert flight.until is not None
        polls = iter(POLL_SECONDS)
        pause = 0.0
        while True:
            ticket = self.waker.ticket()
            try:
                raw = await self._receipt(flight)
                if raw is not None:
                    flight.mined_block = number(raw["blockNumber"])
                # geth shows a receipt a moment before "latest" moves; whoever reads next must see the change.
                if raw is not None and await self.block_number() >= number(raw["blockNumber"]):
                    if self._confirmations == 0:
                        self._forget(flight.entry.nonce)
                    return raw
                due = raw is None and (flight.trouble or self._clock() - flight.sent_at >= RESEND_SECONDS)
                if due and await self._send(flight) == "nonce too low" and await self._lost(flight):
                    return None
            except (RpcError, RpcUnreachable) as error:
                flight.trouble = str(error)
            left = flight.until - self._clock()
            if left <= 0:
                raise ChainFault(
                    f"{flight.entry.label}: no receipt for {to_hex(flight.entry.hash)} in time"
                    + (f" ({flight.trouble})" if flight.trouble else "")
                    + "; it stays in the outbox and is sent again"
                )
            pause = next(polls, pause)
            await ticket.wait(min(pause, left), self._sleep)

    async def _receipt(self, flight: _Flight) -> dict[str, Any] | None:
        """The receipt as the node sent it; None while there is none."""
        try:
            raw = await self.rpc("eth_getTransactionReceipt", [to_hex(flight.entry.hash)])
        except RpcError as error:
            if _INDEXING in error.message:
                return None
            raise
        if raw is not None and not isinstance(raw, dict):
            raise ChainFault(f"a receipt was expected, the node sent {raw!r:.80}")
        return raw

    async def _lost(self, flight: _Flight) -> bool:
        """The nonce is used up and not by us: forget these bytes, count anew."""
        async with self._lock:
            # In this order: a block between the two answers must not make our own transaction look like another's.
            mined = number(await self.rpc("eth_getTransactionCount", [to_hex(self.address), "latest"]))
            if mined <= flight.entry.nonce or await self._receipt(flight) is not None:
                return False
            self._forget(flight.entry.nonce)
            self._next = None
            return True

    async def _judge(self, call: Call, raw: dict[str, Any]) -> Receipt:
        if number(raw["status"]) == 1:
            return parse_receipt(raw)
        raise await self._reason(call, raw)

    async def _reason(self, call: Call, raw: dict[str, Any]) -> ChainFault:
        """Why a mined transaction failed: the same call again on the state before it, else after."""
        request = {"from": to_hex(self.address), "data": to_hex(call.data), "gas": hex(call.gas)}
        if call.to is not None:
            request["to"] = to_hex(call.to)
        if call.value:
            request["value"] = hex(call.value)
        block = number(raw["blockNumber"])
        for at in (hex(block - 1), hex(block), "latest"):
            try:
                await self.rpc("eth_call", [request, at])
            except RpcError as error:
                found = revert_of(error, call.label)
                if found is not None:
                    return found
                if any(text in error.message.lower() for text in _OUT_OF_GAS):
                    return Reverted("OutOfGas", {"gas": call.gas}, call=call.label)
            except RpcUnreachable:
                continue  # the receipt is certain; its reason is a courtesy
        if number(raw["gasUsed"]) >= call.gas:
            return Reverted("OutOfGas", {"gas": call.gas}, call=call.label)
        return Reverted("Unknown", {"transaction": from_hex(raw["transactionHash"], 32)}, call=call.label)

    def _forget(self, nonce: int) -> None:
        self._outbox.remove(nonce)
        self._flights.pop(nonce, None)
