"""Requests for certificates (CSR): what a node asks to be called. Pure; the key never leaves the node's site."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarm.core.errors import OperatorFault
from swarm.core.spiffe import SpiffeId

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

NAMES_MAX = 50
"""DNS names and IP addresses in one certificate."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate or a request says in its subject alternative names."""

    spiffe: SpiffeId
    dns: tuple[str, ...] = ()
    ips: tuple[IpAddress, ...] = ()

    def extension(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(str(self.spiffe)),
                *(x509.DNSName(name) for name in self.dns),
                *(x509.IPAddress(ip) for ip in self.ips),
            ]
        )

    def __str__(self) -> str:
        return ", ".join([f"URI:{self.spiffe}", *(f"DNS:{d}" for d in self.dns), *(f"IP:{i}" for i in self.ips)])


def make_names(
    trust_domain: str, site: str, role: str, name: str, dns: list[str] | None = None, ips: list[str] | None = None
) -> Names:
    """Names from what an operator typed.

    Raises:
        OperatorFault: a part is not allowed; says which.
    """
    try:
        spiffe = SpiffeId(trust_domain, site, role, name)
        addresses = tuple(ipaddress.ip_address(text) for text in ips or [])
        names = Names(spiffe, tuple(dns or []), addresses)
        names.extension()
    except ValueError as error:
        raise OperatorFault(f"this name cannot stand in a certificate: {error}") from error
    if len(names.dns) + len(names.ips) > NAMES_MAX:
        raise OperatorFault(f"{len(names.dns) + len(names.ips)} names; a certificate has at most {NAMES_MAX}")
    return names


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key, as all keys that we make."""
    return ec.generate_private_key(ec.SECP256R1())


def subject(names: Names) -> x509.Name:
    """Plain CN for people and for programs that know nothing of SPIFFE; the URI SAN is what counts."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, names.spiffe.name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, names.spiffe.site),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Swarm-Learning"),
        ]
    )


def build_request(key: ec.EllipticCurvePrivateKey, names: Names) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(names))
        .add_extension(names.extension(), critical=False)
        .sign(key, hashes.SHA256())
    )


def names_in(request: x509.CertificateSigningRequest) -> Names:
    """What a request made elsewhere asks for.

    Raises:
        OperatorFault: its signature is wrong, it has no SAN, not exactly one URI of our form, or names of a kind
            that we do not sign (e-mail, other URIs, directory names); names the field.
    """
    if not request.is_signature_valid:
        raise OperatorFault("field signature: the request is not signed by the key it shows")
    try:
        san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise OperatorFault(
            "field SAN: the request has none; it needs URI:spiffe://<trust domain>/<site>/<role>/<name>"
        ) from error
    uris = san.get_values_for_type(x509.UniformResourceIdentifier)
    dns = tuple(san.get_values_for_type(x509.DNSName))
    ips = tuple(ip for ip in san.get_values_for_type(x509.IPAddress) if isinstance(ip, IpAddress))
    if len(uris) != 1:
        raise OperatorFault(f"field SAN: {len(uris)} URIs; exactly one spiffe:// URI is needed")
    if len(list(san)) != 1 + len(dns) + len(ips) or len(dns) + len(ips) > NAMES_MAX:
        raise OperatorFault(f"field SAN: only one URI and at most {NAMES_MAX} DNS names and IP addresses are signed")
    try:
        return Names(SpiffeId.parse(uris[0]), dns, ips)
    except ValueError as error:
        raise OperatorFault(f"field SAN: {error}") from error
