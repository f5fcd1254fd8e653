"""Containers by a Docker engine's API (also podman's socket): the adapter behind :class:`~.runtime.ContainerRuntime`.

Owns the translation of values and of the engine's refusals into faults that tell the fix; decides nothing. The
engine's client blocks, so each call runs in a thread of a pool of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import posixpath
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, EndpointConfig
from docker.types import Mount as DockerMount

from swarm.core.swop.containers import (
    NO_NETWORK,
    BuildSpec,
    ContainerSpec,
    ContainerState,
    Found,
    Gpus,
    Image,
    Mount,
    MountKind,
    memory_of,
)

from .building import build_context, fill, stream_build
from .lanes import LongLane
from .links import link_in
from .refused import gone, name_taken, not_pulled, translated
from .runtime import FILE_BYTES_MAX, LOG_BYTES_MAX, MountedAt, RuntimeFault, Trouble

P = ParamSpec("P")
T = TypeVar("T")

CALLS_MAX = 8
"""Calls to the engine at once."""
CALL_SECONDS = 60
"""For an answer."""
STOPS_MAX, LONG_MAX = 64, 4
"""Stops at once; builds, pulls and volumes that are being filled."""
SILENCE_SECONDS = 600
"""Of a pull that says nothing any more."""
_STATES = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "removing": ContainerState.EXITED,
    "exited": ContainerState.EXITED,
    "dead": ContainerState.EXITED,
}
CONTAINER_NOTE = "/tmp/container_info_file"  # noqa: S108 - the original's place
_NEVER = {"Name": "no", "MaximumRetryCount": 0}
_LOG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
"""A program that writes without end fills no disk."""


class _Api(docker.APIClient):  # type: ignore[misc]
    """The engine's client; where it would wait for ever (a pull), the longest silence. It has no login of its user."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._auth_configs = docker.auth.AuthConfig({"auths": {}})

    def post(self, url: str, *args: Any, **kwargs: Any) -> Any:
        if "timeout" in kwargs and kwargs["timeout"] is None:
            kwargs["timeout"] = SILENCE_SECONDS
        return super().post(url, *args, **kwargs)


