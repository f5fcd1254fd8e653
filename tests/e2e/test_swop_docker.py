"""A SWOP on a real Docker engine: a task builds an image, another runs pairs of real SLs and programs in containers.

The SN is a process on the gateway of a network that the test made; SLs reach it there, and each other by name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import images, patience, swci, warm
from support.certs import Authority
from support.chains import free_port
from support.snprocess import Place, SnProcess, clean_environ

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
TR = "defaulttaskbb.taskdb.sml.hpe"
TAG = "test"
NODE_UID = 10001
PAIRS = 2
BUILD = """Name : build_env
TaskType : MAKE_USER_CONTAINER
Author : Somebody
Prereq : ROOTTASK
Outcome : {outcome}
Body :
    BuildContext :
    BuildType : INLINE
    BuildSteps :
    - FROM swarm-learning/ml-demo:{tag}
    - WORKDIR /home/swarm/examples/breast-cancer
    - RUN python3 shares.py --out /home/swarm/shares --nodes {pairs} --seed 0
"""
RUN = """Name : {name}
TaskType : RUN_SWARM
Author : Somebody
Prereq : build_env
Outcome : {name}
Body :
    Entrypoint : python3
    Command : {command}
    WorkingDir : /home/swarm/examples/breast-cancer
    Envvars :
    - MIN_PEERS : {pairs}
    - EPOCHS : 3
    - OUT : /tmp/out
    PrivateContent :
    SharedContent :
"""
PROFILE = """groupname: {group}
taskrunner: defaulttaskbb.taskdb.sml.hpe
network: {network}
apisrv: {{locator: {{host: {gateway}, port: {port}}}}}
nodes:
"""
NODE = """- slnodedef:
    idx: {n}
    identity:
    - attribute: {{aType: KEY, mType: BIND, src: {certs}, tgt: /id, subPath: key.pem}}
    - attribute: {{aType: CERT, mType: BIND, src: {certs}, tgt: /id, subPath: cert.pem}}
    - attribute: {{aType: CACERT, mType: BIND, src: {certs}, tgt: /id, subPath: ca-cert.pem}}
    slhostname: {group}-sl-{n}
    slhostip: {group}-sl-{n}
    usrenvvars:
    - DATA : /home/swarm/shares/share{share}.npz
