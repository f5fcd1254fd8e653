"""Who a TLS peer is, read from its certificate; the chain was checked before, membership comes after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from swarm.core.errors import PeerFault
from swarm.core.ids import Digest
from swarm.core.spiffe import SpiffeId

if TYPE_CHECKING:  # most of a command that asks an operations port is its imports, and no certificate is read there
    from cryptography import x509

__all__ = ["Expect", "PeerIdentity", "SpiffeId", "anyone", "holder_of", "role_of"]


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What a certificate says about its holder.

    Attributes:
        spki: sha256 of the DER SubjectPublicKeyInfo; this is what the chain binds to a member.
        spiffe: its name when we issued it; None for certificates made elsewhere.
        common_name: the subject's CN, or "" if it has none.
        not_after: end of validity, UTC.
    """

    spki: Digest
    spiffe: SpiffeId | None
    common_name: str
    not_after: datetime
    serial: int

    @classmethod
    def from_der(cls, der: bytes) -> PeerIdentity:
        """Read a certificate.

        Raises:
            PeerFault: the bytes are not a certificate that can be read.
        """
        from cryptography import x509

        try:
            return cls.from_certificate(x509.load_der_x509_certificate(der))
        except Exception as error:
            # OpenSSL takes certificates that this library does not (a SAN with an ediPartyName, a key of an unknown
            # curve), which then raises errors of many kinds, some when a field is first read.
            raise PeerFault(f"the peer's certificate cannot be read: {type(error).__name__}: {error!s:.200}") from error

    @classmethod
    def from_certificate(cls, certificate: x509.Certificate) -> PeerIdentity:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from cryptography.x509.oid import NameOID

        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return cls(
            spki=Digest(hashlib.sha256(spki).digest()),
            spiffe=_spiffe(certificate),
            common_name=str(names[0].value) if names else "",
            not_after=certificate.not_valid_after_utc,
            serial=certificate.serial_number,
        )

    def __str__(self) -> str:
        name = str(self.spiffe) if self.spiffe else f"CN={self.common_name}"
        return f"{name} (not_after {self.not_after:%Y-%m-%d %H:%M}Z, key {self.spki.hex()[:16]})"


def _spiffe(certificate: x509.Certificate) -> SpiffeId | None:
    """Our name if the certificate carries exactly one SPIFFE URI and it has our form; others are not ours."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if "spiffe:" in uri.lower()]
    try:
        return SpiffeId.parse(uris[0]) if len(uris) == 1 else None
    except ValueError:
        return None


Expect = Callable[[PeerIdentity], None]
"""Raises PeerFault if the peer is not who it must be."""


def anyone(peer: PeerIdentity) -> None:
    """Any certificate under the trusted CAs will do; membership is decided elsewhere."""


def role_of(*roles: str) -> Expect:
    """Expect a certificate of ours with one of these roles; certificates that carry no role of ours pass.

    A certificate made elsewhere (plain CN) says nothing about roles: the chain's membership does.
    """

    def expect(peer: PeerIdentity) -> None:
        if peer.spiffe is not None and peer.spiffe.role not in roles:
            raise PeerFault(f"{peer} has role {peer.spiffe.role} in its URI SAN; needed here: {' or '.join(roles)}")

    return expect


def holder_of(spki: Digest) -> Expect:
    """Expect exactly this public key (the one that the chain binds to the member we mean)."""

    def expect(peer: PeerIdentity) -> None:
        if peer.spki != spki:
            raise PeerFault(f"{peer} holds public key (SPKI) {peer.spki.hex()}, the member has {spki.hex()}")

    return expect
