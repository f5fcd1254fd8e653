"""What is right and wrong with a node's certificate, as a pure report: one finding a field, nothing raised.

Agrees with what TLS will decide: a chain to a self-signed trusted CA, in time, made for both sides. Names are for
people: a certificate without SAN is accepted, with a warning, because membership follows the public key.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from swarm.core.spiffe import SpiffeId

EXPIRES_SOON = timedelta(days=7)
CLOCK_WARN_SECONDS = 5.0
CLOCK_FAULT_SECONDS = 60.0
CHAIN_LENGTH_MAX = 8


class Level(enum.Enum):
    OK = "ok"
    WARN = "warn"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    field: str
    level: Level
    text: str


def check(
    chain: Sequence[x509.Certificate],
    key: PublicKeyTypes | None,
    cas: Sequence[x509.Certificate],
    now: datetime,
) -> list[Finding]:
    """The report for a certificate file.

    Args:
        chain: as in the file: the node's certificate first, intermediate CAs after it.
        key: the public half of the key file; None leaves that finding out.
        cas: trusted CAs.
        now: the time to judge validity by, UTC.
    """
    leaf = chain[0]
    findings = [
        Finding("subject", Level.OK, leaf.subject.rfc4514_string() or "(empty)"),
        _issuer(chain, cas, now),
        *_validity(leaf, now),
        _names(leaf),
        _usage(leaf),
    ]
    if key is not None:
        same = _spki(key) == _spki(leaf.public_key())
        text = "belongs to the certificate" if same else "the key file is another certificate's key"
        findings.append(Finding("key", Level.OK if same else Level.FAULT, text))
    findings.append(Finding("spki", Level.OK, hashlib.sha256(_spki(leaf.public_key())).hexdigest()))
    return findings


def clock(here: datetime, there: datetime, who: str) -> Finding:
    """How far another node's clock is from ours (its Date header counts whole seconds)."""
    ahead = (there - here).total_seconds()
    off = max(0.0, abs(ahead) - 1.0)
    level = Level.OK if off < CLOCK_WARN_SECONDS else Level.WARN if off < CLOCK_FAULT_SECONDS else Level.FAULT
    side = "ahead of" if ahead > 0 else "behind"
    return Finding("clock", level, f"{who} is {abs(ahead):.0f} s {side} this host; bound {CLOCK_FAULT_SECONDS:.0f} s")


def faults(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.FAULT]


def _issuer(chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate], now: datetime) -> Finding:
    """Walk to a self-signed trusted CA, as OpenSSL does."""
    current, path = chain[0], []
    for _ in range(CHAIN_LENGTH_MAX):
        signer = next((c for c in (*cas, *chain[1:]) if _signed_by(current, c)), None)
        if signer is None:
            return Finding(
                "issuer",
                Level.FAULT,
                f"no trusted CA signed {current.subject.rfc4514_string()} "
                f"(its issuer calls itself {current.issuer.rfc4514_string()}); add that CA's certificate",
            )
        name = signer.subject.rfc4514_string()
        if not _is_ca(signer):
            return Finding("issuer", Level.FAULT, f"{name} signed it but is not a CA (basic constraints)")
        if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
            return Finding("issuer", Level.FAULT, f"CA {name} is out of date: not_after {signer.not_valid_after_utc}")
        path.append(name)
        if signer in cas and signer.subject == signer.issuer:
            return Finding("issuer", Level.OK, "chain holds: " + " < ".join(path))
        current = signer
    return Finding("issuer", Level.FAULT, f"the chain has more than {CHAIN_LENGTH_MAX} CAs")


def _signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1


def _validity(leaf: x509.Certificate, now: datetime) -> list[Finding]:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    first = (
        Finding("not_before", Level.FAULT, f"valid from {begins}, the clock says {now:%Y-%m-%dT%H:%M:%SZ}")
        if now < begins
        else Finding("not_before", Level.OK, f"{begins}")
    )
    left = ends - now
    if left < timedelta(0):
        return [first, Finding("not_after", Level.FAULT, f"expired {(-left).days} days ago, at {ends}")]
    level = Level.WARN if left < EXPIRES_SOON else Level.OK
    return [first, Finding("not_after", level, f"valid for {left.days} days, until {ends}")]


def _names(leaf: x509.Certificate) -> Finding:
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Finding("SAN", Level.WARN, "none: accepted, the chain's membership says who this is")
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    shown = [
        *(f"URI:{u}" for u in uris),
        *(f"DNS:{d}" for d in san.get_values_for_type(x509.DNSName)),
        *(f"IP:{i}" for i in san.get_values_for_type(x509.IPAddress)),
    ]
    text = ", ".join(shown) or "no URI, DNS or IP name"
    try:
        SpiffeId.parse(uris[0] if len(uris) == 1 else "")
    except ValueError:
        return Finding("SAN", Level.WARN, f"{text}: no spiffe://<trust domain>/<site>/<role>/<name>; accepted")
    return Finding("SAN", Level.OK, text)


def _usage(leaf: x509.Certificate) -> Finding:
    try:
        usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return Finding("extended key usage", Level.OK, "not restricted")
    needed = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}
    lacking = [word for oid, word in needed.items() if oid not in usages]
    if lacking:
        return Finding("extended key usage", Level.FAULT, f"not made for use as {' and '.join(lacking)}")
    return Finding("extended key usage", Level.OK, "server and client")


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