"""


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr}")
    return done.stdout.strip()


@dataclass
class Host:
    """One host: an SN, an operator, a SWOP process with its folder."""

    folder: Path
    group: str
    sn: SnProcess
    operator: swci.Operator
    argv: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        path = self.folder / "swop.log"
        return path.read_text() if path.exists() else ""  # whoever starts it makes the file a moment later

    def start(self) -> None:
        ready = self.log.count("Ready for Task Execution!") if (self.folder / "swop.log").exists() else 0
        self.process = warm.start(self.argv, clean_environ(), self.folder / "swop.log")
        until(lambda: self.log.count("Ready for Task Execution!") > ready, "a SWOP that is ready", self)

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=patience.seconds(60))
        return int(self.process.returncode)

    def shell(self, *lines: str, seconds: float = 300.0) -> str:
        first = [f"create context test with ip {self.sn.place.host} {self.sn.port}", "switch context test"]
        known = (self.operator.state / "contexts.json").exists()
        done = self.operator.shell(*([] if known else first), *lines, seconds=seconds)
        return done.stdout + done.stderr

    def containers(self, *filters: str) -> list[str]:
        named = ["--filter", f"name={self.group}-"]
        return docker("ps", "--all", "--quiet", *named, *filters).split()

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "--quiet", "--filter", f"name=swop-{self.group}-").split()

    def show(self) -> None:
        print(self.log)
        print(self.sn.log[-3000:])
        for name in self.containers():
            print(
                f"--- {name}",
                subprocess.run(["docker", "logs", "--tail", "40", name], capture_output=True, check=False),
            )


def until(holds: Callable[[], object], what: str, host: Host, seconds: float = 120.0) -> None:
    end = time.monotonic() + patience.seconds(seconds)
    while not holds():
        if host.process is not None and host.process.poll() is not None:
            raise AssertionError(f"the SWOP ended with {host.process.returncode} before {what}")
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Images of this tree, a network, an SN on its gateway, a SWOP with two pairs, tasks on the chain."""
    images.nodes(TAG)
    group = f"swoptest{secrets.token_hex(3)}"
    docker("network", "create", group)
    folder = tmp_path_factory.mktemp("h")
    ca = Authority()
    made: Host | None = None
    try:
        gateway = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", group)
        files = ca.node(folder / "sn" / "certs", "sn-1", uri="spiffe://test/site-a/sn/sn-1")
        sn = SnProcess(folder / "sn", files, ["--task-lease", "20"], place=Place(gateway), warm=True)
        sn.start()
        usr = folder / "usr"
        usr.mkdir()
        profile = PROFILE.format(group=group, network=group, gateway=gateway, port=sn.port)
        for n in range(PAIRS):
            certs = folder / f"sl{n}"
            own = ca.node(certs / "made", f"sl-{n}", uri=f"spiffe://test/site-{n}/sl/sl-{n}")
            for name, path in (("key.pem", own.key), ("cert.pem", own.cert), ("ca-cert.pem", own.cacert)):
                shutil.copy(path, certs / name)
                os.chown(certs / name, NODE_UID, NODE_UID)
                (certs / name).chmod(0o600)
            os.chown(certs, NODE_UID, NODE_UID)
            profile += NODE.format(n=n, share=n + 1, group=group, certs=certs)
        (usr / "profile.yaml").write_text(profile)
        (usr / "policy.yaml").write_text(
            f"share_logs: true\nrules:\n- tasks: [build_env]\n  images: ['swarm-learning/ml-demo:{TAG}']\n"
            "- kinds: [RUN_SWARM]\n"
        )
        swop = ca.node(folder / "swop-certs", "swop-1", uri="spiffe://test/site-a/swop/swop-1")
        argv = ["swop", "--usr-dir", str(usr), "--profile-file-name", "profile.yaml", "--policy", "policy.yaml"]
        argv += ["--sl-image", f"swarm-learning/sl:{TAG}", "--state-dir", str(folder / "swop-state")]
        argv += ["--cert", str(swop.cert), "--key", str(swop.key), "--cacert", str(swop.cacert)]
        argv += ["--ops-port", str(free_port()), "--share-logs", "true"]
        argv += ["--host-ip", sn.place.host, "--logs-port", str(free_port())]
        made = Host(folder, group, sn, swci.operator(folder / "operator", sn, ca), argv)
        tasks = {"build_env": BUILD.format(outcome=group, tag=TAG, pairs=PAIRS)}
        for name, command in (
            ("train", "train_plain.py"),
            ("raises", "-c 'raise KeyError(7)'"),
            ("silent", "-c pass"),
            ("sleeps", "-c 'import time; time.sleep(600)'"),
        ):
            tasks[name] = RUN.format(name=name, command=json.dumps(command), pairs=PAIRS)
        made.start()
        lines = []
        for name, text in tasks.items():
            (made.operator.usr / f"{name}.yaml").write_text(text)
            lines += [f"create task from {name}.yaml", f"finalize task {name}"]
        said = made.shell(*lines)
        assert "ERROR" not in said, said
        yield made
    finally:
        if made is not None:
            made.end()
            for name in made.containers():
                docker("rm", "--force", "--volumes", name)
            for name in made.volumes():
                docker("volume", "rm", "--force", name)
            subprocess.run(["docker", "rmi", "--force", f"{group}:latest"], capture_output=True, check=False)
            made.sn.stop()
        docker("network", "rm", group)


@pytest.fixture(autouse=True)
def _tell_logs(request: pytest.FixtureRequest, host: Host) -> Iterator[None]:
    """Prints all logs after a failed test; each test begins with a SWOP that is up."""
    failed_before = request.session.testsfailed
    if host.process is None or host.process.poll() is not None:
        host.start()
    yield
    if request.session.testsfailed > failed_before:
        host.show()


@pytest.mark.row("T03")
@pytest.mark.row("T04")
@pytest.mark.row("P01")
@pytest.mark.row("P08")
@pytest.mark.row("P10")
@pytest.mark.row("P17")
def test_a_task_builds_and_another_trains_in_containers(host: Host) -> None:
    """Two real pairs: the run completes, its record is one model, containers go, the SLs' states stay."""
    said = host.shell(f"ASSIGN TASK build_env TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}")
    assert "STATE : COMPLETE" in said, said
    assert "swarm.SWOP : INFO : # NODE UID :  0x" in host.log
    assert f"swarm.SWOP : INFO : groupname: {host.group}" in host.log
    said = host.shell(
        f"RESET TASKRUNNER {TR}", f"ASSIGN TASK train TO {TR} WITH {PAIRS} PEERS", f"WAIT FOR TASKRUNNER {TR}"
    )
    assert "STATE : COMPLETE" in said, said
    audit = warm.run(["audit", "defaultbb.cqdb.sml.hpe", "--json", "--ops", host.sn.ops], clean_environ(), seconds=60)
    record = json.loads(audit.stdout)
    assert len(record["rounds"]) >= 2
    assert all(len(one["contributions"]) == PAIRS for one in record["rounds"])
    until(lambda: not host.containers(), "containers gone", host)
    until(lambda: not [name for name in host.volumes() if "swif" in name], "shared volumes gone", host)
    assert sorted(host.volumes()) == [f"swop-{host.group}-state-{n}" for n in range(PAIRS)]


