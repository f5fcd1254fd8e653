"""A site's policy: what it refuses, in which words, and what no policy allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import taskfiles
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address
from swarm.core.swop.asked import Asked
from swarm.core.swop.containers import Devices, Gpus, Mount, MountKind, memory_of
from swarm.core.swop.pairs import Terms
from swarm.core.swop.policy import COMPATIBLE, Granted, Policy, Rule, decide, meets, read_policy
from swarm.core.tasktext.reading import read

ROOT, USER = "/" + "root", "/" + "home/someone"
AUTHOR, OTHER = Address(bytes([0xAA] * 20)), Address(bytes([0xBB] * 20))


def asked(text: str = taskfiles.RUN, **more) -> Asked:
    task = read(text).value
    assert task is not None
    return Asked(task, AUTHOR, **more)


def bind(source: str) -> Mount:
    return Mount(MountKind.BIND, source, "/data")


def policy(*rules: dict) -> Policy:
    return read_policy({"rules": list(rules)}, "policy.yaml")


@pytest.mark.row("P02")
def test_without_a_file_everything_is_refused_with_the_ways_on() -> None:
    """The sentence names the task, its author, its base image, and both ways on."""
    said = decide(Policy(), asked(taskfiles.BUILD, bases=("tensorflow/tensorflow:2.7.0",)))
    assert said == (
        f"this site's policy does not allow MAKE_USER_CONTAINER user_env of 0x{'aa' * 20} on"
        " tensorflow/tensorflow:2.7.0: this site has no policy file; allow this very task by"
        " `swarm policy allow policy.yaml --task user_env --kind MAKE_USER_CONTAINER --author 0x" + "aa" * 20 + ""
        " --image tensorflow/tensorflow:2.7.0`, or take all tasks as the original does (--policy compatible)"
    )


@pytest.mark.parametrize("text", [taskfiles.BUILD, taskfiles.RUN, taskfiles.PULL, taskfiles.CONTENT])
def test_compatible_takes_every_task(text: str) -> None:
    """With network and devices, as the original does."""
    gpu = Devices(gpus=Gpus(count=-1), capabilities=("SYS_PTRACE",), privileged=True, security=("seccomp=unconfined",))
    one = asked(text, bases=("x",), mounts=(bind("/opt/model"),), devices=(gpu,))
    assert decide(COMPATIBLE, one) == Granted(Terms(network=True, writable_root=True, confined=False), True, ("*",))


NEVER = [
    "/", "/etc", "/etc/ssl/private", "/var/run/docker.sock", "/run/docker.sock", "/var", "/var/lib/docker/volumes",
    "/proc/1/root", "/dev/mem", ROOT, f"{ROOT}/.ssh", USER, f"{USER}/.ssh/id_rsa", "/home",
    "/usr/bin", "/lib/systemd", "/var/spool/cron", f"{ROOT}/.bashrc", f"{USER}/.profile",
    "/data/../etc", "//etc/", "/opt/../../run", "/site/keys", "/site/keys/sl.key", "/site",
]  # fmt: skip


@pytest.mark.parametrize("source", NEVER)
def test_keys_and_sockets_are_out_of_reach_for_everybody(source: str) -> None:
    """Also under compatible, also by a rule that names them, also by the folder above and by ways around."""
    one = asked(mounts=(bind(source),), own_paths=("/site/keys",))
    for rules in (COMPATIBLE, policy({"mounts": ["*", source]})):
        said = decide(rules, one)
        assert isinstance(said, str)
        assert f"{source} is never mounted into a program" in said


@pytest.mark.parametrize("source", ["/data", f"{ROOT}/swarm/data", f"{USER}/data", "/opt", "/srv/etc", "/var/lib/x"])
def test_data_beside_them_is_not(source: str) -> None:
    """A home's other folders, and names that only look alike."""
    assert isinstance(decide(COMPATIBLE, asked(mounts=(bind(source),), own_paths=("/site/keys",))), Granted)


