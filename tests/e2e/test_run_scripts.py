"""The run scripts on a real engine, on a host that has bash and Docker alone: two sites train, as users type it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import images, patience, scripts

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
TAG = os.environ.get("SWARM_IMAGE_TAG") or "test"
READY = "INFO : Starting SWARM-API-SERVER on port: 30304"
PROGRAMS = ("bash", "basename", "chmod", "dirname", "docker", "env", "grep", "id", "mktemp", "realpath", "rm", "wc")
"""What the scripts find on that host: no `swarm`, no Python."""
KINDS = ("sn", "sl", "swop", "swci")
NAMES = ("sn", "sl-1", "sl-2", "ml-1", "ml-2", "swci")
PROGRAM = "python3 shares.py --out /tmp --nodes 2 --seed 0 && exec python3 train_plain.py"


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr}")
    return (done.stdout + (done.stderr if words[0] == "logs" else "")).strip()


@dataclass
class Host:
    """A folder from which the scripts are called, a network of its own, and a PATH without `swarm`."""

    folder: Path
    network: str

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        path = self.folder / "path"
        environ = {**os.environ, "PATH": str(path), "SWARM_IMAGE_TAG": TAG, "SWARM_REGISTRY": self.network}
        return scripts.run(script, words, self.folder, environ, seconds=patience.seconds(120))

    def image(self, kind: str) -> str:
        return f"{self.network}/swarm-learning/{kind}:{TAG}"

    def here(self, *words: str) -> list[str]:
        """Names of this test's containers, running or not."""
        found = docker("ps", "--format", "{{.Names}}", "--filter", f"name=^{self.network}-", *words)
        return sorted(name.removeprefix(f"{self.network}-") for name in found.splitlines())

    def node(self, script: str, name: str, *words: str) -> None:
        done = self.run(script, f"--name={self.network}-{name}", f"--network={self.network}", "-d", *words)
        assert done.returncode == 0, done.stderr

    def logs(self, name: str) -> str:
        return docker("logs", f"{self.network}-{name}")