@pytest.mark.row("D13")
@pytest.mark.row("X15")
@pytest.mark.parametrize(
    ("task", "why", "last"),
    [
        ("raises", "exit code 1, KeyError", "KeyError: 7"),
        ("silent", "exit code 0, NeverJoined", "its program wrote nothing before it failed"),
    ],
)
def test_a_program_that_does_not_do_its_part_is_told(host: Host, task: str, why: str, last: str) -> None:
    """Within seconds, by pair, exit code, class and its last lines, which this site shares; its SL goes too."""
    said = host.shell(
        f"RESET TASKRUNNER {TR} FORCE", f"ASSIGN TASK {task} TO {TR} WITH 1 PEERS", f"WAIT FOR TASKRUNNER {TR}"
    )
    assert f"pair 0: FAILED, {why}" in said, said
    assert last in said, said
    until(lambda: not host.containers(), "nothing left", host)
    [uid] = re.findall(r"NODE UID :  (0x[0-9a-f]{40})", host.log)[:1]
    assert f"ENROLL TO Task : {task}" in host.shell(f"LOGS {uid}")


@pytest.mark.row("C25")
def test_a_program_reaches_neither_keys_nor_network(host: Host) -> None:
    """Its container has no identity mounted, no network, no capabilities, and a root that it cannot write."""
    said = host.shell(f"RESET TASKRUNNER {TR} FORCE", f"ASSIGN TASK sleeps TO {TR} WITH 1 PEERS")
    assert "Task assigned" in said, said
    until(lambda: host.containers("--filter", "label=swarm-learning.part=u", "--filter", "status=running"), "it", host)
    [program] = host.containers("--filter", "label=swarm-learning.part=u")
    found = json.loads(docker("inspect", program))[0]
    assert found["HostConfig"]["NetworkMode"] == "none"
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/tmp/hpe-swarm"]
    probe = f"import socket; socket.create_connection({(host.sn.place.host, host.sn.port)!r}, 3)"
    tried = subprocess.run(
        ["docker", "exec", program, "python3", "-c", probe], capture_output=True, text=True, check=False
    )
    assert "Network is unreachable" in tried.stderr, tried.stderr
    began = time.monotonic()
    host.shell(f"RESET TASKRUNNER {TR} FORCE")
    until(lambda: not host.containers(), "nothing left", host)
    assert time.monotonic() - began < 60 * patience.crowd()


def test_the_doctor_sees_what_a_program_would_get(host: Host) -> None:
    """Engine, image, memory, a folder of this site's, one that programs may not read, one that is not there."""
    closed = host.folder / "closed"
    closed.mkdir(mode=0o700)
    open_ = host.folder / "open"
    open_.mkdir()
    (open_ / "a.csv").write_text("1\n")
    words = ["--image", f"swarm-learning/sl:{TAG}", "--user", str(NODE_UID)]
    for folder in (open_, closed, host.folder / "missing"):
        words += ["--data", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "swarm.cli", "doctor", *words, "--output", "json"],
        capture_output=True,
        text=True,
        timeout=patience.seconds(120),
        check=False,
    )
    found = json.loads(done.stdout)["data"]
    assert done.returncode == 1
    assert found["images"]["sl"].startswith("sha256:")
    areas = {(one["area"], one["level"]) for one in found["findings"]}
    assert {("engine", "ok"), ("images", "ok"), ("shm", "warn")} <= areas, found
    faults = [one for one in found["findings"] if one["level"] == "fault" and one["area"] == "data"]
    assert [name for name in ("open", "closed", "missing") if any(f"/{name}" in one["text"] for one in faults)] == [
        "closed",
        "missing",
    ]
    assert all(one["fix"] for one in faults)
    assert host.containers("--all", "--filter", "label=swarm.doctor") == []


def test_a_swop_that_is_killed_adopts_its_pair(host: Host) -> None:
    """kill -9 in mid-run: the program runs on, and the next SWOP ends it when it is told to.

    The last test of this file: the SWOP that it starts is the fixture's to end.
    """
    host.shell(f"RESET TASKRUNNER {TR} FORCE", f"ASSIGN TASK sleeps TO {TR} WITH 1 PEERS")
    running = ("--filter", "label=swarm-learning.part=u", "--filter", "status=running")
    until(lambda: host.containers(*running), "a program", host)
    before = host.containers(*running)
    assert host.process is not None
    host.process.kill()
    host.process.wait()
    assert host.containers(*running) == before
    host.start()
    until(lambda: host.containers(*running) == before, "the same program", host)
    host.shell(f"RESET TASKRUNNER {TR} FORCE")
    until(lambda: not host.containers(), "nothing left", host)
