"""Two hosts with an engine each: bundles from one inventory, published ports alone, tasks by SWCI and two SWOPs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support import hosts, images, patience, warm
from support.snprocess import clean_environ

pytestmark = [pytest.mark.docker, pytest.mark.netns, pytest.mark.timeout(900)]

TAG, NEXT = "test", "next"
NODES = ("sn", "sl", "swop", "swci")
JOB = "defaultbb.cqdb.sml.hpe"
TR = "defaulttaskbb.taskdb.sml.hpe"
PROGRAM_UID = 10001
BUILD = """Name : build
TaskType : MAKE_USER_CONTAINER
Author : Somebody
Prereq : ROOTTASK
Outcome : biopsies
Body :
    BuildContext :
    BuildType : INLINE
    BuildSteps :
    - FROM swarm-learning/ml-demo:test
    - WORKDIR /home/swarm/examples/breast-cancer
"""
RUN = """Name : {name}
TaskType : RUN_SWARM
Author : Somebody
Prereq : build
Outcome : {name}
Body :
    Entrypoint : python3
    Command : {program}
    WorkingDir : /home/swarm/examples/breast-cancer
    PrivateContent : /data
    SharedContent :
    Envvars :
    - MIN_PEERS : 2
    - EPOCHS : {epochs}
    - DATA : /data/share.npz
    - OUT : /data/{name}
"""
POLICY = """share_logs: true
rules:
- tasks: [build]
  kinds: [MAKE_USER_CONTAINER]
  images: ["swarm-learning/ml-demo:test"]
- kinds: [RUN_SWARM]
  mounts: [{data}]
"""


@dataclass
class Site:
    """One site's staff: on their host, in their bundle's folder."""

    host: hosts.DockerHost

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def bundle(self) -> Path:
        return self.host.folder / "bundle" / self.name

    @property
    def data(self) -> Path:
        return self.host.folder / "srv"

    def types(self, script: str, **how: Any) -> str:
        """A script of the bundle."""
        return self.host.must("bash", str(self.bundle / script), **how)

    def compose(self, *words: str, **how: Any) -> str:
        return self.host.must("docker-compose", *words, folder=self.bundle, **how)

    def swarm(self, service: str, *words: str, **how: Any) -> str:
        """A `swarm` command in a service's container."""
        return self.compose("exec", "-T", service, "swarm", *words, **how)

    def healthy(self) -> bool:
        told = self.host.docker("ps", "--format", "{{.Status}}", "--filter", "label=com.docker.compose.project")
        return bool(told) and all("(healthy)" in line for line in told.splitlines())

    def record(self) -> dict[str, Any]:
        """The newest run, as this site's own SN tells it from its own chain."""
        return dict(json.loads(self.swarm("sn", "audit", JOB, "--json")))

    def engine_names(self) -> set[str]:
        """Of containers and volumes on this host's engine."""
        boxes = self.host.docker("ps", "--all", "--format", "{{.Names}}").split()
        return {*boxes, *self.host.docker("volume", "ls", "--quiet").split()}

    def model(self, task: str) -> str:
        return sha256((self.data / task / "model.safetensors").read_bytes()).hexdigest()


@dataclass
class Swarm:
    """Both sites, and whoever signs for them."""

    sites: list[Site]
    ca: Path

    @property
    def north(self) -> Site:
        return self.sites[0]

    @property
    def south(self) -> Site:
        return self.sites[1]

    def shell(self, *lines: str, seconds: float = 240.0) -> str:
        """Lines of an operator's shell, in the SWCI's container of the first site."""
        done = self.north.host.run(
            "docker-compose", "exec", "-T", "swci", "swarm", "swci", "--mode", "CLI", folder=self.north.bundle,
            given="\n".join((*lines, "EXIT\n")), seconds=seconds,
        )  # fmt: skip
        return done.stdout + done.stderr

    def until_healthy(self) -> None:
        for site in self.sites:
            until(site.healthy, f"all containers of {site.name} healthy")


def until(holds: Callable[[], object], what: str, seconds: float = 180.0) -> None:
    end = time.monotonic() + patience.seconds(seconds)
    while not holds():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.3)


def swarm_command(*words: str) -> None:
    done = warm.run(list(words), clean_environ(), seconds=60)
    assert done.returncode == 0, done.stdout + done.stderr


