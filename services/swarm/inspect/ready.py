"""``swarm ready``: is the node of this host at work? Quick (no event loop, no chain), for container healthchecks."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from swarm.core.errors import OperatorFault
from swarm.core.limits import OPS_PORT_SL, OPS_PORT_SN

OPS_PORTS = {"sn": OPS_PORT_SN, "sl": OPS_PORT_SL}
ANSWER_SECONDS = 3.0
ANSWER_BYTES_MAX = 64 * 1024
PAUSE_SECONDS = 0.5


def ready(role: str, ops: str | None, timeout: float, environ: Mapping[str, str]) -> str:
    """Why the node does not do its work; "" if it says that it is healthy.

    Args:
        ops: ``http://host:port``; None takes SWARM_OPS_LISTEN, SWARM_OPS_PORT and the role's default.
        timeout: seconds to keep asking.

    Raises:
        OperatorFault: the role is unknown or the address is none.
    """
    if role not in OPS_PORTS:
        raise OperatorFault(f"{role}: expected one of {', '.join(OPS_PORTS)}")
    host, port = operations_port(role, ops, environ)
    until = time.monotonic() + timeout
    while True:
        reason = _ask(host, port)
        if reason is None:
            return ""
        if time.monotonic() >= until:
            return f"{role} at {host}:{port} is not ready: {reason}"
        time.sleep(PAUSE_SECONDS)


def operations_port(role: str, ops: str | None, environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of this host's node: ``ops`` (``http://host:port``), or what the node itself goes by.

    Raises:
        OperatorFault: that is no address; names where it came from.
    """
    listen, port = environ.get("SWARM_OPS_LISTEN") or "127.0.0.1", environ.get("SWARM_OPS_PORT") or OPS_PORTS[role]
    here = "127.0.0.1" if listen == "0.0.0.0" else listen  # noqa: S104 - compared, not bound
    url = ops or f"http://{f'[{here}]' if ':' in here else here}:{port}"
    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError:  # a port or an IPv6 address that is none
        host, number = None, None
    if not url.startswith("http://") or not host or not number:
        came = "--ops" if ops else "SWARM_OPS_LISTEN and SWARM_OPS_PORT"
        raise OperatorFault(f"{came}: {url}: expected http://<host>:<port>")
    return host, number


def _ask(host: str, port: int) -> str | None:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        told = json.loads(answer.read(ANSWER_BYTES_MAX))
        return None if answer.status == 200 else str(told.get("reason"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError, RecursionError) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()
