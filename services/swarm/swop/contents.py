"""Makes the content of MAKE_SWARM_USER_CONTENT: downloads and unpacks into a folder, before a volume gets it.

Owns fetching and unpacking within bounds. An archive is another site's file: links, devices and names that leave the
folder are refused, and so is what grows beyond the bounds, whatever its headers say.
"""

from __future__ import annotations

import asyncio
import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

import httpx

from swarm.core.errors import OperatorFault
from swarm.core.swop.content import Fetch, Unpack, inside, step_of
from swarm.core.tasktext.model import ContentBody

from .runtime import RuntimeFault, Trouble

CONTENT_BYTES_MAX = 64 * 1024**3
"""Of all files of one task."""
ENTRIES_MAX = 500_000
"""Files and folders of one archive."""
LIST_BYTES_MAX = 64 * 1024**2
"""Of a zip's directory, which is read whole."""
NAME_BYTES_MAX = 2 * 1024**2
"""Of a name, or of what else a tar says of one entry, which is read whole."""
ENTRY_BYTES = 4096
"""What an entry counts for at least: empty ones fill a disk as well."""
REDIRECTS_MAX = 5
SILENCE_SECONDS = 60.0
PART_BYTES = 1024 * 1024
DISK_RESERVE_BYTES = 256 * 1024**2
"""Stays free on the disk where content is made."""

Allowed = Callable[[str], bool]
_XZ = b"\xfd7zXZ\0"
_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, _XZ: lzma.open}
"""How a tar may be packed, by its first bytes."""
_ZIP_ENTRY = b"PK\1\2"
"""How an entry of a zip's directory begins."""


@contextmanager
def workplace(state: Path) -> Iterator[Path]:
    """A folder for one task's content, gone afterwards."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=state, prefix="content-") as name:
        yield Path(name)


async def make(body: ContentBody, folder: Path, allowed: Allowed) -> None:
    """Carry out the operations of a task, in their order.

    Args:
        allowed: whether the site's policy lets an address be fetched; each redirect is asked for as well.

    Raises:
        RuntimeFault: one of them cannot be done; its number, the reason and the fix.
    """
    budget = _Budget(folder)
    async with httpx.AsyncClient(timeout=SILENCE_SECONDS, follow_redirects=False) as client:
        for number, operation in enumerate(body.operations, 1):
            try:
                step = step_of(operation)
                if isinstance(step, Fetch):
                    await _fetch(client, step, folder, allowed, budget)
                else:
                    await asyncio.to_thread(_unpack, step, folder, budget)
            except RuntimeFault:
                raise
            except OperatorFault as fault:
                raise _failed(number, operation.kind, str(fault)) from fault
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise _failed(number, operation.kind, error.strerror or str(error), full=full) from error


def _failed(number: int, kind: str, why: str, *, full: bool = False) -> RuntimeFault:
    trouble = Trouble.NO_SPACE if full else Trouble.CONTENT_FAILED
    return RuntimeFault(trouble, f"operation {number} of the task ({kind}) failed: {why}")


class _Budget:
    """What may still be written."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._left = folder, CONTENT_BYTES_MAX

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise OperatorFault(f"its content has more than {CONTENT_BYTES_MAX} bytes")
        if shutil.disk_usage(self._folder).free < DISK_RESERVE_BYTES + count:
            raise OSError(errno.ENOSPC, f"the disk of {self._folder} is full: make room on it")


async def _fetch(client: httpx.AsyncClient, step: Fetch, folder: Path, allowed: Allowed, budget: _Budget) -> None:
    to = folder / step.to
    to.parent.mkdir(parents=True, exist_ok=True)
    url = step.url
    for _ in range(REDIRECTS_MAX + 1):
        if not allowed(url):
            raise OperatorFault(f"this site's policy does not allow {url} (urls)")
        try:
            async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.is_redirect:
                    following = answer.next_request
                    if following is None or following.url.scheme not in ("http", "https"):
                        raise OperatorFault(f"{url} leads to no address that can be fetched")
                    url = str(following.url)
                    continue
                if answer.status_code != httpx.codes.OK:
                    raise OperatorFault(f"{url} answers {answer.status_code} {answer.reason_phrase}")
                await _write(answer, to, step, budget)
                return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OperatorFault(f"{url} cannot be fetched: {error or type(error).__name__}") from error
    raise OperatorFault(f"{step.url} leads on more than {REDIRECTS_MAX} times")


async def _write(answer: httpx.Response, to: Path, step: Fetch, budget: _Budget) -> None:
    digest = sha256()
    with to.open("xb") as out:
        async for part in answer.aiter_raw(PART_BYTES):
            budget.take(len(part))
            digest.update(part)
            await asyncio.to_thread(out.write, part)
    if step.sha256 is not None and digest.hexdigest() != step.sha256:
        raise OperatorFault(
            f"{step.url} has the SHA-256 {digest.hexdigest()}, not {step.sha256}: it is another file than the task's"
        )


