"""Faults of a call to another node, and TLS errors put into words that name the certificate's field.

Unreachable(SwarmFault)     no usable answer from a peer; nobody's fault by itself
├── Refused                 nobody listens there, or the name does not resolve
├── TimedOut                a bound on connecting, reading or the whole call passed
├── TlsRefused              one of the two certificates was not accepted
├── Cut                     the connection ended, or spoke no HTTP, in mid-answer
└── BadAnswer               the peer answered with an error status, or with something that is no JSON
"""

from __future__ import annotations

import ssl

from swarm.core.errors import SwarmFault

__all__ = [
    "BadAnswer",
    "Cut",
    "Refused",
    "TimedOut",
    "TlsRefused",
    "Unreachable",
    "tls_error_in",
    "tls_sentence",
]


class Unreachable(SwarmFault):
    """No usable answer from a peer.

    Args:
        url: whom we called.
        cause: what happened, in words.
    """

    def __init__(self, url: str, cause: str) -> None:
        self.url = url
        self.cause = cause
        super().__init__(f"{url}: {cause}")


class Refused(Unreachable):
    """Nobody listens there, or the name does not resolve."""


class TimedOut(Unreachable):
    """A bound on connecting, reading or the whole call passed."""


class TlsRefused(Unreachable):
    """One of the two certificates was not accepted."""


class Cut(Unreachable):
    """The connection ended, or spoke no HTTP, in mid-answer."""


class BadAnswer(Unreachable):
    """The peer answered, but not with what was asked for.

    Args:
        status: HTTP status.
        code: the error's code in the one JSON shape of all nodes, or "" where the answer had none.
        message: the error's sentence.
        wait: seconds until it would answer, where it says so (429); else 0.
    """

    def __init__(self, url: str, status: int, code: str, message: str, wait: float = 0.0) -> None:
        self.status = status
        self.wait = wait
        self.code = code
        self.message = message
        super().__init__(url, f"answered {status}{f' {code}' if code else ''}: {message}")


_VERIFY_FIELDS = {
    7: "signature: it does not match the CA's key",
    9: "not_before: it is not valid yet (or the clocks differ)",
    10: "not_after: it has expired",
    18: "issuer: it is self-signed and not among the trusted CAs",
    19: "issuer: its root is not among the trusted CAs",
    20: "issuer: no trusted CA signed it",
    21: "issuer: no trusted CA signed it",
    25: "path length: more CAs stand below one than it allows",
    26: "extended key usage (or key usage): it, or a CA above it, is not made for this side of a connection",
    32: "key usage: its issuer may not sign certificates",
    34: "critical extension: there is one that TLS does not know",
    47: "name constraints: a CA above it does not allow its names",
    48: "name constraints: a CA above it does not allow its names",
    66: "public key: it is too weak",
    67: "public key: that of a CA above it is too weak",
    68: "signature: its digest is too weak",
    79: "basic constraints: its issuer is not a CA",
}
"""OpenSSL's X509_V_ERR codes for the certificate that we looked at."""

_ALERT_FIELDS = {
    "CERTIFICATE_EXPIRED": "not_after: it has expired",
    "UNKNOWN_CA": "issuer: no CA trusted there signed it",
    "CERTIFICATE_REQUIRED": "certificate: none was sent",
    "UNSUPPORTED_CERTIFICATE": "extended key usage: it is not made for this side of a connection",
    "BAD_CERTIFICATE": "signature or not_before: it is damaged or not valid yet",
    "CERTIFICATE_REVOKED": "status: it is revoked",
    "DECRYPT_ERROR": "key: it does not match the certificate",
    "PROTOCOL_VERSION": "protocol: only TLS 1.3 is spoken there",
}
"""TLS alerts that the other side sends about our certificate."""

_OTHER_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other side sent no certificate; every node must have one",
    "UNSUPPORTED_PROTOCOL": "the other side does not speak TLS 1.3",
    "HTTP_REQUEST": "the other side speaks plain HTTP; this port is TLS only",
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
}


def tls_error_in(error: BaseException | None) -> ssl.SSLError | None:
    """The first TLS error with a reason along the chain of causes."""
    seen = 0
    while error is not None and seen < 16:
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def tls_sentence(error: ssl.SSLError, ours: str = "our certificate") -> str:
    """Whose certificate was refused, and the field at fault.

    Args:
        ours: how to call our own certificate (its subject and end of validity).
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        field = _VERIFY_FIELDS.get(error.verify_code, f"verify code {error.verify_code}")
        return f"we refused its certificate, field {field} ({error.verify_message})"
    reason = error.reason or ""
    if "ALERT_" in reason:
        alert = reason.split("ALERT_", 1)[1]
        field = _ALERT_FIELDS.get(alert, "not told")
        return f"it refused {ours}, field {field} (TLS alert: {alert.lower().replace('_', ' ')})"
    return _OTHER_REASONS.get(reason, f"TLS failed: {reason or error}")
