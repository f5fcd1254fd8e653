"""The locks: exact, hashed, without addresses, and equal wherever two of them name the same package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.tools import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ONE_VENV = {"base", "node", "node-sn", "node-sl", "node-swci", "node-swop", "ml", "dev", "torch", "tensorflow", "uv"}
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[a-z,]+\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)
FRAMEWORKS = {"torch", "tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "transformers"}


def pins(lock: Path) -> dict[str, str]:
    return {found["name"].lower(): found["version"] for found in PIN.finditer(lock.read_text())}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_and_hashes_everything_and_names_no_address(lock: Path) -> None:
    """Every entry is `name==version` with at least one SHA-256; no index, link, address or path appears."""
    text = lock.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert PIN.match(entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
    assert not re.search(r"://|@ |--index|--find|/home/|/root/", text)


def test_locks_that_share_a_venv_agree() -> None:
    """A package that several locks name has one version, so any set of them installs together."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        if lock.stem in ONE_VENV:
            for name, version in pins(lock).items():
                versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_a_node_image_installs_no_machine_learning_framework() -> None:
    """The lock of the node images holds none, and neither does the services' list of dependencies."""
    assert not FRAMEWORKS & pins(ROOT / "requirements" / "node.txt").keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "requirements").glob("*.in")))
def test_a_lock_covers_its_input(name: str) -> None:
    """Whatever NAME.in asks for is pinned in NAME.txt: nobody edited one and forgot the other."""
    wanted = re.findall(r"^[A-Za-z0-9._-]+", (ROOT / "requirements" / f"{name}.in").read_text(), re.MULTILINE)
    assert {package.lower() for package in wanted} <= pins(ROOT / "requirements" / f"{name}.txt").keys()


def test_the_npm_lock_pins_exactly_and_keeps_no_download_address() -> None:
    """package.json names exact versions; the lock has integrity hashes and no `resolved` address."""
    wanted = json.loads((ROOT / "contracts" / "package.json").read_text())
    for version in {**wanted["dependencies"], **wanted["optionalDependencies"]}.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    packages = json.loads((ROOT / "contracts" / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        assert "resolved" not in package
        assert path == "" or package["integrity"].startswith("sha512-")
