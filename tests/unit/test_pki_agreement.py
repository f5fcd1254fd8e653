"""`swarm certs check` says ok exactly where a real TLS handshake between two nodes with these files succeeds.

Each kind is an odd certificate or chain. The verdict of before is a real handshake over loopback with the nodes' own
contexts, both ways at once: the client judges it as a server's, the server as a client's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier
from support.certs import CLIENT_ONLY, DAY, SERVER_ONLY, name
from swarm.cli.building import root
from swarm.cli.output import Out
from swarm.core.errors import OperatorFault
from swarm.net.rehearsal import rehearse
from swarm.net.tls import TlsFiles, client_context, server_context
from swarm.pki.check import Finding, Level
from swarm.pki.commands import check_files

SECONDS = 10.0


@dataclass(frozen=True)
class Made:
    certificate: x509.Certificate
    key: Any


USES = tuple(signature(x509.KeyUsage).parameters)


def uses(*words: str) -> tuple[x509.KeyUsage, bool]:
    return x509.KeyUsage(**{word: word in words for word in USES}), True


def basic(ca: bool = True, length: int | None = None) -> tuple[x509.BasicConstraints, bool]:
    return x509.BasicConstraints(ca=ca, path_length=length), True


def make(
    who: str,
    by: Made | None = None,
    *extensions: tuple[x509.ExtensionType, bool],
    key: Any = None,
    digest: Any = "sha256",
    begins: dt.timedelta = -DAY,
    ends: dt.timedelta = 9 * DAY,
) -> Made:
    """A certificate with exactly these extensions; signed by itself where nobody else is named."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = by.key if by else key
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(who))
        .issuer_name(by.certificate.subject if by else name(who))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    pure = isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return Made(builder.sign(signer, None if pure else hashes.SHA256() if digest == "sha256" else digest), key)


PREFIXES = {
    "sha1": (b"\x05", bytes.fromhex("3021300906052b0e03021a05000414")),
    "md5": (b"\x04", bytes.fromhex("3020300c06082a864886f70d020505000410")),
}
RSA_OID = bytes.fromhex("2a864886f70d0101")


def signed_anew(made: Made, signer: rsa.RSAPrivateKey, digest: str) -> Made:
    """The same certificate under an old digest, which the library refuses to sign with: PKCS #1 v1.5 by hand."""
    last, prefix = PREFIXES[digest]
    old, new = RSA_OID + b"\x0b", RSA_OID + last
    body = made.certificate.tbs_certificate_bytes.replace(old, new)
    info = prefix + hashlib.new(digest, body).digest()
    size = signer.key_size // 8
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
    numbers = signer.private_numbers()
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    whole = made.certificate.public_bytes(Encoding.DER)[:-size].replace(old, new) + signature
    return Made(x509.load_der_x509_certificate(whole), made.key)


def files(folder: Path, leaf: Made, trusted: list[Made], between: list[Made] | None = None) -> TlsFiles:
    def pem(several: list[Made]) -> bytes:
        return b"".join(m.certificate.public_bytes(Encoding.PEM) for m in several)

    cert, key, cacert = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    cert.write_bytes(pem([leaf, *(between or [])]))
    cacert.write_bytes(pem(trusted))
    key.write_bytes(leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    return TlsFiles(cert, key, cacert)


def shake(made: TlsFiles) -> bool:
    """A handshake over loopback, one byte each way after it: in TLS 1.3 the client hears the server's verdict late."""
    try:
        server, client = server_context(made), client_context(made)
    except OperatorFault:
        return False
    went: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def serve() -> None:
            try:
                plain, _ = listener.accept()
                plain.settimeout(SECONDS)
                with server.wrap_socket(plain, server_side=True) as secured:
                    secured.sendall(secured.recv(1))
                    went.append(True)
            except OSError:
                went.append(False)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), SECONDS) as plain,
                client.wrap_socket(plain, server_hostname="any") as secured,
            ):
                secured.sendall(b"x")
                here = secured.recv(1) == b"x"
        except OSError:
            here = False
        thread.join(SECONDS)
    return here and went == [True]


def san(der: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der), False


EDI_PARTY = bytes.fromhex("3009a507a1050c03666f6f")
CURVES = {c.name: c for c in (ec.SECP192R1, ec.SECP224R1, ec.SECP256K1, ec.BrainpoolP256R1, ec.SECP384R1, ec.SECP521R1)}

Case = Callable[[Path], TlsFiles]
KINDS: dict[str, tuple[str | None, Case]] = {}


def kind(field: str | None, called: str) -> Callable[[Case], Case]:
    """One row of the table: the field that check must blame, or None where it must say ok."""

    def keep(case: Case) -> Case:
        KINDS[called] = (field, case)
        return case

    return keep