def identity(name: str) -> list[str]:
    folder = "workspace/demo/cert"
    return [f"--key={folder}/{name}-key.pem", f"--cert={folder}/{name}-cert.pem", f"--capath={folder}/ca/capath"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Images of this tree; what is left of the test is removed by name, logs are printed if it failed."""
    images.nodes(TAG)
    made = Host(tmp_path, f"scripts{secrets.token_hex(3)}")
    (tmp_path / "path").mkdir()
    # Images of this test's own, under a registry's name: stop-swarm takes all containers of an image.
    for kind in KINDS:
        text = f"FROM swarm-learning/{kind}:{TAG}\nLABEL test={made.network}\n"
        own = ["docker", "build", "--quiet", "--tag", made.image(kind), "-"]
        subprocess.run(own, input=text, text=True, check=True, capture_output=True, timeout=60)
    for name in PROGRAMS:
        (tmp_path / "path" / name).symlink_to(str(shutil.which(name)))
    docker("network", "create", made.network)
    try:
        yield made
    finally:
        for name in NAMES:
            box = f"{made.network}-{name}"
            if docker("ps", "--all", "--quiet", "--filter", f"name=^{box}$"):
                print(f"--- {box}", docker("logs", "--tail", "30", box))
                docker("rm", "--force", "--volumes", box)
        docker("network", "rm", made.network)
        for kind in KINDS:
            subprocess.run(["docker", "image", "rm", "--force", made.image(kind)], capture_output=True, check=False)


@pytest.mark.row("O08")
@pytest.mark.row("O09")
@pytest.mark.row("O10a")
@pytest.mark.row("O11")
@pytest.mark.row("O12")
@pytest.mark.row("O05")
@pytest.mark.row("X06")
def test_two_sites_train_by_the_scripts_alone(host: Host) -> None:
    """Certificates, SN, two SLs with their programs, SWCI with its script, stop, uninstall: all as users type it."""
    for number in ("1", "2"):
        done = host.run("gen-cert", "-e", "demo", "-i", number)
        assert done.returncode == 0, done.stderr
    host.node(
        "run-sn", "sn", f"--host-ip={host.network}-sn", "--sentinel", *identity("sn-1"), "-e", "SWARM_ADMISSION=open"
    )
    until(lambda: READY in host.logs("sn"), "an SN that is ready")
    told = docker("exec", f"{host.network}-sn", "cat", "/tmp/container_info_file").splitlines()
    assert (
        told
        == docker(
            "inspect", "--format", "{{.Id}}{{println}}{{.Config.Image}}{{println}}{{.Image}}", f"{host.network}-sn"
        ).splitlines()
    )
    assert told[1] == host.image("sn")
    for n in ("1", "2"):
        flags = [f"--host-ip={host.network}-sl-{n}", f"--sn-docker-name={host.network}-sn", *identity(f"sl-{n}")]
        flags += [f"--ml-image=swarm-learning/ml-demo:{TAG}", f"--ml-name={host.network}-ml-{n}", "--ml-d"]
        flags += ["--ml-network=none", "--ml-user=10001:10001", "--ml-w=/home/swarm/examples/breast-cancer"]
        flags += [
            "--ml-e",
            "MIN_PEERS=2",
            "--ml-e",
            "EPOCHS=2",
            "--ml-e",
            f"DATA=/tmp/share{n}.npz",
            "--ml-e",
            "OUT=/tmp/o",
        ]
        host.node("run-sl", f"sl-{n}", *flags, "--ml-entrypoint=sh -c", f"--ml-cmd='{PROGRAM}'")
    codes = [docker("wait", f"{host.network}-{name}") for name in ("ml-1", "ml-2", "sl-1", "sl-2")]
    assert codes == ["0"] * 4
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", f"{host.network}-ml-1"))
    assert sorted(one["Destination"] for one in mounts) == ["/tmp/channel", "/tmp/hpe-swarm"]
    assert "Final Swarm model was loaded." in host.logs("ml-2")

    (host.folder / "usr").mkdir()
    lines = [f"wait for ip {host.network}-sn", f"create context a with ip {host.network}-sn", "switch context a"]
    (host.folder / "usr" / "swci-init").write_text("\n".join([*lines, "LIST NODES", "EXIT"]))
    flags = [
        f"--name={host.network}-swci",
        f"--network={host.network}",
        "--usr-dir=usr",
        "--init-script-name=swci-init",
    ]
    done = host.run("run-swci", *flags, *identity("swci-1"))
    assert done.returncode == 0, done.stderr
    assert f"SENTINEL,{host.network}-sn,30304," in done.stdout
    assert not docker("ps", "--all", "--quiet", "--filter", f"name=^{host.network}-swci$")

    assert host.here("--all") == ["ml-1", "ml-2", "sl-1", "sl-2", "sn"]
    done = host.run("stop-swarm", "--sl")
    assert done.returncode == 0, done.stderr
    assert host.here("--all") == ["ml-1", "ml-2", "sn"]
    done = host.run("stop-swarm", "--keep")
    assert done.returncode == 0, done.stderr
    assert (host.here(), host.here("--all")) == ([], ["ml-1", "ml-2", "sn"])
    assert docker("inspect", "--format", "{{.State.ExitCode}}", f"{host.network}-sn") == "0"
    done = host.run("uninstall")
    assert done.returncode == 0, done.stderr
    assert host.here("--all") == ["ml-1", "ml-2"]
    assert not [kind for kind in KINDS if docker("images", "--quiet", host.image(kind))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network=no-such-network-here"], "did not start the container"),
        (["--network=no-such-network-here", "-d"], "did not start the container"),
        (["--pull=never", "--tag=no-such-version", "-d"], "did not make the container"),
        (["--publish={port}:1", "-d"], "did not start the container"),
        (["--publish={port}:1"], "did not start the container"),
        (["--publish={port}:1", "-d", "--sidecar=b", "--b-image=debian:bookworm-slim"], "did not start the container"),
        (["-d", "--sidecar=b", "--b-image=no.such.image/here", "--b-pull=never"], "did not make the container"),
    ],
)
def test_what_the_engine_refuses_leaves_nothing_behind(tmp_path: Path, words: list[str], said: str) -> None:
    """A network or an image that is missing, a port in use, the second container: one sentence with the fix."""
    name = f"scripts{secrets.token_hex(3)}"
    with socket.create_server(("0.0.0.0", 0)) as taken:
        given = [word.format(port=taken.getsockname()[1]) for word in words]
        own = [] if "--tag=no-such-version" in words else [f"--image={images.base()}"]
        done = scripts.run("run-sn", ["--sentinel", "--host-ip=h", f"--name={name}", *own, *given], tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("run-sn: the engine ")
    assert said in done.stderr
    assert not docker("ps", "--all", "--quiet", "--filter", f"name=^{name}")


def test_a_host_without_swarm_and_without_its_image_is_told_so(tmp_path: Path) -> None:
    """Neither can read the flags: the sentence names both ways on."""
    environ = {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin", "SWARM_REGISTRY": "localhost:1"}
    done = scripts.run("run-sn", ["--sentinel"], tmp_path, environ)
    assert done.returncode == 2
    assert "image localhost:1/swarm-learning/swci:" in done.stderr.splitlines()[-1]


def until(holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + patience.seconds(seconds)
    while not holds():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.3)
