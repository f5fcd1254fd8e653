"""Addresses as operators write them: what is meant, and one line about what is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm.cli import main
from swarm.core.errors import OperatorFault
from swarm.inspect.ready import operations_port
from swarm.inspect.source import source
from swarm.net.uri import node_url
from swarm.sl.settings import load_settings as sl_settings
from swarm.sn.settings import load_settings as sn_settings

IDENTITY = ["--cert", "c.pem", "--key", "k.pem", "--cacert", "ca.pem"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sn1", "https://sn1:7"),
        ("sn1:30304", "https://sn1:30304"),
        (" 10.0.0.5 ", "https://10.0.0.5:7"),
        ("::1", "https://[::1]:7"),
        ("[::1]", "https://[::1]:7"),
        ("[fe80::1]:5", "https://[fe80::1]:5"),
    ],
)
def test_what_an_address_means(text: str, url: str) -> None:
    """Names and addresses of both kinds, with a port or without."""
    assert node_url("--sn-ip", text, 7) == url


WRONG = ["", "a b", "sn1:x", "sn1:99999", "sn1:0", "https://sn1:1", "sn1/path", "a:b:c", "[::1", "me@sn1", "ü" * 300]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_named_with_its_option(text: str) -> None:
    """The option, the value and what is expected stand in the complaint."""
    with pytest.raises(ValueError, match=r"^--sn-ip='.*: expected a name or an IP address, with :port or without$"):
        node_url("--sn-ip", text, 7)


@pytest.mark.parametrize(
    "flags",
    [
        ["--sn-ip", "sn1:31400x", "--host-ip", "a"],
        ["--sn-ip", "sn1,https://sn2", "--host-ip", "a"],
        ["--sn-api-service", "sn1:abc", "--host-ip", "a"],
        ["--host-ip", "10.0.0.5:30305", "--sn-ip", "sn1"],
        ["--host-ip", "my host", "--sn-ip", "sn1"],
        ["--sl-fs-service", "proxy:y", "--sn-ip", "sn1"],
    ],
)
def test_an_sl_is_not_started_with_an_address_that_is_none(flags: list[str]) -> None:
    """One line that names the option, before anything is opened, written or joined."""
    with pytest.raises(OperatorFault, match=rf"^{flags[0]}='"):
        sl_settings([*IDENTITY, *flags], {})


@pytest.mark.parametrize(
    "flags",
    [
        ["--host-ip", "10.0.0.5:30304", "--sentinel"],
        ["--sn-api-service", "proxy:y", "--sentinel"],
        ["--sn-p2p-service", "proxy:y", "--sentinel"],
        ["--sentinel-ip", "10.1.0.1:x", "--chain", "geth", "--host-ip", "10.0.0.5"],
        ["--sentinel-api-service", "a b", "--chain", "geth", "--host-ip", "10.0.0.5"],
    ],
)
def test_an_sn_is_not_started_with_an_address_that_is_none(flags: list[str]) -> None:
    """As for an SL; others would read the address on the chain and could not use it."""
    with pytest.raises(OperatorFault, match=rf"^{flags[0]}='"):
        sn_settings([*IDENTITY, *flags], {})


def test_the_operations_port_is_the_one_the_node_goes_by() -> None:
    """The defaults by role, the node's own variables, and --ops before them; status and ready mean the same port."""
    assert operations_port("sl", None, {}) == ("127.0.0.1", 30391)
    assert operations_port("sn", None, {"SWARM_OPS_PORT": "1", "SWARM_OPS_LISTEN": "0.0.0.0"}) == ("127.0.0.1", 1)
    assert operations_port("sn", None, {"SWARM_OPS_LISTEN": "::1"}) == ("::1", 30390)
    assert operations_port("sn", "http://h:2", {"SWARM_OPS_PORT": "1"}) == ("h", 2)
    files = {"cert": None, "key": None, "cacert": None, "capath": None}
    assert source(sn=None, ops=None, environ={"SWARM_OPS_LISTEN": "::1"}, **files).url == "http://[::1]:30390"


@pytest.mark.parametrize(
    ("ops", "environ", "named"),
    [
        ("localhost:1", {}, "--ops: localhost:1: expected http://<host>:<port>"),
        ("http://h:x", {}, "--ops: http://h:x: expected"),
        ("http://[::1:5", {}, "--ops: "),
        (None, {"SWARM_OPS_PORT": "abc"}, "SWARM_OPS_LISTEN and SWARM_OPS_PORT: http://127.0.0.1:abc: expected"),
    ],
)
def test_an_operations_port_that_is_none_is_named(ops: str | None, environ: dict[str, str], named: str) -> None:
    """Where the value came from, the value, and the form that is expected."""
    with pytest.raises(OperatorFault) as caught:
        operations_port("sn", ops, environ)
    assert named in str(caught.value)


def test_approve_says_that_nobody_waits_and_refuses_a_folder_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty list is said; a wrong --state-dir is not taken for an SN without waiting nodes, nor made."""
    with pytest.raises(SystemExit) as ended:
        main(["approve", "--state-dir", str(tmp_path)])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"no node waits for approval at the SN of {tmp_path}\n"
    with pytest.raises(SystemExit) as ended:
        main(["approve", "--state-dir", str(tmp_path / "other")])
    assert ended.value.code == 2
    assert "--state-dir" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
