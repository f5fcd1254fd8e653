"""The curve of Ethereum keys, by libwally's binding to libsecp256k1: keys, signatures, recovery, and for eth-keys too.

The one place that knows which library that is. It has wheels for every Python that the services run on, and signs and
recovers some 15,000 times a second here; eth-keys alone signs 100 times and recovers 34 times.
"""

from __future__ import annotations

import os

import wallycore
from eth_keys.backends import NativeECCBackend, get_backend  # type: ignore[attr-defined]
from eth_keys.datatypes import PrivateKey, PublicKey, Signature
from eth_keys.exceptions import BadSignature

from swarm.core.errors import OperatorFault

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_HOW = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_RECOVERABLE
_HEAD = 27
"""libwally writes 27 + parity before a recoverable signature, and 4 more for a key that is shown compressed."""


def public_key(private_key: bytes) -> bytes:
    """x and y, 64 bytes.

    Raises:
        ValueError: not a private key of this curve.
    """
    return _plain(wallycore.ec_public_key_from_private_key(private_key))


def sign(private_key: bytes, digest: bytes) -> bytes:
    """r, s (in the lower half of the order) and the parity, 65 bytes; deterministic (RFC 6979).

    Raises:
        ValueError: not a private key of this curve, or a digest that has not 32 bytes.
    """
    raw = bytes(wallycore.ec_sig_from_bytes(private_key, digest, _HOW))
    return raw[1:] + bytes([(raw[0] - _HEAD) & 3])


def recover(signature: bytes, digest: bytes) -> bytes:
    """The public key (64 bytes) whose signature this is; ``signature`` as :func:`sign` gives it.

    Raises:
        ValueError: r or s is 0 or not below the order, r is no point of the curve, or the parity is none.
    """
    if len(signature) != 65 or signature[64] > 3:
        raise ValueError("a recoverable signature has 65 bytes, the last of them 0 to 3")
    raw = bytes([_HEAD + 4 + signature[64]]) + signature[:64]
    return _plain(wallycore.ec_sig_to_public_key(digest, raw))


def _plain(compressed: bytes) -> bytes:
    return bytes(wallycore.ec_public_key_decompress(compressed))[1:]


class Backend(NativeECCBackend):
    """For eth-keys, and through it for py-evm and eth-account; what they ask rarely stays theirs."""

    def ecdsa_sign(self, msg_hash: bytes, private_key: PrivateKey) -> Signature:
        return Signature(sign(private_key.to_bytes(), msg_hash), backend=self)

    def ecdsa_recover(self, msg_hash: bytes, signature: Signature) -> PublicKey:
        try:
            return PublicKey(recover(signature.to_bytes(), msg_hash), backend=self)
        except ValueError as error:
            raise BadSignature(str(error)) from error

    def private_key_to_public_key(self, private_key: PrivateKey) -> PublicKey:
        return PublicKey(public_key(private_key.to_bytes()), backend=self)


_NAME = f"{__name__}.{Backend.__name__}"
os.environ.setdefault("ECC_BACKEND_CLASS", _NAME)  # eth-keys looks there when it is first used


def require() -> None:
    """That eth-keys signs with this.

    Raises:
        OperatorFault: the environment names another backend for it.
    """
    if not isinstance(get_backend(), Backend):
        raise OperatorFault(
            f"ECC_BACKEND_CLASS={os.environ['ECC_BACKEND_CLASS']!r} makes eth-keys sign with something else; "
            "unset it: its own way is 100 times slower"
        )
