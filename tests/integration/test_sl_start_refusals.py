"""An SL that cannot start says why in one line, ends with 2 in seconds, and leaves nothing running."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import patience
from support.certs import DAY, Authority
from support.chains import free_port
from support.lab import Lab, Site, lab
from support.snprocess import SnProcess
from swarm.net.tls import TlsFiles

pytestmark = pytest.mark.timeout(180)

REFUSED_SECONDS = 10.0


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One SN for all refusals."""
    with lab(tmp_path_factory.mktemp("refusals")) as running:
        yield running


def last_words(site: Site, *, within: float = REFUSED_SECONDS) -> str:
    """Start the SL, which must refuse in time with 2 and one line; returns the line."""
    began = time.monotonic()
    site.start_sl()
    assert site.sl is not None
    try:
        code = site.sl.wait(timeout=patience.seconds(within))
    except subprocess.TimeoutExpired:
        site.sl.kill()
        site.sl.wait()
        raise AssertionError(f"no end within {within} s:\n{site.log('sl')}") from None
    took = time.monotonic() - began
    lines = [line for line in site.log("sl").splitlines() if line.startswith("swarm: ")]
    assert code == 2, site.log("sl")
    assert took < within * patience.crowd()
    assert len(lines) == 1, site.log("sl")
    assert "Traceback" not in site.log("sl")
    return lines[0]


def stranger(swarm: Lab, name: str, *more: str, files: TlsFiles | None = None, **environ: str) -> Site:
    """A site with its own certificate that is no part of the lab's list, so that each test ends its own."""
    folder = swarm.folder / name
    own = files or swarm.ca.node(folder / "certs", name, uri=f"spiffe://test/site-x/sl/{name}")
    return Site(folder, name, own, swarm.sn, list(more), environ)


def test_settings_that_do_not_work_are_named(swarm: Lab) -> None:
    """An unknown flag, a bad value, a misspelt variable, a peer port or operations port in use, a file for a folder."""
    said = last_words(stranger(swarm, "flag", "--no-such-flag=1"))
    assert "--no-such-flag" in said
    assert "--help" in said
    said = last_words(stranger(swarm, "value", SL_MAKE_ME_ADMIN="perhaps"))
    assert "SL_MAKE_ME_ADMIN=perhaps" in said
    said = last_words(stranger(swarm, "typo", SL_LOG_LEVLE="DEBUG"))
    assert "SL_LOG_LEVLE" in said
    assert "SL_LOG_LEVEL" in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site = stranger(swarm, "port")
        site.fs_port = port
        assert f"port {port} on 127.0.0.1 cannot be used" in last_words(site)
        site = stranger(swarm, "ops")
        site.ops_port = port
        assert f"port {port} on 127.0.0.1 cannot be used" in last_words(site)
    site = stranger(swarm, "state")
    site.folder.mkdir(exist_ok=True)
    (site.folder / "state").write_text("not a folder")
    assert f"{site.folder / 'state'}" in last_words(site)


def test_pipes_and_exchange_folder_that_cannot_be_used_are_named(swarm: Lab) -> None:
    """A plain file where a pipe belongs, and a file where the exchange folder belongs."""
    site = stranger(swarm, "pipe")
    site.folder.mkdir(exist_ok=True)
    (site.folder / "request.channel").write_text("a file")
    assert "request.channel" in last_words(site)
    site = stranger(swarm, "exchange")
    site.folder.mkdir(exist_ok=True)
    (site.folder / "exchange").write_text("a file")
    assert "exchange" in last_words(site)


def test_no_sn_there(swarm: Lab) -> None:
    """Nobody listens at the SN's address: after --sn-wait the SL says where it looked."""
    site = stranger(swarm, "alone", "--sn-wait", "2")
    site.sn = SnProcess(swarm.folder / "nowhere", swarm.sn.files, port=free_port())
    said = last_words(site)
    assert f"no SN answers at https://127.0.0.1:{site.sn.port} for 2 s" in said
    assert "--sn-ip" in said