def plain(field: str | None, called: str, *extensions: tuple[x509.ExtensionType, bool], **how: Any) -> None:
    """A node's certificate right under a plain root."""

    def case(folder: Path) -> TlsFiles:
        root = make("root", None, basic())
        made = {word: value() if callable(value) else value for word, value in how.items()}
        return files(folder, make("node", root, *extensions, **made), [root])

    KINDS[called] = (field, case)


def root_of(field: str | None, called: str, *extensions: tuple[x509.ExtensionType, bool], **how: Any) -> None:
    """A plain node's certificate under an odd root."""

    def case(folder: Path) -> TlsFiles:
        made = {word: value() if callable(value) else value for word, value in how.items()}
        root = make("root", None, *extensions, **made)
        return files(folder, make("node", root), [root])

    KINDS[called] = (field, case)


def between(field: str | None, called: str, *extensions: tuple[x509.ExtensionType, bool], **how: Any) -> None:
    """A plain node's certificate under an odd CA under a plain root; the CA comes with the node's file."""

    def case(folder: Path) -> TlsFiles:
        made = {word: value() if callable(value) else value for word, value in how.items()}
        root = make("root", None, basic())
        middle = make("middle", root, *extensions, **made)
        return files(folder, make("node", middle), [root], [middle])

    KINDS[called] = (field, case)


def weak_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


def strong_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


plain(None, "a plain one")
plain(None, "RSA-2048", key=strong_rsa)
plain("public key", "RSA-1024", key=weak_rsa)
plain(None, "Ed25519", key=ed25519.Ed25519PrivateKey.generate)
plain(None, "Ed448", key=ed448.Ed448PrivateKey.generate)
for curve_name, curve in CURVES.items():
    good = curve_name in ("secp384r1", "secp521r1")
    plain(None if good else "public key", f"curve {curve_name}", key=lambda c=curve: ec.generate_private_key(c()))
plain(None, "signed with SHA-512", digest=hashes.SHA512())
plain(None, "signed with SHA-224", digest=hashes.SHA224())
plain(None, "key usage signs", uses("digital_signature"))
plain("key usage", "key usage for encipherment only", uses("key_encipherment"))
plain("key usage", "key usage for CAs only", uses("key_cert_sign", "crl_sign"))
plain("key usage", "key usage for non-repudiation only", uses("content_commitment"))
plain(None, "key usage for key agreement only", uses("key_agreement"))
plain("extended key usage", "made for clients only", (x509.ExtendedKeyUsage(CLIENT_ONLY), False))
plain("extended key usage", "made for servers only", (x509.ExtendedKeyUsage(SERVER_ONLY), False))
plain(
    "extended key usage",
    "made for any use",
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False),
)
plain("SAN", "a SAN with an ediPartyName", san(EDI_PARTY))
plain("extensions", "a SAN that is damaged", san(b"\x30\x03\xa5\x07"))
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\0")
plain("TLS", "a critical extension of its own", (UNKNOWN, True))
plain(None, "an extension of its own", (UNKNOWN, False))
plain(None, "a node that says it is a CA", basic())
plain("not_after", "out of date", begins=-3 * DAY, ends=-DAY)

root_of(None, "a root of RSA-2048", basic(), key=strong_rsa)
root_of("issuer", "a root of RSA-1024", basic(), key=weak_rsa)
root_of(None, "a root on secp256k1", basic(), key=lambda: ec.generate_private_key(ec.SECP256K1()))
root_of(None, "a root on secp224r1", basic(), key=lambda: ec.generate_private_key(ec.SECP224R1()))
root_of("issuer", "a root on secp192r1", basic(), key=lambda: ec.generate_private_key(ec.SECP192R1()))
root_of("issuer", "a root without basic constraints")
root_of("issuer", "a root that says it is no CA", basic(ca=False))
root_of("issuer", "a root that may not sign certificates", basic(), uses("digital_signature", "crl_sign"))
root_of(None, "a root with a key usage alone", uses("key_cert_sign"))
root_of("issuer", "a root for clients only", basic(), (x509.ExtendedKeyUsage(CLIENT_ONLY), False))
root_of(None, "a root with path length 0", basic(length=0))
root_of("issuer", "a root out of date", basic(), begins=-3 * DAY, ends=-DAY)
root_of(
    "TLS",
    "a root whose name constraints leave the node out",
    basic(),
    (x509.NameConstraints([x509.DirectoryName(name("others"))], None), True),
)
root_of(None, "a root whose SAN cannot be read", basic(), san(EDI_PARTY))

between(None, "a CA between", basic())
between("issuer", "a CA between of RSA-1024", basic(), key=weak_rsa)
between("issuer", "one between that is no CA", basic(ca=False))
between("issuer", "a CA between that may not sign", basic(), uses("digital_signature"))
between("issuer", "a CA between for servers only", basic(), (x509.ExtendedKeyUsage(SERVER_ONLY), False))
between("issuer", "a CA between out of date", basic(), begins=-3 * DAY, ends=-DAY)
between(None, "a CA between whose SAN cannot be read", basic(), san(EDI_PARTY))


