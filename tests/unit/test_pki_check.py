"""The report: each defect is a fault of its own field, agrees with what TLS decides, and ends with exit code 1."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from support.certs import CLIENT_ONLY, DAY, Authority
from swarm.cli.building import root
from swarm.cli.output import Out
from swarm.core.errors import OperatorFault, PeerFault
from swarm.net.answers import send_json
from swarm.net.server import serve
from swarm.net.tls import TlsFiles, server_context
from swarm.pki.check import EXPIRES_SOON, Finding, Level, clock
from swarm.pki.commands import check_files
from swarm.pki.issue import create_authority, issue_node
from swarm.pki.request import build_request, make_names, new_key

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def ca() -> Authority:
    return Authority()


def look(files: TlsFiles, now: dt.datetime = NOW) -> dict[str, Finding]:
    return {f.field: f for f in check_files(files.cert, files.key, files.cacert, files.capath, now)}


def faulty(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.level is Level.FAULT}


@pytest.mark.row("D17")
def test_a_plain_certificate_made_elsewhere_is_accepted_with_a_warning(ca: Authority, tmp_path: Path) -> None:
    """No SAN, no key usage, a capath folder of plain names: no fault, one warning that names the SAN."""
    files = ca.node(tmp_path / "n", "SN-1", ends=20.5 * DAY)
    folder = tmp_path / "cas"
    folder.mkdir()
    ca.write(folder / "ca-1-cert.pem")
    found = look(TlsFiles(files.cert, files.key, capath=folder))
    assert faulty(found) == set()
    assert [f.field for f in found.values() if f.level is Level.WARN] == ["SAN"]
    assert "test CA" in found["issuer"].text
    assert "valid for 20 days" in found["not_after"].text


def test_each_defect_is_a_fault_of_its_field(ca: Authority, tmp_path: Path) -> None:
    """Expired, not yet valid, foreign CA, one-sided use, another's key, readable key: one fault each."""
    good = ca.node(tmp_path / "g", "good")
    other = ca.node(tmp_path / "o", "other")
    expired = ca.node(tmp_path / "e", "old", begins=-3 * DAY, ends=-DAY)
    future = ca.node(tmp_path / "f", "new", begins=DAY, ends=3 * DAY)
    foreign = Authority("foreign").node(tmp_path / "x", "stranger", trusts=ca)
    one_sided = ca.node(tmp_path / "c", "client", usages=CLIENT_ONLY)
    assert faulty(look(good)) == set()
    assert faulty(look(expired)) == {"not_after"}
    assert faulty(look(future)) == {"not_before"}
    assert faulty(look(foreign)) == {"issuer"}
    assert faulty(look(one_sided)) == {"extended key usage"}
    assert "server" in look(one_sided)["extended key usage"].text
    assert faulty(look(TlsFiles(good.cert, other.key, good.cacert))) == {"key"}
    good.key.chmod(0o644)
    assert faulty(look(good)) == {"key file mode"}
    assert f"chmod 600 {good.key}" in look(good)["key file mode"].text


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (-dt.timedelta(seconds=1), Level.FAULT),
        (dt.timedelta(0), Level.WARN),
        (dt.timedelta(hours=12), Level.WARN),
        (EXPIRES_SOON - dt.timedelta(seconds=1), Level.WARN),
        (EXPIRES_SOON, Level.OK),
    ],
)
def test_the_last_days_are_a_warning_and_only_what_is_over_is_a_fault(
    ca: Authority, tmp_path: Path, left: dt.timedelta, level: Level
) -> None:
    """To the second: before its end a certificate still holds, however little is left."""
    files = ca.node(tmp_path, "sn", ends=3 * DAY)
    ends = x509.load_pem_x509_certificate(files.cert.read_bytes()).not_valid_after_utc
    assert look(files, ends - left)["not_after"].level is level