def _unpack(step: Unpack, folder: Path, budget: _Budget) -> None:
    archive, to = folder / step.archive, folder / step.to
    if not archive.is_file() or archive.is_symlink():
        raise OperatorFault(f"there is no file {step.archive}: a DOWNLOAD before it makes one")
    to.mkdir(parents=True, exist_ok=True)
    if zipfile.is_zipfile(archive):
        _unzip(archive, to, budget)
    elif _is_tar(archive):
        _untar(archive, to, budget)
    else:
        raise OperatorFault(f"{step.archive} is neither a zip nor a tar archive (plain, gz, bz2, xz)")


class _Reader(io.RawIOBase):
    """An archive as a library reads it, which believes what the archive says of itself: no read is longer than a bound.

    Args:
        entry: how an entry begins in a list; a long read that has more of them than ENTRIES_MAX is refused as well.
    """

    def __init__(self, file: IO[bytes], name: str, bytes_max: int, entry: bytes = b"") -> None:
        super().__init__()
        self._file, self._name, self._max, self._entry = file, name, bytes_max, entry

    def read(self, size: int = -1) -> bytes:
        rest = size is None or size < 0
        found = self._file.read(self._max + 1) if rest else self._file.read(size) if size <= self._max else None
        if found is None or len(found) > self._max:
            raise OperatorFault(f"{self._name} has a list or a name of more than {self._max} bytes")
        if self._entry and found.count(self._entry) > ENTRIES_MAX:
            raise OperatorFault(f"{self._name} has a list of more than {ENTRIES_MAX} entries")
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


@contextmanager
def _tar(archive: Path) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as file:
        head = file.read(len(_XZ))
    opened = next((one for magic, one in _PACKED.items() if head.startswith(magic)), open)
    with opened(archive, "rb") as file:
        bounded = cast(IO[bytes], _Reader(file, archive.name, NAME_BYTES_MAX))
        with tarfile.open(fileobj=bounded, mode="r:") as packed:
            yield packed


def _is_tar(archive: Path) -> bool:
    try:
        with _tar(archive):
            return True
    except (tarfile.TarError, OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
        return False


def _untar(archive: Path, to: Path, budget: _Budget) -> None:
    try:
        with _tar(archive) as packed:
            count, kept = 0, cast(Any, packed).members
            while (entry := packed.next()) is not None:
                kept.clear()  # of all that it has read
                count += 1
                if count > ENTRIES_MAX:
                    raise OperatorFault(f"{archive.name} has more than {ENTRIES_MAX} entries")
                path = to / inside(entry.name.rstrip("/") or ".", "an entry")
                budget.take(ENTRY_BYTES)
                if entry.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                source = packed.extractfile(entry) if entry.isreg() else None
                if source is None:
                    raise OperatorFault(f"{archive.name} holds {entry.name}, which is no plain file")
                path.parent.mkdir(parents=True, exist_ok=True)
                with source, path.open("xb") as out:
                    _copy(source, out, budget)
                if entry.mode & 0o100:
                    path.chmod(0o755)
    except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise OperatorFault(f"{archive.name} cannot be unpacked: {error}") from error


def _listed(file: IO[bytes], name: str) -> IO[bytes]:
    return cast(IO[bytes], _Reader(file, name, LIST_BYTES_MAX, _ZIP_ENTRY))


def _unzip(archive: Path, to: Path, budget: _Budget) -> None:
    try:
        with archive.open("rb") as file, zipfile.ZipFile(_listed(file, archive.name)) as packed:
            entries = packed.infolist()
            if len(entries) > ENTRIES_MAX:
                raise OperatorFault(f"{archive.name} has more than {ENTRIES_MAX} entries")
            for entry in entries:
                path = to / inside(entry.filename.rstrip("/") or ".", "an entry")
                budget.take(ENTRY_BYTES)
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                elif kind not in (0, stat.S_IFREG):
                    raise OperatorFault(f"{archive.name} holds {entry.filename}, which is no plain file")
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(entry) as source, path.open("xb") as out:
                        _copy(source, out, budget)
                    if entry.external_attr >> 16 & 0o100:
                        path.chmod(0o755)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise OperatorFault(f"{archive.name} cannot be unpacked: {error}") from error


def _copy(source: IO[bytes], out: IO[bytes], budget: _Budget) -> None:
    """By what really comes: a header's size is its writer's word."""
    while part := source.read(PART_BYTES):
        budget.take(len(part))
        out.write(part)
