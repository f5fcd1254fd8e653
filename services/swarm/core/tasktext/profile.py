"""A SWOP profile: how one site runs what tasks say. Read with every problem at its line; typed for SWOP."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bounds import PROFILE_BYTES_MAX, PROFILE_VALUES_MAX
from .findings import Findings, Reading, Weight, quoted
from .model import Task, Variable, environment
from .placeholders import filled, name_them
from .profilefields import PROFILE, SL_VARIABLES
from .walk import BAD, Walk
from .yamltree import Node, Unreadable, decoded, tree

SL_PORT, LICENSE_PORT, API_PORT = 30305, 5814, 30304
"""Where a profile says nothing."""
TYPO_RATIO = 0.85
_TASK_KEY = re.compile(rb"^\W{0,4}(?:TaskType|Body|Prereq|Outcome)\b", re.MULTILINE)
_PROFILE_KEY = re.compile(rb"^\W{0,4}(?:groupname|taskrunner|nodes|apisrv|apls|resourcemgr)\b", re.MULTILINE)

OptionValue = str | bool | int | float | None | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """One file, folder or socket of a node's identity.

    Args:
        kind: KEY, CERT, CACERT, CAPATH or SPIFFE_SOCKETPATH.
        mount: BIND or VOLUME.
        sub_path: the file, relative to ``target``.
    """

    kind: str
    mount: str
    source: str
    target: str
    sub_path: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """A host, a port, or a service name instead."""

    host: str | None = None
    port: int | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Private:
    source: str
    mount: str


@dataclass(frozen=True, slots=True)
class SlNode:
    """One SL and the ML program beside it (``user``)."""

    index: int
    identity: tuple[Identity, ...]
    host_name: str | None
    host_ip: str | None
    port: int
    fs_service: str | None
    private: Private | None
    sl_variables: tuple[Variable, ...]
    user_variables: tuple[Variable, ...]
    sl_labels: tuple[tuple[str, str], ...]
    user_labels: tuple[tuple[str, str], ...]
    sl_ip: str | None
    user_ip: str | None
    user_host_name: str | None
    user_options: tuple[tuple[str, OptionValue], ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """Args:
    api: the SN; what is given here wins over the command line.
    """

    group: str
    taskrunner: str
    network: str
    policy_uri: str | None
    license: Address
    api: Address
    variables: tuple[Variable, ...]
    dns: tuple[str, ...]
    nodes: tuple[SlNode, ...]


def sl_environment(profile: Profile, node: SlNode) -> dict[str, str]:
    """Of the SL's container: the profile's variables, over them the node's; without a value: as in the image."""
    return _laid_over({one.name: one.value for one in profile.variables}, node.sl_variables)


def user_environment(task: Task, node: SlNode) -> dict[str, str]:
    """Of the ML program's container: the task's variables, over them the node's."""
    return _laid_over(dict(environment(task)), node.user_variables)


def _laid_over(below: Mapping[str, str | None], above: tuple[Variable, ...]) -> dict[str, str]:
    together = {**below, **{one.name: one.value for one in above}}
    return {name: value for name, value in together.items() if value is not None}


def read_profile(text: bytes | str, values: Mapping[str, str] | None = None) -> Reading[Profile]:
    """Read one profile.

    Raises:
        OperatorFault: ``values`` cannot be used. What is wrong with the text is in the result.
    """
    found = Findings()
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    profile = None
    try:
        decoded_text = decoded(text, PROFILE_BYTES_MAX, found)
        if values:
            decoded_text = decoded(filled(decoded_text, values, found), PROFILE_BYTES_MAX, found)
            content = decoded_text.encode()
        top = tree(decoded_text, PROFILE_VALUES_MAX, found)
        name_them(top, found)
        taken = Walk(found).take(top, PROFILE, "the profile")
        if taken is not BAD:
            profile = _profile(taken)
            _advise(top, found)
    except Unreadable:
        profile = None
    return Reading(None if found.refused else profile, found.sorted(), content)


def looks_like_profile(raw: bytes) -> bool:
    """Whether a file means to be a profile rather than a task, by the keys at its left edge."""
    return _TASK_KEY.search(raw) is None and _PROFILE_KEY.search(raw) is not None


