"""Writes a rule into a site's policy file, and says what a file allows; what is there stays as its author wrote it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

from swarm.core.errors import OperatorFault
from swarm.core.swop.policy import Policy, read_policy
from swarm.store.files import sync_folder

from .files import policy_in, policy_of_bytes

MODE = 0o644
"""It holds no secret; whoever may write it decides what runs here."""


def allow(path: Path, rule: Mapping[str, Any]) -> int:
    """Add a rule at the end of a file, which is made if it is not there; how many rules it has then.

    A rule that is there already, word by word, is not written again.

    Raises:
        OperatorFault: the file cannot be read or written, is no policy, or would be none with this rule.
    """
    try:
        with _alone(path.resolve().parent):
            return _added(path, rule)
    except BlockingIOError as error:
        raise OperatorFault(f"another command writes into {path.parent} at this moment: type this one again") from error
    except OSError as error:
        raise OperatorFault(f"the policy {path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at once would each write what was there and its own rule: one of them would be lost."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _added(path: Path, rule: Mapping[str, Any]) -> int:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    there = path.exists()
    if there:
        policy_in(path)
    data: Any = yaml.load(path.read_bytes()) if there else None
    data = {} if data is None else data
    if data.get("rules") is None:
        data["rules"] = []
    rules: list[Any] = data["rules"]
    if dict(rule) not in [dict(one) for one in rules]:
        rules.append(_quoted(rule))
    wanted = read_policy(_plain(data), str(path))
    text = io.BytesIO()
    yaml.dump(data, text)
    if policy_of_bytes(text.getvalue(), str(path)) != wanted:
        raise OperatorFault(f"the policy {path} would say something else with this rule: write it by hand")
    _put(path, text.getvalue())
    return len(rules)


def check(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        OperatorFault: what is wrong with it.
    """
    return policy_in(path)


def _quoted(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Names are others': unquoted, one such as ``no`` or ``1:30`` is no text to all readers of YAML."""
    return {key: [Quoted(one) for one in value] if isinstance(value, list) else value for key, value in rule.items()}


def _plain(data: Any) -> Any:
    """Without the loader's own types, as :func:`read_policy` takes it."""
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_plain(one) for one in data]
    return str(data) if isinstance(data, str) else data


def _put(path: Path, data: bytes) -> None:
    """Whole or not at all: a SWOP reads it at any moment. Mode and owner stay, and so does a link to it."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            there = path.stat() if path.exists() else None
            if there is not None and (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), there.st_uid, there.st_gid)
            os.fchmod(file.fileno(), MODE if there is None else there.st_mode & 0o777)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    sync_folder(path.parent)
