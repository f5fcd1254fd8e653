"""A node's own TLS files: every defect is found before anything listens or calls, by file and field."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from support.certs import DAY, Authority
from swarm.core.errors import OperatorFault
from swarm.net.tls import CA_FILES_MAX, TlsFiles, client_context, server_context, trusted_cas
from swarm.pki.files import trusted


@pytest.fixture
def ca() -> Authority:
    return Authority()


@pytest.fixture
def files(ca: Authority, tmp_path: Path) -> TlsFiles:
    return ca.node(tmp_path, "SN-1")


@pytest.mark.row("E13a")
@pytest.mark.parametrize("build", [server_context, client_context])
def test_contexts_are_mutual_and_tls_1_3_only(files: TlsFiles, build: object) -> None:
    """Both sides ask for a certificate, offer nothing older than TLS 1.3, and leave host names aside."""
    context = build(files)  # type: ignore[operator]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
    assert context.check_hostname is False
    assert context.own.common_name == "SN-1"


@pytest.mark.row("E13a")
def test_cas_come_from_a_file_a_folder_or_both(files: TlsFiles, ca: Authority, tmp_path: Path) -> None:
    """A folder of plain names (PEM and DER, several in one file) gives each CA once; other files are passed by."""
    folder = tmp_path / "cas"
    folder.mkdir()
    second = Authority("second")
    ca.write(folder / "ca-1-cert.pem")
    (folder / "both.crt").write_bytes(b"".join(a.certificate.public_bytes(Encoding.PEM) for a in (ca, second)))
    (folder / "third.cer").write_bytes(Authority("third").certificate.public_bytes(Encoding.DER))
    (folder / "some.key").write_bytes(files.key.read_bytes())
    (folder / "key.pem").write_bytes(files.key.read_bytes())
    (folder / "notes.pem").write_text("nothing here")
    context = server_context(replace(files, cacert=files.cacert, capath=folder))
    names = {dict(pair[0] for pair in entry["subject"])["commonName"] for entry in context.get_ca_certs()}
    assert names == {"test CA", "second", "third"}
    assert len(context.get_ca_certs()) == 3


def test_a_key_that_others_can_read_is_refused_with_the_command(files: TlsFiles) -> None:
    """The sentence holds the chmod."""
    files.key.chmod(0o640)
    with pytest.raises(OperatorFault, match=f"mode 0640.*chmod 600 {files.key}"):
        server_context(files)


def test_defects_are_named_by_file_and_field(files: TlsFiles, ca: Authority, tmp_path: Path) -> None:
    """Another key, an expired or future certificate, a missing file, a wrong kind of file, a locked key."""
    other = ca.node(tmp_path / "o", "SN-2")
    expired = ca.node(tmp_path / "e", "old", begins=-3 * DAY, ends=-DAY)
    future = ca.node(tmp_path / "f", "new", begins=DAY, ends=2 * DAY)
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    locked = tmp_path / "locked.key"
    locked.write_bytes(ca.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    locked.chmod(0o600)
    empty.chmod(0o600)
    cases = [
        (replace(files, key=other.key), "is not the key of"),
        (expired, "field not_after"),
        (future, "field not_before"),
        (replace(files, cert=tmp_path / "none.crt"), "none.crt .certificate. cannot be read"),
        (replace(files, cert=empty), "is not a PEM certificate"),
        (replace(files, key=empty), "is not a PEM private key"),
        (replace(files, key=locked), "encrypted"),
        (replace(files, cacert=None), "SWARM_ID_CACERT"),
        (replace(files, cacert=empty), "holds no certificate"),
        (replace(files, cacert=None, capath=tmp_path / "nowhere"), "nowhere .CA folder. cannot be listed"),
    ]
    for bad, words in cases:
        with pytest.raises(OperatorFault, match=words):
            client_context(bad)


def test_a_ca_folder_without_certificates_is_refused(tmp_path: Path) -> None:
    """An empty folder would trust nobody and fail later, without a reason."""
    with pytest.raises(OperatorFault, match=r"holds no certificate in a \.pem, \.crt or \.cer file"):
        trusted_cas(None, tmp_path)


def test_a_ca_folder_with_too_many_files_is_refused_by_nodes_and_by_check_alike(tmp_path: Path) -> None:
    """A check that looks at the first thousand alone would find well what a node then refuses to read."""
    for number in range(CA_FILES_MAX + 1):
        (tmp_path / f"{number:04}.pem").touch()
    said = rf"holds {CA_FILES_MAX + 1} files; at most {CA_FILES_MAX} are read"
    with pytest.raises(OperatorFault, match=said):
        trusted_cas(None, tmp_path)
    with pytest.raises(OperatorFault, match=said):
        trusted(None, tmp_path)
