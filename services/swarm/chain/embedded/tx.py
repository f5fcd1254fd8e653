"""Owns signed transactions: decoding, sender and checks that need no state; leaves balances to the ledger.

Accepted are type 2 (EIP-1559) and legacy with EIP-155. Phrases of refusals are geth's, because clients
match on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from swarm.chain.embedded.errors import SERVER, RpcError

__all__ = ["TIP_WEI_MIN", "TX_BYTES_MAX", "AccessList", "Tx", "contract_address", "decode", "intrinsic_gas"]

TX_BYTES_MAX = 128 * 1024
"""As geth's pool."""
TIP_WEI_MIN = 1
"""As ``--txpool.pricelimit 1``: a price of 0 never leaves a geth follower, so it must fail here too."""
_NONCE_MAX = 2**64 - 2
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_UINT256_BYTES = 32

AccessList = tuple[tuple[bytes, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Tx:
    """A signed transaction. ``kind`` 0 or 2, amounts in wei, ``to`` None: creation; legacy: tip = fee."""

    raw: bytes
    hash: bytes
    sender: bytes
    kind: int
    chain_id: int
    nonce: int
    tip: int
    fee: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    access_list: AccessList
    v: int
    r: int
    s: int

    @property
    def price(self) -> int:
        """Wei per gas that the sender pays; the base fee is always 0."""
        return min(self.tip, self.fee)


def decode(raw: bytes, chain_id: int) -> Tx:
    """Parse and check signed bytes as far as that needs no state.

    Raises:
        RpcError: with geth's phrase; the bytes change nothing.
    """
    if len(raw) > TX_BYTES_MAX:
        raise RpcError(SERVER, f"oversized data: transaction size {len(raw)}, limit {TX_BYTES_MAX}")
    if not raw:
        raise RpcError(SERVER, "typed transaction too short")
    if raw[0] != 2 and raw[0] < 0xC0:
        raise RpcError(SERVER, "transaction type not supported")
    try:
        tx = _typed(raw, chain_id) if raw[0] == 2 else _legacy(raw, chain_id)
    except (rlp.exceptions.RLPException, ValueError, TypeError, IndexError) as exc:
        raise RpcError(SERVER, f"rlp: {exc}") from exc
    except (BadSignature, ValidationError) as exc:
        raise RpcError(SERVER, "invalid sender") from exc
    if tx.tip > tx.fee:
        raise RpcError(SERVER, "max priority fee per gas higher than max fee per gas")
    if tx.nonce > _NONCE_MAX:
        raise RpcError(SERVER, "nonce has max value")
    if tx.price < TIP_WEI_MIN:
        raise RpcError(SERVER, f"transaction underpriced: tip needed {TIP_WEI_MIN}, tip permitted {tx.tip}")
    needed = intrinsic_gas(tx.data, tx.to is None, tx.access_list)
    if tx.gas < needed:
        raise RpcError(SERVER, f"intrinsic gas too low: gas {tx.gas}, minimum needed {needed}")
    return tx


def _typed(raw: bytes, chain_id: int) -> Tx:
    fields: list[Any] = list(rlp.decode(raw[1:]))
    if len(fields) != 12:
        raise ValueError(f"a type 2 transaction has 12 fields, this one has {len(fields)}")
    chain, nonce, tip, fee, gas = map(_number, fields[:5])
    parity, r, s = map(_number, fields[9:])
    _check_chain(chain, chain_id)
    sender = _sender(keccak(b"\x02" + rlp.encode(fields[:9])), parity, r, s)
    access = tuple((_fixed(a, 20), tuple(int.from_bytes(_fixed(k, 32), "big") for k in ks)) for a, ks in fields[8])
    to, value, data = _to(fields[5]), _number(fields[6]), _blob(fields[7])
    return Tx(raw, keccak(raw), sender, 2, chain, nonce, tip, fee, gas, to, value, data, access, parity, r, s)


def _legacy(raw: bytes, chain_id: int) -> Tx:
    fields: list[Any] = list(rlp.decode(raw))
    if len(fields) != 9:
        raise ValueError(f"a legacy transaction has 9 fields, this one has {len(fields)}")
    nonce, price, gas = map(_number, fields[:3])
    v, r, s = map(_number, fields[6:])
    if v in (27, 28):
        raise RpcError(SERVER, "only replay-protected (EIP-155) transactions allowed over RPC")
    if v < 35:
        raise RpcError(SERVER, "invalid sender")
    _check_chain((v - 35) // 2, chain_id)
    sender = _sender(keccak(rlp.encode([*fields[:6], chain_id, 0, 0])), (v - 35) % 2, r, s)
    to, value, data = _to(fields[3]), _number(fields[4]), _blob(fields[5])
    return Tx(raw, keccak(raw), sender, 0, chain_id, nonce, price, price, gas, to, value, data, (), v, r, s)


def _check_chain(chain: int, want: int) -> None:
    if chain != want:
        raise RpcError(SERVER, f"invalid sender: invalid chain id for signer: have {chain} want {want}")


def _sender(digest: bytes, parity: int, r: int, s: int) -> bytes:
    if parity not in (0, 1) or not 0 < s <= _HALF_ORDER:
        raise RpcError(SERVER, "invalid sender")
    return Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest).to_canonical_address()


def _number(field: Any) -> int:
    raw = _blob(field)
    if len(raw) > _UINT256_BYTES or raw[:1] == b"\0":
        raise ValueError(f"not a canonical integer: 0x{raw[:40].hex()}")
    return int.from_bytes(raw, "big")


def _blob(field: Any) -> bytes:
    if not isinstance(field, bytes):
        raise ValueError("expected bytes, got a list")
    return field


def _fixed(field: Any, size: int) -> bytes:
    raw = _blob(field)
    if len(raw) != size:
        raise ValueError(f"expected {size} bytes, got {len(raw)}")
    return raw


def _to(field: Any) -> bytes | None:
    return None if field == b"" else _fixed(field, 20)


def intrinsic_gas(data: bytes, create: bool, access_list: AccessList) -> int:
    """Gas that a transaction costs before its first instruction (EIP-2028, EIP-2930, London)."""
    zeros = data.count(0)
    listed = 2400 * len(access_list) + 1900 * sum(len(slots) for _, slots in access_list)
    return 21_000 + (32_000 if create else 0) + 4 * zeros + 16 * (len(data) - zeros) + listed


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Address of the contract that ``sender``'s transaction with ``nonce`` creates."""
    return keccak(rlp.encode([sender, nonce]))[12:]
