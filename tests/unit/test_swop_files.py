"""A site's files for its SWOP: profile, policy, secrets, the note of its image; and its settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support import profilefiles
from swarm.core.errors import OperatorFault
from swarm.core.swop.policy import COMPATIBLE, Policy, Rule
from swarm.core.tasktext.profile import Profile, read_profile
from swarm.swop.files import policy_of, profile_of, secrets_of, sl_image_of
from swarm.swop.service import _engine, _sns
from swarm.swop.settings import load_settings
from swarm.swop.telling import boxed, profile_lines

PROFILE = """groupname: demo
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: net-1
{more}
nodes: []
"""
IDENTITY = ["--cert", "c", "--key", "k", "--cacert", "ca"]


def profile(more: str = "") -> Profile:
    found = read_profile(PROFILE.format(more=more)).value
    assert found is not None
    return found


def test_a_profile_with_faults_ends_the_start_with_all_of_them(tmp_path: Path) -> None:
    """Each with its line; what only warns is said and goes on."""
    path = tmp_path / "swop1_profile.yaml"
    said: list[str] = []
    path.write_text(PROFILE.format(more="colour: red"))
    assert profile_of(path, said.append).group == "demo"
    assert len(said) == 1
    assert "colour" in said[0]
    path.write_text("groupname: demo\nnodes: 3\n")
    with pytest.raises(OperatorFault, match=r"swop1_profile.yaml: .*taskrunner.*network") as refused:
        profile_of(path, said.append)
    assert "nodes" in str(refused.value)
    with pytest.raises(OperatorFault, match=r"No such file.*--usr-dir"):
        profile_of(tmp_path / "none.yaml", said.append)


def test_a_policy_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """A broken one keeps what was, so that a slip of the editor opens nothing."""
    path = tmp_path / "policy.yaml"
    path.write_text("rules:\n- tasks: [a]\n")
    said: list[str] = []
    now = policy_of("policy.yaml", profile(), tmp_path, said.append)
    assert now().rules == (Rule(tasks=("a",)),)
    path.write_text("rules:\n- tasks: [b, c]\n")
    assert now().rules == (Rule(tasks=("b", "c")),)
    path.write_text("rules:\n- tsks: [everything]\n  network: true\n")
    assert now().rules == now().rules == (Rule(tasks=("b", "c")),)
    assert len(said) == 1, "told once"
    assert "'tsks' is nothing that a rule says" in said[0]
    path.unlink()
    assert now().rules == (Rule(tasks=("b", "c")),)
    path.write_text("rules: []\n")
    os.utime(path, ns=(1, 1))
    assert now().rules == ()


@pytest.mark.row("L04")
def test_a_swop_shows_its_id_in_a_box_and_the_profile_that_holds() -> None:
    """What is printed is YAML that says what was read, with the SN of the command line where the profile has none."""
    edge, text, again = boxed("NODE UID :  0xab")
    assert (text, edge, again) == ("# NODE UID :  0xab #", "#" * 20, "#" * 20)
    found = read_profile(profilefiles.WHOLE).taken()
    shown = YAML(typ="safe").load("\n".join(profile_lines(found, ["https://sn-1:30304"])))
    assert (shown["groupname"], shown["network"], shown["apisrv"]) == (
        *("demo", "host-1-net"),
        {"sns": ["https://sn-1:30304"]},
    )
    first = shown["nodes"][0]["slnodedef"]
    assert first["identity"][0] == {
        **{"aType": "KEY", "mType": "BIND", "src": "/certs/sl-key.pem", "tgt": "/swarm-cert/sl-key.pem"},
        "subPath": None,
    }
    assert first["usrcontaineropts"]["device"] == ["/dev/kfd", "/dev/dri"]
    assert shown["envvars"][1] == {"http_proxy": None}


@pytest.mark.row("P02")
@pytest.mark.parametrize(
    ("named", "more", "rules"),
    [
        (None, "", Policy().rules),
        ("compatible", "", COMPATIBLE.rules),
        (None, "policyuri: compatible", COMPATIBLE.rules),
        (None, "policyuri: ~", Policy().rules),
        (None, "policyuri: file://{here}/policy.yaml", (Rule(tasks=("a",)),)),
        (None, "policyuri: policy.yaml", (Rule(tasks=("a",)),)),
        ("compatible", "policyuri: policy.yaml", COMPATIBLE.rules),
    ],
)
def test_where_a_policy_comes_from(tmp_path: Path, named: str | None, more: str, rules: tuple[Rule, ...]) -> None:
    """The settings', else the profile's, else none: then every task is refused."""
    (tmp_path / "policy.yaml").write_text("rules:\n- tasks: [a]\n")
    assert policy_of(named, profile(more.format(here=tmp_path)), tmp_path, print)().rules == rules


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("https://policies.example/p", "a policy is a file of this site"),
        ("file://elsewhere/p", "a policy is a file of this site"),
        ("none.yaml", "No such file"),
    ],
)
def test_a_policy_that_is_no_file_here(tmp_path: Path, uri: str, why: str) -> None:
    """No engine of policies is asked over a network."""
    with pytest.raises(OperatorFault, match=why):
        policy_of(None, profile(f"policyuri: {uri}"), tmp_path, print)


def test_a_policy_that_is_no_yaml_names_its_line(tmp_path: Path) -> None:
    """As task files and profiles do."""
    (tmp_path / "policy.yaml").write_text("rules:\n- tasks: [a\n")
    with pytest.raises(OperatorFault, match=r"policy.yaml: .*line \d"):
        policy_of("policy.yaml", profile(), tmp_path, print)


def test_secrets_are_this_users_alone(tmp_path: Path) -> None:
    """A file that others can read is refused; a broken one is told without a value."""
    assert secrets_of(None) == {}
    path = tmp_path / "secrets.yaml"
    path.write_text("hub: s3cret\nnumber: 010\n")
    path.chmod(0o644)
    with pytest.raises(OperatorFault, match=r"secrets.yaml"):
        secrets_of(path)
    path.chmod(0o600)
    assert secrets_of(path) == {"hub": "s3cret", "number": "010"}
    path.write_text("hub: [s3cret]\n")
    with pytest.raises(OperatorFault) as refused:
        secrets_of(path)
    assert "s3cret" not in str(refused.value)


@pytest.mark.row("P17")
def test_the_sl_image_stands_beside_the_swops_own(tmp_path: Path) -> None:
    """By the note that the run scripts copy into each container (row O08); the setting wins; nothing is refused."""
    note = tmp_path / "container_info_file"
    note.write_text("0123abcd\nhub.myenterpriselicense.hpe.com/hpe/swarm-learning/swop:2.3.0\nsha256:0123\n")
    assert sl_image_of(None, note) == "hub.myenterpriselicense.hpe.com/hpe/swarm-learning/sl:2.3.0"
    assert sl_image_of("mine/sl:1", note) == "mine/sl:1"
    for text in ("", "nothing of use", "registry:5000/swarm/swop-other:1"):
        note.write_text(text)
        with pytest.raises(OperatorFault, match="--sl-image"):
            sl_image_of(None, note)


@pytest.mark.row("E12")
def test_the_originals_flags_and_variables_are_taken() -> None:
    """As run-swop gives them."""
    environ = {
        "SWOP_PROFILE": "swop1_profile.yaml",
        "SWOP_KEEP_CONTAINERS": "1",
        "SWOP_UID": "1000",
        "SWOP_GID": "100",
        "SWOP_DOCKER_GID": "998",
        "USR_DIR": "/platform/swarm/usr",
    }
    found = load_settings([*IDENTITY, "--state-dir", "/s"], environ)
    assert found.inside(found.profile) == Path("/platform/swarm/usr/swop1_profile.yaml")
    assert (found.keep_containers, found.user) == (True, "1000:100")
    assert found.notices == [
        "SWOP_DOCKER_GID is accepted and has no effect here: the container's start gives it the group"
    ]
    found = load_settings([*IDENTITY, "--state-dir", "/s", "--profile-file-name", "p", "--usr-dir", "/u"], {})
    assert (found.inside(found.profile), found.user) == (Path("/u/p"), None)
    for wrong, why in (
        ([], "--profile-file-name"),
        (["--profile", "p", "--swop-gid", "5"], "needs --swop-uid"),
    ):
        with pytest.raises(OperatorFault, match=why):
            load_settings([*IDENTITY, "--state-dir", "/s", *wrong], {})


@pytest.mark.row("P05")
def test_the_profiles_sn_wins_over_the_settings() -> None:
    """Row P05; without either the start says what to give."""
    bare = load_settings([*IDENTITY, "--state-dir", "/s", "--profile", "p"], {})
    given = load_settings([*IDENTITY, "--state-dir", "/s", "--profile", "p", "--sn-ip", "sn-2"], {})
    named = profile("apisrv: {locator: {host: sn-1, port: ~}}")
    assert _sns(given, named) == ["https://sn-1:30304"]
    assert _sns(given, profile("apisrv: {locator: {host: ~, port: ~}}")) == ["https://sn-2:30304"]
    assert _sns(bare, profile("apisrv: {locator: {service: api.sn-1}}")) == ["https://api.sn-1:443"]
    with pytest.raises(OperatorFault, match="apisrv in the profile, --sn-ip"):
        _sns(bare, profile())


def test_an_engine_is_a_socket_or_an_address() -> None:
    """As --docker-socket-file and DOCKER_HOST give it."""
    assert _engine(None) is None
    assert _engine("/var/run/docker.sock") == "unix:///var/run/docker.sock"
    assert _engine("tcp://10.0.0.1:2376") == "tcp://10.0.0.1:2376"