def _profile(taken: Mapping[str, Any]) -> Profile:
    return Profile(
        group=taken["groupname"],
        taskrunner=taken["taskrunner"],
        network=taken["network"],
        policy_uri=taken.get("policyuri"),
        license=_address(taken.get("apls"), LICENSE_PORT),
        api=_address(taken.get("apisrv"), API_PORT),
        variables=_variables(taken.get("envvars")),
        dns=taken.get("dns") or (),
        nodes=tuple(_node(one["slnodedef"]) for one in taken["nodes"]),
    )


def _address(taken: Mapping[str, Any] | None, port: int) -> Address:
    locator = (taken or {}).get("locator") or {}
    host = locator.get("host")
    return Address(host, locator.get("port") or (port if host is not None else None), locator.get("service"))


def _node(taken: Mapping[str, Any]) -> SlNode:
    attributes = [one["attribute"] for one in taken.get("identity") or ()]
    private = taken.get("privatedata")
    return SlNode(
        index=taken["idx"],
        identity=tuple(
            Identity(one["aType"], one["mType"], one["src"], one["tgt"], one.get("subPath")) for one in attributes
        ),
        host_name=taken.get("slhostname"),
        host_ip=taken.get("slhostip"),
        port=taken.get("slport") or SL_PORT,
        fs_service=taken.get("slfsservice"),
        private=None if private is None else Private(private["src"], private["mType"]),
        sl_variables=_variables(taken.get("slenvvars")),
        user_variables=_variables(taken.get("usrenvvars")),
        sl_labels=taken.get("sllabels") or (),
        user_labels=taken.get("usrlabels") or (),
        sl_ip=dict(taken.get("slnetworkopts") or ()).get("ip"),
        user_ip=dict(taken.get("usrnetworkopts") or ()).get("ip"),
        user_host_name=taken.get("usrhostname"),
        user_options=taken.get("usrcontaineropts") or (),
    )


def _variables(taken: tuple[tuple[str, str | None], ...] | None) -> tuple[Variable, ...]:
    return tuple(Variable(name, value) for name, value in taken or ())


def _advise(top: Node, found: Findings) -> None:
    """What one key alone does not show."""
    _name_typos(top, "envvars", found)
    seen: dict[int, int] = {}
    listed = top.get("nodes")
    for item in listed.items if listed is not None else ():
        node = item.get("slnodedef")
        if node is None:
            continue
        index = node.get("idx")
        if index is not None and isinstance(index.value, int | float):
            if int(index.value) in seen:
                found.add(
                    Weight.ERROR,
                    index.line,
                    index.column,
                    f"idx {int(index.value)} stands twice, first in line {seen[int(index.value)]}: number the nodes"
                    " from 0",
                )
            seen[int(index.value)] = index.line
        if not any(value is not None and value.value for value in (node.get("slhostip"), node.get("slfsservice"))):
            found.add(
                Weight.DEFECT,
                node.line,
                node.column,
                "slnodedef has neither slhostip nor slfsservice: no other site can reach this SL",
            )
        _name_typos(node, "slenvvars", found)
        private = node.get("privatedata")
        if private is not None:
            _absolute_binding(private, found)
        identity = node.get("identity")
        for attribute in identity.items if identity is not None else ():
            one = attribute.get("attribute")
            if one is not None:
                _absolute_binding(one, found)


def _absolute_binding(node: Node, found: Findings) -> None:
    kind, source = node.get("mType"), node.get("src")
    if kind is not None and source is not None and kind.text == "BIND" and not source.text.startswith(("/", "<")):
        found.add(
            Weight.DEFECT,
            source.line,
            source.column,
            f"src is {quoted(source.text)}: a BIND needs a path of the host that begins with /",
        )


def _name_typos(node: Node, key: str, found: Findings) -> None:
    listed = node.get(key)
    for item in listed.items if listed is not None else ():
        for name, _ in item.pairs:
            if name.text in SL_VARIABLES or not name.text.startswith(("SL_", "SWARM_")):
                continue
            alike = difflib.get_close_matches(name.text, SL_VARIABLES, n=1, cutoff=TYPO_RATIO)
            if alike:
                found.add(
                    Weight.DEFECT,
                    name.line,
                    name.column,
                    f"{quoted(name.text)} is no variable of an SL; did you mean {alike[0]}?",
                )
