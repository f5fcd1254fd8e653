"""Who a certificate says it is: SPIFFE names parse strictly, other certificates have none, keys decide."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from support.certs import Authority
from swarm.core.errors import PeerFault
from swarm.core.spiffe import ROLES, SpiffeId
from swarm.net.identity import PeerIdentity, anyone, holder_of, role_of

SN = "spiffe://swarm.test/site-a/sn/sn-1"
PART = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(domain=st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True), site=PART, role=st.sampled_from(ROLES), name=PART)
def test_a_name_parses_back_from_its_text(domain: str, site: str, role: str, name: str) -> None:
    """str and parse are inverse on every allowed name."""
    spiffe = SpiffeId(domain, site, role, name)
    assert SpiffeId.parse(str(spiffe)) == spiffe


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://swarm.test/site/sn/x",
        "spiffe://swarm.test/site/sn",
        "spiffe://swarm.test/site/sn/x/y",
        "spiffe://Swarm.test/site/sn/x",
        "spiffe:///site/sn/x",
        "spiffe://swarm.test/../sn/x",
        "spiffe://swarm.test/site/admin/x",
        "spiffe://swarm.test/site/sn/",
        "spiffe://swarm.test/site/sn/x?y",
        "spiffe://swarm.test:1/site/sn/x",
        "spiffe://swarm.test/site/sn/x\n",
        "spiffe://swarm.test/site/sn/" + "x" * 65,
    ],
)
def test_anything_else_is_not_a_name(text: str) -> None:
    """No other scheme, count of parts, case, dots, role, query, port, end of line or length passes."""
    with pytest.raises(ValueError, match="is not"):
        SpiffeId.parse(text)


def certificate(tmp_path: Path, **options: str) -> x509.Certificate:
    files = Authority().node(tmp_path, "SN-1", **options)  # type: ignore[arg-type]
    return x509.load_pem_x509_certificate(files.cert.read_bytes())


def test_identity_holds_key_name_and_end_of_validity(tmp_path: Path) -> None:
    """The SPKI hash is that of the DER public key; the rest is what the certificate says."""
    cert = certificate(tmp_path, uri=SN)
    peer = PeerIdentity.from_der(cert.public_bytes(Encoding.DER))
    spki = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert peer.spki == hashlib.sha256(spki).digest()
    assert str(peer.spiffe) == SN
    assert (peer.common_name, peer.serial) == ("SN-1", cert.serial_number)
    assert peer.not_after == cert.not_valid_after_utc


@pytest.mark.parametrize("uri", [None, "spiffe://example.org/ns/default/sa/web", "https://example.org"])
def test_certificates_made_elsewhere_have_no_name_of_ours(tmp_path: Path, uri: str | None) -> None:
    """A plain CN, or another system's URI, gives spiffe None; roles are then for the chain to say."""
    cert = certificate(tmp_path, **({} if uri is None else {"uri": uri}))
    peer = PeerIdentity.from_certificate(cert)
    assert peer.spiffe is None
    role_of("sn")(peer)
    anyone(peer)


def test_expectations_name_the_field(tmp_path: Path) -> None:
    """A wrong role or key raises PeerFault that says which."""
    peer = PeerIdentity.from_certificate(certificate(tmp_path, uri=SN))
    role_of("sl", "sn")(peer)
    holder_of(peer.spki)(peer)
    with pytest.raises(PeerFault, match="role sn in its URI SAN; needed here: sl or swop"):
        role_of("sl", "swop")(peer)
    with pytest.raises(PeerFault, match=f"SPKI. {peer.spki.hex()}"):
        holder_of(bytes(32))(peer)  # type: ignore[arg-type]


@given(st.binary(max_size=64))
def test_bytes_that_are_no_certificate_are_the_peers_fault(data: bytes) -> None:
    """Whatever a peer sends, the error is PeerFault."""
    with pytest.raises(PeerFault, match="cannot be read"):
        PeerIdentity.from_der(data)
