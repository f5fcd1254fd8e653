"""Contexts: which swarms this SWCI knows, by name, and which one is meant now. They outlive the process.

Owns the file that keeps them; opening a swarm is :mod:`.access`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from swarm.core.errors import OperatorFault
from swarm.core.limits import SN_API_PORT
from swarm.net.uri import SERVICE_PORT, node_url
from swarm.store.files import private_folder, write_private

CONTEXTS_MAX = 64
NAME_CHARS_MAX = 160
VARIABLES_MAX = 64
VALUE_CHARS_MAX = 1024
_NO_NAME = re.compile(r"""[:=,<>"']|^ | $|  """)
FILE_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """A swarm as it is reached. Args: url: of an SN's API; pin: which swarm answered there first, as JSON."""

    name: str
    url: str
    env: dict[str, str] = field(default_factory=dict)
    pin: str = ""


def sn_url(host: str, port: int | None) -> str:
    """Raises OperatorFault: no host can have that name, or there is no such port."""
    return _url("WITH IP", host, SN_API_PORT, port)


def service_url(service: str) -> str:
    """Raises OperatorFault: it is no ``name`` or ``name:port``."""
    return _url("WITH SERVICE", service, SERVICE_PORT, None)


def _url(option: str, text: str, default: int, port: int | None) -> str:
    try:
        return node_url(option, text, default if port is None else port, port_apart=port is not None)
    except ValueError as error:
        raise OperatorFault(str(error)) from None


class ContextBook:
    """All contexts; ``current`` names the one in use, "" if none is. Without a path nothing is kept.

    Raises:
        OperatorFault: the file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Context] = {}
        self.current = ""
        if path is not None and path.exists():
            self._read(path)

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def get(self, name: str = "") -> Context:
        """The context of that name, or the one in use.

        Raises:
            OperatorFault: there is none; names those that are there.
        """
        wanted = name or self.current or (self.names[0] if len(self._known) == 1 else "")
        if wanted in self._known:
            return self._known[wanted]
        if not wanted:
            made = f"SWITCH CONTEXT to one of: {', '.join(self._known)}" if self._known else "CREATE CONTEXT makes one"
            raise OperatorFault(f"no context is in use: {made}")
        there = ", ".join(self._known) or "none yet: CREATE CONTEXT makes one"
        raise OperatorFault(f"there is no context {wanted!r:.200}; known are: {there}")

    def create(self, name: str, url: str) -> None:
        """Name a swarm; a name that is known stands for this address from now on, and keeps its variables.

        Raises:
            OperatorFault: the name or the number of contexts is beyond its bound.
        """
        if not name.isprintable() or len(name) > NAME_CHARS_MAX:
            raise OperatorFault(f"a context's name has 1 to {NAME_CHARS_MAX} characters that can be seen: {name!r:.80}")
        self._reread()
        if name not in self._known and len(self._known) >= CONTEXTS_MAX:
            raise OperatorFault(f"there are {CONTEXTS_MAX} contexts already; use one of those again")
        env = self._known[name].env if name in self._known else {}
        self._known[name] = Context(name, url, env)
        self._keep()

    def switch(self, name: str) -> None:
        """Raises OperatorFault: there is no such context."""
        self._reread()
        self.current = self.get(name).name
        self._keep()

    def set(self, context: Context, variable: str, value: str) -> None:
        """Raises OperatorFault: too many variables, too long a value, or a name that could not be told from a value."""
        if _NO_NAME.search(variable) or not variable.isprintable() or not variable:
            raise OperatorFault(
                f"a variable cannot be called {variable!r:.80}: a name has visible characters and single blanks "
                "between them, and none of : = , < > and quotes"
            )
        self._reread()
        context = self.get(context.name)
        env = {**context.env, variable: value}
        if len(env) > VARIABLES_MAX or len(variable) + len(value) > VALUE_CHARS_MAX:
            raise OperatorFault(
                f"a context has at most {VARIABLES_MAX} variables, each with at most {VALUE_CHARS_MAX} characters"
            )
        self._known[context.name] = replace(context, env=env)
        self._keep()

    def copy(self) -> ContextBook:
        """The same contexts for somebody else: what is done to them there is not kept, and not seen here."""
        found = ContextBook(None)
        found._known, found.current = dict(self._known), self.current
        return found

    def pin(self, name: str) -> Pin:
        return Pin(lambda: self.get(name).pin, lambda pin: self._set_pin(name, pin))

    def _set_pin(self, name: str, pin: str) -> None:
        self._reread()
        self._known[name] = replace(self.get(name), pin=pin)
        self._keep()

    def _reread(self) -> None:
        """Another shell of this operator may have made or changed contexts: its work is not to be written over."""
        if self._path is not None and self._path.exists():
            current = self.current
            self._read(self._path)
            self.current = current if current in self._known else ""

    def _keep(self) -> None:
        if self._path is None:
            return
        kept = {"current": self.current, "contexts": [asdict(one) for one in self._known.values()]}
        try:
            private_folder(self._path.parent)
            write_private(self._path, json.dumps(kept, indent=1).encode())
        except OSError as error:
            raise OperatorFault(f"{self._path} cannot be written: {error.strerror or error}") from error

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                kept: Any = json.loads(file.read(FILE_BYTES_MAX))
            found = [Context(**{name: one[name] for name in ("name", "url", "env", "pin")}) for one in kept["contexts"]]
            self._known = {one.name: one for one in found}
            self.current = kept["current"] if kept["current"] in self._known else ""
        except OSError as error:
            raise OperatorFault(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OperatorFault(
                f"{path} is no list of contexts ({error}): remove it, and CREATE CONTEXT makes them anew"
            ) from error


class Pin:
    """Which swarm a context means, kept with it: what joining asks of a journal."""

    def __init__(self, read: Callable[[], str], write: Callable[[str], None]) -> None:
        self._read, self._write = read, write

    def get(self, key: str) -> bytes | None:
        return self._read().encode() or None

    def put(self, key: str, value: bytes) -> None:
        self._write(value.decode())
