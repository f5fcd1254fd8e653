"""What each JSON-RPC method's result must look like, checked once where answers come in, before anything reads them.

Another process wrote them: an SN, a geth. Whoever reads a checked result finds the fields that it uses, as hex that
can be read; what they mean is the reader's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from swarm.core.errors import ChainFault

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x[0-9a-fA-F]*")
"""Whole bytes or not is asked of the length: a group that repeats would cost 60 bytes of memory for each byte."""
ADDRESS, WORD = 20, 32
LIST_MAX = 1_000_000
"""Entries of a result; its bytes are bounded by the transports."""


HEIGHT_MAX, TIME_MAX = 2**32 - 1, 253_402_300_799
"""A block's number: 136 years of one a second, since commands ask for logs up to it page by page; and its time: the
last second of the year 9999, which calendars still know."""


class _Bad(Exception):
    """Says which field is not what it must be."""


def check_result(method: str, result: Any) -> Any:
    """The result itself, once it is what ``method`` gives; methods that are not listed pass.

    Raises:
        ChainFault: it is not; names method and field.
    """
    rule = RESULTS.get(method)
    if rule is not None:
        try:
            rule(result)
        except _Bad as bad:
            raise ChainFault(f"the node's answer to {method} cannot be read: {bad}") from None
    return result


def _quantity(value: Any, what: str = "the result", most: int | None = None) -> None:
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _Bad(f"{what} is no hex quantity: {value!r:.80}")
    if most is not None and int(value, 16) > most:
        raise _Bad(f"{what} is above {most}: {value!r:.80}")


def _height(value: Any) -> None:
    _quantity(value, most=HEIGHT_MAX)


def _data(value: Any, what: str = "the result", size: int | None = None) -> None:
    fits = isinstance(value, str) and (len(value) % 2 == 0 if size is None else len(value) == 2 + 2 * size)
    if not fits or not _DATA.fullmatch(value):
        raise _Bad(f"{what} is no hex data{'' if size is None else f' of {size} bytes'}: {value!r:.80}")


def _record(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Bad(f"{what} is no object: {value!r:.80}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > LIST_MAX:
        raise _Bad(f"{what} is no list of at most {LIST_MAX}: {value!r:.80}")
    return value


def _block(value: Any) -> None:
    if value is None:
        return
    block = _record(value, "the block")
    _quantity(block.get("number"), "the block's number", HEIGHT_MAX)
    _quantity(block.get("timestamp"), "the block's timestamp", TIME_MAX)
    _data(block.get("hash"), "the block's hash", WORD)
    for field in ("totalDifficulty", "difficulty", "baseFeePerGas", "gasLimit", "gasUsed"):
        if block.get(field) is not None:
            _quantity(block[field], f"the block's {field}")
    for field in ("parentHash", "miner", "logsBloom", "extraData"):
        if block.get(field) is not None:
            _data(block[field], f"the block's {field}")


def _log(value: Any) -> None:
    log = _record(value, "a log")
    _data(log.get("address"), "a log's address", ADDRESS)
    for topic in _list(log.get("topics"), "a log's topics"):
        _data(topic, "a log's topic", WORD)
    _data(log.get("data"), "a log's data")
    for field in ("blockNumber", "logIndex"):
        _quantity(log.get(field), f"a log's {field}", HEIGHT_MAX)
    for field in ("blockHash", "transactionHash"):
        _data(log.get(field), f"a log's {field}", WORD)


def _logs(value: Any) -> None:
    for log in _list(value, "the result"):
        _log(log)


def _receipt(value: Any) -> None:
    if value is None:
        return
    receipt = _record(value, "the receipt")
    for field in ("transactionHash", "blockHash"):
        _data(receipt.get(field), f"the receipt's {field}", WORD)
    for field in ("blockNumber", "gasUsed", "status"):
        _quantity(receipt.get(field), f"the receipt's {field}")
    if receipt.get("contractAddress"):
        _data(receipt["contractAddress"], "the receipt's contractAddress", ADDRESS)
    _logs(receipt.get("logs"))


def _transaction(value: Any) -> None:
    if value is None:
        return
    transaction = _record(value, "the transaction")
    _data(transaction.get("input"), "the transaction's input")
    _data(transaction.get("hash"), "the transaction's hash", WORD)
    for field in ("from", "to"):
        if transaction.get(field) is not None:
            _data(transaction[field], f"the transaction's {field}", ADDRESS)
    if transaction.get("blockNumber") is not None:
        _quantity(transaction["blockNumber"], "the transaction's blockNumber")
    if transaction.get("blockHash") is not None:
        _data(transaction["blockHash"], "the transaction's blockHash", WORD)


def _flag(value: Any, what: str = "the result") -> None:
    if not isinstance(value, bool):
        raise _Bad(f"{what} is neither true nor false: {value!r:.80}")


def _address(value: Any) -> None:
    _data(value, "the result", ADDRESS)


def _addresses(value: Any) -> None:
    for one in _list(value, "the result"):
        _data(one, "an address", ADDRESS)


def _votes(value: Any) -> None:
    for who, seal in _record(value, "the result").items():
        _data(who, "a vote's address", ADDRESS)
        _flag(seal, "a vote")


def _pool(value: Any) -> None:
    pool = _record(value, "the result")
    for field in ("pending", "queued"):
        _quantity(pool.get(field), f"the pool's {field}")


def _node(value: Any) -> None:
    enode = _record(value, "the result").get("enode")
    if not isinstance(enode, str) or not enode.isprintable():
        raise _Bad(f"the node's enode is no text: {enode!r:.80}")


def _peers(value: Any) -> None:
    for peer in _list(value, "the result"):
        _record(peer, "a peer")


def _word(value: Any) -> None:
    _data(value, "the result", WORD)


RESULTS: dict[str, Callable[[Any], None]] = {
    "eth_chainId": _quantity,
    "eth_blockNumber": _height,
    "eth_getTransactionCount": _quantity,
    "eth_getBalance": _quantity,
    "eth_getCode": _data,
    "eth_call": _data,
    "eth_sendRawTransaction": _word,
    "eth_getBlockByNumber": _block,
    "eth_getBlockByHash": _block,
    "eth_getTransactionReceipt": _receipt,
    "eth_getTransactionByHash": _transaction,
    "eth_getLogs": _logs,
    "eth_mining": _flag,
    "txpool_status": _pool,
    "clique_getSigners": _addresses,
    "clique_getSigner": _address,
    "clique_proposals": _votes,
    "admin_nodeInfo": _node,
    "admin_peers": _peers,
}
