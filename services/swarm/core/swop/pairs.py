"""The two containers of a pair: what they are made of, how they are named, and how the pair stands (row P17).

An SL and the program that trains beside it share a volume with two named pipes. Names come from the attempt, so that
making a pair again is making the same one; a SWOP finds its pairs by their labels.
"""

from __future__ import annotations

import hashlib
import ipaddress
import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import OperatorFault
from ..ids import Address, Digest, from_hex, to_hex
from ..taskrun.work import Key, WorkState
from ..tasktext.model import RunBody, Task
from ..tasktext.profile import Identity, Profile, SlNode, sl_environment, user_environment
from ..tasktext.secrets import secret_name
from .containers import GRACE_SECONDS, NO_NETWORK, PIDS_MAX, ContainerSpec, ContainerState, Found, Mount, MountKind
from .devices import devices

PREFIX = "swarm-learning."
"""Of all labels that are ours."""
SWOP, AID, PAIR, ATTEMPT, PART = (PREFIX + word for word in ("swop", "aid", "pair", "attempt", "part"))
EXCHANGE = "/tmp/hpe-swarm"  # noqa: S108 - the original's place (row F03)
STATE = "/platform/swarm/SMLNODE"
SL_INSIDE = 30305
LOOPBACK = "SWARM_LOOPBACK"
IDENTITY = {
    "KEY": "SWARM_ID_KEY",
    "CERT": "SWARM_ID_CERT",
    "CACERT": "SWARM_ID_CACERT",
    "CAPATH": "SWARM_ID_CAPATH",
    "SPIFFE_SOCKETPATH": "SWARM_SPIFFE_WORKLOAD_API_SOCKET_PATH",
}
SCRATCH = ("/tmp", "/run")  # noqa: S108 - folders in memory inside a container
_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NAME_CHARS_MAX = 40
"""Of a group's or a task's name in a container's."""


class Part(StrEnum):
    """Of a pair; the letters stand in names."""

    SL = "s"
    ML = "u"


@dataclass(frozen=True, slots=True)
class Site:
    """What a SWOP knows of its host beside the profile.

    Args:
        swop: its own address, which marks all that it makes.
        sl_image: name or id of the image that SLs run.
        user: ``uid:gid`` of programs, None: as in the image.
        sn: variables that say where an SL finds its SN, where the profile does not.
            secrets: values of this site's secrets by name.
    """

    swop: Address
    sl_image: str
    user: str | None = None
    sn: Mapping[str, str] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the site's policy grants a program.

    Args:
        network: the profile's network; without it the program reaches nothing but its SL's pipes.
        writable_root: whether it may write outside its mounts and /tmp.
        confined: no capabilities but those that the profile's options name, no new privileges.
        memory_bytes: at most; 0: all but what the host needs itself.
    """

    network: bool = False
    writable_root: bool = False
    confined: bool = True
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Both containers, and the volumes that are made before: ``exchange`` goes with the pair, ``state`` stays."""

    sl: ContainerSpec
    ml: ContainerSpec
    exchange: str
    state: str
    notices: tuple[str, ...] = ()


def stamp(key: Key) -> str:
    """16 hexadecimal digits that name an attempt."""
    raw = key.aid + key.pair.to_bytes(4, "big") + key.attempt.to_bytes(4, "big")
    return hashlib.sha256(raw).hexdigest()[:16]


def labels(swop: Address, key: Key) -> dict[str, str]:
    """By which everything of an attempt is found again."""
    return {SWOP: to_hex(swop), AID: to_hex(key.aid), PAIR: str(key.pair), ATTEMPT: str(key.attempt)}


def key_of(found: Mapping[str, str]) -> Key | None:
    """The attempt that labels name; None if they name none."""
    try:
        return Key(Digest(from_hex(found[AID], 32)), int(found[PAIR]), int(found[ATTEMPT]))
    except (KeyError, ValueError):
        return None


def state_volume(profile: Profile, node: SlNode) -> str:
    """Keeps an SL's key, journal and models from run to run."""
    return f"swop-{_safe(profile.group)}-state-{node.index}"


