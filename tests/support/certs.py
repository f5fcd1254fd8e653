"""Certificates for tests, built with the cryptography library alone: independent of swarm.pki, and free to be wrong."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from swarm.net.tls import TlsFiles

DAY = dt.timedelta(days=1)


def name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Swarm-Learning"),
        ]
    )


@dataclass
class Authority:
    """A CA in memory."""

    common_name: str = "test CA"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        now = dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name(self.common_name))
            .issuer_name(name(self.common_name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 10 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def node(
        self,
        folder: Path,
        common_name: str,
        *,
        uri: str | None = None,
        begins: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
        usages: list[x509.ObjectIdentifier] | None = None,
        trusts: Authority | None = None,
    ) -> TlsFiles:
        """Key, certificate and CA file of a node; by default a plain CN and nothing else, as made elsewhere."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )
        if uri is not None:
            san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
            builder = builder.add_extension(san, critical=False)
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        cert_file, key_file = folder / f"{common_name}.crt", folder / f"{common_name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key_file.chmod(0o600)
        ca_file = (trusts or self).write(folder / f"{common_name}-ca.pem")
        return TlsFiles(cert_file, key_file, cacert=ca_file)


CLIENT_ONLY = [ExtendedKeyUsageOID.CLIENT_AUTH]
SERVER_ONLY = [ExtendedKeyUsageOID.SERVER_AUTH]
