"""How far a connection to another node's port comes: name, TCP, TLS, certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from swarm.core.doctor.facts import Reach, Reached
from swarm.core.errors import SwarmFault
from swarm.net.faults import TlsRefused
from swarm.net.probe import CONNECT_SECONDS, handshake

PATHS_MAX = 256
"""Ports of other hosts in one go."""
ABREAST_MAX = 16
TRIES = 3
"""TCP connections for the shortest time of one."""

Target = tuple[str, int, str]
"""Host, port, whose."""


def reached(targets: Sequence[Target], context: ssl.SSLContext | None) -> list[Reached]:
    """Each of them, several at once. Args: context: with this node's certificate; None: TCP alone is tried."""
    with ThreadPoolExecutor(ABREAST_MAX, thread_name_prefix="path") as pool:
        return list(pool.map(lambda one: reach(one[0], one[1], one[2], context), targets[:PATHS_MAX]))


def reach(host: str, port: int, whose: str, context: ssl.SSLContext | None) -> Reached:
    """One path; takes at most some 15 s."""

    def told(how: Reach, text: str = "") -> Reached:
        return Reached(host, port, whose, how, text, quickest, segment)

    quickest: float | None = None
    segment: int | None = None
    try:
        for _ in range(TRIES):
            began = time.perf_counter()
            with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as line:
                took = (time.perf_counter() - began) * 1000
                segment = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            quickest = took if quickest is None else min(took, quickest)
    except socket.gaierror as error:
        return told(Reach.UNKNOWN, f"no host is known by this name here: {error.strerror}")
    except TimeoutError:
        return told(Reach.SILENT, f"no connection within {CONNECT_SECONDS:.0f} s")
    except ConnectionRefusedError:
        return told(Reach.REFUSED, "the host answers, nothing listens on this port")
    except (OSError, UnicodeError) as error:
        return told(Reach.SILENT, str(getattr(error, "strerror", None) or error))
    if context is None:
        return told(Reach.TAKEN)
    try:
        handshake(host, port, context)
    except TlsRefused as error:
        return told(Reach.UNTRUSTED, error.cause)
    except SwarmFault as error:
        return told(Reach.STUCK, getattr(error, "cause", str(error)))
    return told(Reach.ANSWERS)


def listens(port: int) -> bool:
    """Whether something on this host takes connections at the port, on any of its addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except PermissionError:
            return _connects(port)
        except OSError:
            return True
    return _connects(port)


def _connects(port: int) -> bool:
    """A port that an engine publishes by rules of the kernel can be bound, and answers all the same."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that send programs of this host through a proxy; a password in one is left out."""
    found = {}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelt in (name, name.upper()):
            if environ.get(spelt):
                found[spelt] = environ[spelt].rpartition("@")[2][:200]
    return found
