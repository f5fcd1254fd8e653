"""The text of a failure as all sides know it: how it is named, hashed and bounded (docs/tasks.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import parse_qs, urlencode

from .ids import NO_DIGEST, Digest, from_hex, to_hex
from .taskrun.work import Key

QUERY_BYTES_MAX = 200
_NUMBER = re.compile(r"[0-9]{1,9}")
_FIELDS = ("aid", "pair", "attempt")


def hash_of(lines: Sequence[str]) -> Digest:
    """SHA-256 of the lines, each with its end; zeros if there is none."""
    if not lines:
        return NO_DIGEST
    return Digest(sha256("".join(f"{line}\n" for line in lines).encode()).digest())


def query_of(key: Key) -> str:
    """Which attempt's text is asked for."""
    return urlencode({"aid": to_hex(key.aid), "pair": key.pair, "attempt": key.attempt})


def key_in(query: bytes) -> Key | None:
    """The attempt that a query names; None for an empty one.

    Raises:
        ValueError: it names none; says how one is named.
    """
    if not query:
        return None
    try:
        fields: Mapping[str, list[str]] = parse_qs(
            query[: QUERY_BYTES_MAX + 1].decode("ascii"), strict_parsing=True, max_num_fields=len(_FIELDS)
        )
        aid, pair, attempt = ("".join(fields[name]) for name in _FIELDS)
        if len(query) > QUERY_BYTES_MAX or not _NUMBER.fullmatch(pair) or not _NUMBER.fullmatch(attempt):
            raise ValueError(pair)
        return Key(Digest(from_hex(aid, 32)), int(pair), int(attempt))
    except (KeyError, ValueError):
        raise ValueError("expected aid=0x<64 hex digits>&pair=<n>&attempt=<n>, or no query") from None