class DockerRuntime:
    """Args: url: of the engine; None: as DOCKER_HOST says, else the usual socket."""

    def __init__(self, url: str | None = None) -> None:
        self._pool = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="docker")
        self._stops, self._long = LongLane(STOPS_MAX, "docker stop"), LongLane(LONG_MAX, "docker long")
        self._url = url
        self._known: Any = None
        self._host_bytes: int | None = None
        """Of memory; 0: not known."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._known is not None:
            self._known.close()

    @property
    def _api(self) -> Any:
        if self._known is None:
            where = docker.utils.kwargs_from_env() if self._url is None else {"base_url": self._url}
            self._known = _Api(timeout=CALL_SECONDS, max_pool_size=CALLS_MAX, **where)
        return self._known

    async def _do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await self._told(loop.run_in_executor(self._pool, partial(call, *args, **kwargs)))

    async def _told(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except APIError as error:
            raise translated(error) from error
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise gone(error, self._url) from error
        except OSError as error:
            trouble = Trouble.NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else Trouble.REFUSED
            raise RuntimeFault(trouble, f"a file of this SWOP for the container engine: {error}") from error

    async def about(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The engine's own words: its version, and what it says of itself and its host."""
        return await self._do(lambda: (self._api.version(), self._api.info()))

    # ---- containers ---------------------------------------------------------------------------------

    async def find(self, labels: Mapping[str, str]) -> list[Found]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        return await self._do(self._find, wanted)

    def _find(self, wanted: list[str]) -> list[Found]:
        found = []
        for row in self._api.containers(all=True, filters={"label": wanted}):
            try:
                found.append(_found(self._api.inspect_container(row["Id"])))
            except NotFound:
                continue  # removed between the two looks
        return sorted(found, key=lambda one: one.name)

    async def create(self, spec: ContainerSpec) -> None:
        await self._do(self._create, spec)

    def _create(self, spec: ContainerSpec) -> None:
        api = self._api
        try:
            there = _found(api.inspect_container(spec.name))
        except NotFound:
            memory = 0 if spec.memory_bytes is None else self._memory(spec.memory_bytes)
            made = api.create_container_from_config(_config(api, spec, memory), spec.name)["Id"]
            if spec.writable_root and not any(CONTAINER_NOTE.startswith(f"{one.target}/") for one in spec.mounts):
                with contextlib.suppress(APIError):  # an image without /tmp
                    api.put_archive(made, posixpath.dirname(CONTAINER_NOTE), _noted(api.inspect_container(made)))
            return
        if any(there.labels.get(name) != value for name, value in spec.labels.items()):
            raise name_taken(spec, there)

    async def start(self, name: str, *, again: bool = False) -> None:
        await self._do(self._start, name, again)

    def _start(self, name: str, again: bool) -> None:
        api = self._api
        state = _found(api.inspect_container(name)).state
        if state is ContainerState.CREATED or (again and state is ContainerState.EXITED):
            api.start(name)

    async def stop(self, name: str, grace_seconds: int) -> None:
        await self._told(self._stops.do(partial(self._stop, name, grace_seconds)))

    def _stop(self, name: str, grace_seconds: int) -> None:
        api = self._api
        try:
            if api.inspect_container(name)["State"]["Paused"]:
                api.unpause(name)  # else SIGTERM waits for ever, and its results are lost
            api.stop(name, timeout=grace_seconds)
        except NotFound:
            return

    async def remove(self, name: str) -> None:
        await self._do(self._remove, name)

    def _remove(self, name: str) -> None:
        try:
            self._api.remove_container(name, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409 or "already in progress" not in str(error.explanation):
                raise

    async def output(self, name: str, lines: int) -> str:
        return await self._do(self._output, name, lines)

    def _output(self, name: str, lines: int) -> str:
        raw: bytes = self._api.logs(name, tail=lines)
        return raw[-LOG_BYTES_MAX:].decode("utf-8", "replace")

    async def read_file(self, name: str, path: str) -> bytes | None:
        return await self._do(self._read_file, name, path)

    def _read_file(self, name: str, path: str) -> bytes | None:
        api = self._api
        try:
            stream, stat = api.get_archive(name, path)
        except NotFound:
            api.inspect_container(name)  # the container's absence is a fault, the file's an answer
            return None
        if stat["size"] > FILE_BYTES_MAX:
            raise RuntimeFault(
                Trouble.REFUSED, f"{path} in {name} has {stat['size']} bytes; at most {FILE_BYTES_MAX} are read"
            )
        packed = b""
        for part in stream:
            packed += part
            if len(packed) > 2 * FILE_BYTES_MAX:
                raise RuntimeFault(Trouble.REFUSED, f"{path} in {name} is larger than the runtime says")
        try:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                entry = archive.next()
                content = archive.extractfile(entry) if entry is not None and entry.isreg() else None
                if content is not None:
                    return content.read()
        except tarfile.TarError as error:
            raise RuntimeFault(Trouble.REFUSED, f"{path} in {name} cannot be read: {error}") from error
        raise RuntimeFault(Trouble.REFUSED, f"{path} in {name} is no regular file")

    # ---- images -------------------------------------------------------------------------------------

    async def image(self, name: str) -> Image | None:
        return await self._do(self._image, name)

    def _image(self, name: str) -> Image | None:
        try:
            return _image(self._api.inspect_image(name))
        except NotFound:
            return None

    async def build(self, spec: BuildSpec) -> Image:
        built = await self._told(self._long.do(partial(self._build, spec)))
        return await self._do(self._named, built, spec.tag)  # not reached by a build that was given up

    def _build(self, spec: BuildSpec) -> str:
        with build_context(self._api, spec) as context:
            return stream_build(self._api, spec, context, self._memory(spec.memory_bytes))

    def _memory(self, asked_bytes: int) -> int:
        """What a container may have; 0: this engine knows no bounds, or not the host's memory."""
        if self._host_bytes is None:
            told = self._api.info()
            self._host_bytes = int(told.get("MemTotal") or 0) if told.get("MemoryLimit") else 0
        return memory_of(asked_bytes, self._host_bytes) if self._host_bytes else 0

    def _named(self, image: str, tag: str) -> Image:
        self._api.tag(image, *_name_and_tag(tag))
        return _image(self._api.inspect_image(image))

    async def pull(self, name: str, login: Mapping[str, str] | None, tag: str) -> Image:
        await self._told(self._long.do(partial(self._pull, name, login)))
        return await self._do(self._named, name, tag)

    def _pull(self, name: str, login: Mapping[str, str] | None) -> None:
        api = self._api
        repository, version = _name_and_tag(name)
        try:
            for line in api.pull(
                repository, version, stream=True, decode=True, auth_config=dict(login) if login else None
            ):
                if "error" in line:
                    raise not_pulled(name, line["error"])
        except APIError as error:
            raise not_pulled(name, error.explanation or error) from error

    async def remove_image(self, name: str) -> None:
        await self._do(self._remove_image, name)

    def _remove_image(self, name: str) -> None:
        try:
            self._api.remove_image(name)
        except NotFound:
            return

    # ---- volumes and networks -----------------------------------------------------------------------

    async def volume(self, name: str) -> bool:
        return await self._do(self._there, "inspect_volume", name)

    def _there(self, look: str, name: str) -> bool:
        try:
            getattr(self._api, look)(name)
        except NotFound:
            return False
        return True

    async def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        await self._do(self._make_volume, name, labels)

    def _make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        if not self._there("inspect_volume", name):
            self._api.create_volume(name, labels=dict(labels))

    async def remove_volume(self, name: str) -> None:
        await self._do(self._remove_volume, name)

    def _remove_volume(self, name: str) -> None:
        try:
            self._api.remove_volume(name)
        except NotFound:
            return

    async def fill_volume(self, name: str, folder: Path, labels: Mapping[str, str]) -> None:
        await self._told(self._long.do(partial(self._fill_volume, name, folder, labels)))

    def _fill_volume(self, name: str, folder: Path, labels: Mapping[str, str]) -> None:
        self._make_volume(name, labels)
        fill(self._api, name, folder, labels)

    async def link_in(self, path: str, labels: Mapping[str, str]) -> str | None:
        return await self._do(link_in, self._api, path, labels)

    async def mounts_of(self, container: str) -> tuple[MountedAt, ...] | None:
        return await self._do(self._mounts_of, container)

    def _mounts_of(self, container: str) -> tuple[MountedAt, ...] | None:
        try:
            found = self._api.inspect_container(container)["Mounts"]
        except NotFound:
            return None
        return tuple(
            MountedAt(str(one.get("Name") or one["Source"]), str(one["Destination"]))
            for one in found
            if one.get("Name") or one.get("Source")
        )

    async def network(self, name: str) -> bool:
        return await self._do(self._network, name)

    def _network(self, name: str) -> bool:
        return any(row["Name"] == name for row in self._api.networks(names=[name]))


def _name_and_tag(name: str) -> tuple[str, str]:
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name, "latest")


