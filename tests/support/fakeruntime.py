"""A container runtime in memory: what a host's engine does, without one; held to it by ``test_runtime.py``.

A program is what its command's last word says, by a table that the test gives; it ends at once, or runs until stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarm.core.swop.containers import BuildSpec, ContainerSpec, ContainerState, Found, Image, MountKind
from swarm.swop.runtime import FILE_BYTES_MAX, MountedAt, RuntimeFault, Trouble

TERMINATED, KILLED, LOST = 143, 137, 255
NOT_FOUND = 127


@dataclass(frozen=True)
class Program:
    """Args: ends: its exit code, None: it runs until it is stopped; obeys: whether SIGTERM ends it."""

    ends: int | None = 0
    output: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    obeys: bool = True


@dataclass
class Box:
    spec: ContainerSpec
    program: Program
    state: ContainerState = ContainerState.CREATED
    exit_code: int = -1


class FakeRuntime:
    """Args: programs: by a command's last word; steps: what a build step that fails says, by its line."""

    def __init__(self, programs: Mapping[str, Program], steps: Mapping[str, str] | None = None) -> None:
        self.programs, self.steps = dict(programs), dict(steps or {})
        self.boxes: dict[str, Box] = {}
        self.images: dict[str, Image] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        """What was put into volumes."""
        self.networks: set[str] = {"bridge", "host", "none"}
        self.registry: dict[str, Image] = {}
        self.links: set[str] = set()
        """Paths of the host that are symbolic links."""
        self.gone = False
        """The engine does not answer."""
        self.on_start: Callable[[ContainerSpec], None] | None = None

    def _answer(self) -> None:
        if self.gone:
            raise RuntimeFault(Trouble.DAEMON_GONE, "the container engine does not answer (fake)")

    def _box(self, name: str) -> Box:
        self._answer()
        if name not in self.boxes:
            raise RuntimeFault(Trouble.NO_CONTAINER, f"no such container: {name}; it was removed by somebody else")
        return self.boxes[name]

    async def link_in(self, path: str, labels: Mapping[str, str]) -> str | None:
        self._answer()
        parts = path.split("/")
        return next((p for n in range(3, len(parts) + 1) if (p := "/".join(parts[:n])) in self.links), None)

    async def mounts_of(self, container: str) -> tuple[MountedAt, ...] | None:
        self._answer()
        box = self.boxes.get(container)
        return None if box is None else tuple(MountedAt(one.source, one.target) for one in box.spec.mounts)

    async def find(self, labels: Mapping[str, str]) -> list[Found]:
        self._answer()
        return [
            Found(name, box.state, self.images[box.spec.image].id, dict(box.spec.labels), box.exit_code)
            for name, box in sorted(self.boxes.items())
            if labels.items() <= box.spec.labels.items()
        ]

    async def create(self, spec: ContainerSpec) -> None:
        self._answer()
        there = self.boxes.get(spec.name)
        if there is not None:
            if not spec.labels.items() <= there.spec.labels.items():
                raise RuntimeFault(Trouble.NAME_TAKEN, f"a container {spec.name} is there already and is not this one")
            return
        if spec.image not in self.images:
            raise RuntimeFault(Trouble.NO_IMAGE, f"no such image: {spec.image}; build or pull the image first")
        for mount in spec.mounts:
            if mount.kind is MountKind.VOLUME:
                self.volumes.setdefault(mount.source, {})  # as Docker does
        words = spec.command or spec.entrypoint or ("",)
        self.boxes[spec.name] = Box(spec, self.programs.get(words[-1], Program(ends=NOT_FOUND)))

    async def start(self, name: str, *, again: bool = False) -> None:
        box = self._box(name)
        if box.state is ContainerState.RUNNING or (box.state is ContainerState.EXITED and not again):
            return
        if box.spec.network is not None and box.spec.network not in self.networks:
            raise RuntimeFault(Trouble.NO_NETWORK, f"network {box.spec.network} not found; make it")
        taken = {port for other in self.boxes.values() if other.state is ContainerState.RUNNING
                 for port in other.spec.ports.values()}  # fmt: skip
        if taken & set(box.spec.ports.values()):
            raise RuntimeFault(Trouble.PORT_TAKEN, f"port is already allocated: {taken}")
        if box.program.ends == NOT_FOUND:
            box.state, box.exit_code = ContainerState.EXITED, NOT_FOUND
            raise RuntimeFault(Trouble.NO_PROGRAM, "executable file not found; see Entrypoint and Command")
        box.state = ContainerState.RUNNING
        if self.on_start is not None:
            self.on_start(box.spec)
        if box.program.ends is not None:
            self.ends(name, box.program.ends)

    def ends(self, name: str, exit_code: int) -> None:
        """The program of a container ends by itself."""
        box = self.boxes[name]
        if box.state is ContainerState.RUNNING:
            box.state, box.exit_code = ContainerState.EXITED, exit_code

    def power_cut(self) -> None:
        """The host goes down under all that runs; what the engine shows afterwards."""
        for name in self.boxes:
            self.ends(name, LOST)

    def says(self, name: str, output: str) -> None:
        """Its program writes; what it wrote before goes."""
        box = self.boxes[name]
        box.program = replace(box.program, output=output)

    async def stop(self, name: str, grace_seconds: int) -> None:
        self._answer()
        if name in self.boxes:
            self.ends(name, TERMINATED if self.boxes[name].program.obeys else KILLED)

    async def remove(self, name: str) -> None:
        self._answer()
        self.boxes.pop(name, None)

    async def output(self, name: str, lines: int) -> str:
        said = self._box(name)
        if said.state is ContainerState.CREATED:
            return ""
        return "".join(said.program.output.splitlines(keepends=True)[-lines:])

    async def read_file(self, name: str, path: str) -> bytes | None:
        box = self._box(name)
        if any(known.startswith(path.rstrip("/") + "/") for known in box.program.files):
            raise RuntimeFault(Trouble.REFUSED, f"{path} in {name} is no regular file")
        content = box.program.files.get(path) if box.state is not ContainerState.CREATED else None
        if content is not None and len(content) > FILE_BYTES_MAX:
            raise RuntimeFault(
                Trouble.REFUSED, f"{path} in {name} has {len(content)} bytes; at most {FILE_BYTES_MAX} are read"
            )
        return content

    async def image(self, name: str) -> Image | None:
        self._answer()
        return self.images.get(name)

    async def build(self, spec: BuildSpec) -> Image:
        self._answer()
        if spec.context is not None and spec.context not in self.volumes:
            raise RuntimeFault(Trouble.NO_VOLUME, f"the volume {spec.context} of the build context does not exist")
        steps = [line for line in spec.dockerfile.splitlines() if line.strip() and not line.startswith("#")]
        for number, line in enumerate(steps, 1):
            word, _, base = line.partition(" ")
            if word == "FROM" and base not in self.images:
                raise RuntimeFault(Trouble.NO_IMAGE, f"the build of {spec.tag} stopped at step {number}: {base}")
            if line in self.steps:
                said = self.steps[line]
                text = f"the build of {spec.tag} failed at step {number} of {len(steps)} ({line}); last lines:\n{said}"
                raise RuntimeFault(Trouble.BUILD_FAILED, text, said)
        built = Image("sha256:" + hashlib.sha256(spec.dockerfile.encode()).hexdigest(), (), dict(spec.labels))
        self.images[spec.tag] = self.images[built.id] = built
        return built

    async def pull(self, name: str, login: Mapping[str, str] | None, tag: str) -> Image:
        self._answer()
        if name not in self.registry:
            raise RuntimeFault(Trouble.PULL_FAILED, f"the image {name} cannot be pulled")
        self.images[name] = self.images[tag] = self.registry[name]
        return self.registry[name]

    async def remove_image(self, name: str) -> None:
        self._answer()
        self.images.pop(name, None)

    async def volume(self, name: str) -> bool:
        self._answer()
        return name in self.volumes

    async def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._answer()
        self.volumes.setdefault(name, dict(labels))

    async def remove_volume(self, name: str) -> None:
        self._answer()
        if any(mount.source == name for box in self.boxes.values() for mount in box.spec.mounts):
            raise RuntimeFault(Trouble.REFUSED, f"the volume {name} is in use")
        self.volumes.pop(name, None)

    async def fill_volume(self, name: str, folder: Path, labels: Mapping[str, str]) -> None:
        await self.make_volume(name, labels)
        self.files[name] = _files(folder)

    async def network(self, name: str) -> bool:
        self._answer()
        return name in self.networks


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