def test_a_ca_that_has_expired_or_is_no_ca_does_not_hold_the_chain(ca: Authority, tmp_path: Path) -> None:
    """The chain is judged at the given time, and a node's own certificate cannot sign another's."""
    files = ca.node(tmp_path / "n", "SN-1", ends=100 * DAY)
    assert "issuer" in faulty(look(files, NOW + 50 * DAY))
    self_signed = TlsFiles(files.cert, files.key, cacert=files.cert)
    assert faulty(look(self_signed)) == {"issuer"}


@pytest.mark.parametrize("constraints", [None, x509.BasicConstraints(ca=False, path_length=None)], ids=["none", "no"])
def test_an_issuer_that_is_no_ca_holds_no_chain(
    constraints: x509.BasicConstraints | None, ca: Authority, tmp_path: Path
) -> None:
    """A trusted, self-signed certificate that does not say it is a CA: a fault, as TLS will find too."""
    old, now = ca.certificate, dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.subject)
        .public_key(ca.key.public_key())
        .serial_number(7)
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
    if constraints is not None:
        made = made.add_extension(constraints, critical=True)
    ca.certificate = made.sign(ca.key, hashes.SHA256())
    found = look(ca.node(tmp_path / "n", "SN-1"))
    assert faulty(found) == {"issuer"}
    assert "not a CA" in found["issuer"].text


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (-4, Level.OK), (30, Level.WARN), (-30, Level.WARN), (90, Level.FAULT)]
)
def test_the_clock_is_judged_by_its_distance(seconds: int, level: Level) -> None:
    """Small skews pass, large ones are a fault; the text says which way."""
    finding = clock(NOW, NOW + dt.timedelta(seconds=seconds), "sn:30304")
    assert finding.level is level
    assert ("ahead" in finding.text) is (seconds > 0)


def invoke(*arguments: object, clock_of: Any = None, **environment: str) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        if clock_of is not None:
            patch.setattr("swarm.net.probe.remote_time", lambda host, port, files: clock_of(host, port))
        words = ["certs", *map(str, arguments)]
        result = CliRunner().invoke(root(), words, obj=Out(), standalone_mode=False, env=environment)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output


@pytest.mark.row("U10a")
def test_the_commands_from_ca_to_checked_node(tmp_path: Path) -> None:
    """init, issue, check on a fresh folder: exit 0 and the names are shown; an expired one exits 1 by field."""
    assert invoke("init", "--out", tmp_path)[0] == 0
    made = ("--role", "sl", "--site", "site-a", "--ca", tmp_path, "--out", tmp_path)
    code, text = invoke("issue", *made, "--name", "sl-1", "--dns", "sl-1.example", "--ip", "127.0.0.1")
    assert code == 0
    assert "URI:spiffe://swarm.local/site-a/sl/sl-1, DNS:sl-1.example, IP:127.0.0.1" in text
    files = ("--cert", tmp_path / "sl-1-cert.pem", "--key", tmp_path / "sl-1-key.pem")
    # The node's flags, to be copied as they are printed.
    flags = text.splitlines()[-1].split()
    assert flags[::2] == ["--cert", "--key", "--cacert"]
    assert invoke("check", *flags)[0] == 0
    code, text = invoke("check", *files, "--cacert", tmp_path / "ca-cert.pem")
    assert code == 0, text
    assert "valid for 29 days" in text
    expired = Authority().node(tmp_path / "e", "old", begins=-3 * DAY, ends=-DAY)
    code, text = invoke("check", "--cert", expired.cert, "--key", expired.key, "--capath", tmp_path / "e")
    assert code == 1
    assert "to be mended: not_after" in text
    assert "expired 1 days ago" in text


