"""Addresses that nodes publish on the chain, read back with suspicion: whoever wrote one may be a liar."""

from __future__ import annotations

from urllib.parse import urlsplit

from swarm.core.errors import PeerFault
from swarm.core.limits import URI_BYTES_MAX


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


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
