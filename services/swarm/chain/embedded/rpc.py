"""Owns the JSON-RPC methods of the embedded chain: the subset of geth's that the gateway lets through.

Block tags ``latest``, ``pending``, ``safe`` and ``finalized`` all mean the head. State (balances, counts,
code, calls) is served for the head only, by tag or by the head's own number or hash. Calls are free: prices
in them are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarm.chain.embedded import params as p
from swarm.chain.embedded import views
from swarm.chain.embedded.block import BLOCK_GAS, Block
from swarm.chain.embedded.errors import INVALID_PARAMS, LIMIT, METHOD_MISSING, REVERTED, SERVER, RpcError
from swarm.chain.embedded.evm import ENGINE, Call, Result
from swarm.chain.embedded.journal import LogFilter
from swarm.chain.embedded.ledger import Ledger
from swarm.chain.embedded.tx import TIP_WEI_MIN, intrinsic_gas

__all__ = ["CALL_GAS_MAX", "FEE_HISTORY_BLOCKS_MAX", "LOGS_MAX", "Rpc"]

CALL_GAS_MAX = 50_000_000
"""Gas of a simulated call, as geth's ``--rpc.gascap``."""
LOGS_MAX = 10_000
"""Logs in one eth_getLogs answer; more is error -32005, and the caller narrows the range."""
FEE_HISTORY_BLOCKS_MAX = 1_024
FEE_PERCENTILES_MAX = 100
ESTIMATE_TOLERANCE = 0.015
"""An estimate is at most this share above the least gas that works, as in geth."""
_PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


