"""One archive that installs a site without any registry: node images, wheels, compose files, scripts, documents, SBOMs.

``make bundle`` builds what goes in and calls this. The same images and the same commit give the same bytes: entries
are sorted, and have one owner and one time. Beside the archive lie its SHA-256 and an Ed25519 signature of that file,
which openssl checks before anything is unpacked (docs/containers.md). Images themselves are not the same from build to
build: they carry the time of their making, and what Debian's repository had then.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("docker-compose.yml", "deploy", "examples", "docs", "README.md", "CHANGELOG.md", "LICENSE")
NODES = ("sn", "sl", "swci", "swop")
INSTALL = "install.sh"
LISTS = ("manifest.json", "index.json", "repositories")
COPY_BYTES = 1024 * 1024


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tag", default=os.environ.get("SWARM_IMAGE_TAG", "dev"))
    parser.add_argument("--image", action="append", default=[], help="instead of the four node images (repeatable)")
    parser.add_argument("--version", required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of wheels; all go in")
    parser.add_argument("--sbom", type=Path, required=True, help="folder of SBOMs; all go in")
    parser.add_argument("--key", type=Path, required=True, help="Ed25519 key (PEM); made if it is not there")
    parser.add_argument("--out", type=Path, required=True, help="folder for the archive")
    given = parser.parse_args(argv)
    images = given.image or [f"swarm-learning/{node}:{given.tag}" for node in NODES]
    top = f"swarm-learning-{given.version}"
    given.out.mkdir(parents=True, exist_ok=True)
    key = _key(given.key)
    archive = given.out / f"{top}.tar"
    with tempfile.TemporaryDirectory(dir=given.out) as scratch:
        saved = saved_images(images, Path(scratch))
        files = [
            *((name, ROOT / name) for name in tracked()),
            *((f"wheels/{one.name}", one) for one in sorted(given.wheels.glob("*.whl"))),
            *((f"sbom/{one.name}", one) for one in sorted(given.sbom.glob("*.json"))),
            (INSTALL, ROOT / "deploy" / "bundle" / INSTALL),
            ("images.tar", saved),
        ]
        notes = {"IMAGES": ids(images), "PYTHON": f"{sys.version_info[0]}.{sys.version_info[1]}\n"}
        made = Path(scratch) / archive.name
        pack(top, files, notes, made)
        os.replace(made, archive)
    print(f"{archive}: {archive.stat().st_size // 2**20} MiB, sha256 {sign(archive, key)}")
    return 0


def tracked() -> list[str]:
    """Files of the commit; what lies about in the tree is not given to anybody."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "--", *SOURCES],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name for name in found.stdout.split("\0") if name)


def ids(images: Iterable[str]) -> str:
    """Name and id of each, a line each: what a host has after it was loaded is held against it."""
    lines = []
    for image in images:
        found = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Id}}", image], check=False, capture_output=True, text=True
        )
        if found.returncode != 0:
            raise SystemExit(f"bundle: the image {image} is not here: make images builds it")
        lines.append(f"{image} {found.stdout.strip()}\n")
    return "".join(lines)


def saved_images(images: Sequence[str], scratch: Path) -> Path:
    """All images in one file, layers that they share once; as the engine gives it, but for order, owners and times."""
    ids(images)
    given, made = scratch / "given.tar", scratch / "images.tar"
    subprocess.run(["docker", "save", "--output", str(given), *images], check=True)
    with tarfile.open(given) as source, tarfile.open(made, "w", format=tarfile.GNU_FORMAT) as target:
        for member in sorted(source.getmembers(), key=lambda one: one.name):
            plain(member)
            file = source.extractfile(member) if member.isreg() else None
            if file is not None and member.name in LISTS:
                data = ordered(file.read())
                member.size, file = len(data), io.BytesIO(data)
            target.addfile(member, file)
    given.unlink()
    return made


def ordered(data: bytes) -> bytes:
    """A list of images, in which an engine gives them in any order; nothing refers to these files by their hash."""
    found = json.loads(data)
    if isinstance(found, list):
        found.sort(key=json.dumps)
    elif isinstance(found.get("manifests"), list):
        found["manifests"].sort(key=json.dumps)
    return json.dumps(found, sort_keys=True).encode()


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one making to the next."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.pax_headers = {}
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def pack(top: str, files: Iterable[tuple[str, Path]], notes: dict[str, str], archive: Path) -> None:
    """The archive: all files below ``top``, and SHA256SUMS of them."""
    entries = dict(files)
    sums = {name: digest(path) for name, path in entries.items()}
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in notes.items()}
    texts = {**notes, "SHA256SUMS": "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))}
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as target:
        for name in sorted([*entries, *texts]):
            entry = tarfile.TarInfo(f"{top}/{name}")
            if name in texts:
                data = texts[name].encode()
                entry.size = len(data)
                target.addfile(plain(entry), io.BytesIO(data))
                continue
            with open(entries[name], "rb") as file:
                at = os.fstat(file.fileno())
                entry.size, entry.mode = at.st_size, at.st_mode & 0o777
                target.addfile(plain(entry), file)


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for part in blocks(file):
            found.update(part)
    return found.hexdigest()


def blocks(file: io.BufferedReader) -> Iterator[bytes]:
    while part := file.read(COPY_BYTES):
        yield part


def sign(archive: Path, key: Ed25519PrivateKey) -> str:
    """Writes ``.sha256`` and its signature beside the archive, and the public half of the key; the SHA-256."""
    found = digest(archive)
    line = f"{found}  {archive.name}\n".encode()
    listed = archive.with_name(archive.name + ".sha256")
    listed.write_bytes(line)
    listed.with_name(listed.name + ".sig").write_bytes(key.sign(line))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    archive.with_name("bundle-key.pub.pem").write_bytes(public)
    return found


def _key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made)
        print(f"bundle: made the key {path}; keep it, and give its public half to the sites by another way")
    found = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(found, Ed25519PrivateKey):
        raise SystemExit(f"bundle: {path} is no Ed25519 key; openssl genpkey -algorithm ed25519 makes one")
    return found


if __name__ == "__main__":
    sys.exit(main())
