"""The rule that takes one refused task and nothing else, and the command that writes it into a site's policy file.

Names come from the task, which is somebody else's: a ``*`` in one is made literal, and the command's words are quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ..ids import to_hex
from ..tasktext.model import ContentBody, PullBody
from .asked import Asked, pulled_name

POLICY_FILE = "policy.yaml"
_WILD = re.compile(r"([*?[])")
FLAGS: Mapping[str, str] = {
    "tasks": "--task",
    "kinds": "--kind",
    "authors": "--author",
    "texts": "--text",
    "images": "--image",
    "mounts": "--mount",
    "urls": "--url",
    "secrets": "--secret",
    "capabilities": "--capability",
    "build_network": "--build-network",
    "network": "--network",
    "devices": "--devices",
    "privileged": "--privileged",
}
"""The command's option for each key of a rule."""


def rule_for(asked: Asked) -> dict[str, Any]:
    """What a policy file says to take this task: by name, type, author and text, with what it asks for."""
    header, body = asked.task.header, asked.task.body
    images = (pulled_name(body),) if isinstance(body, PullBody) else asked.bases
    urls = list(asked.urls)
    if isinstance(body, ContentBody):
        urls += [one.target for one in body.operations if one.kind == "DOWNLOAD"]
    devices = asked.devices
    rule: dict[str, Any] = {
        "tasks": _literal([header.name]),
        "kinds": [str(header.type)],
        "authors": [to_hex(asked.author)],
        "texts": [to_hex(asked.text)] if any(asked.text) else [],
        "images": _literal(images),
        "mounts": _literal(one.source for one in asked.mounts),
        "urls": _literal(urls),
        "secrets": _literal(asked.secrets),
        "capabilities": _literal(name.upper().removeprefix("CAP_") for one in devices for name in one.capabilities),
        "devices": any(one.paths or one.gpus or one.ipc or one.groups for one in devices),
        "privileged": any(one.privileged for one in devices),
    }
    return {name: value for name, value in rule.items() if value}


def command_for(rule: Mapping[str, Any], source: str) -> str:
    """What an operator of the site types to write it; ``source`` is the policy that is there."""
    words = ["swarm", "policy", "allow", source if "/" in source or "." in source else POLICY_FILE]
    for name, value in rule.items():
        for one in value if isinstance(value, list) else [None]:
            if one is None:
                words.append(FLAGS[name])
            else:  # what begins with a dash is a value all the same
                words += [f"{FLAGS[name]}={one}"] if one.startswith("-") else [FLAGS[name], one]
    return shlex.join(words)


def _literal(names: Iterable[str]) -> list[str]:
    return [_WILD.sub(r"[\1]", name) for name in dict.fromkeys(names)]
