"""SWOP profiles read: typed values, what is only warned about, and what is refused."""

from __future__ import annotations

import pytest
from support import profilefiles, taskfiles
from swarm.core.tasktext.findings import Weight
from swarm.core.tasktext.model import Variable
from swarm.core.tasktext.profile import (
    API_PORT,
    LICENSE_PORT,
    SL_PORT,
    Address,
    Identity,
    Private,
    read_profile,
    sl_environment,
    user_environment,
)
from swarm.core.tasktext.reading import read


def said(text: str, weight: Weight) -> list[str]:
    return [str(one) for one in read_profile(text).findings if one.weight is weight]


@pytest.mark.row("P03")
@pytest.mark.row("P04")
def test_a_profile_with_every_key_is_typed() -> None:
    """Each value arrives where SWOP reads it."""
    reading = read_profile(profilefiles.WHOLE)
    assert reading.findings == ()
    profile = reading.taken()
    assert (profile.group, profile.network, profile.policy_uri) == ("demo", "host-1-net", None)
    assert profile.license == Address("172.16.0.1", LICENSE_PORT) == Address("172.16.0.1", 5814)
    assert profile.api == Address("sn-1", API_PORT)
    assert profile.dns == ("172.16.0.2", "ns.example")
    first, second = profile.nodes
    assert first.identity == (
        Identity("KEY", "BIND", "/certs/sl-key.pem", "/swarm-cert/sl-key.pem", None),
        Identity("CAPATH", "VOLUME", "authorities", "/swarm-cert/capath", "root"),
    )
    assert (first.index, first.host_name, first.host_ip, first.port) == (0, "sl-1", "172.16.0.3", SL_PORT)
    assert first.private == Private("/data/site-1", "BIND")
    assert (first.sl_ip, first.user_ip, first.user_host_name) == ("172.30.0.5", "172.30.0.6", "ml-1")
    assert first.sl_labels == (("team", "a"), ("number", "7"))
    assert first.user_labels == (("first", ""), ("second", ""))
    assert first.user_options == (
        ("gpus", "device=3,5"), ("shm-size", "16G"), ("privileged", True), ("device", ("/dev/kfd", "/dev/dri")),
    )  # fmt: skip
    assert (second.index, second.host_ip, second.fs_service) == (1, None, "fs.sl-2.example:30331")
    assert second.user_variables == ()


def test_a_nodes_variables_override_the_profiles_and_the_tasks() -> None:
    """Without a value they are as in the image, never the text None."""
    profile = read_profile(profilefiles.WHOLE).taken()
    assert sl_environment(profile, profile.nodes[0]) == {"SL_LOG_LEVEL": "DEBUG", "SL_RAM_INTENSIVE": "False"}
    assert sl_environment(profile, profile.nodes[1]) == {"SL_LOG_LEVEL": "INFO", "SL_RAM_INTENSIVE": "False"}
    task = read(taskfiles.RUN.replace("LOOP: true", "SEED: 7")).taken()
    assert user_environment(task, profile.nodes[0]) == {"MODEL_DIR": "model", "MAX_EPOCHS": "2", "LR": "0.0001"}
    assert profile.variables[1] == Variable("http_proxy", None)


def test_four_keys_are_enough() -> None:
    """The rest has defaults, and a profile without one of the four is refused by its name."""
    profile = read_profile(profilefiles.LEAST).taken()
    assert (profile.license, profile.api, profile.nodes[0].port) == (Address(), Address(), SL_PORT)
    for key in ("groupname", "taskrunner", "network"):
        text = "".join(line for line in profilefiles.LEAST.splitlines(True) if not line.startswith(key))
        assert f"the profile has no {key}" in said(text, Weight.ERROR)[0]
    assert "has no nodes" in said(profilefiles.LEAST.split("nodes")[0], Weight.ERROR)[0]


