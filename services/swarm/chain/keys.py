"""The node's Ethereum key for statements: compact signatures (EIP-2098) by coincurve, and their recovery.

Owns secp256k1 and nothing else: the key comes from the keystore, the digests from ``core.statements``.
Signing 32 check-ins takes about 5 ms here, 150 ms with eth-account alone.
"""

from __future__ import annotations

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

from swarm.core.ids import Address, Digest
from swarm.core.statements import Signature

__all__ = ["CoincurveVerifier", "LocalSigner"]

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
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
        self._key = PrivateKey(private_key)
        self._address = _address_of(self._key.public_key)

    @property
    def address(self) -> Address:
        return self._address

    def sign(self, digest: Digest) -> Signature:
        """Deterministic (RFC 6979), ``s`` in the lower half of the order."""
        raw = self._key.sign_recoverable(digest, hasher=None)
        s = int.from_bytes(raw[32:64], "big")
        return Signature(raw[:32], (s | (_PARITY if raw[64] & 1 else 0)).to_bytes(32, "big"))


class CoincurveVerifier:
    """Recovers signers by the same rules as the contracts: ``s`` in the upper half is refused."""

    def recover(self, digest: Digest, signature: Signature) -> Address | None:
        vs = int.from_bytes(signature.vs, "big")
        s = vs & ~_PARITY
        if s > _ORDER // 2:
            return None
        raw = signature.r + s.to_bytes(32, "big") + bytes([1 if vs & _PARITY else 0])
        try:
            key = PublicKey.from_signature_and_message(raw, digest, hasher=None)
        except ValueError:  # r or s is 0 or not below the order, or r is no point of the curve
            return None
        return _address_of(key)


def _address_of(key: PublicKey) -> Address:
    return Address(keccak(key.format(compressed=False)[1:])[12:])
