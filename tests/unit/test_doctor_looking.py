"""`swarm doctor` gathers: a bundle's word, an engine's, a container's, and how far a connection came."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.certs import DAY, Authority
from swarm.cli.main import main
from swarm.core.doctor.facts import Facts, Finding, Level, Reach
from swarm.core.doctor.judging import judged
from swarm.core.errors import OperatorFault
from swarm.core.swop.containers import ContainerSpec, ContainerState, Found, Image
from swarm.doctor import paths
from swarm.doctor.engine import PROBE
from swarm.doctor.inside import seen
from swarm.doctor.looking import Asked, look, of_bundle
from swarm.doctor.paths import listens, proxies, reach
from swarm.net.tls import TlsFiles, client_context
from swarm.sites.writing import inventory_in, write
from swarm.swop.runtime import RuntimeFault, Trouble

INVENTORY = """swarm: biopsies
sites:
- {{name: north, host: north.example.org, sn: {{}}, sls: {{data: [{data}]}}}}
- {{name: south, host: 10.0.0.2, swop: {{data: [{data}]}}}}
"""
PROFILE = """groupname: g
taskrunner: r
network: n
nodes:
- slnodedef:
    idx: 0
    slhostip: sl-0
    privatedata: {src: /srv/a, mType: BIND}
