"""Certificate authorities and the certificates they issue: P-256, short life, server and client use.

Owns what goes into a certificate. Who may have one is the operator's decision, who is a member the chain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm.core.errors import OperatorFault
from swarm.core.limits import CA_DAYS_DEFAULT, DAYS_MAX, NODE_DAYS_DEFAULT

from .files import certificate_pem, key_pem, read_certificates, read_key, refuse_existing, write
from .request import Names, build_request, new_key, subject

CA_CERT_FILE = "ca-cert.pem"
CA_KEY_FILE = "ca-key.pem"
RSA_BITS_MIN = 2048
BACKDATE = timedelta(minutes=5)
"""Clocks of two sites differ; a certificate made now must be valid there at once."""

NODE_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
CA_KEY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """What was written for a node."""

    cert: Path
    key: Path
    cacert: Path


def make_authority(common_name: str, days: int, now: datetime) -> Authority:
    """A self-signed CA that signs nodes only (no CAs below it).

    Raises:
        OperatorFault: the name is empty or too long, or the days are out of range.
    """
    if not 1 <= len(common_name) <= 64:
        raise OperatorFault(f"a CA's name has 1 to 64 characters, this one has {len(common_name)}")
    key = new_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Swarm-Learning"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + _days(days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(CA_KEY_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def sign(
    authority: Authority, request: x509.CertificateSigningRequest, names: Names, days: int, now: datetime
) -> x509.Certificate:
    """A node's certificate for the request's key, with ``names`` and nothing else that the request asks for.

    It ends with the CA's own validity at the latest.

    Raises:
        OperatorFault: the CA has expired, or the days are out of range.
    """
    ca = authority.certificate
    if now > ca.not_valid_after_utc:
        raise OperatorFault(f"the CA has expired: field not_after is {ca.not_valid_after_utc}; make a new one")
    public = request.public_key()
    small = isinstance(public, rsa.RSAPublicKey) and public.key_size < RSA_BITS_MIN
    if small or not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise OperatorFault(f"field public key: only elliptic curve and RSA keys of {RSA_BITS_MIN} bits are signed")
    return (
        x509.CertificateBuilder()
        .subject_name(subject(names))
        .issuer_name(ca.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATE, ca.not_valid_before_utc))
        .not_valid_after(min(now + _days(days), ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(NODE_KEY_USAGE, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(names.extension(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def create_authority(
    folder: Path,
    *,
    common_name: str = "Swarm CA",
    days: int = CA_DAYS_DEFAULT,
    force: bool = False,
    now: datetime | None = None,
) -> Authority:
    """Make a CA and write ``ca-cert.pem`` and ``ca-key.pem`` (0600) into ``folder``.

    Raises:
        OperatorFault: either file exists (without ``force``), or the folder cannot be used.
    """
    cert_file, key_file = folder / CA_CERT_FILE, folder / CA_KEY_FILE
    refuse_existing([cert_file, key_file], force=force)
    authority = make_authority(common_name, days, now or datetime.now(UTC))
    write(key_file, key_pem(authority.key), secret=True, force=force)
    write(cert_file, certificate_pem(authority.certificate), secret=False, force=force)
    return authority


def load_authority(folder: Path) -> Authority:
    """The CA of ``folder``.

    Raises:
        OperatorFault: files are missing, readable by others, or do not belong together.
    """
    certificate = read_certificates(folder / CA_CERT_FILE, "CA certificate")[0]
    key = read_key(folder / CA_KEY_FILE)
    if key.public_key() != certificate.public_key():
        raise OperatorFault(f"{folder / CA_KEY_FILE} is not the key of {folder / CA_CERT_FILE}")
    return Authority(certificate, key)


def issue_node(
    authority: Authority,
    folder: Path,
    names: Names,
    *,
    days: int = NODE_DAYS_DEFAULT,
    force: bool = False,
    now: datetime | None = None,
) -> NodeFiles:
    """Key, request and certificate of a local node in one go.

    Writes ``<name>-key.pem`` (0600), ``<name>-cert.pem`` and the CA's ``ca-cert.pem`` into ``folder``.

    Raises:
        OperatorFault: key or certificate exist (without ``force``), or the folder cannot be used.
    """
    stem = names.spiffe.name
    files = NodeFiles(folder / f"{stem}-cert.pem", folder / f"{stem}-key.pem", folder / CA_CERT_FILE)
    refuse_existing([files.cert, files.key], force=force)
    key = new_key()
    certificate = sign(authority, build_request(key, names), names, days, now or datetime.now(UTC))
    write(files.key, key_pem(key), secret=True, force=force)
    write(files.cert, certificate_pem(certificate), secret=False, force=force)
    ours = certificate_pem(authority.certificate)
    if not files.cacert.exists() or files.cacert.read_bytes() != ours:
        write(files.cacert, ours, secret=False, force=force)
    return files


def create_request(folder: Path, names: Names, *, force: bool = False) -> tuple[Path, Path]:
    """A new key (0600) and the request that it signs, as ``<name>-key.pem`` and ``<name>.csr``; the two paths.

    Raises:
        OperatorFault: a file exists and ``force`` is False, or the folder cannot be used.
    """
    key_file, csr = folder / f"{names.spiffe.name}-key.pem", folder / f"{names.spiffe.name}.csr"
    refuse_existing([key_file, csr], force=force)
    key = new_key()
    write(key_file, key_pem(key), secret=True, force=force)
    write(csr, build_request(key, names).public_bytes(Encoding.PEM), secret=False, force=force)
    return key_file, csr


def _days(days: int) -> timedelta:
    if not 1 <= days <= DAYS_MAX:
        raise OperatorFault(f"a certificate is valid for 1 to {DAYS_MAX} days, not {days}")
    return timedelta(days=days)