def inventory(places: list[hosts.DockerHost]) -> str:
    first, second = places
    sites = [
        {"name": first.name, "host": first.address, "sn": {}, "swop": {"data": [f"{first.folder}/srv"]}, "swci": True},
        {"name": second.name, "host": second.address, "sn": {}, "swop": {"data": [f"{second.folder}/srv"]}},
    ]
    return json.dumps({"swarm": "biopsies", "tag": TAG, "sites": sites})


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """Images of this tree on two hosts, and the swarm that their staff set up as the bundles' pages say."""
    images.nodes(TAG)
    folder = tmp_path_factory.mktemp("office")
    with hosts.hosts("north", "south") as places:
        hosts.load(places, [f"swarm-learning/{name}:{TAG}" for name in (*NODES, "ml-demo")])
        made = Swarm([Site(one) for one in places], folder / "ca")
        (folder / "inventory.yaml").write_text(inventory(places))
        swarm_command("site", "init", str(folder / "inventory.yaml"), "--out", str(folder / "bundles"))
        swarm_command("certs", "init", "--out", str(made.ca))
        for number, site in enumerate(made.sites, 1):
            prepare(made, site, folder / "bundles" / site.name, number)
        made.north.types("preflight.sh")
        made.north.types("start.sh")
        until(made.north.healthy, "the sentinel's site healthy")
        made.south.types("start.sh")
        made.until_healthy()
        yield made


def prepare(made: Swarm, site: Site, bundle: Path, number: int) -> None:
    """What a site's staff do before the first start: data, policy, keys, and what comes back of the requests."""
    shutil.copytree(bundle, site.bundle)
    site.data.mkdir()
    site.host.docker(
        "run", "--rm", "--user", "0:0", "--network", "none", "--volume", f"{site.data}:/out",
        f"swarm-learning/ml-demo:{TAG}", "python3", "breast-cancer/shares.py", "--out", "/out/all", "--nodes", "2",
    )  # fmt: skip
    shutil.copy(site.data / f"all/share{number}.npz", site.data / "share.npz")
    shutil.rmtree(site.data / "all")
    os.chown(site.data, PROGRAM_UID, PROGRAM_UID)
    (site.bundle / "usr/policy.yaml").write_text(POLICY.format(data=site.data))
    site.types("make-requests.sh")
    page = (site.bundle / "README.md").read_text()
    signing = [line for line in page.splitlines() if line.startswith("swarm cert sign ")]
    assert signing
    for line in signing:
        words = line.replace("--ca CA", f"--ca {made.ca}").replace(f"{site.name}/requests", f"{site.bundle}/requests")
        words = words.replace(f"{site.name}/certificates", f"{site.bundle.parent}/certificates").split()
        swarm_command(*words[1:])
    for cert in (site.bundle.parent / "certificates").iterdir():
        shutil.copy(cert / "cert.pem", site.bundle / "certs" / cert.name)
        shutil.copy(made.ca / "ca-cert.pem", site.bundle / "certs" / cert.name)


