"""Writes the bundles that :mod:`swarm.core.sites` makes.

What this wrote is known by its hash, in a file of the bundle; so a file that somebody changed is told from one that
only the inventory changed. Files that are the site's own to change are written once.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from swarm.core.errors import OperatorFault
from swarm.core.sites.bundle import ENVIRONMENT, POLICY, SCRIPTS, bundle_of
from swarm.core.sites.inventory import Inventory, inventory_of
from swarm.core.tasktext.findings import Findings
from swarm.core.tasktext.walk import plain
from swarm.core.tasktext.yamltree import Unreadable, decoded, tree

INVENTORY_BYTES_MAX, INVENTORY_VALUES_MAX = 256 * 1024, 10_000
MANIFEST = ".bundle.json"
SITES_OWN = (ENVIRONMENT, POLICY)


@dataclass
class Bundle:
    """What became of one site's bundle: paths in its folder."""

    site: str
    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def inventory_in(path: Path) -> Inventory:
    """The inventory in a file.

    Raises:
        OperatorFault: it cannot be read, or what is wrong in it, with places and fixes.
    """
    try:
        if path.exists() and not path.is_file():
            raise OperatorFault(f"the inventory {path} is no plain file")
        if path.stat().st_size > INVENTORY_BYTES_MAX:
            raise OperatorFault(f"{path} is larger than {INVENTORY_BYTES_MAX} bytes: that is no inventory")
        data = path.read_bytes()
    except OSError as error:
        raise OperatorFault(f"the inventory {path}: {error.strerror}") from error
    found = Findings()
    try:
        top = tree(decoded(data, INVENTORY_BYTES_MAX, found), INVENTORY_VALUES_MAX, found)
    except (Unreadable, YAMLError):
        raise OperatorFault(f"{path}: " + "; ".join(str(one) for one in found.sorted())) from None
    return inventory_of(plain(top), str(path))


def write(inventory: Inventory, out: Path, names: Sequence[str] = (), *, force: bool = False) -> list[Bundle]:
    """Write the bundles of these sites (all, if none is named) as folders of ``out``.

    Raises:
        OperatorFault: a site is not in the inventory; a file was changed by hand (nothing is written then); the disk.
    """
    sites = [inventory.site(name) for name in names] or list(inventory.sites)
    texts = {site.name: bundle_of(inventory, site, _yaml) for site in sites}
    try:
        changed = [str(out / name / one) for name, files in texts.items() for one in _changed(out / name, files)]
        if changed and not force:
            raise OperatorFault(
                f"{', '.join(changed)} was changed by hand since it was written: move it away and type this again, or "
                "write over it by --force"
            )
        return [_write(name, out / name, files, force) for name, files in texts.items()]
    except OSError as error:
        raise OperatorFault(f"{error.filename or out} cannot be written: {error.strerror}") from error


def add(inventory: Inventory, name: str, out: Path) -> Bundle:
    """Write one further site's bundle; those that are there must not change by it.

    Raises:
        OperatorFault: another site's bundle would change: names what; or as :func:`write`.
    """
    inventory.site(name)
    for site in inventory.sites:
        known = _manifest(out / site.name)
        if site.name == name or not known:
            continue
        texts = bundle_of(inventory, site, _yaml)
        other = [one for one, text in texts.items() if one not in SITES_OWN and known.get(one) != _hash(text)]
        if other:
            raise OperatorFault(
                f"the inventory changes more than the site {name}: {site.name}/{other[0]} would be another; "
                "swarm site init writes all bundles, and those sites have to take theirs anew"
            )
    return write(inventory, out, [name])[0]


def _write(name: str, folder: Path, files: Mapping[str, str], force: bool) -> Bundle:
    made = Bundle(name, folder)
    for path, text in files.items():
        there = folder / path
        if there.exists() and ((path in SITES_OWN and not force) or there.read_bytes() == text.encode()):
            made.kept.append(path)
            continue
        _put(there, text.encode(), 0o755 if path in SCRIPTS else 0o644)
        made.written.append(path)
    hashes = {path: _hash(text) for path, text in sorted(files.items())}
    _put(folder / MANIFEST, (json.dumps(hashes, indent=1) + "\n").encode(), 0o644)
    return made


def _changed(folder: Path, files: Mapping[str, str]) -> list[str]:
    known = _manifest(folder)
    found = []
    for path, text in files.items():
        there = folder / path
        if path in SITES_OWN or not there.exists():
            continue
        is_now = sha256(there.read_bytes()).hexdigest()
        if is_now not in (known.get(path), _hash(text)):
            found.append(path)
    return found


def _manifest(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _yaml(value: Mapping[str, Any]) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    writer.dump(dict(value), text)
    return text.getvalue()


def _put(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
