"""The text of a failure: what a program wrote before it failed, as it may be shown, for as long as it is kept.

Owns form and bounds (docs/tasks.md, "The text of a failure"); who may read is the node's affair.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from swarm.core.failuretext import hash_of
from swarm.core.ids import NO_DIGEST, Digest
from swarm.core.taskrun.work import Key
from swarm.obs import log as obs_log
from swarm.obs.recent import BYTES_MAX, LINE_BYTES_MAX, LINES_MAX
from swarm.store.journal import Journal

PREFIX = "swop/text/"
SECRET_CHARS_MIN = 4
"""A shorter one would strike out half of every text."""
TEXTS_MAX = 64
"""Of the newest attempts that failed."""


def shown_lines(output: str, secrets: Iterable[str] = ()) -> list[str]:
    """The last lines of it: secrets struck out, no control characters, within the bounds of what a log tells.

    Args:
        secrets: the site's own values, which look like nothing in particular.
    """
    for form in sorted({form for value in secrets for form in _forms(value)}, key=len, reverse=True):
        output = output.replace(form, obs_log.STRUCK_OUT)
    lines: list[str] = []
    size = 0
    for line in reversed(output.splitlines()[-LINES_MAX:]):
        kept = obs_log.one_line(str(obs_log.redact(line))).encode("utf-8", "replace")[:LINE_BYTES_MAX]
        size += len(kept) + 1
        if size > BYTES_MAX:
            break
        lines.append(kept.decode("utf-8", "ignore"))
    return lines[::-1]


def _forms(value: str) -> Iterable[str]:
    """As programs write a value: as it is, by lines, within a representation, JSON or an address."""
    written = [value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")]
    written += [line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * SECRET_CHARS_MIN]
    return (form for form in written if len(form) >= SECRET_CHARS_MIN)


class Texts:
    """The texts of the newest attempts that failed, durable before their hash is told."""

    def __init__(self, journal: Journal, secrets: Iterable[str] = ()) -> None:
        self._journal, self._secrets = journal, tuple(secrets)
        self._names = [name for name, _ in sorted(journal.items(PREFIX), key=lambda item: json.loads(item[1])["n"])]
        last = journal.get(self._names[-1]) if self._names else None
        self._count = 0 if last is None else int(json.loads(last)["n"])

    def keep(self, key: Key, output: str) -> Digest:
        """Keep what may be shown of it, and return its hash. The first text of an attempt stays."""
        name = _name(key)
        known = self.lines(key)
        if known is not None:
            return hash_of(known)
        lines = shown_lines(output, self._secrets)
        if not lines:
            return NO_DIGEST
        self._count += 1
        gone = self._names[: max(0, len(self._names) + 1 - TEXTS_MAX)]
        self._journal.batch({name: json.dumps({"n": self._count, "lines": lines}).encode()}, gone)
        self._names = [*self._names[len(gone) :], name]
        return hash_of(lines)

    def lines(self, key: Key) -> list[str] | None:
        """The lines of an attempt; None if none are kept."""
        raw = self._journal.get(_name(key))
        return None if raw is None else list(json.loads(raw)["lines"])


def _name(key: Key) -> str:
    return f"{PREFIX}{key.aid.hex()}/{key.pair}/{key.attempt}"