@pytest.fixture(autouse=True)
def _tell_logs(request: pytest.FixtureRequest, swarm: Swarm) -> Iterator[None]:
    """Prints all containers' last lines after a failed test."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        for site in swarm.sites:
            print(site.host.logs())


@pytest.mark.row("P05")
@pytest.mark.row("P10")
@pytest.mark.row("P11")
def test_a_task_trains_across_hosts(swarm: Swarm) -> None:
    """Build at both, then two pairs, one a host, by published ports: complete, one model, one chain of two SNs."""
    usr = swarm.north.bundle / "usr"
    (usr / "build.yaml").write_text(BUILD)
    (usr / "train.yaml").write_text(RUN.format(name="train", epochs=3, program="train_plain.py"))
    said = swarm.shell(
        "EXIT ON FAILURE ON", "CREATE TASK FROM build.yaml", "FINALIZE TASK build", "CREATE TASK FROM train.yaml",
        "FINALIZE TASK train", f"ASSIGN TASK build TO {TR} WITH 2 PEERS", f"WAIT FOR TASKRUNNER {TR}",
        f"RESET TASKRUNNER {TR}", f"ASSIGN TASK train TO {TR} WITH 2 PEERS", f"WAIT FOR TASKRUNNER {TR}",
    )  # fmt: skip
    assert said.count("STATE : COMPLETE") == 2, said
    assert swarm.north.model("train") == swarm.south.model("train")
    record = swarm.north.record()
    assert record["phase"] == "complete"
    assert len(record["rounds"]) >= 3
    assert all(len(one["contributions"]) == 2 for one in record["rounds"])
    uris = {one["uri"] for one in record["members"]}
    assert uris == {f"https://{site.host.address}:30305" for site in swarm.sites}
    until(lambda: swarm.south.record() == record, "the same record on the other SN's chain")
    assert swarm.north.engine_names().isdisjoint(swarm.south.engine_names())


CUT_ROUNDS, UPDATE_ROUNDS = 16, 30


def assigned(swarm: Swarm, task: str, epochs: int, program: str = "train_plain.py") -> None:
    """A next run of the job has begun, by a task whose program makes so many epochs, one round each."""
    (swarm.north.bundle / "usr" / f"{task}.yaml").write_text(RUN.format(name=task, epochs=epochs, program=program))
    said = swarm.shell(
        "EXIT ON FAILURE ON", f"CREATE TASK FROM {task}.yaml", f"FINALIZE TASK {task}", f"RESET TASKRUNNER {TR}",
        f"RESET CONTRACT {JOB}", f"ASSIGN TASK {task} TO {TR} WITH 2 PEERS",
    )  # fmt: skip
    assert "Task assigned to TaskRunner" in said, said


def at_round(site: Site, wanted: int) -> dict[str, Any]:
    """The record of the run that is under way, once it has so many rounds."""
    found: dict[str, Any] = {}

    def there() -> bool:
        found.update(site.record())
        assert found["phase"] != "failed", found["reason"]
        return found["phase"] == "open" and len(found["rounds"]) >= wanted

    until(there, f"round {wanted}")
    return found


def goes_to_its_end(swarm: Swarm, task: str, before: dict[str, Any], rounds: int) -> None:
    """The task is complete; the run is the one that was, with all its rounds, each of both sites; one model."""
    said = swarm.shell(f"WAIT FOR TASKRUNNER {TR}", seconds=400)
    assert "STATE : COMPLETE" in said, said
    record = swarm.south.record()
    assert (record["run"], record["phase"]) == (before["run"], "complete")
    assert [one["round"] for one in record["rounds"]] == list(range(len(record["rounds"])))
    assert len(record["rounds"]) >= rounds
    known = len(before["rounds"]) - 1  # the last one may have been under way
    assert record["rounds"][:known] == before["rounds"][:known]
    assert all(len(one["contributions"]) == 2 for one in record["rounds"])
    assert swarm.north.model(task) == swarm.south.model(task)


def test_a_run_goes_on_after_power_cuts(swarm: Swarm) -> None:
    """kill -9 of engine and containers, of one host and then of both, in mid-run: up again, on from the last round."""
    assigned(swarm, "cut", CUT_ROUNDS)
    at_round(swarm.north, 3)
    swarm.south.host.power_cut()
    swarm.south.host.boot()
    swarm.south.types("start.sh")
    before = at_round(swarm.north, len(swarm.north.record()["rounds"]) + 2)
    for site in swarm.sites:
        site.host.power_cut()
    for site in swarm.sites:
        site.host.boot()
        site.types("start.sh")
    swarm.until_healthy()
    goes_to_its_end(swarm, "cut", before, CUT_ROUNDS)


PACED = """import pathlib, runpy, sys, time
sys.path.insert(0, "/home/swarm/examples/breast-cancer")
import biopsies
begun, batches = 0, biopsies.batches
def paced(*given):
    global begun
    begun += 1
    while begun > int(pathlib.Path("/data/gate").read_text() or "0"):
        time.sleep(0.05)
    yield from batches(*given)
biopsies.batches = paced
runpy.run_path("/home/swarm/examples/breast-cancer/train_plain.py", run_name="__main__")
"""
"""The example's program, which begins an epoch only once the site's file says so: the run outlasts the update."""


def opened(swarm: Swarm, epochs: int) -> None:
    for site in swarm.sites:
        (site.data / "gate").write_text(str(epochs))


def test_no_round_is_lost_in_a_rolling_update(swarm: Swarm) -> None:
    """Each node of both sites gets its next image, one after the other, in mid-run: 30 rounds of both, one model."""
    for site in swarm.sites:
        (site.data / "paced.py").write_text(PACED)
        for name in NODES:
            site.host.docker("tag", f"swarm-learning/{name}:{TAG}", f"swarm-learning/{name}:{NEXT}")
    opened(swarm, 2)
    assigned(swarm, "update", UPDATE_ROUNDS, "/data/paced.py")
    before, allowed = at_round(swarm.north, 2), 2
    for site in swarm.sites:
        environment = site.bundle / ".env"
        environment.write_text(environment.read_text().replace(f"TAG={TAG}", f"TAG={NEXT}"))
        for service in site.compose("config", "--services").split():
            allowed += 4
            opened(swarm, allowed)
            site.compose("up", "-d", "--no-deps", service)
            until(site.healthy, f"{service} of {site.name} healthy with its next image")
            at_round(swarm.south, allowed)
        running = site.host.docker("ps", "--format", "{{.Image}}", "--filter", "label=com.docker.compose.project")
        assert all(image.endswith(f":{NEXT}") for image in running.split()), running
    opened(swarm, UPDATE_ROUNDS)
    goes_to_its_end(swarm, "update", before, UPDATE_ROUNDS)
