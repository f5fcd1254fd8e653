"""Building an image with a Docker engine: its context from a volume, its output as it comes, what failed and where."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from docker.errors import NotFound

from swarm.core.swop.containers import BuildSpec

from .refused import meaning
from .runtime import RuntimeFault, Trouble

CONTEXT_BYTES_MAX = 4 * 1024**3
"""Of the files of a build context."""
SPOOL_BYTES = 8 * 1024**2
"""Of a context in memory; above it lies in a temporary file."""
LOG_LINES_MAX = 500
LOG_TAIL_LINES = 20
LINE_CHARS_MAX = 16 * 1024
"""Of a line of a build, ended or not."""
BUILD_SILENCE_SECONDS = 1800
"""A build step that says nothing for so long is given up."""
_STEP = re.compile(r"^(?:Step|STEP) (\d+)/(\d+) ?: (.*)")
"""As Docker and podman write it."""
_BUILT = re.compile(r"^Successfully built ([0-9a-f]{12,64})$")
DOCKERFILE = ".swop.Dockerfile"
"""Beside the files of the context, among which may be a Dockerfile of their own."""
MOUNTED = "/context"


@contextlib.contextmanager
def build_context(api: Any, spec: BuildSpec) -> Iterator[IO[bytes]]:
    """A tar of the Dockerfile and of the files in the context's volume.

    The files come out of a container that is made of an empty image, carries the volume, and never runs.

    Raises:
        RuntimeFault: there is no such volume; its files have more than CONTEXT_BYTES_MAX bytes.
    """
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as made:
        with tarfile.open(fileobj=made, mode="w") as archive:
            if spec.context is not None:
                _add_volume(api, spec.context, spec.labels, archive)
            text = spec.dockerfile.encode()
            entry = tarfile.TarInfo(DOCKERFILE)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text))
        made.seek(0)
        yield made


@contextlib.contextmanager
def holding(api: Any, volume: str, labels: Mapping[str, str], *, write: bool = False) -> Iterator[str]:
    """A container that carries a volume at MOUNTED, made of an empty image; it never runs.

    Raises:
        RuntimeFault: there is no such volume.
    """
    try:
        api.inspect_volume(volume)
    except NotFound:
        raise RuntimeFault(
            Trouble.NO_VOLUME,
            f"the volume {volume} does not exist on this host; make it with `docker volume create {volume}` and copy"
            " the files into it",
        ) from None
    host = api.create_host_config(
        binds={volume: {"bind": MOUNTED, "mode": "rw" if write else "ro"}}, network_mode="none"
    )
    with holder(api, host, labels) as made:
        yield made


@contextlib.contextmanager
def holder(api: Any, host: Any, labels: Mapping[str, str]) -> Iterator[str]:
    """A container of an empty image, with these mounts; it never runs, and is gone after the block."""
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    image = json.loads(api.import_image_from_data(empty.getvalue(), repository=None))["status"]
    try:
        made = api.create_container(image, ["never-run"], host_config=host, labels=dict(labels))["Id"]
        try:
            yield made
        finally:
            api.remove_container(made, force=True, v=False)
    finally:
        api.remove_image(image, force=True)


def fill(api: Any, volume: str, folder: Path, labels: Mapping[str, str]) -> None:
    """Put a folder's files into a volume, as root's, readable by all."""
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.add(path, str(path.relative_to(folder)), recursive=False, filter=_everybodys)
        packed.seek(0)
        with holding(api, volume, labels, write=True) as made:
            api.put_archive(made, MOUNTED, packed)


def _everybodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _add_volume(api: Any, volume: str, labels: Mapping[str, str], archive: tarfile.TarFile) -> None:
    with holding(api, volume, labels) as reader:
        stream, _ = api.get_archive(reader, MOUNTED)
        total = 0
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as packed:
            for part in stream:
                total += len(part)
                if total > CONTEXT_BYTES_MAX:
                    raise RuntimeFault(
                        Trouble.NO_SPACE,
                        f"the build context in the volume {volume} has more than {CONTEXT_BYTES_MAX} bytes; keep data"
                        " out of it and mount it as private or shared content",
                    )
                packed.write(part)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as found:
                for entry in found:
                    _, _, inside = entry.name.partition("/")
                    if not inside or inside == DOCKERFILE:
                        continue
                    content = found.extractfile(entry) if entry.isreg() else None
                    if entry.islnk():
                        _, _, entry.linkname = entry.linkname.partition("/")
                    entry.name = inside
                    entry.pax_headers = {}
                    archive.addfile(entry, content)


def stream_build(
    api: Any, spec: BuildSpec, context: IO[bytes], memory_bytes: int = 0, clock: Callable[[], float] = time.monotonic
) -> str:
    """Build, and return the image's id.

    Args:
        memory_bytes: of each step at most; 0: as the engine has it.

    Raises:
        RuntimeFault: a step failed (its number, its words, the last lines in ``log``); or the engine refused.
    """
    lines: deque[str] = deque(maxlen=LOG_LINES_MAX)
    step, image, unfinished = "before the first step", "", ""
    answers = api.build(
        fileobj=context,
        custom_context=True,
        dockerfile=DOCKERFILE,
        rm=True,
        forcerm=True,
        decode=True,
        network_mode=spec.network,
        labels=dict(spec.labels) or None,
        timeout=BUILD_SILENCE_SECONDS,
        container_limits={"memory": memory_bytes} if memory_bytes else None,
    )
    until = clock() + spec.minutes * 60
    for answer in answers:
        if clock() > until:
            answers.close()  # the engine ends a build that nobody listens to
            raise RuntimeFault(
                Trouble.BUILD_FAILED,
                f"the build of {spec.tag} was given up {step}: it took more than {spec.minutes} minutes; build_minutes"
                " in this site's policy gives it more",
                "\n".join(lines),
            )
        said = unfinished + str(answer.get("stream", ""))
        *whole, unfinished = said.split("\n")
        unfinished = unfinished[-LINE_CHARS_MAX:]
        for line in whole:
            lines.append(line[:LINE_CHARS_MAX])
            if (begun := _STEP.match(line)) is not None:
                step = f"at step {begun[1]} of {begun[2]} ({begun[3]})"
            elif (built := _BUILT.match(line)) is not None:
                image = built[1]
        image = (answer.get("aux") or {}).get("ID", image)
        if "error" in answer:
            log = "\n".join([*lines, unfinished]).strip()
            known = meaning(answer["error"], log)
            if known.trouble in (Trouble.NO_SPACE, Trouble.NO_IMAGE):
                raise RuntimeFault(known.trouble, f"the build of {spec.tag} stopped {step}: {known}", log)
            tail = "\n".join(log.splitlines()[-LOG_TAIL_LINES:])
            said = f"the build of {spec.tag} failed {step}: {answer['error']}; last lines:\n{tail}"
            raise RuntimeFault(Trouble.BUILD_FAILED, said, log)
    if not image:
        raise RuntimeFault(Trouble.BUILD_FAILED, f"the build of {spec.tag} ended without an image", "\n".join(lines))
    return image
