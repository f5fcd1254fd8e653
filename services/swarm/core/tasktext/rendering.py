"""What a site will run of a task, as data: the Dockerfile, or each container with its image, environment and mounts.

Nothing is resolved that only a site can: a secret stays a reference, and the random part of a name is left open.
"""

from __future__ import annotations

from typing import Any

from .layout import lines_of, numbered
from .model import BuildBody, ContentBody, Login, Mount, PullBody, RunBody, Task, environment, image_of, made_by
from .profile import Profile, SlNode, sl_environment, user_environment
from .secrets import named_secrets

RANDOM = "<16 hex digits>"


def rendered(task: Task, profile: Profile | None = None, image: str | None = None) -> dict[str, Any]:
    """Args:
    profile: of one site; without it the task's own part is told.
    image: what RUN_SWARM runs in, if the prerequisite's Outcome is known.
    """
    head, made = task.header, made_by(task)
    whole: dict[str, Any] = {
        "name": head.name,
        "type": head.type.value,
        "author": head.author,
        "prereq": head.prereq,
        "outcome": head.outcome,
        "makes": None if made is None else {"kind": made.kind, "name": made.name},
        "body": numbered(lines_of(task.body)),
        "secrets": named_secrets(_values(task)),
    }
    if isinstance(task.body, BuildBody):
        whole["context"] = task.body.context
        whole["dockerfile"] = task.body.dockerfile
    elif isinstance(task.body, PullBody):
        whole["image"] = f"{task.body.registry}/{task.body.repository}:{task.body.tag}"
    elif isinstance(task.body, ContentBody):
        whole["volumes"] = "one for each node" if task.body.kind == "SWARMCONTENT" else "one"
    else:
        whole["image"] = image or f"what the task {head.prereq} made"
        whole["containers"] = (
            [_own(task, task.body)]
            if profile is None
            else [one for node in profile.nodes for one in _of_node(task, task.body, profile, node)]
        )
    return whole


def image_for(task: Task, others: list[Task]) -> str | None:
    """The image of a RUN_SWARM task, if its prerequisite is among these."""
    found = [one.header.outcome for one in others if one.header.name == task.header.prereq]
    return image_of(found[-1]) if found else None


def _own(task: Task, body: RunBody) -> dict[str, Any]:
    return {
        "container": "ML program",
        "entrypoint": body.entrypoint,
        "command": body.command,
        "working_dir": body.working_dir,
        "environment": environment(task),
        "mounts": [
            *([f"each node's privatedata at {body.private}"] if body.private is not None else []),
            *(_mount(one) for one in body.shared),
        ],
    }


def _of_node(task: Task, body: RunBody, profile: Profile, node: SlNode) -> list[dict[str, Any]]:
    private = []
    if node.private is not None and body.private is not None:
        private = [_mount(Mount(node.private.source, body.private, node.private.mount))]
    own = {key: value for key, value in _own(task, body).items() if key != "container"}
    name = f"{profile.group}-{task.header.name}-{{}}-{node.index}-{RANDOM}"
    return [
        {
            "container": name.format("s"),
            "kind": "SL",
            "host_name": node.host_name,
            "reached_at": node.fs_service or f"{node.host_ip}:{node.port}",
            "network": profile.network,
            "address": node.sl_ip,
            "environment": sl_environment(profile, node),
            "labels": dict(node.sl_labels),
            "mounts": [_mount(Mount(one.source, one.target, one.mount)) for one in node.identity],
        },
        {
            "container": name.format("u"),
            "kind": "ML program",
            **own,
            "host_name": node.user_host_name,
            "network": profile.network,
            "address": node.user_ip,
            "environment": user_environment(task, node),
            "labels": dict(node.user_labels),
            "options": {key: list(one) if isinstance(one, tuple) else one for key, one in node.user_options},
            "mounts": [*private, *(_mount(one) for one in body.shared)],
        },
    ]


def _mount(one: Mount) -> str:
    return f"{one.source} at {one.target} ({one.kind})"


def _values(task: Task) -> list[str]:
    body = task.body
    if isinstance(body, RunBody):
        return [one.value for one in body.variables if one.value is not None]
    if isinstance(body, PullBody):
        auth = body.auth
        return [auth.user, auth.password] if isinstance(auth, Login) else [auth] if auth is not None else []
    return []


def as_text(whole: dict[str, Any]) -> list[str]:
    """The same for people, one line each."""
    lines = [f"{key.upper():8} : {whole[key]}" for key in ("name", "type", "author", "prereq", "outcome")]
    made = whole["makes"]
    lines.append(f"{'MAKES':8} : {'nothing that stays' if made is None else made['kind'] + ' ' + made['name']}")
    if whole["secrets"]:
        lines.append(f"{'SECRETS':8} : {', '.join(whole['secrets'])}, from each site's file")
    lines += ["", "body on chain", *(f"    {line}" for line in whole["body"])]
    if "dockerfile" in whole:
        context = whole["context"]
        lines += ["", f"Dockerfile, with {'no files' if context is None else 'the files of the volume ' + context}"]
        lines += [f"    {line}".rstrip() for line in whole["dockerfile"].removesuffix("\n").split("\n")]
    elif "image" in whole:
        lines += ["", f"image {whole['image']}"]
    elif "volumes" in whole:
        lines += ["", f"volumes: {whole['volumes']}"]
    for container in whole.get("containers", ()):
        lines += ["", f"container {container['container']}"]
        for key, value in container.items():
            if key == "container" or value in (None, {}, []):
                continue
            if isinstance(value, dict):
                lines += [f"    {key.replace('_', ' ')}", *(f"        {name}={one}" for name, one in value.items())]
            elif isinstance(value, list):
                lines += [f"    {key.replace('_', ' ')}", *(f"        {one}" for one in value)]
            else:
                lines.append(f"    {key.replace('_', ' ')}: {value}")
    return lines
