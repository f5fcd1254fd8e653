"""Reads what was typed behind a script's name: which word is whose. What it means is :mod:`swarm.scripts.plan`'s.

As the original reads it (row O01): ``--flag value`` and ``--flag=value``, letters together (``-dit``), a
sidecar's words by its name (``--ml-image``), and behind ``--`` everything for the program in the first container.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarm.core.errors import OperatorFault

from .engine import Options
from .table import SIDECAR, Flag, flags_of

ML = "ml"
WORDS_MAX = 2000
VALUE_CHARACTERS_MAX = 4096
"""Of one value of the scripts' own flags."""
_SIDECAR = re.compile(r"[a-z][a-z0-9-]{0,40}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[?[0-9A-Fa-f:.]{2,45}\]?")
_NEGATIVE = re.compile(r"-\d+")


@dataclass(slots=True)
class Box:
    """What was said of one container."""

    name: str
    own: dict[str, str] = field(default_factory=dict)
    docker: list[tuple[str, str]] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def last(self, option: str) -> str | None:
        return next((value for name, value in reversed(self.docker) if name == option), None)


@dataclass(slots=True)
class Typed:
    """All of it: the first container, and those beside it in their order."""

    main: Box
    beside: list[Box]

    @property
    def boxes(self) -> list[Box]:
        return [self.main, *self.beside]


def read(role: str, argv: Sequence[str], engine: Options) -> Typed:
    """What each word is.

    Raises:
        OperatorFault: a flag that nobody knows, one without its value, a value that cannot be one; says the fix.
    """
    if len(argv) > WORDS_MAX:
        raise OperatorFault(f"{len(argv)} words; at most {WORDS_MAX} are read: put variables into a file (--env-file)")
    return _Reader(role, list(argv), engine).read()


class _Reader:
    def __init__(self, role: str, argv: list[str], engine: Options) -> None:
        cut = argv.index("--") if "--" in argv else len(argv)
        self._rest, self._behind = argv[:cut], argv[cut + 1 :]
        self._engine, self._flags = engine, flags_of(role)
        names = _sidecars(role, self._rest)
        self._typed = Typed(Box(""), [Box(name) for name in names])

    def read(self) -> Typed:
        while self._rest:
            word = self._rest.pop(0)
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and len(word) > 1:
                self._letters(self._typed.main, word[1:], word)
            else:
                self._typed.main.command.append(word)
        self._typed.main.command += self._behind
        return self._typed

    def _long(self, word: str) -> None:
        shown, has, value = word.partition("=")
        name = shown[2:]
        box, name = self._whose(name)
        given = value if has else None
        if box is not self._typed.main and len(name) == 1:
            self._letter(box, name, shown, given)
            return
        if self._own(box, name.lower(), shown, given):
            return
        if name in self._engine.long:
            self._option(box, name, shown, given)
            return
        raise OperatorFault(f"{shown} is no option of this script or of docker; {self._near(shown)}")

    def _whose(self, name: str) -> tuple[Box, str]:
        for box in sorted(self._typed.beside, key=lambda one: -len(one.name)):
            if name.startswith(f"{box.name}-"):
                return box, name[len(box.name) + 1 :]
        return self._typed.main, name

    def _own(self, box: Box, name: str, shown: str, given: str | None) -> bool:
        flag = self._flags.get(name)
        if flag is None or (box is not self._typed.main and name not in SIDECAR):
            return False
        if flag.value:
            value = self._value(shown, given, free=name == "cmd")
            if flag.kind == "host":
                value = _one_address(value)
            judge(flag, shown, value)
        else:
            value = _truth(shown, given)
        if name == "cmd":
            box.command += split(shown, value)
        elif flag.value or value == "true":
            box.own[name] = value
        else:
            box.own.pop(name, None)
        return True

    def _option(self, box: Box, name: str, shown: str, given: str | None) -> None:
        if self._engine.long[name]:
            box.docker.append((name, self._value(shown, given, free=given is not None)))
            return
        if given is None and self._rest[:1] in (["true"], ["false"]):
            given = self._rest.pop(0)
        box.docker.append((name, _truth(shown, given)))

    def _letter(self, box: Box, letter: str, shown: str, given: str | None) -> None:
        if letter == "d":
            if _truth(shown, given) == "true":
                box.own["detach"] = "true"
            return
        name = self._engine.short.get(letter)
        if name is None:
            raise OperatorFault(f"{shown} is no option of this script or of docker; {self._near(shown)}")
        self._option(box, name, shown, given)

    def _letters(self, box: Box, letters: str, word: str) -> None:
        for at, letter in enumerate(letters):
            rest = letters[at + 1 :]
            takes = self._engine.long.get(self._engine.short.get(letter, ""), False)
            if takes or rest.startswith("="):
                self._letter(box, letter, f"-{letter}" if takes else word, rest.removeprefix("=") if rest else None)
                return
            self._letter(box, letter, f"-{letter}", None)

    def _value(self, shown: str, given: str | None, *, free: bool) -> str:
        if given is None:
            if not self._rest or (self._rest[0].startswith("-") and not (free or _NEGATIVE.fullmatch(self._rest[0]))):
                raise OperatorFault(f"{shown} needs a value: {shown}=VALUE")
            given = self._rest.pop(0)
        if "\0" in given:
            raise OperatorFault(f"the value of {shown} has a zero byte, which no program can be given")
        return given

    def _near(self, shown: str) -> str:
        prefixed = [f"--{box.name}-{name}" for box in self._typed.beside for name in (*SIDECAR, *self._engine.long)]
        known = [f"--{name}" for name in (*self._flags, *self._engine.long)] + prefixed
        close = difflib.get_close_matches(shown, known, 1, 0.7)
        behind = "what the program in the container is to get goes behind --"
        return f"did you mean {close[0]}? Else {behind}" if close else behind


