"""The containers of a pair: names, variables, mounts, devices; and how a pair stands, from what is found of it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import taskfiles
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, Digest
from swarm.core.swop import pairs
from swarm.core.swop.containers import ContainerState, Devices, Found, Gpus, Mount, MountKind
from swarm.core.swop.devices import bytes_of, devices, gpus_of
from swarm.core.swop.pairs import Part, Site, Terms, pair, standing
from swarm.core.taskrun.work import Key, WorkState
from swarm.core.tasktext.profile import Profile, read_profile
from swarm.core.tasktext.reading import read

SWOP = Address(bytes.fromhex("ab" * 20))
KEY = Key(Digest(bytes.fromhex("cd" * 32)), 1, 1)
SITE = Site(SWOP, "swarm-learning/sl:1", "1000:1000", {"SN_NODE_IP": "sn.command.line"}, {"hub": "from the file"})
NOTHING = Terms()
PROFILE = """\
groupname: demo
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: net-1
apisrv: {locator: {host: 172.1.1.1, port: ~}}
envvars: [SL_LOG_LEVEL: INFO, http_proxy: ~, no_proxy: localhost]
dns: [10.0.0.53]
nodes:
- slnodedef:
    idx: 3
    identity:
    - attribute: {aType: KEY, mType: BIND, src: /site/cert, tgt: /id, subPath: sl.key}
    - attribute: {aType: CERT, mType: BIND, src: /site/cert, tgt: /id, subPath: sl.crt}
    - attribute: {aType: CAPATH, mType: VOLUME, src: ca-files, tgt: /ca, subPath: ~}
    - attribute: {aType: SPIFFE_SOCKETPATH, mType: VOLUME, src: spire, tgt: /run/spire.sock}
    slhostname: sl-3
    slhostip: 10.1.1.3
    slport: 16000
    privatedata: {src: /data/site-3, mType: BIND}
    slenvvars: [SL_LOG_LEVEL: DEBUG, no_proxy: ~]
    usrenvvars: [MAX_EPOCHS: 5, TOKEN: "secret:hub"]
    sllabels: {a: b}
    usrlabels: [c]
    slnetworkopts: [ip: 172.18.0.9]
    usrnetworkopts: [ip: 172.18.0.10]
    usrhostname: program-3
    usrcontaineropts: [gpus: "device=3,5", shm-size: "16G", device: ["/dev/kfd", "/dev/dri:/dev/dri:rw"], group-add: [video], colour: red]
"""  # noqa: E501


def profile(text: str = PROFILE) -> Profile:
    found = read_profile(text).value
    assert found is not None, read_profile(text).findings
    return found


def task(text: str = taskfiles.RUN):
    found = read(text).value
    assert found is not None
    return found


def made(text: str = PROFILE, terms: Terms = NOTHING, run: str = taskfiles.RUN):
    read = profile(text)
    return pair(SITE, read, read.nodes[0], task(run), "sha256:image", KEY, terms)


@pytest.mark.row("P01")
@pytest.mark.row("P17")
def test_names_are_the_originals_and_those_of_one_attempt() -> None:
    """Group, task, part, idx and 16 hexadecimal digits; another attempt has another name, the same one the same."""
    one = made()
    mark = pairs.stamp(KEY)
    assert re.fullmatch("[0-9a-f]{16}", mark)
    assert (one.sl.name, one.ml.name) == (f"demo-train-s-3-{mark}", f"demo-train-u-3-{mark}")
    assert one.exchange == f"swop-demo-swif-3-{mark}"
    assert one.ml.environment["SL_REQUEST_CHANNEL"] == f"/tmp/hpe-swarm/demo.3.{mark}.request.pipe"
    assert one.sl.environment["SL_RESPONSE_CHANNEL"] == f"/tmp/hpe-swarm/demo.3.{mark}.response.pipe"
    for spec in (one.sl, one.ml):
        assert Mount(MountKind.VOLUME, one.exchange, "/tmp/hpe-swarm") in spec.mounts
    assert made() == one
    other = pair(SITE, profile(), profile().nodes[0], task(), "i", replace(KEY, attempt=2), Terms())
    assert other.ml.name != one.ml.name
    assert other.state == one.state, "an SL keeps its state from run to run"


@given(group=st.text(min_size=1, max_size=30), name=st.text(min_size=1, max_size=160))
def test_any_name_makes_a_name_that_an_engine_takes(group: str, name: str) -> None:
    """Docker's rule for names, also for tasks in other scripts; different names stay different."""
    read = replace(profile(), group=group)
    run = task()
    one = pair(SITE, read, read.nodes[0], replace(run, header=replace(run.header, name=name)), "i", KEY, Terms())
    for made_name in (one.sl.name, one.ml.name, one.exchange, one.state):
        assert re.fullmatch(r"[a-zA-Z0-9_.-]{2,200}", made_name)
    assert pairs._safe(name) != pairs._safe(name + "é")


