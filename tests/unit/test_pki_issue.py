"""Issuing: what goes into a certificate, what a request may ask for, and that keys are private and never lost."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import stat
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from swarm.core.errors import OperatorFault
from swarm.net.answers import peer_of, send_json
from swarm.net.client import JsonClient
from swarm.net.identity import role_of
from swarm.net.server import serve
from swarm.net.tls import TlsFiles, client_context, server_context
from swarm.pki.issue import create_authority, create_request, issue_node, load_authority, make_authority, sign
from swarm.pki.request import Names, build_request, make_names, names_in, new_key

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
NAMES = make_names("swarm.test", "site-a", "sn", "sn-1", ["sn-1.example"], ["10.1.2.3", "::1"])


def test_a_node_certificate_says_who_for_how_long_and_for_what() -> None:
    """URI, DNS and IP names, server and client use, 30 days, no CA; all verified against the CA's key."""
    ca = make_authority("Test CA", 365, NOW)
    cert = sign(ca, build_request(new_key(), NAMES), NAMES, 30, NOW)
    cert.verify_directly_issued_by(ca.certificate)
    san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://swarm.test/site-a/sn/sn-1"]
    assert san.get_values_for_type(x509.DNSName) == ["sn-1.example"]
    ips = [ipaddress.ip_address("10.1.2.3"), ipaddress.ip_address("::1")]
    assert san.get_values_for_type(x509.IPAddress) == ips
    usages = set(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert cert.not_valid_after_utc == NOW + dt.timedelta(days=30)
    assert NOW - dt.timedelta(minutes=10) < cert.not_valid_before_utc < NOW
    assert isinstance(cert.public_key(), ec.EllipticCurvePublicKey)
    use = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert use.critical
    assert use.value == x509.KeyUsage(
        **{word: word == "digital_signature" for word in signature(x509.KeyUsage).parameters}
    )


def test_a_certificate_never_outlives_its_ca() -> None:
    """30 days asked of a CA with 10 left gives 10; an expired CA signs nothing."""
    ca = make_authority("Test CA", 10, NOW)
    request = build_request(new_key(), NAMES)
    assert sign(ca, request, NAMES, 30, NOW).not_valid_after_utc == ca.certificate.not_valid_after_utc
    with pytest.raises(OperatorFault, match="not_after"):
        sign(ca, request, NAMES, 30, NOW + dt.timedelta(days=11))
    for days in (0, -1, 4000):
        with pytest.raises(OperatorFault, match="1 to 3650 days"):
            sign(ca, request, NAMES, days, NOW)


def request_with(*names: x509.GeneralName, key: Any = None) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = key or new_key()
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


URI = x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "field SAN: the request has none"),
        ([x509.DNSName("x")], "0 URIs"),
        ([URI("spiffe://d/s/sn/a"), URI("spiffe://d/s/sl/b")], "2 URIs"),
        ([URI("https://d/s/sn/a")], "is not spiffe://"),
        ([URI("spiffe://d/s/root/a")], "role 'root'"),
        ([URI("spiffe://d/s/sn/a"), x509.RFC822Name("a@b.example")], "only one URI"),
        ([URI("spiffe://d/s/sn/a"), x509.IPAddress(ipaddress.ip_network("0.0.0.0/0"))], "only one URI"),
        ([URI("spiffe://d/s/sn/a"), *(x509.DNSName(f"h{i}") for i in range(51))], "at most 50"),
    ],
)
def test_requests_for_other_names_are_refused_by_field(names: list[x509.GeneralName], words: str) -> None:
    """No SAN, no or two URIs, other schemes and roles, mail names, networks, too many names."""
    with pytest.raises(OperatorFault, match=words):
        names_in(request_with(*names))


