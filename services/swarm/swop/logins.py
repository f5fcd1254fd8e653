"""The login for an image's registry, as a PULL_IMAGE task names it (row T05): none, a path, a secret, or in clear.

A task's author picks registry, path and secret, so what the site keeps is only looked up for the very registry that the
image comes from: a login is written beside its registry, and what is for others stays here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from swarm.core.errors import OperatorFault
from swarm.core.tasktext.model import Login, PullBody
from swarm.core.tasktext.secrets import secret_name

CONFIG_BYTES_MAX = 1024 * 1024
HUB = "docker.io"
HUB_KEYS = (HUB, "index.docker.io", "https://index.docker.io/v1/")


def login_of(body: PullBody, secrets: Mapping[str, str], usr_dir: Path) -> dict[str, str] | None:
    """Username and password; None: the registry is asked without.

    A secret is ``registry user:password``, or the text of a config.json.

    Raises:
        OperatorFault: the file or secret does not work; says which, never what is in it.
    """
    auth = body.auth
    if auth is None:
        return None
    if isinstance(auth, Login):
        return {"username": auth.user, "password": auth.password}
    host = registry_of(body.registry)
    named = secret_name(auth)
    if named is not None:
        if named not in secrets:
            raise OperatorFault(
                f"Auth is secret:{named}, and this site's file of secrets has no {named}; write it there"
            )
        text = secrets[named]
        if text.lstrip().startswith("{"):
            return _from_config(text, host, f"the secret {named}")
        bound, _, login = text.strip().partition(" ")
        user, colon, password = login.strip().partition(":")
        if bound != host or not colon or not user:
            raise OperatorFault(
                f"the secret {named} is no login for {host}: write `{host} user:password`, or the text of a config.json"
                " (a login without its registry would go to whatever registry a task names)"
            )
        return {"username": user, "password": password}
    path = (usr_dir / auth).resolve()
    if not path.is_relative_to(usr_dir.resolve()) or not path.is_file():
        raise OperatorFault(
            f"Auth names {auth}, which is no file in this site's folder {usr_dir}: put the config.json there, or use"
            " secret:<name>"
        )
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
        if len(raw) > CONFIG_BYTES_MAX:
            raise OperatorFault(f"{path} has more than {CONFIG_BYTES_MAX} bytes: it is no config.json")
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorFault(
            f"Auth names {path}, which cannot be read here ({getattr(error, 'strerror', None) or 'no text'});"
            " put the file there, or use secret:<name>"
        ) from error
    return _from_config(text, host, str(path))


def registry_of(name: str) -> str:
    """The registry's host, with its port, in ``registry/organisation``."""
    first, slash, _ = name.partition("/")
    named = first if slash or "." in first or ":" in first else ""
    return named if "." in named or ":" in named or named == "localhost" else HUB


def _from_config(text: str, host: str, where: str) -> dict[str, str]:
    try:
        known = json.loads(text)["auths"]
        entries = {key: value for key, value in known.items() if isinstance(value, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OperatorFault(
            f"{where} is no config.json with logins (auths): run `docker login` and copy its file"
        ) from None
    keys = (
        HUB_KEYS
        if host == HUB
        else (host, f"https://{host}", f"http://{host}", f"https://{host}/", f"https://{host}/v1/")
    )
    entry = next((entries[key] for key in keys if key in entries), None)
    if entry is None:
        raise OperatorFault(f"{where} has no login for {host}: run `docker login {host}` and copy its file")
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (ValueError, KeyError, TypeError):
        user, colon, password = "", "", ""
    if not colon or not user:
        raise OperatorFault(
            f"{where} has no password for {host} (a credential helper keeps it): use secret:<name>,"
            f" `{host} user:password`"
        )
    return {"username": user, "password": password}
