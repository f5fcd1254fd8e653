"""The node's Ethereum key for statements: compact signatures (EIP-2098), and their recovery.

Owns their form and nothing else: the key comes from the keystore, the digests from ``core.statements``, the curve from
``secp256k1``. Signing 32 check-ins takes about 3 ms here.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from swarm.core.ids import Address, Digest
from swarm.core.statements import Signature

from . import secp256k1

__all__ = ["LocalSigner", "SignatureVerifier"]

_PARITY = 1 << 255


class LocalSigner:
    """Signs with a private key held in this process.

    Args:
        private_key: 32 bytes.

    Raises:
        ValueError: not a private key of this curve.
    """

    def __init__(self, private_key: bytes) -> None:
        if len(private_key) != 32:
            raise ValueError(f"a private key has 32 bytes, this one has {len(private_key)}")
        self._key = private_key
        self._address = _address_of(secp256k1.public_key(private_key))

    @property
    def address(self) -> Address:
        return self._address

    def sign(self, digest: Digest) -> Signature:
        """Deterministic (RFC 6979), ``s`` in the lower half of the order."""
        raw = secp256k1.sign(self._key, digest)
        s = int.from_bytes(raw[32:64], "big")
        return Signature(raw[:32], (s | (_PARITY if raw[64] & 1 else 0)).to_bytes(32, "big"))


class SignatureVerifier:
    """Recovers signers by the same rules as the contracts: ``s`` in the upper half is refused."""

    def recover(self, digest: Digest, signature: Signature) -> Address | None:
        vs = int.from_bytes(signature.vs, "big")
        s = vs & ~_PARITY
        if s > secp256k1.ORDER // 2:
            return None
        raw = signature.r + s.to_bytes(32, "big") + bytes([1 if vs & _PARITY else 0])
        try:
            key = secp256k1.recover(raw, digest)
        except ValueError:  # r or s is 0 or not below the order, or r is no point of the curve
            return None
        return _address_of(key)


def _address_of(key: bytes) -> Address:
    return Address(keccak(key)[12:])
