"""chain.keys: compact signatures that contracts, eth-account and our verifier agree on."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from swarm.chain.keys import LocalSigner, SignatureVerifier
from swarm.core.ids import Digest, sha256
from swarm.core.statements import Signature

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PARITY = 1 << 255
KEYS = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)


@given(key=KEYS, digest=DIGESTS)
def test_signatures_are_those_of_eth_account_in_compact_form(key: bytes, digest: Digest) -> None:
    """Same address, same r and s (both deterministic), s low, parity on top; the verifier finds the signer."""
    signer, account = LocalSigner(key), Account.from_key(key)
    assert signer.address == bytes.fromhex(account.address[2:])
    theirs = account.unsafe_sign_hash(digest)
    found = signer.sign(digest)
    vs = int.from_bytes(found.vs, "big")
    assert (int.from_bytes(found.r, "big"), vs & ~PARITY, vs >> 255) == (theirs.r, theirs.s, theirs.v - 27)
    assert vs & ~PARITY <= ORDER // 2
    assert SignatureVerifier().recover(digest, found) == signer.address


@given(key=KEYS, digest=DIGESTS, bit=st.integers(0, 255))
def test_a_changed_digest_or_signature_does_not_recover_the_signer(key: bytes, digest: Digest, bit: int) -> None:
    """One flipped bit in digest, r or vs never leads to the signer's address."""
    signer = LocalSigner(key)
    good = signer.sign(digest)
    flip = (1 << bit).to_bytes(32, "big")

    def changed(word: bytes) -> bytes:
        return bytes(x ^ y for x, y in zip(word, flip, strict=True))

    verifier = SignatureVerifier()
    assert verifier.recover(Digest(changed(digest)), good) != signer.address
    assert verifier.recover(digest, Signature(changed(good.r), good.vs)) != signer.address
    assert verifier.recover(digest, Signature(good.r, changed(good.vs))) != signer.address


@pytest.mark.parametrize(
    ("r", "vs"),
    [(0, 1), (1, 0), (ORDER, 1), (2**256 - 1, 1), (1, ORDER // 2 + 1), (5, 1), (0, 0)],
    ids=["r zero", "s zero", "r is the order", "r too large", "s high", "r not on the curve", "all zero"],
)
def test_malformed_signatures_recover_nobody(r: int, vs: int) -> None:
    """Numbers outside the curve's range give None, not an exception and not an address."""
    signature = Signature(r.to_bytes(32, "big"), vs.to_bytes(32, "big"))
    assert SignatureVerifier().recover(Digest(sha256(b"x")), signature) is None


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 33])
def test_what_is_no_private_key_is_refused(key: bytes) -> None:
    """A key of the wrong length or range raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text comes from two libraries
        LocalSigner(key)
