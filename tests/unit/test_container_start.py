"""What a container's first process does as root: which files it takes, what it gives away, what it becomes."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest
from swarm.core.errors import OperatorFault
from swarm.node import container, dropping
from swarm.node.settings import NodeSettings
from swarm.swop.ownmounts import kept_from_tasks
from swarm.swop.runtime import MountedAt

ALL = (1 << 41) - 1
KINDS = {kind.name: kind for kind in dropping.KINDS}


def without(*numbers: int) -> int:
    return ALL & ~sum(1 << number for number in numbers)


def test_files_are_found_by_flag_and_by_variable_and_the_flag_wins() -> None:
    """Both spellings of a flag, its last use, and a relative file of secrets in its folder."""
    argv = ["swop", "--key", "/a", "--key=/b", "--usr-dir", "/usr-dir", "--secrets", "s.yaml"]
    environ = {"SWARM_ID_KEY": "/c", "SWARM_ID_CAPATH": "/cas", "SWARM_ID_CERT": ""}
    found = {kind.name: path for kind, path in dropping.named(argv, environ).items()}
    assert found == {"key.pem": "/b", "capath": "/cas", "secrets.yaml": "/usr-dir/s.yaml"}


def test_copies_are_named_wherever_the_original_was() -> None:
    """Flags and variables alike; what was not taken stays; a variable that was not there does not appear."""
    argv = ["sl", "--key", "/a", "--cert=/c"]
    words, environ = dropping.renamed(
        argv, {"SWARM_ID_KEY": "/a", "SN_NODE_IP": "sn1"}, {KINDS["key.pem"]: "/k", KINDS["cert.pem"]: "/p"}
    )
    assert words == ["sl", "--key", "/k", "--cert=/p"]
    assert environ == {"SWARM_ID_KEY": "/k", "SN_NODE_IP": "sn1", dropping.TAKEN: "/c:/a"}
    assert argv == ["sl", "--key", "/a", "--cert=/c"]


def test_attack_a_swop_knows_where_its_secrets_lie_although_it_reads_copies() -> None:
    """Beside data only what it knows by name is kept from tasks; nobody else says what that is."""
    argv = ["swop", "--usr-dir", "/usr-dir", "--secrets", "s.yaml"]
    _, environ = dropping.renamed(argv, {dropping.TAKEN: "/other"}, {KINDS["secrets.yaml"]: "/dev/shm/x/secrets.yaml"})
    known = ("/dev/shm/x/secrets.yaml", *dropping.taken_from(environ))
    assert known == ("/dev/shm/x/secrets.yaml", "/usr-dir/s.yaml")
    assert kept_from_tasks([MountedAt("/srv/site", "/usr-dir")], "/usr-dir", known) == ("/srv/site/s.yaml",)
    assert dropping.taken_from(dropping.renamed(argv, {dropping.TAKEN: "/other"}, {})[1]) == ()


def test_the_flags_and_variables_are_the_nodes_own() -> None:
    """A setting that is renamed at the nodes is renamed here."""
    there = {}
    for field in NodeSettings.model_fields.values():
        for opt in field.metadata:
            for name in getattr(opt, "env", ()):
                there[name] = opt.flags
    for kind in dropping.KINDS:
        if kind.below is None:
            assert kind.flag in there[kind.variable]


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_can_read_stays_refused(mode: int, refused: bool) -> None:
    """Its copy would be tight, and hide it; a certificate may be read by all."""
    dropping.refuse_loose(KINDS["cert.pem"], "/c", stat.S_IFREG | 0o644)
    for name in ("key.pem", "password", "secrets.yaml"):
        if refused:
            with pytest.raises(OperatorFault, match=r"chmod 600 /k"):
                dropping.refuse_loose(KINDS[name], "/k", stat.S_IFREG | mode)
        else:
            dropping.refuse_loose(KINDS[name], "/k", stat.S_IFREG | mode)


def test_root_is_given_up_for_good() -> None:
    """User, group, all other groups, every capability, and the way back; the socket's group alone stays."""
    words = dropping.becoming(10001, 10001, (), ALL, ["swarm"])
    assert words[0] == "setpriv"
    assert words[-2:] == ["--", "swarm"]
    assert {"--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"} <= set(words)
    assert {"--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"} <= set(words)
    assert "--groups=998" in dropping.becoming(10001, 10001, (998,), ALL, ["swarm"])


def test_a_root_without_rights_is_told_what_to_do() -> None:
    """Without SETPCAP it goes on, as no-new-privs holds; without SETUID or SETGID it cannot."""
    assert "--bounding-set=-all" not in dropping.becoming(1, 1, (), without(dropping.SETPCAP), ["swarm"])
    for number in (dropping.SETUID, dropping.SETGID):
        with pytest.raises(OperatorFault, match=r"--user 1:2"):
            dropping.becoming(1, 2, (), without(number), ["swarm"])


@pytest.mark.parametrize(
    ("argv", "host", "socket"),
    [
        (["swop"], None, "/var/run/docker.sock"),
        (["swop", "--docker-socket-file", "/run/podman.sock"], None, "/run/podman.sock"),
        (["swop"], "unix:///run/other.sock", "/run/other.sock"),
        (["swop"], "tcp://engine:2376", None),
        (["sl"], "unix:///run/other.sock", None),
        ([], None, None),
    ],
)
def test_only_a_swop_keeps_the_sockets_group(argv: list[str], host: str | None, socket: str | None) -> None:
    """No other node is led to the container engine."""
    assert dropping.engine_socket(argv, {} if host is None else {"DOCKER_HOST": host}) == socket


def test_folders_of_the_image_and_mounts_are_given_and_nothing_else() -> None:
    """A mistyped state folder gives nobody /etc."""
    assert dropping.may_be_given("/platform/swarm/SMLNODE", is_mount=False)
    assert dropping.may_be_given("/state", is_mount=True)
    for path in ("/", "/etc", "/platform/swarm", "/platform/swarm/../../etc"):
        assert not dropping.may_be_given(path, is_mount=False)


def test_an_sl_shares_its_folders_and_other_nodes_none() -> None:
    """Where its pipes are, and the folder of the exchange."""
    environ = {"SL_REQUEST_CHANNEL": "/c/a", "SL_RESPONSE_CHANNEL": "/c/b", "SWARM_EXCHANGE_DIR": "/x"}
    assert dropping.shared_folders(["sl"], environ) == ("/c", "/x")
    assert dropping.shared_folders(["sl"], {"SL_REQUEST_CHANNEL": "/a"}) == ()
    assert dropping.shared_folders(["sn"], environ) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to the node's user")
def test_attack_health_checks_do_not_fill_the_place_of_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command in a container begins as its first process does: the same certificates are copied once."""
    monkeypatch.setattr(container, "PLACES", (str(tmp_path),))
    trusted = tmp_path / "ca"
    trusted.mkdir(mode=0o700)
    (trusted / "one.pem").write_text("a")
    user = pwd.getpwuid(0)
    taken = {container._take(KINDS["capath"], trusted, user) for _ in range(3)}
    assert len(taken) == 1
    [folder] = taken
    assert [one.name for one in folder.iterdir()] == ["one.pem"]
    assert sorted(one.name for one in folder.parent.iterdir()) == [folder.name]
    (trusted / "one.pem").write_text("b")
    assert container._take(KINDS["capath"], trusted, user) != folder
