"""Owns hand-assembled contracts and signed transactions for tests of the embedded chain; needs no compiler."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

OPCODES = {
    "STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "LT": 0x10, "ISZERO": 0x15, "AND": 0x16, "ADDRESS": 0x30,
    "CALLDATALOAD": 0x35, "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37, "CODECOPY": 0x39, "BLOCKHASH": 0x40,
    "COINBASE": 0x41, "TIMESTAMP": 0x42, "NUMBER": 0x43, "CHAINID": 0x46, "BASEFEE": 0x48, "POP": 0x50,
    "MLOAD": 0x51, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55, "JUMP": 0x56, "JUMPI": 0x57, "GAS": 0x5A,
    "JUMPDEST": 0x5B, "BALANCE": 0x31, "ORIGIN": 0x32, "EXTCODESIZE": 0x3B,
    "DUP1": 0x80, "SWAP1": 0x90, "LOG0": 0xA0, "LOG1": 0xA1, "LOG2": 0xA2, "LOG3": 0xA3, "CALL": 0xF1, "RETURN": 0xF3,
    "STATICCALL": 0xFA, "REVERT": 0xFD, "INVALID": 0xFE, "CALLER": 0x33, "CALLVALUE": 0x34, "GASPRICE": 0x3A,
}  # fmt: skip


def assemble(source: str) -> bytes:
    """Byte code of words: opcode names, ``0x..`` pushed, ``:x`` a JUMPDEST, ``@x`` its two-byte push."""
    code, labels, holes = bytearray(), {}, []
    for word in source.split():
        if word.startswith(":"):
            labels[word[1:]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            holes.append((len(code) + 1, word[1:]))
            code += b"\x61\0\0"
        elif word.startswith("0x"):
            raw = bytes.fromhex(word[2:])
            code += bytes([0x5F + len(raw)]) + raw
        else:
            code.append(OPCODES[word])
    for at, name in holes:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def deployer(runtime: bytes) -> bytes:
    """Init code that installs ``runtime``."""
    head = "0x%04x DUP1 0x%04x 0x00 CODECOPY 0x00 RETURN"
    size = len(assemble(head % (0, 0)))
    return assemble(head % (len(runtime), size)) + runtime


COUNTED = keccak(b"Counted(uint256,uint256)")
COUNTER = assemble(
    f"""
    CALLDATASIZE ISZERO @read JUMPI
    0x01 CALLDATASIZE AND @refuse JUMPI
    0x00 SLOAD 0x01 ADD 0x00 SSTORE
    0x20 CALLDATALOAD 0x00 MSTORE
    0x00 CALLDATALOAD 0x{COUNTED.hex()} 0x20 0x00 LOG2 STOP
    :refuse CALLDATASIZE 0x00 0x00 CALLDATACOPY CALLDATASIZE 0x00 REVERT
    :read 0x00 SLOAD 0x00 MSTORE 0x20 0x00 RETURN
    """
)
"""No call data: answers how often it was called. Odd length: reverts with the call data.
Else: counts, and logs the event Counted(word 0 indexed, word 1)."""


class Wallet:
    """A key with a nonce, that signs transactions for one chain."""

    def __init__(self, seed: int, chain_id: int) -> None:
        self.account: LocalAccount = Account.from_key(seed.to_bytes(32, "big"))
        self.address = bytes.fromhex(self.account.address[2:])
        self.hex = "0x" + self.address.hex()
        self.chain_id = chain_id
        self.nonce = 0

    def sign(self, **fields: Any) -> str:
        """Signed bytes as 0x hex: type 2 with tip 1 and fee 1 gwei unless ``fields`` says otherwise."""
        wanted: dict[str, Any] = {
            "nonce": self.nonce,
            "chainId": self.chain_id,
            "gas": 500_000,
            "value": 0,
            **fields,
        }
        if "gasPrice" not in wanted:
            wanted = {"maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1, "type": 2, **wanted}
        for name in ("to", "data"):
            if isinstance(wanted.get(name), bytes):
                wanted[name] = "0x" + wanted[name].hex()
        if isinstance(wanted.get("to"), str):
            wanted["to"] = bytes.fromhex(wanted["to"][2:])
        return "0x" + bytes(self.account.sign_transaction(wanted).raw_transaction).hex()

    def send(self, chain: Any, **fields: Any) -> dict[str, Any]:
        """Sign, send, count the nonce up, and return the receipt."""
        digest = chain.handle("eth_sendRawTransaction", [self.sign(**fields)])
        self.nonce += 1
        receipt: dict[str, Any] = chain.handle("eth_getTransactionReceipt", [digest])
        return receipt