class Rpc:
    """Method table over a ledger.

    Args:
        ledger: the chain.
        sealed: called with each block that a transaction made, after it is durable.
    """

    def __init__(self, ledger: Ledger, sealed: Callable[[Block], None]) -> None:
        self._ledger = ledger
        self._sealed = sealed
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "eth_chainId": lambda _: hex(ledger.chain_id),
            "net_version": lambda _: str(ledger.chain_id),
            "web3_clientVersion": lambda _: ENGINE,
            "eth_syncing": lambda _: False,
            "eth_blockNumber": lambda _: hex(ledger.head.number),
            "eth_gasPrice": lambda _: hex(TIP_WEI_MIN),
            "eth_maxPriorityFeePerGas": lambda _: hex(TIP_WEI_MIN),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionCount": lambda q: hex(ledger.account(self._who(q)).nonce),
            "eth_getBalance": lambda q: hex(ledger.account(self._who(q)).balance),
            "eth_getCode": lambda q: views.text(ledger.code(self._who(q))),
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_getLogs": self._logs,
            "eth_sendRawTransaction": self._send,
        }

    def dispatch(self, method: str, params: list[Any]) -> Any:
        """Answer one call.

        Raises:
            RpcError: the method is unknown, a parameter is wrong, or the chain refuses.
        """
        answer = self._methods.get(method)
        if answer is None:
            raise RpcError(METHOD_MISSING, f"the method {method:.80} does not exist/is not available")
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "non-array args")
        return answer(params)

    # blocks

    def _named(self, tag: Any) -> int:
        """Block number of a tag or hex number."""
        if tag in p.HEAD_TAGS or tag is None:
            return self._ledger.head.number
        return 0 if tag == "earliest" else p.quantity(tag)

    def _block_by_number(self, params: list[Any]) -> Any:
        p.count(params, 1, 2)
        number = self._named(params[0])
        head = self._ledger.head
        block = head if number == head.number else self._stored(number)
        return block and views.block_view(block, bool(params[1:] and params[1]))

    def _stored(self, number: int) -> Block | None:
        return self._ledger.journal.block(number) if number <= self._ledger.head.number else None

    def _block_by_hash(self, params: list[Any]) -> Any:
        p.count(params, 1, 2)
        block = self._ledger.journal.block_by_hash(p.digest(params[0]))
        return block and views.block_view(block, bool(params[1:] and params[1]))

    def _transaction(self, params: list[Any]) -> Any:
        p.count(params, 1, 1)
        block = self._ledger.journal.block_by_tx(p.digest(params[0]))
        return views.transaction_view(block, block.tx) if block and block.tx else None

    def _receipt(self, params: list[Any]) -> Any:
        p.count(params, 1, 1)
        block = self._ledger.journal.block_by_tx(p.digest(params[0]))
        return views.receipt_view(block, block.tx, block.receipt) if block and block.tx and block.receipt else None

    def _fee_history(self, params: list[Any]) -> Any:
        p.count(params, 2, 3)
        wanted = params[0] if isinstance(params[0], int) else p.quantity(params[0])
        percentiles = p.listed((params[2:] or [[]])[0] or [], FEE_PERCENTILES_MAX, "rewardPercentiles")
        last = self._named(params[1])
        if last > self._ledger.head.number:
            raise RpcError(SERVER, f"request beyond head block: requested {last}, head {self._ledger.head.number}")
        first = max(0, last + 1 - min(wanted, FEE_HISTORY_BLOCKS_MAX))
        blocks = [block for block in map(self._stored, range(first, last + 1)) if block]
        history = {
            "oldestBlock": hex(first),
            "baseFeePerGas": ["0x0"] * (len(blocks) + 1),
            "gasUsedRatio": [block.header.gas_used / BLOCK_GAS for block in blocks],
        }
        if percentiles:
            tips = (block.tx.price if block.tx else 0 for block in blocks)
            history["reward"] = [[hex(tip)] * len(percentiles) for tip in tips]
        return history

    # state

    def _who(self, params: list[Any]) -> bytes:
        """The address of a state query, whose block must be the head."""
        p.count(params, 1, 2)
        self._at_head(params[1:])
        return p.address(params[0])

    def _at_head(self, tail: list[Any]) -> None:
        tag = tail[0] if tail else "latest"
        head = self._ledger.head
        if isinstance(tag, dict):
            if "blockHash" in tag and p.digest(tag["blockHash"]) == head.hash:
                return
            tag = tag.get("blockNumber", tag.get("blockHash"))
        if isinstance(tag, str) and len(tag) == 66 and p.digest(tag) == head.hash:
            return
        if (
            tag is None
            or tag in p.HEAD_TAGS
            or (tag != "earliest" and len(str(tag)) < 66 and p.quantity(tag) == head.number)
        ):
            return
        raise RpcError(
            SERVER,
            f"the embedded chain serves state of the head only, which is block {head.number}; "
            f"{tag!r:.80} is not it: ask for 'latest'",
        )

    def _message(self, value: Any) -> Call:
        fields = p.mapping(value)
        to, sender = fields.get("to"), fields.get("from")
        old, new = fields.get("data"), fields.get("input")
        if old is not None and new is not None and p.data(old) != p.data(new):
            raise p.bad(
                'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data'
            )
        given = old if new is None else new
        return Call(
            sender=bytes(20) if sender is None else p.address(sender),
            to=None if to is None else p.address(to),
            gas=min(p.quantity(fields["gas"]), CALL_GAS_MAX) if fields.get("gas") else CALL_GAS_MAX,
            value=p.quantity(fields["value"]) if fields.get("value") else 0,
            data=b"" if given is None else p.data(given),
            access_list=p.access_list(fields.get("accessList")),
        )

    def _run(self, call: Call) -> Result:
        needed = intrinsic_gas(call.data, call.to is None, call.access_list)
        if call.gas < needed:
            text = f"intrinsic gas too low: have {call.gas}, want {needed}"
            raise RpcError(SERVER, f"err: {text} (supplied gas {call.gas})")
        balance = self._ledger.account(call.sender).balance if call.value else 0
        if balance < call.value:
            who = f"address 0x{call.sender.hex()} have {balance} want {call.value}"
            text = f"insufficient funds for gas * price + value: {who}"
            raise RpcError(SERVER, f"err: {text} (supplied gas {call.gas})")
        return self._ledger.call(call)

    def _call(self, params: list[Any]) -> Any:
        p.count(params, 1, 4)
        if any(params[2:]):
            raise p.bad("state and block overrides are not supported by the embedded chain")
        self._at_head(params[1:])
        result = self._run(self._message(params[0]))
        if result.error is not None:
            raise _failure(result)
        return views.text(result.output)

    def _estimate(self, params: list[Any]) -> Any:
        p.count(params, 1, 2)
        self._at_head(params[1:])
        call = self._message(params[0])
        if call.gas < intrinsic_gas(call.data, call.to is None, call.access_list):
            raise RpcError(SERVER, f"gas required exceeds allowance ({call.gas})")
        result = self._run(call)
        if not call.data and call.to is not None and not self._ledger.account(call.to).has_code:
            return hex(intrinsic_gas(b"", False, call.access_list))
        if result.error is not None:
            if not result.reverted and result.error == "out of gas":
                raise RpcError(SERVER, f"gas required exceeds allowance ({call.gas})")
            raise _failure(result)
        least, most = result.gas_used - 1, call.gas
        # Refunds, the stipend and the 1/64 held back by each inner call let a run need more than it uses.
        guess = (result.gas_used + 2_300) * 64 // 63
        while least + 1 < most and (most - least) / most > ESTIMATE_TOLERANCE:
            probe = guess if least < guess < most else (least + most) // 2
            guess = 0
            if self._works(call, probe):
                most = probe
            else:
                least = probe
        return hex(most)

    def _works(self, call: Call, gas: int) -> bool:
        if gas < intrinsic_gas(call.data, call.to is None, call.access_list):
            return False
        probe = Call(call.sender, call.to, gas, call.value, call.data, call.access_list)
        return self._ledger.call(probe).error is None

    # logs and transactions

    def _logs(self, params: list[Any]) -> Any:
        p.count(params, 1, 1)
        fields = p.mapping(params[0])
        addresses, topics = p.addresses(fields.get("address")), p.topics(fields.get("topics"))
        head = self._ledger.head.number
        if fields.get("blockHash") is not None:
            if fields.get("fromBlock") is not None or fields.get("toBlock") is not None:
                raise p.bad("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
            block = self._ledger.journal.block_by_hash(p.digest(fields["blockHash"]))
            if block is None:
                raise RpcError(SERVER, "unknown block")
            first = last = block.number
        else:
            first, last = self._named(fields.get("fromBlock")), self._named(fields.get("toBlock"))
            if first > last:
                raise RpcError(SERVER, "invalid block range params")
            first, last = min(first, head + 1), min(last, head)
        rows = self._ledger.journal.logs(LogFilter(first, last, addresses, topics), LOGS_MAX + 1)
        if len(rows) > LOGS_MAX:
            raise RpcError(LIMIT, f"query returned more than {LOGS_MAX} results; ask for fewer blocks at a time")
        return [views.log_view(row) for row in rows]

    def _send(self, params: list[Any]) -> Any:
        p.count(params, 1, 1)
        block = self._ledger.submit(p.data(params[0]))
        self._sealed(block)
        return views.text(block.tx.hash) if block.tx else None


def _failure(result: Result) -> RpcError:
    # A revert without data is an ordinary server error in geth, so it is here.
    if not result.reverted or not result.output:
        return RpcError(SERVER, result.error or "evm: failed")
    reason = _reason(result.output)
    message = f"execution reverted: {reason}" if reason else "execution reverted"
    return RpcError(REVERTED, message, views.text(result.output))


def _reason(output: bytes) -> str | None:
    """The text of ``Error(string)`` or ``Panic(uint256)``; None for anything else."""
    selector, body = output[:4], output[4:]
    if selector == _PANIC and len(body) == 32:
        code = int.from_bytes(body, "big")
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != _ERROR_STRING or len(body) < 64 or int.from_bytes(body[:32], "big") != 32:
        return None
    size = int.from_bytes(body[32:64], "big")
    return body[64 : 64 + size].decode("utf-8", "replace") if size <= len(body) - 64 else None