"""


@dataclass
class Box:
    """An engine whose containers see what a function tells, or are refused by what it raises."""

    sees: Any
    gone: bool = False
    running: bool = False
    made: dict[str, ContainerSpec] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    async def about(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if self.gone:
            raise RuntimeFault(Trouble.DAEMON_GONE, "no engine answers at /nowhere")
        return {"Version": "26.1.4", "Components": [{"Name": "Engine"}]}, {
            "DockerRootDir": "/var/lib/docker",
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        }

    async def image(self, name: str) -> Image | None:
        return Image("sha256:" + "ab" * 32) if "/sl:" in name or "/swop:" in name else None

    async def find(self, labels: Mapping[str, str]) -> list[Found]:
        if "com.docker.compose.project" in labels:
            return [Found("x", ContainerState.RUNNING, "i", labels)] if self.running else []
        found = [name for name, spec in self.made.items() if labels.items() <= spec.labels.items()]
        return [Found(name, ContainerState.EXITED, "i", labels, 0) for name in found]

    async def create(self, spec: ContainerSpec) -> None:
        self.made[spec.name] = spec

    async def start(self, name: str) -> None:
        self.sees(self.made[name])

    async def output(self, name: str, lines: int) -> str:
        return str(self.sees(self.made[name]))

    async def remove(self, name: str) -> None:
        self.removed.append(name)


def all_well(spec: ContainerSpec) -> str:
    folders = [{"path": "/data", "readable": True, "writable": True, "entries": 2, "free_bytes": 2**40}]
    told = {
        "user": 10001,
        "shm_bytes": 2**31,
        "free_bytes": 2**40,
        "gpus": [],
        "folders": folders if spec.mounts else [],
    }
    return "a line of the image's own\n" + json.dumps(told)


def facts_of(asked: Asked, box: Box) -> Facts:
    return look(asked, box, {}, lambda _: None)


def wrong(facts: Facts) -> list[Finding]:
    return [one for one in judged(facts) if one.level is Level.FAULT]


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "inventory.yaml").write_text(INVENTORY.format(data=tmp_path / "data"))
    write(inventory_in(tmp_path / "inventory.yaml"), tmp_path / "bundles")
    return tmp_path / "bundles"


def test_a_bundle_says_what_is_to_be_looked_at(bundles: Path, tmp_path: Path) -> None:
    """Its own nodes, ports, SN, images as `.env` has them now, folders of data or the profile, and the policy."""
    north, south = of_bundle(bundles / "north"), of_bundle(bundles / "south")
    assert (north.site, north.host, north.here, sorted(north.files)) == (
        "north",
        "north.example.org",
        True,
        ["sl1", "sn"],
    )
    assert north.folders == (str(tmp_path / "data"),)
    assert (south.sn, south.here, south.folders) == (("north.example.org", 30304), False, ())
    assert sorted(south.ports) == [30305, 30307]
    assert south.policy == bundles / "south/usr/policy.yaml"
    (bundles / "south/.env").write_text("# new\nSWARM_IMAGES=reg.example.org:5000/s\nSWARM_IMAGE_TAG='2.0'\n")
    assert of_bundle(bundles / "south").images["swop"] == "reg.example.org:5000/s/swop:2.0"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"swarm": "a", "site": "../x"}', "\x00", "[" * 60_000])
def test_attack_a_site_file_that_is_none_is_refused_by_name(bundles: Path, text: str) -> None:
    """Whoever changed it by hand is told how to get it back."""
    (bundles / "north/site.json").write_text(text)
    with pytest.raises(OperatorFault, match=r"site\.json: .*swarm site init"):
        of_bundle(bundles / "north")


def test_missing_certificates_an_image_and_a_profile_are_faults_of_their_own(bundles: Path) -> None:
    """A fresh bundle on a host where all else is well: exactly what is to be done next."""
    faults = wrong(facts_of(of_bundle(bundles / "north"), Box(all_well)))
    assert sorted({one.area for one in faults}) == ["certificates", "images"]
    assert any("make-requests.sh" in one.fix for one in faults)
    (bundles / "south/usr/swop-profile.yaml.in").write_text("groupname: a\nnodes: 7\n")
    assert "profile" in {one.area for one in wrong(facts_of(of_bundle(bundles / "south"), Box(all_well)))}


def test_a_good_certificate_is_told_with_its_end_and_a_bad_one_with_its_field(tmp_path: Path) -> None:
    """As `swarm cert check`; one that is about to end is a warning."""
    ca = Authority("CA")
    good, late, soon = (
        ca.node(tmp_path / name, name, begins=begins, ends=ends)
        for name, begins, ends in (("good", -DAY, 90 * DAY), ("late", -2 * DAY, -DAY), ("soon", -DAY, DAY))
    )
    found = facts_of(Asked(files={"good": good, "late": late, "soon": soon}), Box(all_well)).said
    told = {(one.text.split(":")[0], one.level) for one in found}
    assert {("good", Level.OK), ("late", Level.FAULT), ("soon", Level.WARN)} <= told
    assert ("good", Level.FAULT) not in told
    assert any("not_after" in one.text for one in found if one.level is Level.FAULT)


def test_what_looks_around_in_a_container_gets_what_a_program_gets_and_is_removed(tmp_path: Path) -> None:
    """The folder, the GPUs and the memory of its pair; no network, no rights; gone afterwards."""
    profile = tmp_path / "profile.yaml"
    profile.write_text(PROFILE + '    usrcontaineropts:\n    - gpus: all\n    - shm-size: "2G"\n')
    box = Box(all_well)
    facts = facts_of(Asked(profile=profile, images={"sl": "s/sl:1"}, user="1000"), box)
    (spec,) = box.made.values()
    assert (spec.entrypoint, spec.command, spec.network, spec.user) == (PROBE, ("/data",), "none", "1000")
    assert spec.mounts[0].source == "/srv/a"
    assert spec.devices.gpus is not None
    assert spec.devices.shm_bytes == 2 * 2**30
    assert spec.confined
    assert not spec.writable_root
    assert box.removed == [spec.name]
    assert facts.engine is not None
    assert facts.engine.free_bytes == 2**40
    assert facts.engine.rootless
    assert [one.area for one in wrong(facts)] == ["gpu"], "started with GPUs, and saw none"


@pytest.mark.parametrize(
    ("refused", "area"), [("gpus", "gpu"), ("mounts", "data"), ("everything", "gpu"), ("image", "container")]
)
def test_what_an_engine_refuses_is_laid_on_what_it_refused(tmp_path: Path, refused: str, area: str) -> None:
    """GPUs, a folder, both; an image without a doctor in it. Each container is removed."""
    profile = tmp_path / "profile.yaml"
    gpus = "" if refused in ("image", "mounts") else "    usrcontaineropts:\n    - gpus: all\n"
    profile.write_text(PROFILE + gpus)

    def sees(spec: ContainerSpec) -> str:
        if refused == "image":
            return "python3: No module named swarm.doctor"
        if (
            refused == "everything"
            or (refused == "gpus" and spec.devices.gpus)
            or (refused == "mounts" and spec.mounts)
        ):
            raise RuntimeFault(Trouble.REFUSED, f"refused: {refused}")
        return all_well(spec)

    box = Box(sees)
    faults = wrong(facts_of(Asked(profile=profile, images={"sl": "s/sl:1"}), box))
    assert [one.area for one in faults] == [area]
    assert sorted(box.removed) == sorted(box.made)


def test_an_engine_that_is_not_there_is_one_fault(bundles: Path) -> None:
    """Nothing else is asked of it, and nothing raises."""
    faults = [
        one for one in wrong(facts_of(of_bundle(bundles / "north"), Box(all_well, gone=True))) if one.area == "engine"
    ]
    assert [one.text for one in faults] == ["no engine answers at /nowhere"]


def test_ports_of_a_site_that_runs_already_are_its_own(bundles: Path) -> None:
    """Found by the compose project; a stranger's port is a fault."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for running in (True, False):
            asked = Asked(ports={port: "sl1's models"}, project="p")
            faults = wrong(facts_of(asked, Box(all_well, running=running)))
            assert [one.area for one in faults] == ([] if running else ["ports"])
    assert not listens(port)