@pytest.mark.row("E15b")
def test_proxies_reach_an_sl_in_the_case_in_which_they_are_written() -> None:
    """All six names; programs of some tools read the one case, some the other."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    given = ", ".join(f"{name}: 'of {name}'" for name in names)
    text = PROFILE.replace("http_proxy: ~, no_proxy: localhost", given).replace(", no_proxy: ~]", "]")
    environment = made(text).sl.environment
    assert {name: environment.get(name) for name in names} == {name: f"of {name}" for name in names}


@pytest.mark.row("P06")
@pytest.mark.row("P08")
@pytest.mark.row("P10")
@pytest.mark.row("P12")
def test_an_sl_gets_what_the_profile_says() -> None:
    """The node's variables over the profile's, nothing for ~; identity by BIND and VOLUME; the profile's SN wins."""
    sl = made().sl
    environment = sl.environment
    assert environment["SL_LOG_LEVEL"] == "DEBUG"
    assert not {"http_proxy", "no_proxy"} & environment.keys()
    assert "None" not in environment.values()
    assert (environment["SWARM_ID_KEY"], environment["SWARM_ID_CERT"]) == ("/id/sl.key", "/id/sl.crt")
    assert environment["SWARM_ID_CAPATH"] == "/ca"
    assert environment["SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH"] == "/run/spire.sock"
    assert (environment["SN_NODE_IP"], environment["SN_API_SERVER_PORT"]) == ("172.1.1.1", "30304")
    assert (environment["THIS_NODE_IP"], environment["SL_FS_PORT"]) == ("10.1.1.3", "16000")
    assert sl.ports == {30305: 16000}
    assert (sl.network, sl.address, sl.host_name, sl.dns) == ("net-1", "172.18.0.9", "sl-3", ("10.0.0.53",))
    assert sl.labels["a"] == "b"
    identity = [mount for mount in sl.mounts if mount.target in ("/id", "/ca", "/run/spire.sock")]
    assert identity == [
        Mount(MountKind.BIND, "/site/cert", "/id", read_only=True),
        Mount(MountKind.VOLUME, "ca-files", "/ca", read_only=True),
        Mount(MountKind.VOLUME, "spire", "/run/spire.sock", read_only=True),
    ]


@pytest.mark.row("P09")
@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        ("KEY", "SWARM_ID_KEY"),
        ("CERT", "SWARM_ID_CERT"),
        ("CACERT", "SWARM_ID_CACERT"),
        ("CAPATH", "SWARM_ID_CAPATH"),
        ("SPIFFE_SOCKETPATH", "SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH"),
    ],
)
@pytest.mark.parametrize(("mount", "source"), [("BIND", "/site/cert"), ("VOLUME", "files")])
@pytest.mark.parametrize(
    ("more", "path"), [("", "/id"), (", subPath: ~", "/id"), (", subPath: of/sl.pem", "/id/of/sl.pem")]
)
def test_each_kind_of_identity_is_mounted_and_named(
    kind: str, variable: str, mount: str, source: str, more: str, path: str
) -> None:
    """By folder of the host or volume, with or without a path below it: the variable names the file in the SL."""
    old = "{aType: CAPATH, mType: VOLUME, src: ca-files, tgt: /ca, subPath: ~}"
    new = f"{{aType: {kind}, mType: {mount}, src: {source}, tgt: /id{more}}}"
    lines = [line for line in PROFILE.splitlines() if "attribute" not in line or old in line]
    sl = made(text="\n".join(lines).replace(old, new)).sl
    assert sl.environment[variable] == path
    assert Mount(MountKind[mount], source, "/id", read_only=True) in sl.mounts


