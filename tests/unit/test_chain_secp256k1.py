"""The curve's fast library and eth-keys' own arithmetic in plain Python say the same, of good and of bad values."""

from __future__ import annotations

import random

import pytest
from eth_account import Account
from eth_keys.backends import NativeECCBackend, get_backend
from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature, ValidationError
from swarm.chain import secp256k1
from swarm.core.errors import OperatorFault

PLAIN = NativeECCBackend()
ORDER = secp256k1.ORDER
FIELD = 2**256 - 2**32 - 977


def test_keys_and_signatures_are_those_of_plain_python() -> None:
    """Byte for byte: the nonce is RFC 6979's, s is in the lower half; also at both ends of the key's range."""
    draw = random.Random(7)
    for number in (1, ORDER - 1, *(draw.randrange(1, ORDER) for _ in range(6))):
        private, digest = number.to_bytes(32, "big"), draw.randbytes(32)
        plain = PrivateKey(private, PLAIN)
        assert secp256k1.public_key(private) == plain.public_key.to_bytes()
        signature = secp256k1.sign(private, digest)
        assert signature == PLAIN.ecdsa_sign(digest, plain).to_bytes()
        assert secp256k1.recover(signature, digest) == plain.public_key.to_bytes()
        assert secp256k1.recover(signature, draw.randbytes(32)) != plain.public_key.to_bytes()


@pytest.mark.parametrize("private", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31, b""])
def test_what_is_no_private_key_is_a_value_error(private: bytes) -> None:
    """0, the order and above, and other lengths."""
    with pytest.raises(ValueError, match=r".+"):
        secp256k1.public_key(private)
    with pytest.raises(ValueError, match=r".+"):
        secp256k1.sign(private, b"\x01" * 32)


def test_signatures_made_up_by_a_stranger_recover_as_in_plain_python() -> None:
    """r and s at and around 0, the order, half of it and the field; r of no point; parities 0 to 3."""
    digest, edges = b"\x05" * 32, (0, 1, 2, 3, ORDER // 2, ORDER // 2 + 1, ORDER - 1, ORDER, FIELD - 1, 2**256 - 1)
    for r in edges:
        for s in edges:
            for parity in range(2):
                raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
                try:
                    expected = PLAIN.ecdsa_recover(digest, Signature(raw, backend=PLAIN)).to_bytes()
                except (BadSignature, ValidationError):
                    with pytest.raises(ValueError, match=r".+"):
                        secp256k1.recover(raw, digest)
                else:
                    assert secp256k1.recover(raw, digest) == expected
    for raw in (bytes(64), bytes(66), b"\x01" * 64 + b"\x04"):
        with pytest.raises(ValueError, match="65 bytes"):
            secp256k1.recover(raw, digest)


def test_eth_keys_signs_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do eth-account and py-evm; another backend in the environment is the operator's fault, by name."""
    secp256k1.require()
    assert isinstance(get_backend(), secp256k1.Backend)
    account = Account.from_key(b"\x07" * 32)
    message = account.unsafe_sign_hash(b"\x09" * 32)
    assert message.signature[:64] == secp256k1.sign(b"\x07" * 32, b"\x09" * 32)[:64]
    assert Account._recover_hash(b"\x09" * 32, signature=message.signature) == account.address
    monkeypatch.setenv("ECC_BACKEND_CLASS", "eth_keys.backends.NativeECCBackend")
    with pytest.raises(OperatorFault, match="ECC_BACKEND_CLASS"):
        secp256k1.require()
