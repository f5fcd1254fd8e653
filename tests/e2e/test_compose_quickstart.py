"""The compose quick start, as a user types it: images, certificates, four nodes on a real geth, three programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import patience
from support.compose import Project, project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

NODES = ("sn1", "sl1", "sl2", "sl3", "swci")
IMAGES = ("sn", "sl", "swci", "swop")
IMAGE_BYTES_MAX = 300 * 1000 * 1000
"""Of a node's image, as `docker images` counts."""
PROGRAMS = ("ml1", "ml2", "ml3")
JOB = "defaultbb.cqdb.sml.hpe"
KILLED = 137


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The quick start's nodes, healthy; everything is removed at the end."""
    with project("swarmtest", tmp_path_factory.mktemp("certs"), NODES) as made:
        yield made


@pytest.fixture(autouse=True)
def _tell_logs(request: pytest.FixtureRequest, swarm: Project) -> Iterator[None]:
    """Prints the containers' last lines after a failed test."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(swarm.logs())


def test_the_nodes_run_as_an_ordinary_user(swarm: Project) -> None:
    """No process of a node is root's; its root file system is read-only, and it has no capability to get back."""
    for node in NODES:
        state = swarm.script("docker", "exec", swarm.container(node), "cat", "/proc/1/status")
        assert "Uid:\t10001\t10001\t10001\t10001" in state
        assert "CapBnd:\t0000000000000000" in state
        assert swarm.state(node, ".HostConfig.ReadonlyRootfs") == "true"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_small_and_says_what_it_is(swarm: Project, image: str) -> None:
    """Below 300 MB; labels of version, commit and source; a health check; certificates of no site."""
    name = f"swarm-learning/{image}:test"
    found = json.loads(swarm.script("docker", "image", "inspect", name))[0]
    assert found["Size"] < IMAGE_BYTES_MAX
    labels = found["Config"]["Labels"]
    assert {f"org.opencontainers.image.{key}" for key in ("version", "revision", "source")} <= labels.keys()
    assert labels["org.opencontainers.image.version"] != "unknown"
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "swarm", "ready", image]


def test_a_container_that_is_started_as_root_takes_a_strangers_key(swarm: Project, tmp_path: Path) -> None:
    """A key of mode 0600 of another user works, root and all rights are gone; one that others can read is refused."""
    keys = tmp_path / "keys"
    shutil.copytree(swarm.certs / "sl1", keys)
    for path in (keys, *keys.iterdir()):
        os.chown(path, 4321, 4321)
    mounted = ["--volume", f"{keys}:/keys:ro", "--read-only", "--tmpfs", "/tmp", "--network", "none"]
    mounted += ["--tmpfs", "/platform/swarm/SMLNODE"]
    named = ["--cert", "/keys/cert.pem", "--key=/keys/key.pem", "--cacert", "/keys/ca-cert.pem"]
    sl = [*mounted, "swarm-learning/sl:test", "sl", "--sn-ip", "192.0.2.1", "--host-ip", "h", "--sn-wait", "60", *named]
    started = swarm.script("docker", "run", "--detach", *sl).strip()
    try:
        until_logged(started, "operations port")
        status = swarm.script("docker", "exec", started, "cat", "/proc/1/status")
        for line in ("Uid:\t10001\t10001\t10001\t10001", "Gid:\t10001\t10001\t10001\t10001", "NoNewPrivs:\t1"):
            assert line in status
        for held in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert f"{held}:\t0000000000000000" in status
        assert re.search(r"^Groups:\s*$", status, re.MULTILINE)
        swarm.script("docker", "stop", "--time", "20", started)
        assert swarm.script("docker", "inspect", "--format", "{{.State.ExitCode}}", started).strip() != str(KILLED)
    finally:
        swarm.script("docker", "rm", "--force", "--volumes", started)
    (keys / "key.pem").chmod(0o644)
    refused = subprocess.run(["docker", "run", "--rm", *sl], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "/keys/key.pem has mode 0644" in refused.stderr


def test_an_image_runs_as_any_user(swarm: Project) -> None:
    """With --user it does not need root for anything: its state is that user's."""
    told = swarm.script("docker", "run", "--rm", "--user", "4321:4321", "--entrypoint", "sh", "swarm-learning/sl:test",
                        "-c", "swarm --version && swarm ready swci && id -u")  # fmt: skip
    assert told.split()[-1] == "4321"


def until_logged(container: str, text: str) -> None:
    end = time.monotonic() + patience.seconds(30)
    while True:
        done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, timeout=30, check=False)
        if text in done.stdout + done.stderr:
            return
        assert time.monotonic() < end, done.stdout + done.stderr
        time.sleep(0.2)