def test_own_certificates_that_are_out_of_date_or_open_to_others(swarm: Lab) -> None:
    """Expired, not valid yet, a key others can read: refused before anything is sent, by field."""
    for name, begins, ends, field in (
        ("late", -2 * DAY, -DAY, "not_after"),
        ("early", DAY, 2 * DAY, "not_before"),
    ):
        files = swarm.ca.node(swarm.folder / name / "certs", name, begins=begins, ends=ends)
        said = last_words(stranger(swarm, name, files=files))
        assert f"field {field}" in said
        assert str(files.cert) in said
    site = stranger(swarm, "open")
    site.files.key.chmod(0o644)
    said = last_words(site)
    assert "0644" in said
    assert f"chmod 600 {site.files.key}" in said


def test_the_sn_refuses_a_foreign_ca_and_an_sl_refuses_a_foreign_sn(swarm: Lab) -> None:
    """At TLS, by the field issuer; the side that refuses has it in its log."""
    foreign = Authority("another CA")
    files = foreign.node(swarm.folder / "foreign" / "certs", "foreign", trusts=swarm.ca)
    said = last_words(stranger(swarm, "foreign", files=files))
    assert "field issuer" in said
    assert "field issuer" in swarm.sn.log
    files = swarm.ca.node(swarm.folder / "wary" / "certs", "wary", trusts=foreign)
    assert "field issuer" in last_words(stranger(swarm, "wary", files=files))


@pytest.mark.parametrize("role", ["sn", "swci"])
def test_a_certificate_of_another_role_is_refused_by_both_ends(swarm: Lab, role: str) -> None:
    """The SN refuses the join with the field; SL and SN both say so."""
    uri = f"spiffe://test/site-x/{role}/other-{role}"
    files = swarm.ca.node(swarm.folder / f"other-{role}" / "certs", f"other-{role}", uri=uri)
    said = last_words(stranger(swarm, f"other-{role}", files=files))
    assert f"role: the certificate's URI SAN {uri} is for role {role}, not for sl" in said
    refused = [line for line in swarm.sn.log.splitlines() if uri in line]
    assert any("role" in line for line in refused), swarm.sn.log


def test_two_sls_cannot_share_a_state_folder_or_a_certificate(swarm: Lab) -> None:
    """The second one says who has it, a copied certificate for as long as it asks; the first goes on."""
    first = stranger(swarm, "first").start_sl()
    try:
        swarm.wait(first.healthy, seconds=60, say="the first SL is ready")
        second = stranger(swarm, "first", files=first.files)
        log = second.folder / "sl.log"
        log.rename(second.folder / "first.log")
        assert str(second.folder / "state") in last_words(second)
        thief = stranger(swarm, "thief", files=first.files)
        try:
            thief.start_sl()
            swarm.wait(lambda: "key_in_use" in thief.log("sl"), seconds=30, say="the second SL is told who has the key")
            assert "every node needs a certificate and a chain key of its own" in thief.log("sl")
            assert not thief.healthy()
        finally:
            if thief.sl is not None:
                thief.sl.terminate()
                assert thief.sl.wait(timeout=patience.seconds(30)) == 0, thief.log("sl")
        assert first.healthy()
    finally:
        assert first.sl is not None
        first.sl.terminate()
        assert first.sl.wait(timeout=patience.seconds(30)) == 0


def test_another_swarm_is_not_joined_with_an_old_state_folder(swarm: Lab, tmp_path: Path) -> None:
    """The state folder is pinned to the swarm it was made in: refused with both swarms named."""
    site = stranger(swarm, "pinned").start_sl()
    swarm.wait(site.healthy, seconds=60, say="the SL is ready")
    assert site.sl is not None
    site.sl.terminate()
    assert site.sl.wait(timeout=patience.seconds(30)) == 0
    other = SnProcess(tmp_path / "other-sn", swarm.sn.files).start()
    try:
        site.sn = other
        (site.folder / "sl.log").rename(site.folder / "before.log")
        said = last_words(site)
        assert f"https://127.0.0.1:{other.port} serves another swarm" in said
        assert "state folder" in said
    finally:
        assert other.stop() == 0
