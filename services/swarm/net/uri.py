"""Addresses of nodes: as operators write them, and as nodes publish them on the chain.

The latter are read with suspicion: whoever wrote one may be a liar.
"""

from __future__ import annotations

import contextlib
import ipaddress
from urllib.parse import urlsplit

from swarm.core.errors import PeerFault
from swarm.core.limits import URI_BYTES_MAX

SERVICE_PORT = 443
"""Where a reverse proxy offers a node's service if nobody says otherwise."""


def parse_uri(uri: str) -> tuple[str, int]:
    """Host and port of a member's URI.

    Raises:
        PeerFault: not ``https://host:port`` without path, user or query, at most 256 bytes.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
        plain = parts.path in ("", "/") and not parts.query and not parts.fragment and parts.username is None
        if len(uri.encode()) <= URI_BYTES_MAX and parts.scheme == "https" and parts.hostname and port and plain:
            parts.hostname.encode("idna")  # or the name fails later, where nobody expects it
            if uri.isascii() and uri.isprintable() and " " not in uri:
                return parts.hostname, port
    except ValueError as error:
        raise PeerFault(f"a member's address {uri!r:.100} cannot be read: {error}") from error
    raise PeerFault(f"a member's address {uri!r:.100} is not https://host:port")


def same_place(url: str) -> str:
    """One text for all ways to write an address: letter case, a last dot, an IPv6 address's zeros.

    Raises:
        PeerFault: it is no node's address.
    """
    host, port = parse_uri(url)
    host = host.removesuffix(".")
    with contextlib.suppress(ValueError):
        host = ipaddress.ip_address(host).compressed
    return f"{bracketed(host)}:{port}"


def node_url(option: str, text: str, port: int, *, port_apart: bool = False) -> str:
    """``https://host:port`` of what an operator wrote: a name or an IP address, alone or with a port (``[::1]:5``).

    Args:
        option: whose value this is, for the complaint.
        port: taken if the text has none.
        port_apart: the text may have none, another option says it.

    Raises:
        ValueError: it is no such text; one line with the option and what is expected.
    """
    host, own = text.strip(), ""
    if host.count(":") == 1 or "]:" in host:
        host, _, own = host.rpartition(":")
    url = f"https://{bracketed(host)}:{own or port}"
    try:
        if ":" in host:
            ipaddress.IPv6Address(host.strip("[]"))
        parse_uri(url)
        fits = not (own and port_apart)
    except (ValueError, PeerFault):
        fits = False
    if not fits:
        form = "without a port" if port_apart else "with :port or without"
        raise ValueError(f"{option}={text!r:.100}: expected a name or an IP address, {form}")
    return url


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