def test_an_unknown_key_is_only_warned_about_with_the_nearest_one() -> None:
    """At every level; what it says is not read."""
    text = profilefiles.LEAST.replace("slhostip", "owner: me, SlPorts: 7, slhostip") + "Networks: x\nenvvar: []\n"
    assert [one.split("; its keys")[0] for one in said(text, Weight.WARNING)] == [
        "line 5: owner is no key of slnodedef",
        "line 5: SlPorts is no key of slnodedef; did you mean slport?",
        "line 6: Networks is no key of the profile",
        "line 7: envvar is no key of the profile; did you mean envvars?",
    ]
    assert read_profile(text).taken() == read_profile(profilefiles.LEAST).taken()


@pytest.mark.row("P03")
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("accesstype: FROMENV", "accesstype: FROMFILE", "accesstype is FROMFILE"),
        ("idx: 1", "idx: 0", "line 53: idx 0 stands twice, first in line 25"),
        ("idx: 1", "idx: -1", "idx is -1, it may be from 0"),
        ("idx: 1", "idx: one", "idx is the text one: it is a whole number"),
        ("aType: KEY", "aType: KEYS", "aType is KEYS; did you mean KEY?"),
        ("mgrtype: DOCKER", "mgrtype: PODMAN", "mgrtype is PODMAN"),
        ("slport: ~", "slport: 70000", "slport is 70000, it may be from 1 to 65535"),
        ("      idx: 1\n", "", "slnodedef has no idx"),
        ("- MAX_EPOCHS: 2\n        - SEED: ~", "MAX_EPOCHS: 2", "usrenvvars is a map: it is a list"),
        ("usrlabels: [first, second]", "usrlabels: first", "usrlabels is the text first"),
        ("slnodedef:\n      idx: 1\n", "slnodedef: ~\n      #", "slnodedef is empty: it is a map"),
        ("host: 172.16.0.1", "hosts: 172.16.0.1", "locator has no host"),
    ],
)
def test_what_cannot_be_is_refused_at_its_line(old: str, new: str, says: str) -> None:
    """With the values and the fix."""
    assert old in profilefiles.WHOLE
    errors = said(profilefiles.WHOLE.replace(old, new, 1), Weight.ERROR)
    assert any(one.startswith("line ") and says in one for one in errors), errors


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("groupname: demo", "groupname: my group", "names of containers begin with it"),
        ("ip: 172.30.0.5", "ip: sl-1.example", "this is no IP address"),
        ("src: /data/site-1", "src: data/site-1", "a BIND needs a path of the host"),
        ("slfsservice: fs.sl-2.example:30331", "slhostname: sl-2", "neither slhostip nor slfsservice"),
        ("SL_LOG_LEVEL: DEBUG", "SL_LOGLEVEL: DEBUG", "did you mean SL_LOG_LEVEL?"),
        ("host-1-net", "<SWARM-NETWORK>", "the placeholder <SWARM-NETWORK> was left in"),
        ("device=3,5", "device=<GPU UUID>", "give it a value, by --set 'GPU UUID=VALUE'"),
    ],
)
def test_what_cannot_work_is_a_defect(old: str, new: str, says: str) -> None:
    """It is taken, and named."""
    text = profilefiles.WHOLE.replace(old, new, 1)
    assert read_profile(text).value is not None
    assert any(says in one for one in said(text, Weight.DEFECT)), said(text, Weight.DEFECT)


def test_an_option_that_no_container_knows_is_warned_about() -> None:
    """With the nearest one."""
    assert said(profilefiles.WHOLE.replace("shm-size", "shm_size"), Weight.WARNING) == [
        "line 49: shm_size is no option of usrcontaineropts; did you mean shm-size?"
    ]


def test_placeholders_are_given_values_before_it_is_read() -> None:
    """Also where a number stands."""
    text = profilefiles.LEAST.replace("idx: 0", "idx: <HOST-INDEX>")
    assert read_profile(text).value is None
    assert read_profile(text, {"HOST-INDEX": "3"}).taken().nodes[0].index == 3