def _image(inspected: Mapping[str, Any]) -> Image:
    config = inspected.get("Config") or {}
    return Image(inspected["Id"], tuple(inspected.get("RepoDigests") or ()), config.get("Labels") or {})


def _found(inspected: Mapping[str, Any]) -> Found:
    state = inspected["State"]
    shown = _STATES.get(state["Status"], ContainerState.EXITED)
    # An engine that could not start it leaves it "created", with an exit code and a reason: it has had its start.
    if shown is ContainerState.CREATED and state.get("ExitCode"):
        shown = ContainerState.EXITED
    ended = shown is ContainerState.EXITED
    return Found(
        inspected["Name"].lstrip("/"),
        shown,
        inspected["Image"],
        inspected["Config"].get("Labels") or {},
        int(state["ExitCode"]) if ended else -1,
        bool(state.get("OOMKilled")),
    )


def _config(api: Any, spec: ContainerSpec, memory_bytes: int) -> dict[str, Any]:
    devices = spec.devices
    networked = spec.network not in (None, NO_NETWORK)
    host = api.create_host_config(
        mounts=[_mount(mount) for mount in spec.mounts],
        network_mode=spec.network,
        dns=list(spec.dns) or None,
        port_bindings={f"{inside}/tcp": outside for inside, outside in spec.ports.items()} or None,
        device_requests=_requests(devices.gpus),
        devices=list(devices.paths) or None,
        ipc_mode=devices.ipc,
        shm_size=devices.shm_bytes,
        group_add=list(devices.groups) or None,
        cap_add=list(devices.capabilities) or None,
        cap_drop=["ALL"] if spec.confined else None,
        security_opt=_security(spec) or None,
        privileged=devices.privileged,
        pids_limit=spec.pids,
        mem_limit=memory_bytes or None,
        read_only=not spec.writable_root,
        tmpfs={posixpath.normpath(folder): "rw,nosuid,nodev" for folder in spec.scratch} or None,
        restart_policy=_NEVER,
        log_config=_LOG,
        init=True,
    )
    config: dict[str, Any] = api.create_container_config(
        spec.image,
        list(spec.command) if spec.command is not None else None,
        hostname=spec.host_name,
        user=spec.user,
        environment=dict(spec.environment),
        labels=dict(spec.labels),
        entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
        working_dir=spec.working_dir,
        ports=[(port, "tcp") for port in spec.ports] or None,
        host_config=host,
        networking_config=api.create_networking_config(
            {spec.network: EndpointConfig(api.api_version, list(spec.aliases) or None, ipv4_address=spec.address)}
        )
        if networked and (spec.address or spec.aliases)
        else None,
    )
    return config


def _noted(made: Mapping[str, Any]) -> bytes:
    """A container's note of what it is, as the run scripts leave it (row O08): its id, its image's name and id."""
    text = "".join(f"{one}\n" for one in (made["Id"], made["Config"]["Image"], made["Image"])).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(posixpath.basename(CONTAINER_NOTE))
        entry.size, entry.mode = len(text), 0o644
        archive.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def _mount(mount: Mount) -> DockerMount:
    kind = "bind" if mount.kind is MountKind.BIND else "volume"
    return DockerMount(mount.target, mount.source, type=kind, read_only=mount.read_only)


def _requests(gpus: Gpus | None) -> list[DeviceRequest] | None:
    if gpus is None:
        return None
    return [DeviceRequest(count=gpus.count, device_ids=list(gpus.ids) or None, capabilities=[["gpu"]])]


def _security(spec: ContainerSpec) -> list[str]:
    options = list(spec.devices.security)
    if spec.confined and not any(option.startswith("no-new-privileges") for option in options):
        options.append("no-new-privileges:true")
    return options
