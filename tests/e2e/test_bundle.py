"""The archive for hosts without registries: the same bytes twice, a signature for openssl, an install that looks.

The engine is real; the image in it is a small one, so that it is packed and loaded in a moment.
"""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import patience
from support.tools import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
NAME = "swarm-learning-9.9.9"


@dataclass
class Packed:
    """Args: out: folder of the archive; image: by its name; key: that it was signed with."""

    out: Path
    image: str
    key: Path

    @property
    def archive(self) -> Path:
        return self.out / f"{NAME}.tar"

    def again(self, out: Path, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        words = ["--version", "9.9.9", "--image", self.image, "--key", str(key or self.key), "--out", str(out)]
        folders = ["--wheels", str(self.out / "wheels"), "--sbom", str(self.out / "sbom")]
        return run(sys.executable, str(ROOT / "tools" / "bundle.py"), *words, *folders)

    def unpacked(self, folder: Path) -> Path:
        with tarfile.open(self.archive) as archive:
            archive.extractall(folder, filter="data")
        return folder / NAME


def run(*words: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=patience.seconds(120),
        check=False,
    )


def install(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run("./install.sh", *words, cwd=folder, **environ)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packed]:
    """A bundle of one small image; two names of it, so that the engine has lists to order."""
    out = tmp_path_factory.mktemp("bundle")
    for name, file in (("wheels", "swarm_platform-9.9.9-py3-none-any.whl"), ("sbom", "sl.spdx.json")):
        (out / name).mkdir()
        (out / name / file).write_text("of a test")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(secrets.token_hex(3).encode()[:5]))
    image = f"swarm-bundle-{secrets.token_hex(4)}:test"
    done = subprocess.run(["docker", "import", "-", image], input=layer.getvalue(), capture_output=True, check=True)
    assert done.stdout
    found = Packed(out, image, out / "key.pem")
    try:
        made = found.again(out)
        assert made.returncode == 0, made.stderr
        assert "made the key" in made.stdout
        yield found
    finally:
        run("docker", "image", "rm", image)


def test_two_makings_are_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    """Archive, list and signature; the key that is there is taken, and others cannot read it."""
    made = packed.again(tmp_path)
    assert "made the key" not in made.stdout
    for name in (f"{NAME}.tar", f"{NAME}.tar.sha256", f"{NAME}.tar.sha256.sig", "bundle-key.pub.pem"):
        assert (tmp_path / name).read_bytes() == (packed.out / name).read_bytes(), name
    assert packed.key.stat().st_mode & 0o777 == 0o600
    with tarfile.open(packed.archive) as archive:
        names = archive.getnames()
        assert {(one.uid, one.mtime, one.uname) for one in archive.getmembers()} == {(0, 0, "")}
    assert names == sorted(names)
    assert f"{NAME}/docker-compose.yml" in names
    assert not [name for name in names if "key" in name.rpartition("/")[2] and name.endswith(".pem")]


def test_the_signature_is_of_this_archive_and_this_key(packed: Packed, tmp_path: Path) -> None:
    """As docs/containers.md has it typed: one bit of the list, another key, another archive are noticed."""
    for name in (f"{NAME}.tar", f"{NAME}.tar.sha256", f"{NAME}.tar.sha256.sig", "bundle-key.pub.pem"):
        (tmp_path / name).write_bytes((packed.out / name).read_bytes())
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "bundle-key.pub.pem", "-rawin"]
    verify += ["-in", f"{NAME}.tar.sha256", "-sigfile", f"{NAME}.tar.sha256.sig"]
    check = ["sha256sum", "--check", f"{NAME}.tar.sha256"]
    assert run(*verify, cwd=tmp_path).returncode == 0
    assert run(*check, cwd=tmp_path).returncode == 0
    with open(tmp_path / f"{NAME}.tar", "r+b") as file:
        file.seek(1000)
        file.write(b"x")
    assert run(*check, cwd=tmp_path).returncode != 0
    listed = tmp_path / f"{NAME}.tar.sha256"
    listed.write_bytes(listed.read_bytes().replace(b"a", b"b", 1).replace(b"0", b"1", 1))
    assert run(*verify, cwd=tmp_path).returncode != 0


def test_it_loads_what_it_holds_by_its_id(packed: Packed, tmp_path: Path) -> None:
    """On an engine that has not got the image."""
    folder = packed.unpacked(tmp_path)
    before = run("docker", "image", "inspect", "--format", "{{.Id}}", packed.image).stdout
    run("docker", "image", "rm", packed.image)
    done = install(folder)
    assert done.returncode == 0, done.stderr
    assert run("docker", "image", "inspect", "--format", "{{.Id}}", packed.image).stdout == before
    assert "all images are there" in done.stdout


@pytest.mark.parametrize("what", ["more", "link", "changed", "gone", "no engine", "word", "venv"])
def test_attack_what_does_not_fit_is_named_and_nothing_is_installed(packed: Packed, tmp_path: Path, what: str) -> None:
    """A wheel that nobody packed, a link, a byte, a file that is gone; no engine; words that it does not know."""
    folder = packed.unpacked(tmp_path)
    words: tuple[str, ...] = ()
    environ = {}
    wheel = folder / "wheels/swarm_platform-9.9.9-py3-none-any.whl"
    if what == "more":
        (folder / "wheels/other.whl").write_text("evil")
    elif what == "link":
        (folder / "wheels/other.whl").symlink_to("/etc/passwd")
    elif what == "changed":
        wheel.write_text("of a tesT")
    elif what == "gone":
        wheel.unlink()
    elif what == "no engine":
        environ = {"DOCKER_HOST": "unix:///no/engine.sock"}
    elif what == "word":
        words = ("--vent", "/x")
    else:
        words = ("--venv",)
    done = install(folder, *words, **environ)
    assert done.returncode == 1
    says = {
        "more": "wheels/other.whl",
        "link": "symbolic link",
        "changed": "not as it was packed",
        "gone": wheel.name,
        "no engine": "no Docker engine answers",
        "word": "unknown word --vent",
        "venv": "--venv wants a folder",
    }
    assert says[what] in done.stderr
    assert "Loaded" not in done.stdout


def test_what_cannot_be_packed_is_named(packed: Packed, tmp_path: Path) -> None:
    """An image that is not here; a key of another kind; no archive is left."""
    other = tmp_path / "rsa.pem"
    assert run("openssl", "genrsa", "-out", str(other), "2048").returncode == 0
    (tmp_path / "a").mkdir()
    done = packed.again(tmp_path / "a", other)
    assert done.returncode != 0
    assert "no Ed25519 key" in done.stderr
    assert list((tmp_path / "a").iterdir()) == []
    missing = Packed(packed.out, "swarm-bundle-nothing:none", packed.key)
    done = missing.again(tmp_path / "b")
    assert "swarm-bundle-nothing:none is not here" in done.stderr
    assert list((tmp_path / "b").glob("*.tar")) == []
