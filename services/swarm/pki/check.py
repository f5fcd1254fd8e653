"""What is right and wrong with a node's certificate, as a pure report: one finding a field, nothing raised.

Agrees with what TLS will decide: a chain to a self-signed trusted CA, in time, made for both sides, of keys and digests
that TLS 1.3 takes. Names are for people: a certificate without SAN is accepted, with a warning, because membership
follows the public key. What TLS refuses beyond the fields named here, a handshake in memory finds (``tls``).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarm.core.spiffe import SpiffeId

from .chain import follow, key_usage, lacking_uses, node_key, unreadable, weak_digest

EXPIRES_SOON = timedelta(days=7)
CLOCK_WARN_SECONDS = 5.0
CLOCK_FAULT_SECONDS = 60.0


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
        *_strength(leaf),
        *_extensions(leaf),
    ]
    try:
        spki = _spki(leaf.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return findings  # said under "public key"
    if key is not None:
        same = _spki(key) == spki
        text = "belongs to the certificate" if same else "the key file is another certificate's key"
        findings.append(Finding("key", Level.OK if same else Level.FAULT, text))
    findings.append(Finding("spki", Level.OK, hashlib.sha256(spki).hexdigest()))
    return findings


def clock(here: datetime, there: datetime, who: str) -> Finding:
    """How far another node's clock is from ours (its Date header counts whole seconds)."""
    ahead = (there - here).total_seconds()
    off = max(0.0, abs(ahead) - 1.0)
    level = Level.OK if off < CLOCK_WARN_SECONDS else Level.WARN if off < CLOCK_FAULT_SECONDS else Level.FAULT
    side = "ahead of" if ahead > 0 else "behind"
    return Finding("clock", level, f"{who} is {abs(ahead):.0f} s {side} this host; bound {CLOCK_FAULT_SECONDS:.0f} s")


def tls(refused: str | None) -> Finding:
    """The last word, from a handshake of the certificate with itself; asked where no field is at fault."""
    if refused is None:
        return Finding("TLS", Level.OK, "both sides of a handshake take it")
    return Finding("TLS", Level.FAULT, f"{refused}; issue it again without what is named there")


def faults(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.FAULT]


def _issuer(chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate], now: datetime) -> Finding:
    names, wrong = follow(chain, cas, now)
    return (
        Finding("issuer", Level.OK, f"chain holds: {names}") if wrong is None else Finding("issuer", Level.FAULT, wrong)
    )


def _extensions(leaf: x509.Certificate) -> list[Finding]:
    """What the certificate library cannot read no node can read, whatever OpenSSL makes of it."""
    wrong = unreadable(leaf)
    if wrong is None:
        return [_names(leaf), _key_usage(leaf), _usage(leaf)]
    field = "SAN" if "GeneralName" in wrong else "extensions"
    return [Finding(field, Level.FAULT, f"nodes cannot read it ({wrong}); issue it again with plain names")]


def _strength(leaf: x509.Certificate) -> list[Finding]:
    text, good = node_key(leaf)
    digest = weak_digest(leaf)
    signature = (
        Finding("signature", Level.OK, "a digest that TLS takes")
        if digest is None
        else Finding("signature", Level.FAULT, f"made with {digest}, which TLS refuses; have it signed with SHA-256")
    )
    return [Finding("public key", Level.OK if good else Level.FAULT, text), signature]


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


def _key_usage(leaf: x509.Certificate) -> Finding:
    usage = key_usage(leaf)
    if usage is None:
        return Finding("key usage", Level.OK, "not restricted")
    if not (usage.digital_signature or usage.key_agreement):
        return Finding("key usage", Level.FAULT, "lacks digitalSignature, which TLS needs; issue it again with it")
    return Finding("key usage", Level.OK, "may sign")


def _usage(leaf: x509.Certificate) -> Finding:
    lacking = lacking_uses(leaf)
    if lacking:
        return Finding(
            "extended key usage",
            Level.FAULT,
            f"not made for use as {' and '.join(lacking)}; issue it again with serverAuth and clientAuth",
        )
    return Finding("extended key usage", Level.OK, "server and client")


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
