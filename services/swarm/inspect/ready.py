"""``swarm ready``: is the node of this host at work? Quick (no event loop, no chain), for container healthchecks.

Nodes tell it on their operations port. A SWCI has none: its REST face is asked over TLS with the SWCI's own
certificate; a shell at a keyboard has nothing that could be not ready.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from swarm.core.errors import OperatorFault
from swarm.core.limits import OPS_PORT_SL, OPS_PORT_SN, OPS_PORT_SWOP, SWCI_WEB_PORT

OPS_PORTS = {"sn": OPS_PORT_SN, "sl": OPS_PORT_SL, "swop": OPS_PORT_SWOP}
SWCI = "swci"
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
    ask, (host, port) = _way(role, ops, environ)
    if ask is None:
        return ""
    until = time.monotonic() + timeout
    while True:
        reason = ask()
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


def _way(
    role: str, ops: str | None, environ: Mapping[str, str]
) -> tuple[Callable[[], str | None] | None, tuple[str, int]]:
    """What asks (None: there is nothing to ask), and where."""
    if role == SWCI:
        if environ.get("SWCI_MODE", "").upper() != "WEB":
            return None, ("", 0)
        here = ("127.0.0.1", _number(environ))
        tls = _own_tls(environ)
        return lambda: _ask(http.client.HTTPSConnection(*here, timeout=ANSWER_SECONDS, context=tls), "/is_up"), here
    if role not in OPS_PORTS:
        raise OperatorFault(f"{role}: expected one of {', '.join((*OPS_PORTS, SWCI))}")
    there = operations_port(role, ops, environ)
    return lambda: _ask(http.client.HTTPConnection(*there, timeout=ANSWER_SECONDS), "/healthz"), there


def _number(environ: Mapping[str, str]) -> int:
    given = environ.get("SWCI_WEB_PORT") or str(SWCI_WEB_PORT)
    if not given.isascii() or not given.isdigit() or not 0 < int(given) < 65536:
        raise OperatorFault(f"SWCI_WEB_PORT={given}: expected a TCP port")
    return int(given)


def _own_tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    from swarm.net.tls import TlsFiles, client_context

    cert, key, cacert, capath = (
        Path(environ[name]) if environ.get(name) else None
        for name in ("SWARM_ID_CERT", "SWARM_ID_KEY", "SWARM_ID_CACERT", "SWARM_ID_CAPATH")
    )
    if cert is None or key is None:
        raise OperatorFault("a SWCI is asked with its own certificate: set SWARM_ID_CERT and SWARM_ID_KEY")
    return client_context(TlsFiles(cert=cert, key=key, cacert=cacert, capath=capath))


def _ask(connection: http.client.HTTPConnection, path: str) -> str | None:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        told = json.loads(answer.read(ANSWER_BYTES_MAX))
        return None if answer.status == 200 else str(told.get("reason"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError, RecursionError) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()