def test_a_nodes_own_volume_is_out_of_reach() -> None:
    """An SL's state holds its key."""
    own = Mount(MountKind.VOLUME, "swop-demo-state-0", "/data")
    said = decide(COMPATIBLE, asked(mounts=(own,), own_paths=("swop-demo-state-0",)))
    assert said == "the volume swop-demo-state-0 is this site's nodes' own: no program and no build is given it"


@pytest.mark.parametrize("text", [taskfiles.RUN, taskfiles.BUILD])
@pytest.mark.parametrize("name", ["swop-other-state-3", "swop-demo-swif-0-0123456789abcdef", "keys"])
def test_other_nodes_volumes_are_out_of_reach_of_programs_and_builds(text: str, name: str) -> None:
    """A build's context would carry an SL's key into steps that somebody else wrote."""
    own = Mount(MountKind.VOLUME, name, "/")
    said = decide(COMPATIBLE, asked(text, mounts=(own,), own_paths=("keys",), bases=("x",)))
    assert said == f"the volume {name} is this site's nodes' own: no program and no build is given it"


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), st.lists(st.sampled_from(["a", "b", "*"]), max_size=4))
def test_meeting_is_lying_on_one_line(path: list[str], place: list[str]) -> None:
    """Equal, below or above, part by part; the root holds everything."""
    expected = not path or (
        bool(place) and all(theirs in ("*", mine) for mine, theirs in zip(path, place, strict=False))
    )  # fmt: skip
    assert meets("/" + "/".join(path), "/" + "/".join(place)) is expected


@pytest.mark.parametrize(
    ("rule", "one", "why"),
    [
        ({"tasks": ["other*"]}, asked(), "no rule names RUN_SWARM train"),
        ({"kinds": ["PULL_IMAGE"]}, asked(), "no rule names RUN_SWARM train"),
        ({"authors": ["0x" + OTHER.hex()]}, asked(), "its author 0xaaaa"),
        ({"images": ["debian*"]}, asked(taskfiles.BUILD, bases=("debian:12", "evil")), "the image evil is not"),
        (
            {"images": ["*"], "mounts": ["lib"]},
            asked(taskfiles.BUILD, mounts=(Mount(MountKind.VOLUME, "data", "/"),)),
            "data is not in the rule's mounts",
        ),
        ({"images": ["listed"]}, asked(bases=("hospital/app:latest",)), "the image hospital/app:latest is not"),
        ({"secrets": ["other"]}, asked(secrets=("hub",)), "the secret hub is not in the rule's secrets"),
        (
            {"images": ["*"], "urls": ["https://listed/*"]},
            asked(taskfiles.BUILD, urls=("http://10.0.0.5/x",)),
            "http://10.0.0.5/x is not in the rule's urls",
        ),
        ({"mounts": ["*"]}, asked(mounts=(Mount(MountKind.VOLUME, "/../etc", "/"),)), "is no name of a volume"),
        ({"images": ["x"]}, asked(taskfiles.PULL), "the image hub.example/org/base:1.0 is not"),
        ({"urls": ["https://other/*"]}, asked(taskfiles.CONTENT), "https://data.example/set.tgz is not"),
        ({"mounts": ["/data"]}, asked(mounts=(bind("/data2"),)), "/data2 is not in the rule's mounts"),
        ({"mounts": ["/data"]}, asked(mounts=(bind("/data/../opt"),)), "/data/../opt is not in the rule's mounts"),
        ({}, asked(devices=(Devices(gpus=Gpus(count=1)),)), "wants devices"),
        ({}, asked(devices=(Devices(ipc="host"),)), "wants devices"),
        ({}, asked(devices=(Devices(privileged=True),)), "wants privileged"),
        ({"capabilities": ["*"]}, asked(devices=(Devices(capabilities=("CAP_SYS_ADMIN",)),)), "privileged: true only"),
        ({"capabilities": ["NET_RAW"]}, asked(devices=(Devices(capabilities=("CHOWN",)),)), "CHOWN is not in"),
        (
            {"devices": True},
            asked(devices=(Devices(security=("seccomp=unconfined",)),)),
            "seccomp=unconfined is granted",
        ),
    ],
)
def test_a_rule_covers_what_it_names(rule: dict, one: Asked, why: str) -> None:
    """And the refusal says what it does not."""
    said = decide(policy(rule), one)
    assert isinstance(said, str)
    assert why in said