def test_a_requests_own_extensions_do_not_reach_the_certificate() -> None:
    """A request that asks to be a CA becomes a plain node; weak and odd keys are not signed."""
    ca = make_authority("Test CA", 10, NOW)
    key = new_key()
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(NAMES.extension(), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert names_in(greedy) == NAMES
    cert = sign(ca, greedy, names_in(greedy), 5, NOW)
    assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    for odd in (rsa.generate_private_key(65537, 1024), ed25519.Ed25519PrivateKey.generate()):
        with pytest.raises(OperatorFault, match="field public key"):
            sign(ca, request_with(URI("spiffe://d/s/sn/a"), key=odd), NAMES, 5, NOW)


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """Keys are 0600, a second run is refused by name and leaves every byte, --force makes new ones."""
    create_authority(tmp_path)
    files = issue_node(load_authority(tmp_path), tmp_path, NAMES)
    keys = [tmp_path / "ca-key.pem", files.key]
    assert [stat.S_IMODE(path.stat().st_mode) for path in keys] == [0o600, 0o600]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OperatorFault, match=r"ca-cert\.pem.*--force"):
        create_authority(tmp_path)
    with pytest.raises(OperatorFault, match=r"sn-1-key\.pem.*--force"):
        issue_node(load_authority(tmp_path), tmp_path, NAMES)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    issue_node(load_authority(tmp_path), tmp_path, NAMES, force=True)
    assert files.key.read_bytes() != before[files.key]
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_a_ca_folder_is_checked_before_it_signs(tmp_path: Path) -> None:
    """A key that others can read, or another CA's key, is refused."""
    create_authority(tmp_path / "a")
    create_authority(tmp_path / "b")
    key = tmp_path / "a" / "ca-key.pem"
    key.chmod(0o644)
    with pytest.raises(OperatorFault, match="chmod 600"):
        load_authority(tmp_path / "a")
    key.write_bytes((tmp_path / "b" / "ca-key.pem").read_bytes())
    key.chmod(0o600)
    with pytest.raises(OperatorFault, match="is not the key of"):
        load_authority(tmp_path / "a")


@pytest.mark.parametrize(
    ("site", "role", "name", "dns", "ips", "words"),
    [
        ("a b", "sn", "x", [], [], "site"),
        ("a", "boss", "x", [], [], "role"),
        ("a", "sn", "../x", [], [], "name"),
        ("a", "sn", "x", [], ["300.1.1.1"], "300"),
        ("a", "sn", "x", ["bücher.example"], [], "cannot stand"),
        ("a", "sn", "x", ["h"] * 51, [], "at most 50"),
    ],
)
def test_names_that_cannot_stand_in_a_certificate_are_refused(
    site: str, role: str, name: str, dns: list[str], ips: list[str], words: str
) -> None:
    """The sentence says which part it is."""
    with pytest.raises(OperatorFault, match=words):
        make_names("swarm.test", site, role, name, dns, ips)


@pytest.mark.row("E13a")
async def test_issued_certificates_open_a_mutual_connection(tmp_path: Path) -> None:
    """An SN and an SL under our own CA meet over TLS 1.3 and each sees the other's SPIFFE name."""
    ca = create_authority(tmp_path)
    sn = issue_node(ca, tmp_path, NAMES)
    sl = issue_node(ca, tmp_path, Names(make_names("swarm.test", "site-b", "sl", "sl-1").spiffe))

    async def who(scope: Any, receive: Any, send: Any) -> None:
        await send_json(send, 200, {"you": str(peer_of(scope).spiffe)})

    tls = [TlsFiles(files.cert, files.key, files.cacert) for files in (sn, sl)]
    async with (
        asyncio.timeout(10),
        serve(who, "127.0.0.1", 0, server_context(tls[0])) as server,
        JsonClient(f"https://127.0.0.1:{server.port}", client_context(tls[1]), role_of("sn")) as client,
    ):
        assert await client.get("/") == {"you": "spiffe://swarm.test/site-b/sl/sl-1"}


def test_a_folder_that_cannot_be_looked_into_is_one_sentence(tmp_path: Path) -> None:
    """Where nobody can see whether a key is there: named with the reason, as an operator's fault, no trace."""
    with pytest.raises(OperatorFault, match=r"sn-1-key\.pem cannot be looked at: File name too long"):
        create_request(tmp_path / ("x" * 300), NAMES)


def test_a_certificate_may_be_read_and_its_key_may_not(tmp_path: Path) -> None:
    """The node's own user in a container is another one; a CA's name may be a single letter."""
    old = os.umask(0o022)
    try:
        files = issue_node(make_authority("T", 365, NOW), tmp_path, NAMES, now=NOW)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(file.stat().st_mode) for file in (files.cert, files.cacert, files.key)]
    assert modes == [0o644, 0o644, 0o600]
