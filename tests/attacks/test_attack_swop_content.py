"""Content that a task fetches and unpacks: honest files arrive; what means harm gets one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from swarm.core.errors import OperatorFault
from swarm.core.swop.content import Fetch, Unpack, step_of
from swarm.core.tasktext.model import ContentBody, Operation, Variable
from swarm.swop import contents
from swarm.swop.contents import make, workplace
from swarm.swop.runtime import RuntimeFault, Trouble


class Files(BaseHTTPRequestHandler):
    """Serves what a test puts into ``known``; a text is where it leads on to."""

    known: ClassVar[dict[str, bytes | str]] = {}

    def do_GET(self) -> None:
        found = self.known.get(self.path)
        if isinstance(found, str):
            self.send_response(302)
            self.send_header("Location", found)
            self.end_headers()
            return
        self.send_response(200 if found is not None else 404)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real HTTP server on loopback."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=running.serve_forever, name="files")
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()
    thread.join()


def operation(kind: str, target: str, **options: str) -> Operation:
    return Operation(kind, target, tuple(Variable(name, value) for name, value in options.items()))


def tar(*entries: tuple[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                packed.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o4755
                packed.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


def zipped(*entries: tuple[str, bytes, int]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, content)
    return raw.getvalue()


def link(kind: bytes, to: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo("x")
    entry.type, entry.linkname = kind, to
    return entry


def made(folder: Path, *operations: Operation, allowed=lambda url: True) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    asyncio.run(make(ContentBody("BUILDCONTENT", operations), folder, allowed))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("archive", ["set.tgz", "set.zip", "set.tar.xz"])
def test_what_is_fetched_and_unpacked_lies_where_the_task_says(tmp_path: Path, server: str, archive: str) -> None:
    """Downloads keep their names, Out is a folder, a digest is held, an executable stays one without set-uid."""
    data = {
        "set.tgz": tar(("in/a.csv", b"1,2\n"), ("run.sh", b"#!")),
        "set.tar.xz": tar(("in/a.csv", b"1,2\n"), ("run.sh", b"#!"), mode="w:xz"),
    }
    data["set.zip"] = zipped(("in/a.csv", b"1,2\n", 0o100644), ("run.sh", b"#!", 0o104755))
    Files.known = {f"/d/{archive}?v=1": data[archive], "/moved": f"{server}/d/{archive}?v=1", "/plain%20name": b"x"}
    found = made(
        tmp_path / "work",
        operation("DOWNLOAD", f"{server}/moved", Out="raw", Sha256=sha256(data[archive]).hexdigest().upper()),
        operation("DOWNLOAD", f"{server}/plain%20name"),
        operation("EXTRACT", "raw/moved", Out="set"),
    )
    assert found == {"plain name": b"x", "raw/moved": data[archive], "set/in/a.csv": b"1,2\n", "set/run.sh": b"#!"}
    assert (tmp_path / "work/set/run.sh").stat().st_mode & 0o7777 == 0o755


@pytest.mark.row("E15b")
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_download_goes_through_the_proxy_of_the_environment(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """In either letter case; the server here is the proxy, and the address one that nobody but it can know."""
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, server)
    Files.known = {"http://hospital.invalid/a.csv": b"1,2\n"}
    assert made(tmp_path / "work", operation("DOWNLOAD", "http://hospital.invalid/a.csv")) == {"a.csv": b"1,2\n"}


def sparse() -> tarfile.TarInfo:
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "x",
        "GNU.sparse.size": "1",
    }
    return entry


HARM = {
    "up": tar(("../evil", b"x")),
    "absolute": tar(("/etc/evil", b"x")),
    "symlink": tar(("l", link(tarfile.SYMTYPE, "/etc")), ("l/evil", b"x")),
    "hard link": tar(("l", link(tarfile.LNKTYPE, "../../secret"))),
    "device": tar(("d", link(tarfile.CHRTYPE, ""))),
    "fifo": tar(("p", link(tarfile.FIFOTYPE, ""))),
    "twice": tar(("a", b"1"), ("a", b"2")),
    "zip up": zipped(("../evil", b"x", 0)),
    "zip absolute": zipped(("/etc/evil", b"x", 0)),
    "zip backslash": zipped(("..\\evil", b"x", 0)),
    "zip symlink": zipped(("l", b"/etc", 0o120777)),
    "cut tar": tar(("a", b"x" * 100_000), mode="w")[:50_000],
    "cut gz": tar(("a", bytes(range(256)) * 4000))[:900],
    "broken zip": zipped(("a", bytes(range(256)), 0)).replace(b"\x20\x21\x22", b"\x20\x20\x22", 1),
    "zip name": zipped(("a.csv", b"x", 0))
    .replace(b"a.csv", b"\xff.csv")
    .replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\0\x08"),
    "sparse": tar(("a", sparse())),
    "no archive": b"<html>not found</html>",
    "empty": b"",
}


@pytest.mark.parametrize("name", HARM)
def test_an_archive_that_means_harm_writes_nothing_outside(tmp_path: Path, server: str, name: str) -> None:
    """One sentence with the operation's number; what lies beside the folder is as it was."""
    (tmp_path / "secret").write_text("kept")
    Files.known = {"/x": HARM[name]}
    with pytest.raises(RuntimeFault, match=r"operation 2 of the task \(EXTRACT\) failed: ") as refused:
        made(
            tmp_path / "work",
            operation("DOWNLOAD", f"{server}/x"),
            operation("EXTRACT", "x", Out="a/b"),
        )
    assert refused.value.trouble is Trouble.CONTENT_FAILED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "work"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert sorted(path.name for path in (tmp_path / "work" / "a").iterdir()) == ["b"]