def test_the_first_rule_that_fits_decides() -> None:
    """What it grants is what the program gets."""
    rules = policy(
        {"tasks": ["train"], "authors": ["0x" + OTHER.hex()], "network": True},
        {"tasks": ["tr*"], "mounts": ["/data", "vol-*"], "writable_root": True, "devices": True},
        {"tasks": ["*"], "network": True},
    )
    mounts = (bind("/data/site"), Mount(MountKind.VOLUME, "vol-1", "/v"))
    gpu = (Devices(gpus=Gpus(count=-1), shm_bytes=2**30),)
    assert decide(rules, asked(mounts=mounts, devices=gpu)) == Granted(Terms(writable_root=True), False)


def test_memory_and_time_are_granted_as_the_rule_says() -> None:
    """A size as Docker writes it; without a word all but what the host needs, and builds of six hours."""
    rules = policy({"tasks": ["train"], "memory": "1.5G", "build_minutes": 5}, {"images": ["*"]})
    assert decide(rules, asked()) == Granted(Terms(memory_bytes=3 * 2**29), build_minutes=5)
    assert decide(rules, asked(taskfiles.BUILD, bases=("x",))) == Granted(Terms(memory_bytes=0), build_minutes=360)


@pytest.mark.parametrize(("host", "given", "most"), [(16, 0, 15), (2, 0, 1.5), (0.25, 0, 0), (16, 32, 32), (64, 8, 8)])
def test_a_host_keeps_some_memory_for_itself(host: float, given: int, most: float) -> None:
    """A sixteenth, and half a gibibyte at least, unless the policy says another figure."""
    assert memory_of(given * 2**30, int(host * 2**30)) == int(most * 2**30)


@pytest.mark.parametrize(
    ("parsed", "why"),
    [
        ([], "a policy is a map with the keys rules and share_logs"),
        ({"rule": []}, "a policy is a map with the keys rules and share_logs"),
        ({"rules": {}}, None),
        ({"rules": "x"}, "rules is a list"),
        ({"rules": ["x"]}, "rule 1: a rule is a map"),
        ({"rules": [{}, {"netwrk": True}]}, "rule 2: 'netwrk' is nothing that a rule says"),
        ({"rules": [{"network": "yes"}]}, "network is 'yes'; write true or false"),
        ({"rules": [{"tasks": [1]}]}, "tasks is .1.; write a list"),
        ({"rules": [{"kinds": ["RUN"]}]}, "kinds has 'RUN'; there are"),
        ({"rules": [{"authors": ["somebody"]}]}, "authors: .*; write addresses"),
        ({"rules": [{}] * 201}, "at most 200 rules"),
        *(({"rules": [{"memory": bad}]}, "memory is .*16G or 512m") for bad in ("much", True, "1k", -1, [], None)),
        *(({"rules": [{"build_minutes": bad}]}, "write 1 to 10080") for bad in (0, True, "5", 10_081, 1.5, None)),
    ],
)
def test_a_policy_that_cannot_be_read(parsed, why: str | None) -> None:
    """Says where and how it is written; an empty one refuses everything."""
    if why is None:
        assert decide(read_policy(parsed, "policy.yaml"), asked()) != COMPATIBLE
        return
    with pytest.raises(OperatorFault, match=f"policy.yaml.*{why}"):
        read_policy(parsed, "policy.yaml")


def test_a_rule_is_a_rule_for_no_more_than_it_says() -> None:
    """An empty rule grants a program that needs nothing, and not more."""
    assert decide(Policy((Rule(),), "x"), asked()) == Granted(Terms(), False)
