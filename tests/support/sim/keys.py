"""Signatures for simulations: cheap, but bound to digest and signer, so that a wrong one is still wrong.

Also remembers hashes that a simulation asks for again and again; their values stay the true ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from swarm.core import roster, statements
from swarm.core.ids import Address, Digest
from swarm.core.statements import Signature

HASHES_KEPT = 4096


class Keys:
    """Verifier: r binds digest and signer, vs names the signer."""

    def recover(self, digest: Digest, signature: Any) -> Address | None:
        signer = Address(signature.vs[12:])
        return signer if signature.r == _mark(signer, digest) else None


class Key:
    """The signer of one node."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def sign(self, digest: Digest) -> Signature:
        return Signature(_mark(self.address, digest), self.address.rjust(32, b"\0"))


def _mark(signer: Address, digest: Digest) -> bytes:
    return bytes(a ^ b for a, b in zip(digest, signer.ljust(32, b"\x5a"), strict=True))


def remember_hashes() -> None:
    """Let every node of this process share the hashes that one of them worked out: the same function, remembered."""
    for module in (statements, roster):
        keccak = vars(module)["keccak"]
        if not hasattr(keccak, "cache_info"):
            vars(module)["keccak"] = lru_cache(maxsize=HASHES_KEPT)(keccak)