@pytest.mark.row("P05")
def test_without_an_sn_in_the_profile_the_command_line_says_it() -> None:
    """And with one in both, the profile wins: the command line's is still there where the profile says nothing."""
    assert made(PROFILE.replace("apisrv: {locator: {host: 172.1.1.1, port: ~}}\n", "")).sl.environment[
        "SN_NODE_IP"
    ] == "sn.command.line"  # fmt: skip
    by_service = PROFILE.replace("host: 172.1.1.1, port: ~", "service: api.sn-1:443")
    assert made(by_service).sl.environment["SN_API_SERVICE"] == "api.sn-1:443"


def test_a_container_name_as_host_is_reached_inside_the_network() -> None:
    """Nothing is published then, so two nodes on one host may both say nothing of ports (row P10)."""
    sl = made(PROFILE.replace("slhostip: 10.1.1.3", "slhostip: sl-3").replace("slport: 16000", "slport: ~")).sl
    assert (sl.ports, sl.aliases) == ({}, ("sl-3",))


@pytest.mark.row("P11")
@pytest.mark.row("P12")
def test_a_program_gets_what_task_and_profile_say() -> None:
    """Words of the command, variables with the node's over the task's, private and shared content, secrets' values."""
    ml = made().ml
    assert (ml.entrypoint, ml.command) == (("python3",), ("model/train.py", "--minpeers=3"))
    assert (ml.working_dir, ml.user, ml.image) == ("/tmp/test", "1000:1000", "sha256:image")
    ours = {name: value for name, value in ml.environment.items() if not name.startswith("SL_")}
    assert ours == {"MODEL_DIR": "model", "MAX_EPOCHS": "5", "LOOP": "True", "LR": "0.0001", "TOKEN": "from the file"}
    assert ml.mounts[1:] == (
        Mount(MountKind.BIND, "/data/site-3", "/tmp/test/data"),
        Mount(MountKind.BIND, "/opt/model", "/tmp/test/model"),
    )
    assert (ml.host_name, ml.labels["c"]) == ("program-3", "")


def test_a_program_reaches_no_key_and_no_network_unless_granted() -> None:
    """Neither identity nor state is mounted; network, fixed address and root's write come by the policy alone."""
    ml = made().ml
    assert {mount.target for mount in ml.mounts} == {"/tmp/hpe-swarm", "/tmp/test/data", "/tmp/test/model"}
    assert (ml.network, ml.address, ml.dns, ml.writable_root, ml.confined) == ("none", None, (), False, True)
    assert ml.pids == 4096
    ml = made(terms=Terms(network=True, writable_root=True, confined=False)).ml
    assert (ml.network, ml.address, ml.writable_root, ml.confined) == ("net-1", "172.18.0.10", True, False)


def test_secrets_that_a_site_does_not_have_are_named() -> None:
    """With the variable and what to do."""
    with pytest.raises(OperatorFault, match=r"TOKEN is secret:other.*has no other; write it there"):
        made(PROFILE.replace("secret:hub", "secret:other"))


def test_a_command_with_an_open_quote_is_named() -> None:
    """A shell would wait for the rest."""
    with pytest.raises(OperatorFault, match=r"Command cannot be split .*close its quotes"):
        made(run=taskfiles.RUN.replace("model/train.py --minpeers=3", "train.py --name='x"))


@pytest.mark.row("P16")
def test_devices_are_read_as_profiles_write_them() -> None:
    """Of real profiles: lists, quotes, sizes; what means nothing is told by name."""
    one = made()
    assert one.ml.devices == Devices(
        gpus=Gpus(ids=("3", "5")),
        paths=("/dev/kfd", "/dev/dri:/dev/dri:rw"),
        shm_bytes=16 * 1024**3,
        groups=("video",),
    )
    assert one.notices == ("usrcontaineropts: colour means nothing here and is left out",)
    assert one.sl.devices == Devices()


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("all", Gpus(count=-1)),
        ("device=all", Gpus(count=-1)),
        (2, Gpus(count=2)),
        ("2", Gpus(count=2)),
        ('"device=3,5"', Gpus(ids=("3", "5"))),
        ("device=GPU-3a23c669-1f69-c64e-cf85-44e9b07e7a2a", Gpus(ids=("GPU-3a23c669-1f69-c64e-cf85-44e9b07e7a2a",))),
        (("device=0", "1"), Gpus(ids=("0", "1"))),
    ],
)
def test_gpus(value, gpus) -> None:
    """All, some by number, some by UUID."""
    assert gpus_of(value) == gpus


