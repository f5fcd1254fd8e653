"""The way from a certificate to a trusted root as TLS walks it: who may sign, how far down, with what keys and digests.

Pure. What the certificate library cannot read of a CA is left to the handshake, which has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

CHAIN_LENGTH_MAX = 8
RSA_BITS_MIN = 2048
CA_CURVE_BITS_MIN = 224
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
"""Curves that TLS 1.3 signs with, on every OpenSSL that nodes run on (brainpool curves came with OpenSSL 3.2)."""

_WEAK_DIGESTS = {"md5", "sha1"}
_NEEDED = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}
_AGAIN = "issue it again with a key on curve P-256"


def node_key(certificate: x509.Certificate) -> tuple[str, bool]:
    """What the key of a node's certificate is, and whether TLS 1.3 signs with such a key."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"nodes cannot read it ({error!s:.100}); {_AGAIN}", False
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in CURVES:
            return f"elliptic curve {CURVES[key.curve.name]}", True
        return f"TLS 1.3 does not sign with curve {key.curve.name}, only {', '.join(CURVES.values())}; {_AGAIN}", False
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= RSA_BITS_MIN:
            return f"RSA, {key.key_size} bits", True
        return f"RSA with {key.key_size} bits is too weak, {RSA_BITS_MIN} are needed; {_AGAIN}", False
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448", True
    return f"TLS 1.3 does not sign with {type(key).__name__.strip('_')}; {_AGAIN}", False


def weak_digest(certificate: x509.Certificate) -> str | None:
    """The digest that this certificate was signed with, if TLS no longer believes it."""
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return digest.name.upper() if digest is not None and digest.name in _WEAK_DIGESTS else None


def unreadable(certificate: x509.Certificate) -> str | None:
    """Why the certificate library cannot read the extensions, which OpenSSL may read all the same."""
    try:
        _ = certificate.extensions
    except Exception as error:  # of many kinds, see swarm.net.identity.PeerIdentity.from_der
        return f"{type(error).__name__}: {error!s:.200}"
    return None


def lacking_uses(certificate: x509.Certificate) -> list[str]:
    """Sides of a connection that its extended key usage leaves out; a CA's binds all below it."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []
    return [word for oid, word in _NEEDED.items() if oid not in usages]


def key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def follow(chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate], now: datetime) -> tuple[str, str | None]:
    """The names from the issuer up to a self-signed trusted root, and what breaks that way (None: it holds).

    Where several CAs could have signed (a renewed root with the name and key of the old one), one that holds is enough.
    """
    leaf = chain[0]
    if leaf in cas and _own_issuer(leaf):
        return "itself, which is among the trusted CAs", None
    first: tuple[str, str | None] | None = None
    for path in _paths([leaf], [*cas, *chain[1:]], cas):
        names = " < ".join(_name(c) for c in path[1:])
        wrong = _broken(path, cas, now)
        if wrong is None:
            return names, None
        first = first or (names, wrong)
    return first or ("", f"the chain has more than {CHAIN_LENGTH_MAX} CAs")


def _paths(
    path: list[x509.Certificate], signers: list[x509.Certificate], cas: Sequence[x509.Certificate]
) -> Iterator[list[x509.Certificate]]:
    """Every way up, until a trusted root or until nobody is left who signed."""
    if len(path) > CHAIN_LENGTH_MAX:
        return
    if len(path) > 1 and path[-1] in cas and _own_issuer(path[-1]):
        yield path
        return
    above = [c for c in dict.fromkeys(signers) if c not in path and _signed_by(path[-1], c)]
    if not above:
        yield path
    for signer in above:
        yield from _paths([*path, signer], signers, cas)


def _broken(path: Sequence[x509.Certificate], cas: Sequence[x509.Certificate], now: datetime) -> str | None:
    below = 0
    for signer in path[1:]:
        wrong = _no_signer(signer, below, now)
        if wrong is not None:
            return wrong
        below += 0 if signer.subject == signer.issuer else 1
    for certificate in path[1:]:
        root = certificate in cas and _own_issuer(certificate)
        if not root and (digest := weak_digest(certificate)) is not None:
            return f"{_name(certificate)} is signed with {digest}, which TLS refuses; have it issued again with SHA-256"
    top = path[-1]
    if top in cas and _own_issuer(top):
        return None
    if top in cas:
        return (
            f"{_name(top)} is trusted but is not the root, and TLS trusts whole chains alone: "
            f"add the certificate of its issuer {_called(top.issuer)} to the trusted CAs"
        )
    if _own_issuer(top):
        return f"{_name(top)} signed itself and is not among the trusted CAs; add it there if you trust it"
    return f"no trusted CA signed {_name(top)}; add the certificate of its issuer {_called(top.issuer)}"


def _no_signer(signer: x509.Certificate, below: int, now: datetime) -> str | None:
    """Why this certificate may not have signed what stands below it."""
    name = _name(signer)
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        return (
            f"CA {name} is out of date: valid from {signer.not_valid_before_utc} until {signer.not_valid_after_utc}; "
            "renew it"
        )
    if (weak := _weak_ca_key(signer)) is not None:
        return f"CA {name} has {weak}, too weak for TLS: make a CA with a stronger key"
    if unreadable(signer) is not None:
        return None
    if not _is_ca(signer):
        return f"{name} signed it but is not a CA (basic constraints); let a CA issue it"
    usage = key_usage(signer)
    if usage is not None and not usage.key_cert_sign:
        return f"{name} signed it but its key usage lacks keyCertSign; let a CA issue it"
    if lacking := lacking_uses(signer):
        return f"CA {name} may not sign for use as {' and '.join(lacking)} (its extended key usage); use another CA"
    limit = _path_length(signer)
    if limit is not None and below > limit:
        return f"CA {name} allows {limit} CAs below it (path length), and there are {below}; let one nearer issue it"
    return None


def _signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    if certificate.issuer != signer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(signer)
    except UnsupportedAlgorithm:
        return True
    except (ValueError, TypeError, InvalidSignature):
        # The library judges no signature with a digest this old; what it is worth is said elsewhere.
        return weak_digest(certificate) is not None
    return True


def _own_issuer(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and _signed_by(certificate, certificate)


def _is_ca(certificate: x509.Certificate) -> bool:
    """As OpenSSL decides it: by basic constraints, else by a key usage that may sign, else a root of version 1."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        if key_usage(certificate) is not None:
            return True
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer


def _path_length(certificate: x509.Certificate) -> int | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    except x509.ExtensionNotFound:
        return None


def _weak_ca_key(certificate: x509.Certificate) -> str | None:
    try:
        key: CertificatePublicKeyTypes = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        return f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < CA_CURVE_BITS_MIN:
        return f"a key on curve {key.curve.name}"
    return None


def _name(certificate: x509.Certificate) -> str:
    return _called(certificate.subject)


def _called(name: x509.Name) -> str:
    return name.rfc4514_string() or "(empty)"
