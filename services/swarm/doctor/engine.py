"""What a container engine is, which images it has, and what a container on it sees that gets what a program would get.

The engine is spoken to by the SWOP's own runtime, so what is refused here is refused there, in the same words.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from swarm.core.doctor.facts import Engine, Folder, Inside
from swarm.core.errors import OperatorFault
from swarm.core.swop.containers import ContainerSpec, ContainerState, Devices, Found, Image, Mount

LABEL = "swarm.doctor"
PROBE_SECONDS = 60.0
"""A container that has not ended by then is ended."""
POLL_SECONDS = 0.2
PROBE = ("/opt/swarm/bin/python3", "-Im", "swarm.doctor.inside")
"""In a node's image."""
AT = "/data"


class Host(Protocol):
    """What is needed of a runtime; :class:`swarm.swop.docker.DockerRuntime` has it."""

    async def about(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]: ...

    async def image(self, name: str) -> Image | None: ...

    async def find(self, labels: Mapping[str, str]) -> list[Found]: ...

    async def create(self, spec: ContainerSpec) -> None: ...

    async def start(self, name: str) -> None: ...

    async def output(self, name: str, lines: int) -> str: ...

    async def remove(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program gets at this site.

    Args:
        whose: the pair, or what else the folder is for.
        mount: its data; None: none.
    """

    whose: str
    mount: Mount | None = None
    devices: Devices = field(default_factory=Devices)


async def engine_of(host: Host, names: Mapping[str, str]) -> Engine:
    """The engine and the node images on it. Args: names: of the images, by role."""
    try:
        version, info = await host.about()
        images = {role: await host.image(name) for role, name in names.items()}
    except OperatorFault as error:
        return Engine(fault=str(error))
    options = [str(one) for one in info.get("SecurityOptions") or ()]
    parts = version.get("Components") or ({"Name": "Docker"},)
    return Engine(
        name=str(parts[0].get("Name") or "Docker").replace("Engine", "").strip() or "Docker",
        version=str(version.get("Version", "")),
        folder=str(info.get("DockerRootDir", "")),
        rootless=any("rootless" in one for one in options),
        selinux=any("selinux" in one for one in options),
        images={role: None if found is None else found.id for role, found in images.items()},
        names=dict(names),
    )


async def inside(host: Host, image: str, wanted: Wanted, user: str | None) -> tuple[Inside, int | None]:
    """What such a container sees, and how many bytes are free where the engine keeps its data.

    What is in the way is found by leaving out, one after the other, GPUs and the folder.
    """
    gpus = wanted.devices.gpus is not None
    whole = await _seen(host, image, wanted.mount, wanted.devices, user)
    if not isinstance(whole, str):
        return _told(wanted, whole, gpus_asked=gpus), int(whole["free_bytes"])
    plain = replace(wanted.devices, gpus=None, paths=())
    if gpus:
        seen = await _seen(host, image, wanted.mount, plain, user)
        if not isinstance(seen, str):
            return replace(_told(wanted, seen, gpus_asked=True), fault=whole), int(seen["free_bytes"])
    if wanted.mount is not None:
        seen = await _seen(host, image, None, plain, user)
        if not isinstance(seen, str):
            folder = Folder(wanted.mount.source, whole)
            told = replace(_told(wanted, seen, gpus_asked=False), folders=(folder,))
            return told, int(seen["free_bytes"])
    return Inside(wanted.whose, whole, gpus_asked=gpus), None


def _told(wanted: Wanted, seen: Mapping[str, Any], *, gpus_asked: bool) -> Inside:
    folders = tuple(
        Folder(
            wanted.mount.source if wanted.mount is not None else one["path"],
            readable=bool(one["readable"]),
            writable=bool(one["writable"]),
            entries=int(one["entries"]),
            free_bytes=int(one["free_bytes"]),
        )
        for one in seen["folders"]
    )
    return Inside(wanted.whose, "", seen["user"], seen["shm_bytes"], gpus_asked, tuple(seen["gpus"]), folders)


async def _seen(
    host: Host, image: str, mount: Mount | None, devices: Devices, user: str | None
) -> Mapping[str, Any] | str:
    """What :mod:`.inside` printed there; a text: why not, in the engine's or its own words."""
    mark = secrets.token_hex(6)
    spec = ContainerSpec(
        name=f"swarm-doctor-{mark}",
        image=image,
        entrypoint=PROBE,
        command=(AT,) if mount is not None else (),
        labels={LABEL: mark},
        mounts=() if mount is None else (replace(mount, target=AT),),
        network="none",
        user=user,
        devices=devices,
        writable_root=False,
        confined=True,
    )
    try:
        try:
            await host.create(spec)
            await host.start(spec.name)
            ended = await _ended(host, {LABEL: mark})
            said = await host.output(spec.name, 20)
        finally:
            await host.remove(spec.name)
    except OperatorFault as error:
        return str(error)
    if ended is None:
        return f"a container that only looks around did not end within {PROBE_SECONDS:.0f} s"
    try:
        seen = json.loads(said.strip().splitlines()[-1])
        return {**seen, "folders": list(seen["folders"]), "free_bytes": int(seen["free_bytes"])}
    except (ValueError, IndexError, TypeError, KeyError):
        return f"the image {image} has no swarm doctor in it (exit code {ended.exit_code}): take one of this version"


async def _ended(host: Host, labels: Mapping[str, str]) -> Found | None:
    deadline = asyncio.get_running_loop().time() + PROBE_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        found = await host.find(labels)
        if found and found[0].state is ContainerState.EXITED:
            return found[0]
        await asyncio.sleep(POLL_SECONDS)
    return None
