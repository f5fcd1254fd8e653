"""Owns how blocks, transactions, receipts and logs look in JSON: the fields and hex forms of geth."""

from __future__ import annotations

from typing import Any

import rlp  # type: ignore[import-untyped]

from swarm.chain.embedded.block import BLOCK_GAS, COINBASE, DIFFICULTY, UNCLES_HASH, Block, Receipt
from swarm.chain.embedded.journal import LogRow
from swarm.chain.embedded.tx import Tx, contract_address

__all__ = ["block_logs", "block_view", "head_view", "log_view", "receipt_view", "transaction_view"]


def text(raw: bytes) -> str:
    return "0x" + raw.hex()


def head_view(block: Block) -> dict[str, Any]:
    """A header as ``newHeads`` gives it."""
    head = block.header
    return {
        "number": hex(head.number),
        "hash": text(head.hash),
        "parentHash": text(head.parent),
        "nonce": text(bytes(8)),
        "mixHash": text(bytes(32)),
        "sha3Uncles": text(UNCLES_HASH),
        "logsBloom": text(head.bloom),
        "transactionsRoot": text(head.transactions_root),
        "stateRoot": text(head.state_root),
        "receiptsRoot": text(head.receipts_root),
        "miner": text(COINBASE),
        "difficulty": hex(DIFFICULTY),
        "extraData": text(head.extra),
        "gasLimit": hex(BLOCK_GAS),
        "gasUsed": hex(head.gas_used),
        "timestamp": hex(head.time),
        "baseFeePerGas": "0x0",
    }


def block_view(block: Block, full: bool) -> dict[str, Any]:
    """A block with transaction hashes, or with whole transactions if ``full``."""
    tx = block.tx
    transactions: list[Any] = []
    body: list[Any] = []
    if tx is not None:
        transactions = [transaction_view(block, tx) if full else text(tx.hash)]
        body = [tx.raw if tx.kind else rlp.decode(tx.raw)]
    size = len(rlp.encode([rlp.decode(block.header.encode()), body, []]))
    return {
        **head_view(block),
        "totalDifficulty": hex(DIFFICULTY * (block.number + 1)),
        "size": hex(size),
        "transactions": transactions,
        "uncles": [],
    }


def transaction_view(block: Block, tx: Tx) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "blockHash": text(block.hash),
        "blockNumber": hex(block.number),
        "transactionIndex": "0x0",
        "hash": text(tx.hash),
        "type": hex(tx.kind),
        "from": text(tx.sender),
        "to": None if tx.to is None else text(tx.to),
        "nonce": hex(tx.nonce),
        "value": hex(tx.value),
        "gas": hex(tx.gas),
        "gasPrice": hex(tx.price),
        "input": text(tx.data),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
        "chainId": hex(tx.chain_id),
    }
    if tx.kind == 2:
        shown |= {
            "maxFeePerGas": hex(tx.fee),
            "maxPriorityFeePerGas": hex(tx.tip),
            "yParity": hex(tx.v),
            "accessList": [
                {"address": text(who), "storageKeys": [text(slot.to_bytes(32, "big")) for slot in slots]}
                for who, slots in tx.access_list
            ],
        }
    return shown


def receipt_view(block: Block, tx: Tx, receipt: Receipt) -> dict[str, Any]:
    return {
        "transactionHash": text(tx.hash),
        "transactionIndex": "0x0",
        "blockHash": text(block.hash),
        "blockNumber": hex(block.number),
        "from": text(tx.sender),
        "to": None if tx.to is None else text(tx.to),
        "contractAddress": text(contract_address(tx.sender, tx.nonce)) if tx.to is None else None,
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(tx.price),
        "status": hex(receipt.status),
        "type": hex(tx.kind),
        "logs": block_logs(block),
        "logsBloom": text(receipt.bloom),
    }


def block_logs(block: Block) -> list[dict[str, Any]]:
    """All logs of one block, in order."""
    if block.tx is None or block.receipt is None:
        return []
    tx_hash = block.tx.hash
    return [log_view(LogRow(log, block.number, block.hash, tx_hash, i)) for i, log in enumerate(block.receipt.logs)]


def log_view(row: LogRow) -> dict[str, Any]:
    return {
        "address": text(row.log.address),
        "topics": [text(topic) for topic in row.log.topics],
        "data": text(row.log.data),
        "blockNumber": hex(row.block_number),
        "blockHash": text(row.block_hash),
        "transactionHash": text(row.tx_hash),
        "transactionIndex": "0x0",
        "logIndex": hex(row.index),
        "removed": False,
    }