def exchange_volume(profile: Profile, node: SlNode, key: Key) -> str:
    """Shared by an SL and its program, for one attempt."""
    return f"swop-{_safe(profile.group)}-swif-{node.index}-{stamp(key)}"


def is_loopback(task: Task, node: SlNode) -> bool:
    """Whether the program says that it trains without a swarm (row T08)."""
    return user_environment(task, node).get(LOOPBACK, "").strip().lower() in ("true", "1", "yes", "on")


def pair(site: Site, profile: Profile, node: SlNode, task: Task, image: str, key: Key, terms: Terms) -> Pair:
    """The containers of an attempt.

    Args:
        image: id of the image that the prerequisite's Outcome names here.

    Raises:
        OperatorFault: a command or an option of the profile cannot be read; a secret is not in this site's file.
    """
    if not isinstance(task.body, RunBody):
        raise TypeError(f"a {task.header.type} task has no pairs")
    mark, group = stamp(key), _safe(profile.group)
    exchange, state = exchange_volume(profile, node, key), state_volume(profile, node)
    pipes = f"{EXCHANGE}/{group}.{node.index}.{mark}"
    channels = {"SL_REQUEST_CHANNEL": f"{pipes}.request.pipe", "SL_RESPONSE_CHANNEL": f"{pipes}.response.pipe"}
    shared = Mount(MountKind.VOLUME, exchange, EXCHANGE)
    sl_identity, identity_mounts = _identity(node.identity)
    ours = labels(site.swop, key)
    options, unknown = devices(node.user_options)

    def named(part: Part) -> str:
        return f"{group}-{_safe(task.header.name)}-{part}-{node.index}-{mark}"

    published = node.host_ip is not None and not _is_container_name(node)
    aliases = tuple(dict.fromkeys(n for n in (node.host_name, node.host_ip) if n is not None and not _is_address(n)))
    sl = ContainerSpec(
        name=named(Part.SL),
        image=site.sl_image,
        environment={
            **(site.sn or {}),
            **_sn(profile),
            **_where(node),
            **sl_identity,
            **_with_secrets(sl_environment(profile, node), site.secrets),
            **channels,
            "SWARM_EXCHANGE_DIR": EXCHANGE,
            "SWARM_TASK_ATTEMPT": mark,
        },
        labels={**dict(node.sl_labels), **ours, PART: Part.SL},
        mounts=(shared, Mount(MountKind.VOLUME, state, STATE), *identity_mounts),
        network=profile.network,
        address=node.sl_ip,
        aliases=aliases,
        host_name=node.host_name,
        dns=profile.dns,
        ports={SL_INSIDE: node.port} if published else {},
        writable_root=False,
        scratch=SCRATCH,
        grace_seconds=GRACE_SECONDS,
    )
    ml = ContainerSpec(
        name=named(Part.ML),
        image=image,
        entrypoint=_words("Entrypoint", task.body.entrypoint),
        command=_words("Command", task.body.command),
        working_dir=task.body.working_dir,
        environment={**_with_secrets(user_environment(task, node), site.secrets), **channels},
        labels={**dict(node.user_labels), **ours, PART: Part.ML},
        mounts=(shared, *_content(task.body, node)),
        network=profile.network if terms.network else NO_NETWORK,
        address=node.user_ip if terms.network else None,
        host_name=node.user_host_name,
        dns=profile.dns if terms.network else (),
        user=site.user,
        devices=options,
        writable_root=terms.writable_root,
        scratch=() if terms.writable_root else SCRATCH,
        confined=terms.confined,
        pids=PIDS_MAX,
        memory_bytes=terms.memory_bytes,
        grace_seconds=GRACE_SECONDS,
    )
    notices = tuple(f"usrcontaineropts: {name} means nothing here and is left out" for name in unknown)
    return Pair(sl, ml, exchange, state, notices)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an attempt stands, from its containers.

    Args:
        state: None: as if nothing of it were here; what is left of it is made again.
        sl, ml: what was found.
        lost: the program's container went away after its start: nobody knows what it did.
        finishing: the program has ended and its SL goes on, to hand its last model to others.
    """

    state: WorkState | None
    sl: Found | None = None
    ml: Found | None = None
    lost: bool = False
    finishing: bool = False


def standing(found: Iterable[Found]) -> Standing:
    """Of one attempt's containers, of which some may be missing."""
    parts = {one.labels.get(PART): one for one in found}
    sl, ml = parts.get(Part.SL), parts.get(Part.ML)
    begun = any(one is not None and one.state is not ContainerState.CREATED for one in (sl, ml))
    if sl is None or ml is None:
        if not begun:
            return Standing(None, sl, ml)
        if ml is None:
            return Standing(WorkState.EXITED, sl, ml, lost=True)
        over = ml.state is not ContainerState.RUNNING
        return Standing(
            WorkState.EXITED if over else WorkState.RUNNING, sl, ml, lost=ml.state is ContainerState.CREATED
        )
    if ml.state is ContainerState.CREATED:
        # The SL's start comes first; the pass that began it goes on, unless the SL could not even live.
        ended = sl.state is ContainerState.EXITED
        return Standing(WorkState.EXITED if ended else WorkState.CREATED, sl, ml, lost=False)
    if ml.state is ContainerState.RUNNING:
        return Standing(WorkState.RUNNING, sl, ml)
    if sl.state is ContainerState.RUNNING:
        return Standing(WorkState.RUNNING, sl, ml, finishing=True)
    return Standing(WorkState.EXITED, sl, ml)