def _sidecars(role: str, words: Sequence[str]) -> list[str]:
    names = [ML] if role == "sl" and any(word.startswith(f"--{ML}-") for word in words) else []
    named = False
    for word in words:
        name = word if named else word.partition("=")[2] if word.startswith("--sidecar=") else None
        named = word == "--sidecar"
        if name is None:
            continue
        if not _SIDECAR.fullmatch(name):
            raise OperatorFault(f"--sidecar {name!r:.60} is no name: use small letters, digits and dashes")
        if name not in names:
            names.append(name)
    return names


def _truth(shown: str, given: str | None) -> str:
    if given is None or given.lower() in ("true", "1", "yes"):
        return "true"
    if given.lower() in ("false", "0", "no"):
        return "false"
    raise OperatorFault(f"{shown} is a switch: {given!r:.60} is neither true nor false")


def split(shown: str, text: str) -> list[str]:
    """Words as a shell would split them (row O05).

    Raises:
        OperatorFault: a quote is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OperatorFault(f"{shown} cannot be split into words ({error}): close its quotes") from None


def judge(flag: Flag, shown: str, value: str) -> None:
    """Refuse what cannot be meant.

    Raises:
        OperatorFault: says what it should be.
    """
    if flag.name == "cmd":
        return
    if not value or len(value) > VALUE_CHARACTERS_MAX or any(ord(one) < 32 or ord(one) == 127 for one in value):
        raise OperatorFault(f"{shown} {value!r:.60} is empty, too long or has line breaks: give {flag.value}")
    if value.startswith("-"):
        raise OperatorFault(f"{shown} needs a value, and {value!r:.60} looks like an option: {shown}=VALUE")
    host, _, port = value.rpartition(":")
    if flag.kind == "port" and not _port(value):
        raise OperatorFault(f"{shown} {value!r:.60} is no port: give a number from 1 to 65535")
    if flag.kind == "number" and not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise OperatorFault(f"{shown} {value!r:.60} is no number: give the id as `id` shows it")
    if flag.kind == "host" and not all(_HOST.fullmatch(one) for one in _hosts(value)):
        raise OperatorFault(f"{shown} {value!r:.60} is no address: give an IP address or a host's name")
    if flag.kind == "service" and not (_HOST.fullmatch(value) if not host else _HOST.fullmatch(host) and _port(port)):
        raise OperatorFault(f"{shown} {value!r:.60} is no service: give name or name:port")


def _one_address(value: str) -> str:
    """The first of what ``hostname -I`` prints."""
    words = value.split()
    return words[0] if words and all(re.fullmatch(r"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+", word) for word in words) else value


def _hosts(value: str) -> list[str]:
    """Several SNs may be named, each with its port."""
    return [re.sub(r"(?<=[^:]):\d{1,5}$", "", one.strip()) for one in value.split(",")]


def _port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535