@contextmanager
def mute() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for one in kept:
                one.close()


def test_how_far_a_connection_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name nobody has, a port nobody listens on, one that takes and says nothing; without a certificate TCP alone."""
    monkeypatch.setattr("swarm.net.probe.CONNECT_SECONDS", 0.5)
    context = client_context(Authority("CA").node(tmp_path, "own"))
    assert reach("no-such-host.invalid", 1, "x", context).reach is Reach.UNKNOWN
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert reach("127.0.0.1", free, "x", context).reach is Reach.REFUSED
    with mute() as port:
        stuck = reach("127.0.0.1", port, "x", context)
        assert stuck.reach is Reach.STUCK
        assert stuck.milliseconds is not None
        assert stuck.segment_bytes
        assert reach("127.0.0.1", port, "x", None).reach is Reach.TAKEN


def test_a_port_that_swallows_packets_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that drops: no answer within the bound, which the text names."""
    monkeypatch.setattr(paths, "CONNECT_SECONDS", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):  # the queue of those that wait is full: the kernel drops what comes
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        found = reach("127.0.0.1", port, "x", None)
        for one in waiting:
            one.close()
    assert found.reach is Reach.SILENT
    assert "within" in found.text


def test_a_proxys_password_is_not_told() -> None:
    """The address is enough to find it."""
    assert proxies({"https_proxy": "http://user:secret@proxy:3128", "HOME": "/root"}) == {"https_proxy": "proxy:3128"}


def test_what_a_container_sees_is_what_is_there(tmp_path: Path) -> None:
    """The program that looks around, on this host: a folder, an empty one, one that is not there."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("x")
    (tmp_path / "empty").mkdir()
    told = seen([str(tmp_path / one) for one in ("full", "empty", "none")])
    assert [one["entries"] for one in told["folders"]] == [1, 0, 0]
    assert [one["readable"] for one in told["folders"]] == [True, True, False]
    assert told["shm_bytes"] > 0
    assert told["free_bytes"] > 0


def test_words_that_do_not_fit_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence each, exit code 2."""
    for argv, says in (
        (["doctor", "--sn", "nowhere"], "--sn wants host:port"),
        (["doctor", "--peer", "a:99999"], "--peer wants host:port"),
        (["doctor", "--cert", "c.pem"], "--cert needs --key"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
        assert says in capsys.readouterr().err


def test_files_of_a_node_that_are_no_certificate_are_one_fault(tmp_path: Path) -> None:
    """Nonsense in a file raises nothing."""
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).write_text("nonsense")
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    assert [one.area for one in wrong(facts_of(Asked(files={"x": files}), Box(all_well)))] == ["certificates"]