@pytest.mark.parametrize("value", ["", "none", "device=", "device=a b", 0, "device=;rm"])
def test_gpus_that_are_none(value) -> None:
    """Named with what can be written."""
    with pytest.raises(OperatorFault, match=r"gpus is .*; write all"):
        gpus_of(value)


@pytest.mark.parametrize(
    ("value", "size"),
    [("16G", 16 * 2**30), ("64m", 64 * 2**20), ("1.5gb", 1610612736), (1048576, 2**20), ("2GiB", 2**31), ("1k", 1024)],
)
def test_sizes(value, size: int) -> None:
    """As Docker's option takes them."""
    assert bytes_of(value) == size


@pytest.mark.parametrize("value", ["", "0", "many", "-1G", True, "9" * 30 + "T"])
def test_sizes_that_are_none(value) -> None:
    """Neither nothing nor more than any host has."""
    with pytest.raises(OperatorFault, match="shm-size"):
        bytes_of(value)


def test_options_of_amd() -> None:
    """Truth values as YAML and as texts, repeated names add up, nothing is nothing."""
    found, unknown = devices(
        [("privileged", True), ("cap-add", "SYS_PTRACE"), ("cap-add", ("NET_RAW",)), ("ipc", "host"), ("gpus", None),
         ("security-opt", "seccomp=unconfined")]
    )  # fmt: skip
    assert found == Devices(
        ipc="host", capabilities=("SYS_PTRACE", "NET_RAW"), security=("seccomp=unconfined",), privileged=True
    )
    assert unknown == ()
    for name, value in (("device", "kfd"), ("device", ("/dev/x", "y")), ("privileged", "perhaps")):
        with pytest.raises(OperatorFault, match=f"usrcontaineropts: {name} is "):
            devices([(name, value)])


def found_of(part: Part, state: ContainerState | None, exit_code: int = 0) -> list[Found]:
    if state is None:
        return []
    return [Found(f"x-{part}", state, "i", {**pairs.labels(SWOP, KEY), pairs.PART: part}, exit_code)]


CREATED, RUNNING, EXITED = ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED


@pytest.mark.parametrize(
    ("sl", "ml", "state", "lost", "finishing"),
    [
        (None, None, None, False, False),
        (CREATED, None, None, False, False),
        (None, CREATED, None, False, False),
        (CREATED, CREATED, WorkState.CREATED, False, False),
        (RUNNING, CREATED, WorkState.CREATED, False, False),
        (EXITED, CREATED, WorkState.EXITED, False, False),
        (RUNNING, RUNNING, WorkState.RUNNING, False, False),
        (EXITED, RUNNING, WorkState.RUNNING, False, False),
        (RUNNING, EXITED, WorkState.RUNNING, False, True),
        (EXITED, EXITED, WorkState.EXITED, False, False),
        (RUNNING, None, WorkState.EXITED, True, False),
        (EXITED, None, WorkState.EXITED, True, False),
        (None, RUNNING, WorkState.RUNNING, False, False),
        (None, EXITED, WorkState.EXITED, False, False),
        (CREATED, RUNNING, WorkState.RUNNING, False, False),
        (CREATED, EXITED, WorkState.EXITED, False, False),
    ],
)
def test_how_a_pair_stands(sl, ml, state, lost: bool, finishing: bool) -> None:
    """From each state of its two containers; half a pair that never began is made again."""
    stands = standing(found_of(Part.SL, sl) + found_of(Part.ML, ml))
    assert (stands.state, stands.lost, stands.finishing) == (state, lost, finishing)


def test_every_standing_is_told() -> None:
    """No pair of states is forgotten in the table above, and nothing that runs counts as absent."""
    states = (None, CREATED, RUNNING, EXITED)
    for sl, ml in itertools.product(states, states):
        stands = standing(found_of(Part.SL, sl) + found_of(Part.ML, ml))
        if RUNNING in (sl, ml) or EXITED in (sl, ml):
            assert stands.state is not None, (sl, ml)


def test_labels_name_the_attempt_or_nothing() -> None:
    """Read back; other people's containers, and broken labels, are none of ours."""
    assert pairs.key_of(pairs.labels(SWOP, KEY)) == KEY
    assert pairs.key_of({}) is None
    assert pairs.key_of({**pairs.labels(SWOP, KEY), pairs.AID: "0x12"}) is None
    assert pairs.key_of({**pairs.labels(SWOP, KEY), pairs.PAIR: "one"}) is None
