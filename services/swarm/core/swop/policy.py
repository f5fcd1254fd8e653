"""A site's policy: which tasks may be built, pulled and run here, and what they are granted (row P02).

Owns the form of the policy file and the decision; both are pure. A site without a file refuses everything: a task is a
program of somebody else. ``compatible`` does what the original does, and still mounts no key and no socket of the
container engine into a program.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..errors import OperatorFault
from ..ids import Address, Digest, from_hex, to_hex
from ..tasktext.model import ContentBody, PullBody, RunBody
from .allowing import command_for, rule_for
from .asked import Asked, pulled_name
from .containers import BUILD_MINUTES, Devices, Mount, MountKind
from .devices import size_of
from .pairs import Terms

RULES_MAX, ITEMS_MAX = 200, 200
BUILD_MINUTES_MAX = 7 * 24 * 60
MEMORY_BYTES_MIN = 6 * 1024**2
"""Less takes no engine."""
REFUSED = "PolicyRefused"
SAID_CHARS_MAX = 1900
"""Of a refusal with a command: a log cuts longer ones, and half a command allows something else."""
BY_HAND = "write a rule for it into this site's policy (--policy FILE, docs/swop.md)"
KINDS = ("MAKE_USER_CONTAINER", "RUN_SWARM", "MAKE_SWARM_USER_CONTENT", "PULL_IMAGE")
NEVER_MOUNTED = (
    "/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/var/run", "/var/spool", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers",
)  # fmt: skip
"""Of the host, by no policy: the engine's files and socket, keys, devices; nor what lies below them, or holds them."""
OWN_VOLUMES = "swop-"
"""Beginning of the names of all volumes that a SWOP makes: states with keys, and other programs' pipes."""
HOMES = ("/root", "/home/*")
KEPT_IN_HOMES = (".*",)
"""Keys and start files of users: these, and homes as a whole, are never mounted; other folders in a home may be."""
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NEVER_GRANTED = ("SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "DAC_READ_SEARCH", "ALL")
"""Capabilities that reach over a container's edge; by a rule with ``privileged: true`` only."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule of the file allows: everything that it names must fit, names may hold ``*``.

    Args:
        authors: addresses of creators; empty: any operator of the swarm.
        tasks: names of tasks; kinds: their types.
        texts: roots of tasks' texts; empty: any version that its author gives the name.
        images: names of images that may be pulled, or be the base of a build (also ``name@sha256:...``).
        mounts: folders of the host and names of volumes that may be mounted, or be a build's context; below a folder
            counts.
        build_network, network: of build steps, and of the program.
        writable_root, confined: see :class:`~.pairs.Terms`.
        devices, capabilities, privileged: of a profile's ``usrcontaineropts``.
        urls: addresses that content, and a build's ADD, is downloaded from.
        secrets: names of the site's secrets that a task may ask for.
        memory: bytes of a program, or of a build's step, at most; 0: all but what the host needs itself.
        build_minutes: of a build.
    """

    authors: tuple[Address, ...] = ()
    tasks: tuple[str, ...] = ("*",)
    kinds: tuple[str, ...] = KINDS
    texts: tuple[Digest, ...] = ()
    images: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    build_network: bool = False
    network: bool = False
    writable_root: bool = False
    confined: bool = True
    devices: bool = False
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    urls: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    memory: int = 0
    build_minutes: int = BUILD_MINUTES


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in their order; the first that fits decides what is granted."""

    rules: tuple[Rule, ...] = ()
    source: str = "no policy file"
    share_logs: bool = False
    """Operators of the swarm may read what programs wrote before they failed."""


COMPATIBLE = Policy(
    (
        Rule(
            images=("*",),
            mounts=("*",),
            build_network=True,
            network=True,
            writable_root=True,
            confined=False,
            devices=True,
            capabilities=("*",),
            privileged=True,
            urls=("*",),
            secrets=("*",),
        ),
    ),
    "compatible",
)


@dataclass(frozen=True, slots=True)
class Granted:
    """Args: build_network: whether build steps reach the network; urls: what may be downloaded, also by a redirect;
    build_minutes: of a build.
    """

    terms: Terms = field(default_factory=Terms)
    build_network: bool = False
    urls: tuple[str, ...] = ()
    build_minutes: int = BUILD_MINUTES

    def may_fetch(self, url: str) -> bool:
        """Whether content may be downloaded from there."""
        return _fits(url, self.urls)


def decide(policy: Policy, asked: Asked) -> Granted | str:
    """What is granted, or the one sentence that says why not and what to do."""
    if (never := _never(asked)) is not None:
        return never
    closest = ""
    for rule in policy.rules:
        why = _misfit(rule, asked)
        if why is None:
            terms = Terms(rule.network, rule.writable_root, rule.confined, rule.memory)
            return Granted(terms, rule.build_network, rule.urls, rule.build_minutes)
        closest = closest or why
    header = asked.task.header
    based = f" on {', '.join(asked.bases)}" if asked.bases else ""
    because = closest or f"this site has {policy.source}"
    why = f"this site's policy does not allow {header.type} {header.name} of {to_hex(asked.author)}{based}: {because}"
    for way_on in (_way_on(policy, asked), BY_HAND):
        said = f"{why}; {way_on}, or take all tasks as the original does (--policy compatible)"
        if len(said) <= SAID_CHARS_MAX:
            break
    return said


def _way_on(policy: Policy, asked: Asked) -> str:
    """The command that writes a rule for this very task, where a rule can take it."""
    rule = rule_for(asked)
    if _misfit(_rule(rule, "the rule for this task"), asked) is not None:
        return BY_HAND
    return f"allow this very task by `{command_for(rule, policy.source)}`"


def _misfit(rule: Rule, asked: Asked) -> str | None:
    """Why a rule does not cover a task."""
    header, body = asked.task.header, asked.task.body
    if header.type not in rule.kinds or not _fits(header.name, rule.tasks):
        return f"no rule names {header.type} {header.name}"
    if rule.authors and asked.author not in rule.authors:
        return f"its author {to_hex(asked.author)} is in no rule for it"
    if rule.texts and asked.text not in rule.texts:
        return f"its text {to_hex(asked.text)} is another one than the rule names"
    wanted = asked.bases
    if isinstance(body, PullBody):
        wanted = (pulled_name(body),)
    for image in wanted:
        if not _fits(image, rule.images):
            return f"the image {image} is not in the rule's images"
    for name in asked.secrets:
        if not _fits(name, rule.secrets):
            return f"the secret {name} is not in the rule's secrets"
    urls = list(asked.urls)
    if isinstance(body, ContentBody):
        urls += [one.target for one in body.operations if one.kind == "DOWNLOAD"]
    for url in urls:
        if not _fits(url, rule.urls):
            return f"{url} is not in the rule's urls"
    for mount in asked.mounts:
        if not _mountable(mount, rule.mounts):
            return f"{mount.source} is not in the rule's mounts"
    if isinstance(body, RunBody):
        for devices in asked.devices:
            if (why := _undevised(rule, devices)) is not None:
                return why
    return None


def _undevised(rule: Rule, devices: Devices) -> str | None:
    if devices.privileged and not rule.privileged:
        return "usrcontaineropts wants privileged, and the rule does not allow it"
    if not rule.devices and (devices.paths or devices.gpus or devices.ipc or devices.groups):
        return "usrcontaineropts wants devices of the host, and the rule does not allow them"
    for name in devices.capabilities:
        bare = name.upper().removeprefix("CAP_")
        if bare in NEVER_GRANTED and not rule.privileged:
            return f"the capability {name} is granted by a rule with privileged: true only"
        if not _fits(bare, rule.capabilities):
            return f"the capability {name} is not in the rule's capabilities"
    if not rule.privileged and any(not option.startswith("no-new-privileges") for option in devices.security):
        return f"security-opt {', '.join(devices.security)} is granted by a rule with privileged: true only"
    return None


def _never(asked: Asked) -> str | None:
    """What no policy allows."""
    for mount in asked.mounts:
        if mount.kind is MountKind.BIND:
            for place in (*NEVER_MOUNTED, *asked.own_paths, *(f"{h}/{kept}" for h in HOMES for kept in KEPT_IN_HOMES)):
                if meets(posixpath.normpath("/" + mount.source), place):
                    return (
                        f"{mount.source} is never mounted into a program: {place} of this host holds keys or the means"
                        " to take over the host; name a folder that holds data alone"
                    )
        elif not _VOLUME.fullmatch(mount.source):
            return (
                f"{mount.source!r} is no name of a volume: use letters, digits and . _ - with a letter or digit first"
            )
        elif mount.source in asked.own_paths or mount.source.startswith(OWN_VOLUMES):
            return f"the volume {mount.source} is this site's nodes' own: no program and no build is given it"
    return None


def meets(path: str, place: str) -> bool:
    """Whether a normal path is the place, lies below it, or holds it; a part of the place may be ``*``.

    The root holds everything, and what lies below it is for the other places to say.
    """
    parts, others = ([part for part in one.split("/") if part] for one in (path, place))
    if not parts or not others:
        return not parts
    return all(fnmatchcase(mine, theirs) for mine, theirs in zip(parts, others, strict=False))


def _mountable(mount: Mount, allowed: Sequence[str]) -> bool:
    source = posixpath.normpath(mount.source) if mount.kind is MountKind.BIND else mount.source
    for pattern in allowed:
        if fnmatchcase(source, pattern) or (pattern.startswith("/") and source.startswith(pattern.rstrip("/") + "/")):
            return True
    return False


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def read_policy(parsed: Any, source: str) -> Policy:
    """A policy file's content (YAML as plain values).

    Raises:
        OperatorFault: what is wrong, where, and how it is written.
    """
    if not isinstance(parsed, Mapping) or set(parsed) - {"rules", "share_logs"}:
        raise OperatorFault(f"{source}: a policy is a map with the keys rules and share_logs; see docs/swop.md")
    shares = parsed.get("share_logs", False)
    if not isinstance(shares, bool):
        raise OperatorFault(f"{source}: share_logs is {shares!r}; write true or false")
    rules = parsed.get("rules") or []
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        raise OperatorFault(f"{source}: rules is a list of at most {RULES_MAX} rules")
    return Policy(tuple(_rule(one, f"{source}, rule {n}") for n, one in enumerate(rules, 1)), source, shares)


def _rule(given: Any, where: str) -> Rule:
    if not isinstance(given, Mapping):
        raise OperatorFault(f"{where}: a rule is a map of {', '.join(_FIELDS)}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _FIELDS:
            raise OperatorFault(f"{where}: {name!r} is nothing that a rule says; it says {', '.join(_FIELDS)}")
        if name == "memory":
            values[name] = _memory(value, where)
            continue
        if name == "build_minutes":
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= BUILD_MINUTES_MAX:
                raise OperatorFault(f"{where}: build_minutes is {value!r}; write 1 to {BUILD_MINUTES_MAX}")
            values[name] = value
            continue
        if isinstance(getattr(_PLAIN, name), bool):
            if not isinstance(value, bool):
                raise OperatorFault(f"{where}: {name} is {value!r}; write true or false")
            values[name] = value
            continue
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or len(items) > ITEMS_MAX or not all(isinstance(one, str) for one in items):
            raise OperatorFault(f"{where}: {name} is {value!r}; write a list of at most {ITEMS_MAX} names")
        values[name] = tuple(items)
    unknown = [kind for kind in values.get("kinds", ()) if kind not in KINDS]
    if unknown:
        raise OperatorFault(f"{where}: kinds has {unknown[0]!r}; there are {', '.join(KINDS)}")
    try:
        values["authors"] = tuple(Address(from_hex(one, 20)) for one in values.get("authors", ()))
    except ValueError as error:
        raise OperatorFault(
            f"{where}: authors: {error}; write addresses as `LIST TASKS` and STATUS show them"
        ) from error
    try:
        values["texts"] = tuple(Digest(from_hex(one, 32)) for one in values.get("texts", ()))
    except ValueError as error:
        raise OperatorFault(f"{where}: texts: {error}; write a text's root as a refusal shows it") from error
    return Rule(**values)


def _memory(value: Any, where: str) -> int:
    size = size_of(str(value))
    if isinstance(value, bool) or size < MEMORY_BYTES_MIN:
        raise OperatorFault(f"{where}: memory is {value!r}; write a size such as 16G or 512m")
    return size


_PLAIN = Rule()
_FIELDS = tuple(Rule.__slots__)