def test_what_grows_beyond_the_bounds_is_stopped(tmp_path: Path, server: str, monkeypatch) -> None:
    """A small archive of zeros, a long download, many entries: by what comes, not by what headers say."""
    monkeypatch.setattr(contents, "CONTENT_BYTES_MAX", 3_000_000)
    monkeypatch.setattr(contents, "ENTRIES_MAX", 10)
    bomb = zipped(("zeros", bytes(40_000_000), 0))
    many = tar(*((f"f{n}", b"") for n in range(11)))
    Files.known = {"/bomb": bomb, "/long": bytes(3_500_000), "/many": many}
    for target, more, why in (
        ("bomb", [operation("EXTRACT", "bomb")], "more than 3000000 bytes"),
        ("long", [], "more than 3000000 bytes"),
        ("many", [operation("EXTRACT", "many")], "more than 10 entries"),
    ):
        with pytest.raises(RuntimeFault, match=why):
            made(tmp_path / target, operation("DOWNLOAD", f"{server}/{target}"), *more)


@pytest.mark.parametrize("kind", ["zip directory", "zip count", "tar name", "tar pax"])
def test_an_archives_own_list_is_bounded_before_it_is_read(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A zip's directory, its number of entries, a tar's long name: a few bytes packed, gigabytes once unpacked."""
    monkeypatch.setattr(contents, "LIST_BYTES_MAX", 200_000)
    monkeypatch.setattr(contents, "NAME_BYTES_MAX", contents.PART_BYTES)
    monkeypatch.setattr(contents, "ENTRIES_MAX", 1_000)
    if kind.startswith("zip"):
        count, length = (1_001, 1) if kind == "zip count" else (900, 300)
        archive = zipped(*((f"{n:06}" + "x" * length, b"", 0) for n in range(count)))
        monkeypatch.setattr(zipfile, "ZipInfo", untouched)  # an object for each is what fills the memory
    else:
        long = tarfile.TarInfo("x" * 120)
        long.size, long.type = 3 * contents.PART_BYTES, tarfile.GNUTYPE_LONGNAME if "name" in kind else tarfile.XHDTYPE
        archive = gzip.compress(long.tobuf(tarfile.GNU_FORMAT)[-512:] + b"y" * long.size + tar(("a", b"x"), mode="w"))
    Files.known = {"/list": archive}
    with pytest.raises(RuntimeFault, match=r"list .*(more than|is neither)") as refused:
        made(tmp_path / "work", operation("DOWNLOAD", f"{server}/list"), operation("EXTRACT", "list", Out="o"))
    assert refused.value.trouble is Trouble.CONTENT_FAILED
    assert "bytes" in str(refused.value) or "entries" in str(refused.value)


def untouched(*_: object, **__: object) -> None:
    raise AssertionError("an entry was made of a list that is too long")


def test_an_address_is_asked_of_the_policy_each_time_it_leads_on(tmp_path: Path, server: str) -> None:
    """So that a listed server cannot send a SWOP to the hospital's inner ones."""
    Files.known = {"/a": f"{server}/inner", "/inner": b"secret", "/loop": "/loop", "/file": "file:///etc/passwd"}
    with pytest.raises(RuntimeFault, match=r"policy does not allow .*/inner \(urls\)"):
        made(tmp_path / "w1", operation("DOWNLOAD", f"{server}/a"), allowed=lambda url: url.endswith("/a"))
    with pytest.raises(RuntimeFault, match="leads on more than 5 times"):
        made(tmp_path / "w2", operation("DOWNLOAD", f"{server}/loop"))
    with pytest.raises(RuntimeFault, match="leads to no address that can be fetched"):
        made(tmp_path / "w3", operation("DOWNLOAD", f"{server}/file"))
    with pytest.raises(RuntimeFault, match="answers 404"):
        made(tmp_path / "w4", operation("DOWNLOAD", f"{server}/none"))
    with pytest.raises(RuntimeFault, match="cannot be fetched"):
        made(tmp_path / "w5", operation("DOWNLOAD", "http://127.0.0.1:1/x"))


def test_another_file_than_the_task_means_is_refused(tmp_path: Path, server: str) -> None:
    """Where its digest is given."""
    Files.known = {"/x": b"another"}
    with pytest.raises(RuntimeFault, match=r"has the SHA-256 .*: it is another file"):
        made(tmp_path / "w", operation("DOWNLOAD", f"{server}/x", Sha256="0" * 64))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (operation("DOWNLOAD", "ftp://x/y"), "https://"),
        (operation("DOWNLOAD", "file:///etc/passwd"), "https://"),
        (operation("DOWNLOAD", "https://"), "https://"),
        (operation("DOWNLOAD", "https://[x"), "https://"),
        (operation("DOWNLOAD", "https://x:99999/y"), "https://"),
        (operation("DOWNLOAD", "https://a\u202e/y"), "https://"),
        (operation("DOWNLOAD", "https://x/" + "y" * 2000), "https://"),
        (operation("DOWNLOAD", "https://x/y", Out="../z"), "Out is"),
        (operation("DOWNLOAD", "https://x/y", Out="/z"), "Out is"),
        (operation("DOWNLOAD", "https://x/y", Sha256="12"), "Sha256 is"),
        (operation("EXTRACT", "../x"), "Target is"),
        (operation("EXTRACT", "a\\..\\b"), "Target is"),
        (operation("EXTRACT", "/".join("a" * 65)), "Target is"),
    ],
)
def test_an_operation_that_cannot_be_is_named(given: Operation, why: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(OperatorFault, match=why):
        step_of(given)


def test_names_of_downloads() -> None:
    """From the address, without what leads out of the folder; a plain one where there is none."""
    for url, to in (
        ("https://x/a/set.tgz?v=2", "out/set.tgz"),
        ("https://x/", "out/download"),
        ("https://x/a%2Fb", "out/b"),
    ):
        step = step_of(operation("DOWNLOAD", url, OUT="out"))
        assert isinstance(step, Fetch)
        assert str(step.to) == to
    assert isinstance(step_of(operation("EXTRACT", "a.tgz")), Unpack)
    with pytest.raises(OperatorFault):
        step_of(operation("DOWNLOAD", "https://x/%2e%2e"))


def test_a_workplace_goes_with_its_content(tmp_path: Path) -> None:
    """Whatever happens meanwhile; nobody else can look into it."""
    with contextlib.suppress(ZeroDivisionError), workplace(tmp_path / "content") as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        raise ZeroDivisionError
    assert list((tmp_path / "content").iterdir()) == []