@pytest.mark.parametrize("image", IMAGES)
def test_a_node_image_holds_no_machine_learning_framework(swarm: Project, image: str) -> None:
    """Neither PyTorch nor TensorFlow nor scikit-learn can be imported in a node image."""
    probe = (
        "from importlib.util import find_spec as f; "
        "print([m for m in ('torch', 'tensorflow', 'keras', 'sklearn', 'swarm') if f(m)])"
    )
    name = f"swarm-learning/{image}:test"
    assert swarm.script("docker", "run", "--rm", "--entrypoint", "python3", name, "-c", probe).strip() == "['swarm']"


ASK_IS_UP = """
import http.client, json, ssl
folder = '/platform/swarm/certs/'
tls = ssl.create_default_context(cafile=folder + 'ca-cert.pem')
tls.load_cert_chain(folder + 'cert.pem', folder + 'key.pem')
link = http.client.HTTPSConnection('sn1', 30304, context=tls, timeout=5)
link.request('GET', '/is_up')
print(json.load(link.getresponse())['status'])
"""


def test_a_restarted_sn_stops_cleanly_and_answers_the_moment_it_is_healthy(swarm: Project) -> None:
    """It ends by itself within the grace period; Docker's `healthy` means that another node's call is answered."""
    swarm.compose("stop", "sn1")
    assert int(swarm.state("sn1", ".State.ExitCode")) != KILLED
    swarm.compose("start", "sn1")
    swarm.until_healthy("sn1")
    assert swarm.compose("exec", "-T", "sl1", "python3", "-c", ASK_IS_UP).strip() == "UP"
    swarm.until_healthy(*NODES)


def test_private_keys_are_the_nodes_alone(swarm: Project) -> None:
    """Keys are 0600 and belong to the user of the container; no image layer and no environment holds one."""
    for node in NODES:
        told = swarm.script(
            "docker", "exec", swarm.container(node), "stat", "-c", "%a %u", "/platform/swarm/certs/key.pem"
        )
        assert told.split() == ["600", "10001"]
        assert "PRIVATE KEY" not in swarm.script("docker", "inspect", swarm.container(node))


def test_three_programs_train_and_end_with_one_model(swarm: Project) -> None:
    """`swarm wait` ends with 0, so does each program and its SL, and the final model files are the same bytes."""
    swarm.compose("up", "-d", *PROGRAMS)
    swarm.compose("exec", "-T", "sn1", "swarm", "wait", JOB, "--timeout", "240")
    assert [swarm.exit_code(program) for program in PROGRAMS] == [0, 0, 0]
    assert [swarm.exit_code(node) for node in NODES if node.startswith("sl")] == [0, 0, 0]
    assert len({swarm.sha256(program, "/home/swarm/out/model.safetensors") for program in PROGRAMS}) == 1


ASK_MOUNTS = """
import asyncio
from pathlib import Path
from swarm.swop.docker import DockerRuntime
from swarm.swop.ownmounts import OwnMounts
async def asked():
    runtime = DockerRuntime()
    print(*await OwnMounts(runtime, Path('/platform/swarm/usr'), ['/platform/swarm/usr/policy.yaml'])(), sep=chr(10))
    runtime.close()
asyncio.run(asked())
"""


def test_tasks_build_an_image_and_train_two_pairs(swarm: Project) -> None:
    """Two SNs; a SWCI's script has the SWOP build an image and run two pairs: complete, and one model at both."""
    swarm.compose("up", "-d", "--no-deps", "sn2")
    swarm.until_healthy("sn2")
    swarm.compose("up", "-d", "--no-deps", "swop")
    swarm.until_healthy("swop")
    swarm.compose("up", "-d", "--no-deps", "task")
    said = swarm.script("docker", "logs", "--follow", swarm.container("task"))
    assert swarm.exit_code("task") == 0, said
    assert said.count("STATE : COMPLETE") == 2
    programs = swarm.programs()
    assert len(programs) == 2
    assert len({swarm.sha256_in(one, "/tmp/hpe-swarm/out/model.safetensors") for one in programs}) == 1
    kept = swarm.compose("exec", "-T", "swop", "python3", "-c", ASK_MOUNTS).split()
    state = f"{swarm.name}_swop-state"
    assert {str(swarm.certs / "swop1"), "/var/run/docker.sock", state, str(swarm.certs / "usr/policy.yaml")} == set(
        kept
    )
    processes = swarm.script("docker", "top", swarm.container("swop"), "-eo", "pid,uid,args").splitlines()
    assert [line.split()[1] for line in processes if "swarm swop" in line and "init" not in line] == ["10001"]
