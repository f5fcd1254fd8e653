"""Hosts with a Docker engine each, on one machine: a network namespace, a dockerd and a containerd of its own.

Owns the engines and all that they start. A host shares with the others nothing but the wire between them: images,
names, volumes and published ports are its own, and there is no way out of that wire. Needs root.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import leftovers, netlab, patience

NAME = "swhosts"
START_SECONDS = 60.0
END_SECONDS = 30.0
COMMAND_SECONDS = 240.0
LOG_LINES = 60
DISK_BYTES_MAX = 5 * 1024**3
"""Of all hosts of a test, where memory is ample: there images are loaded and removed in a fraction of the time."""
# Alike on all hosts, as the usual ones are: an address of a container that leaks to another host leads to a wrong one.
POOL, DOCKER0 = "base=172.30.16.0/20,size=24", "172.30.1.1/24"
CONTAINERD = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
"""
DAEMONS = ("containerd", "dockerd")

_numbers = itertools.count(1)


class HostFault(Exception):
    """An engine did not start or end; the text holds the last lines of its log."""


@dataclass
class DockerHost:
    """One host.

    Args: name: of the site; ``folder``: all that is on its disk; ``net``: its place on the wire.
    """

    name: str
    folder: Path
    net: netlab.Host
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """At which the other hosts reach it."""
        return self.net.host

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell on this host, with its engine and no proxy of the machine's."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}", "SWARM_DOCKER_SOCKET": str(self.socket)}

    # ---- the engine

    def boot(self) -> None:
        """Starts the engine on what is on the disk; raises HostFault if it does not answer in time."""
        run = self.folder / "run"
        for name in ("data", "containerd", "run/docker", "run/containerd"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        config = self.folder / "containerd.toml"
        config.write_text(CONTAINERD)
        settings = self.folder / "dockerd.json"
        settings.write_text("{}")  # not the machine's own
        address = run / "containerd" / "containerd.sock"
        for stale in (run / "docker.pid", self.socket, address):
            stale.unlink(missing_ok=True)
        containerd = ["--config", config, "--address", address, "--root", self.folder / "containerd"]
        self._start("containerd", *containerd, "--state", run / "containerd", "--log-level", "warn")
        self._until(address.exists, "containerd")
        dockerd = ["--data-root", self.folder / "data", "--exec-root", run / "docker", "--pidfile", run / "docker.pid"]
        dockerd += ["--containerd", address, "--host", f"unix://{self.socket}", "--config-file", settings]
        dockerd += ["--default-address-pool", POOL, "--bip", DOCKER0, "--shutdown-timeout", "5"]
        self._start("dockerd", *dockerd)
        self._until(lambda: self._answers("version", seconds=5.0), "dockerd")

    def _start(self, name: str, *words: object) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [*self.net.prefix, name, *map(str, words)]
            environ = {**self.environment, "TMPDIR": str(self.folder / "run")}
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, start_new_session=True
            )
            leftovers.OWNED.add(self._daemons[name].pid)

    def _until(self, holds: Callable[[], bool], name: str) -> None:
        end = time.monotonic() + patience.seconds(START_SECONDS)
        while not holds():
            if self._daemons[name].poll() is not None or time.monotonic() > end:
                raise HostFault(f"{name} of {self.name} does not answer:\n{self._log(name)}")
            time.sleep(0.1)

    def _log(self, name: str) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-LOG_LINES:])

    def power_cut(self) -> None:
        """kill -9 of all that runs on this host in one moment: the engine, its containers, their programs.

        What a reboot takes away goes too: the engine's run folder, and what it had mounted.
        """
        self._sweep()
        shutil.rmtree(self.folder / "run", ignore_errors=True)

    def pids(self) -> set[int]:
        """Of every process of this host: its engine's, those in its network, and what these have started."""
        place = Path(self.net.network or "/nowhere")
        network = place.stat().st_ino if place.exists() else None
        parents: dict[int, int] = {}
        found = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError, IndexError, ValueError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
                # By the engine's own folders, as its shims and proxies have them; not whatever looks into a file there.
                engine = os.path.basename(words[0]).startswith((b"dockerd", b"containerd"))
                ours = engine and any(bytes(self.folder) + b"/" in word for word in words)
                if ours or (network is not None and os.stat(entry / "ns/net").st_ino == network):
                    found.add(pid)
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            grown = bool(more)
            found |= more
        return found

    def _sweep(self) -> None:
        end = time.monotonic() + patience.seconds(END_SECONDS)
        boxes = [one.name for one in (self.folder / "data/containers").glob("*")]
        while pids := self.pids() - _ended():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > end:
                raise HostFault(f"processes of {self.name} do not end: {sorted(pids)}")
            time.sleep(0.05)
        for daemon in self._daemons.values():
            daemon.wait(timeout=END_SECONDS)
        self._daemons.clear()
        for mounted in _mounts(self.folder):
            subprocess.run(["umount", "--lazy", mounted], capture_output=True, timeout=END_SECONDS, check=False)
        for box in boxes:
            for group in Path("/sys/fs/cgroup").glob(f"*/docker/{box}"):
                with contextlib.suppress(OSError):
                    group.rmdir()

    def end(self) -> None:
        """Ends the engine and all that it runs, in order where it still answers; nothing of it stays but its log."""
        if self._daemons and self._answers("version", seconds=5.0):
            running = self._try("ps", "--all", "--quiet").split()
            if running:
                self._try("rm", "--force", "--volumes", *running)
            for name in reversed(DAEMONS):
                if name in self._daemons:
                    self._daemons[name].terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._daemons[name].wait(timeout=END_SECONDS)
        self._sweep()

    # ---- what is typed on it

    def run(
        self, *command: str, folder: Path | None = None, seconds: float = COMMAND_SECONDS, given: str | None = None,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """A command on this host, to its end."""
        return subprocess.run(
            [*self.net.prefix, *command], cwd=folder or self.folder, env={**self.environment, **environ}, input=given,
            capture_output=True, text=True, timeout=patience.seconds(seconds), check=False,
        )  # fmt: skip

    def must(self, *command: str, **how: object) -> str:
        """As :meth:`run`; what it printed. Raises AssertionError with all that it said if it fails."""
        done = self.run(*command, **how)  # type: ignore[arg-type]
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout.strip()

    def docker(self, *words: str, **how: object) -> str:
        return self.must("docker", *words, **how)

    def _try(self, *words: str) -> str:
        try:
            return self.run("docker", *words, seconds=END_SECONDS).stdout
        except subprocess.TimeoutExpired:
            return ""

    def _answers(self, *words: str, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.run("docker", *words, seconds=seconds).returncode == 0
        return False

    def logs(self) -> str:
        """The last lines of each container, and the engine's if it does not answer."""
        if not self._answers("version", seconds=5.0):
            return "\n".join(f"--- {self.name}: {name}\n{self._log(name)}" for name in DAEMONS if name in self._daemons)
        said = [f"=== {self.name}", self._try("ps", "--all", "--format", "{{.Names}}\t{{.Status}}\t{{.Ports}}")]
        for name in self._try("ps", "--all", "--format", "{{.Names}}").split():
            done = self.run("docker", "logs", f"--tail={LOG_LINES}", name, seconds=END_SECONDS)
            said.append(f"--- {self.name}: {name}\n{done.stdout}{done.stderr}")
        return "\n".join(said)


def _ended() -> set[int]:
    """Processes that have ended and only wait to be asked for."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X"):
                found.add(int(entry.name))
    return found


def _mounts(folder: Path) -> list[str]:
    """Below a folder, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((one for one in points if one.startswith(f"{folder}/")), key=len, reverse=True)


def load(hosts: Sequence[DockerHost], names: Sequence[str]) -> None:
    """Gives each host images of the machine's engine. Nothing is pulled."""
    with tempfile.NamedTemporaryFile(prefix=f"{NAME}-", suffix=".tar") as packed:
        save = ["docker", "save", "--output", packed.name, *names]
        subprocess.run(save, check=True, capture_output=True, timeout=patience.seconds(COMMAND_SECONDS))
        loading = [
            subprocess.Popen(
                ["docker", "load", "--quiet", "--input", packed.name], env=host.environment, stdout=subprocess.DEVNULL
            )
            for host in hosts
        ]
        for one in loading:
            if one.wait(timeout=patience.seconds(COMMAND_SECONDS)) != 0:
                raise HostFault(f"docker load ended with {one.returncode}")


@contextlib.contextmanager
def hosts(*names: str) -> Iterator[list[DockerHost]]:
    """As many hosts, each with an empty engine that answers; all of them are gone at the end."""
    _bury()
    top = Path(tempfile.gettempdir()) / f"{NAME}{os.getpid()}x{next(_numbers)}"
    top.mkdir()
    if _memory_bytes() > DISK_BYTES_MAX * 2:
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES_MAX}", NAME, str(top)]
        subprocess.run(words, check=True, capture_output=True, timeout=COMMAND_SECONDS)
    made: list[DockerHost] = []
    with netlab.net() as wires:
        try:
            for name in names:
                (top / name).mkdir(parents=True)
                made.append(DockerHost(name, top / name, wires.add()))
            for one in made:
                one.boot()
            yield made
        except BaseException:
            for one in made:
                print(one.logs())
            raise
        finally:
            with contextlib.ExitStack() as ends:
                ends.callback(_remove, top)
                for one in made:
                    ends.callback(one.end)


def _bury() -> None:
    """What killed test runs have left behind."""
    for top in Path(tempfile.gettempdir()).glob(f"{NAME}*x*"):
        owner = top.name.removeprefix(NAME).split("x")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            for folder in top.iterdir():
                DockerHost(folder.name, folder, netlab.Host("")).end()
            _remove(top)


def _remove(top: Path) -> None:
    if top.is_mount():
        subprocess.run(["umount", "--lazy", str(top)], capture_output=True, timeout=COMMAND_SECONDS, check=False)
    shutil.rmtree(top, ignore_errors=True)


def _memory_bytes() -> int:
    """That can be had without taking it from anybody."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