def test_signing_a_request_made_elsewhere_shows_and_compares_its_names(tmp_path: Path) -> None:
    """The role, site and trust domain said by the operator must be those asked for; else nothing is written."""
    from cryptography.hazmat.primitives.serialization import Encoding

    create_authority(tmp_path)
    names = make_names("swarm.local", "site-b", "sl", "sl-9", ["b.example"])
    request = tmp_path / "sl-9.csr"
    request.write_bytes(build_request(new_key(), names).public_bytes(Encoding.PEM))
    out = tmp_path / "sl-9-cert.pem"
    common = ("sign", request, "--ca", tmp_path, "--out", out)
    for site, role, words in (("site-a", "sl", "site site-b"), ("site-b", "sn", "role sl")):
        with pytest.raises(OperatorFault, match=f"asks for {words} in its URI SAN"):
            invoke(*common, "--site", site, "--role", role)
    with pytest.raises(OperatorFault, match=r"trust domain swarm\.local"):
        invoke(*common, "--site", "site-b", "--role", "sl", "--trust-domain", "other.test")
    assert not out.exists()
    code, text = invoke(*common, "--site", "site-b", "--role", "sl")
    assert code == 0
    assert "asks for URI:spiffe://swarm.local/site-b/sl/sl-9, DNS:b.example" in text
    assert out.exists()
    with pytest.raises(OperatorFault, match="--force"):
        invoke(*common, "--site", "site-b", "--role", "sl")


def test_against_compares_clocks_through_what_is_handed_in(ca: Authority, tmp_path: Path) -> None:
    """A node 100 s ahead, or one that cannot be asked, is a fault with exit code 1; a bad address is refused."""
    files = ca.node(tmp_path, "SN-1", ends=20 * DAY)
    common = ("check", "--cert", files.cert, "--key", files.key, "--cacert", files.cacert, "--against")

    def ahead(host: str, port: int, *paths: object) -> dt.datetime:
        assert (host, port) == ("sn-1", 30304)
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)

    def absent(host: str, port: int, *paths: object) -> dt.datetime:
        raise PeerFault("nobody is there")

    code, text = invoke(*common, "sn-1:30304", clock_of=ahead)
    assert (code, "100 s ahead" in text or "99 s ahead" in text) == (1, True)
    code, text = invoke(*common, "sn-1:30304", clock_of=absent)
    assert (code, "nobody is there" in text) == (1, True)
    with pytest.raises(OperatorFault, match="host:port"):
        invoke(*common, "sn-1", clock_of=ahead)


def test_the_environment_of_the_nodes_names_the_files(ca: Authority, tmp_path: Path) -> None:
    """`check` without flags reads SWARM_ID_CERT, SWARM_ID_KEY, SWARM_ID_CACERT and SWARM_ID_CAPATH."""
    files = ca.node(tmp_path, "SN-1", ends=20 * DAY)
    environment = {"SWARM_ID_CERT": str(files.cert), "SWARM_ID_KEY": str(files.key)}
    for name, value in (("SWARM_ID_CACERT", files.cacert), ("SWARM_ID_CAPATH", tmp_path)):
        code, text = invoke("check", **{**environment, name: str(value)})
        assert code == 0, text
    assert "SWARM_ID_CERT" not in os.environ


async def test_the_swarm_command_reads_a_real_nodes_clock(tmp_path: Path) -> None:
    """`swarm certs check --against` asks over mutual TLS and prints the clock's line."""
    ca = create_authority(tmp_path)
    files = issue_node(ca, tmp_path, make_names("swarm.test", "a", "sn", "sn-1"))

    async def up(scope: Any, receive: Any, send: Any) -> None:
        await send_json(send, 200, {})

    tls = TlsFiles(files.cert, files.key, files.cacert)
    async with serve(up, "127.0.0.1", 0, server_context(tls)) as server:
        paths = ("--cert", files.cert, "--key", files.key, "--cacert", files.cacert)
        command = ("certs", "check", *paths, "--against", f"127.0.0.1:{server.port}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "swarm.cli", *map(str, command)), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, out
    assert re.search(rb"ok +clock +127\.0\.0\.1:\d+ is [0-3] s", out)
