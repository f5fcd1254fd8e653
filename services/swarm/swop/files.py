"""A site's files for its SWOP: profile, policy, secrets; and the note of which image this container was made from.

Owns reading and what is said of a file that does not work; what is in them is :mod:`swarm.core`'s to understand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ruamel.yaml.error import YAMLError

from swarm.core.errors import OperatorFault
from swarm.core.swop.policy import COMPATIBLE, Policy, read_policy
from swarm.core.tasktext import placeholders
from swarm.core.tasktext.findings import Findings, Weight
from swarm.core.tasktext.profile import Profile, read_profile
from swarm.core.tasktext.walk import plain
from swarm.core.tasktext.yamltree import Unreadable, decoded, tree
from swarm.store.files import refuse_readable_by_others

FILE_BYTES_MAX = 1024 * 1024
"""Of any of these files; each has smaller bounds of its own."""
POLICY_BYTES_MAX, POLICY_VALUES_MAX = 256 * 1024, 20_000
CONTAINER_NOTE = Path("/tmp/container_info_file")  # noqa: S108 - the original's place (row O08)
SWOP_IMAGE, SL_IMAGE = "/swop", "/sl"


def profile_of(path: Path, say: Callable[[str], object]) -> Profile:
    """The profile in a file; what only warns is said.

    Raises:
        OperatorFault: all that is wrong with it, with lines and fixes.
    """
    reading = read_profile(_bytes(path, "the SWOP profile"))
    if reading.value is None:
        wrong = [str(one) for one in reading.findings if one.weight is Weight.ERROR]
        raise OperatorFault(f"{path}: " + "; ".join(wrong))
    for one in reading.findings:
        say(f"{path}: {one}")
    return reading.value


def policy_file(named: str | None, profile: Profile, usr_dir: Path) -> Path | None:
    """The file that says the policy; None: there is none, or it is ``compatible``.

    Args:
        named: by the settings: ``compatible``, or a path; None: the profile's ``policyuri``.

    Raises:
        OperatorFault: ``policyuri`` is no file of this site.
    """
    chosen = named if named is not None else profile.policy_uri
    return None if chosen in (None, COMPATIBLE.source) else usr_dir / _local(chosen)


def policy_of(named: str | None, profile: Profile, usr_dir: Path, say: Callable[[str], object]) -> Callable[[], Policy]:
    """What gives the policy as it is now: a file is read again when it has changed.

    Args:
        say: told once of a change that cannot be used; the policy that was goes on.

    Raises:
        OperatorFault: the file cannot be read or understood at the start.
    """
    path = policy_file(named, profile, usr_dir)
    if path is not None:
        return _Watched(path, say)
    return Policy if named is None and profile.policy_uri is None else lambda: COMPATIBLE


class _Watched:
    """A policy file that may be changed while this runs."""

    def __init__(self, path: Path, say: Callable[[str], object]) -> None:
        self._path, self._say = path, say
        self._seen = self._stamp()
        self._policy = policy_in(path)
        self._trouble = ""

    def __call__(self) -> Policy:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._policy, self._seen, self._trouble = policy_in(self._path), stamp, ""
        except OperatorFault as fault:
            if str(fault) != self._trouble:
                self._trouble = str(fault)
                self._say(f"{fault}; the policy that was read before goes on")
        return self._policy

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise OperatorFault(f"the policy {self._path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size


def policy_in(path: Path) -> Policy:
    """What a policy file says.

    Raises:
        OperatorFault: it cannot be read or understood; where, and how it is written.
    """
    return policy_of_bytes(_bytes(path, "the policy"), str(path))


def policy_of_bytes(data: bytes, source: str) -> Policy:
    """As :func:`policy_in`, of a file's content."""
    found = Findings()
    try:
        top = tree(decoded(data, POLICY_BYTES_MAX, found), POLICY_VALUES_MAX, found)
    except (Unreadable, YAMLError):
        raise OperatorFault(f"{source}: " + "; ".join(str(one) for one in found.sorted())) from None
    return read_policy(plain(top), source)


def _local(uri: str | None) -> Path:
    parts = urlsplit(uri or "")
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise OperatorFault(
            f"policyuri is {uri}; a policy is a file of this site: a path, or file:///path, below the profile's folder"
        )
    return Path(parts.path)


def secrets_of(path: Path | None) -> dict[str, str]:
    """Values by name; the file is this user's alone.

    Raises:
        OperatorFault: it is not, or cannot be read; never with a value in its text.
    """
    if path is None:
        return {}
    try:
        refuse_readable_by_others(path)
    except OSError as error:
        raise OperatorFault(f"the file of secrets {path}: {error.strerror}") from error
    return placeholders.from_file(_bytes(path, "the file of secrets"))


def sl_image_of(named: str | None, note: Path = CONTAINER_NOTE) -> str:
    """The image that SLs run: as the settings say, else the one beside this SWOP's own.

    The run scripts copy a note into each container: its id, the name of its image, the image's id (row O08).

    Raises:
        OperatorFault: nothing says it.
    """
    if named is not None:
        return named
    if note.is_file():
        for word in note.read_text(encoding="utf-8", errors="replace")[:4096].replace(",", " ").split():
            repository, colon, tag = word.rpartition(":")
            if colon and repository.endswith(SWOP_IMAGE):
                return f"{repository.removesuffix(SWOP_IMAGE)}{SL_IMAGE}:{tag}"
    raise OperatorFault("say which image SLs run: --sl-image (SWOP_SL_IMAGE), for example swarm-learning/sl:1.0")


def _bytes(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise OperatorFault(f"{what} {path} is no plain file")
        if path.stat().st_size > FILE_BYTES_MAX:
            raise OperatorFault(f"{what} {path} has more than {FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as error:
        raise OperatorFault(f"{what} {path}: {error.strerror}; see --usr-dir and its mount") from error