@kind("signature", "signed with SHA-1")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(), key=strong_rsa())
    return files(folder, signed_anew(make("node", root), root.key, "sha1"), [root])


@kind("signature", "signed with MD5")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(), key=strong_rsa())
    return files(folder, signed_anew(make("node", root), root.key, "md5"), [root])


@kind(None, "a root that signed itself with SHA-1")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(), key=strong_rsa())
    root = signed_anew(root, root.key, "sha1")
    return files(folder, make("node", root), [root])


@kind("issuer", "a CA between, signed with SHA-1")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(), key=strong_rsa())
    middle = signed_anew(make("middle", root, basic()), root.key, "sha1")
    return files(folder, make("node", middle), [root], [middle])


@kind("issuer", "a CA between as the only anchor")
def _(folder: Path) -> TlsFiles:
    middle = make("middle", make("root", None, basic()), basic())
    return files(folder, make("node", middle), [middle])


@kind(None, "a CA between and its root as anchors")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic())
    middle = make("middle", root, basic())
    return files(folder, make("node", middle), [middle, root])


@kind("issuer", "the CA between was left out")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic())
    return files(folder, make("node", make("middle", root, basic())), [root])


@kind("issuer", "the root comes with the node, trusted by nobody")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic())
    return files(folder, make("node", root), [make("other", None, basic())], [root])


@kind("issuer", "more CAs than the path length allows")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(length=0))
    middle = make("middle", root, basic())
    return files(folder, make("node", middle), [root], [middle])


@kind("issuer", "more CAs than one between allows")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic(length=2))
    upper = make("upper", root, basic(length=0))
    lower = make("lower", upper, basic())
    return files(folder, make("node", lower), [root], [lower, upper])


@kind(None, "a renewed root beside the expired one of the same key")
def _(folder: Path) -> TlsFiles:
    old = make("root", None, basic(), begins=-9 * DAY, ends=-DAY)
    new = make("root", None, basic(), key=old.key)
    return files(folder, make("node", new), [old, new])


@kind(None, "signed by itself and trusted itself")
def _(folder: Path) -> TlsFiles:
    alone = make("node")
    return files(folder, alone, [alone])


@kind("issuer", "signed by itself and trusted by nobody")
def _(folder: Path) -> TlsFiles:
    return files(folder, make("node"), [make("root", None, basic())])


@kind("issuer", "a root of the same name with another key")
def _(folder: Path) -> TlsFiles:
    return files(folder, make("node", make("root", None, basic())), [make("root", None, basic())])


@kind(None, "names that no host has")
def _(folder: Path) -> TlsFiles:
    root = make("root", None, basic())
    names = x509.SubjectAlternativeName([x509.DNSName("*.x"), x509.IPAddress(ipaddress.ip_address("::"))])
    return files(folder, make("node", root, (names, True)), [root])


@pytest.mark.parametrize("called", KINDS)
def test_check_says_what_tls_says(called: str, tmp_path: Path) -> None:
    """ok iff both sides' handshake passes; what is wrong is one fault, of the field that must be mended.

    That field is known by looking at the files; a handshake in memory is asked for what has no field of its own.
    """
    field, case = KINDS[called]
    made = case(tmp_path)
    looked = check_files(made.cert, made.key, made.cacert, None, dt.datetime.now(dt.UTC))
    assert faulty(looked) == ([] if field in (None, "TLS") else [field]), looked
    found = check_files(
        made.cert, made.key, made.cacert, None, dt.datetime.now(dt.UTC), lambda *f: rehearse(TlsFiles(*f))
    )
    assert (not faulty(found)) is shake(made), found
    assert faulty(found) == ([] if field is None else [field]), found
    assert all(len(f.text) < 500 and "\n" not in f.text for f in found)


def faulty(found: list[Finding]) -> list[str]:
    return [finding.field for finding in found if finding.level is Level.FAULT]


def test_the_command_ends_with_one_and_names_the_field(tmp_path: Path) -> None:
    """Exit code 1, the field on the last line, the remedy beside it; a good one ends with the handshake's line."""
    for called, words in (("curve secp256k1", "only P-256"), ("a CA between as the only anchor", "is not the root")):
        folder = tmp_path / called.replace(" ", "-")
        folder.mkdir()
        field, case = KINDS[called]
        made = case(folder)
        code, output = checked(made)
        assert code == 1
        assert words in output
        assert f"to be mended: {field}" in output
    folder = tmp_path / "good"
    folder.mkdir()
    made = KINDS["a plain one"][1](folder)
    code, output = checked(made)
    assert (code, "both sides of a handshake take it" in output) == (0, True)


def checked(made: TlsFiles) -> tuple[int, str]:
    """By `swarm cert check`."""
    words = ["cert", "check", "--cert", str(made.cert), "--key", str(made.key), "--cacert", str(made.cacert)]
    result = CliRunner().invoke(root(), words, obj=Out(), standalone_mode=False)
    return result.return_value, result.output
