"""Symbolic links in a path of the host, as its engine sees them: a program must not lead the next mount elsewhere.

A SWOP may sit in a container and see nothing of the host. So the path's first folder is mounted, for reading, into a
container that is made of an empty image and never runs, and each part below it is looked at by itself. The first folder
stands in ``/``, where no program can write.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Mapping
from typing import Any

from docker.errors import APIError
from docker.types import Mount

from .building import MOUNTED, holder

GO_SYMLINK = 1 << 27
"""In the engine's file modes."""
MISSING, UNRESOLVED = 404, 500


def link_in(api: Any, path: str, labels: Mapping[str, str]) -> str | None:
    """The first part of ``path`` that is a symbolic link; None: there is none, or the path ends before.

    Raises:
        APIError: the engine does not answer.
    """
    first, *below = [part for part in posixpath.normpath(path).split("/") if part] or [""]
    if not below:
        return None
    host = api.create_host_config(
        mounts=[Mount(MOUNTED, f"/{first}", type="bind", read_only=True)], network_mode="none"
    )
    try:
        with holder(api, host, labels) as looking:
            at = ""
            for part in below:
                at = f"{at}/{part}"
                mode = _mode(api, looking, MOUNTED + at)
                if mode is None:
                    return None
                if mode & GO_SYMLINK:
                    return f"/{first}{at}"
    except APIError as error:
        if "does not exist" not in str(error.explanation):
            raise
    return None


def _mode(api: Any, container: str, path: str) -> int | None:
    """How the engine describes a path in a container; the last part is not followed. None: nothing is there."""
    answer = api.head(api._url("/containers/{0}/archive", container), params={"path": path})
    if answer.status_code == MISSING:
        return None
    if answer.status_code == UNRESOLVED:
        return GO_SYMLINK  # it looks where a link leads as well, and this one leads to itself
    api._raise_for_status(answer)
    return int(json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))["mode"])