def _safe(name: str) -> str:
    """As a part of a container's name; another name where something had to go keeps them apart."""
    kept = "".join(char if char in _SAFE else "-" for char in name)[:_NAME_CHARS_MAX]
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _words(what: str, text: str) -> tuple[str, ...] | None:
    try:
        return tuple(shlex.split(text)) or None
    except ValueError as error:
        raise OperatorFault(
            f"the task's {what} cannot be split into words ({error}): {text!r}; close its quotes"
        ) from error


def _with_secrets(variables: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """Each ``secret:<name>`` as this site's file has it."""
    found = {}
    for name, value in variables.items():
        wanted = secret_name(value)
        if wanted is not None and wanted not in secrets:
            raise OperatorFault(
                f"{name} is secret:{wanted}, and this site's file of secrets has no {wanted}; write it there"
            )
        found[name] = value if wanted is None else secrets[wanted]
    return found


def _identity(given: Iterable[Identity]) -> tuple[dict[str, str], tuple[Mount, ...]]:
    variables, mounts = {}, {}
    for one in given:
        variables[IDENTITY[one.kind]] = posixpath.join(one.target, one.sub_path) if one.sub_path else one.target
        mount = Mount(MountKind(one.mount), one.source, one.target, read_only=True)
        mounts[mount.source, mount.target] = mount
    return variables, tuple(mounts.values())


def _sn(profile: Profile) -> dict[str, str]:
    api = profile.api
    if api.service is not None:
        return {"SN_API_SERVICE": api.service}
    if api.host is None:
        return {}
    return {"SN_NODE_IP": api.host, "SN_API_SERVER_PORT": str(api.port)}


def _where(node: SlNode) -> dict[str, str]:
    """Where others reach this SL."""
    if node.fs_service is not None:
        return {"SL_FS_SERVICE": node.fs_service}
    named = {} if node.host_ip is None else {"THIS_NODE_IP": node.host_ip}
    return {**named, "SL_FS_PORT": str(node.port)}


def _content(body: RunBody, node: SlNode) -> tuple[Mount, ...]:
    mounts = []
    if body.private is not None and node.private is not None:
        mounts.append(Mount(MountKind(node.private.mount), node.private.source, body.private))
    mounts += [Mount(MountKind(one.kind), one.source, one.target) for one in body.shared]
    return tuple(mounts)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_container_name(node: SlNode) -> bool:
    """On one host ``slhostip`` may be the container's own name: it is reached inside the network then."""
    return node.host_ip == node.host_name
