"""What a row of the table is: the words of a command in the shell, on the command line, or both.

Plain values and nothing else, so that a start of ``swarm`` costs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an argument names; completion offers those that exist."""

    CONTEXT = "context"
    CONTRACT = "contract"
    TASK = "task"
    RUNNER = "task runner"
    NODE = "node"
    FILE = "file"
    FOLDER = "folder"
    HOST = "address"
    NUMBER = "number"
    WORD = "word"
    REST = "rest of the line"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Argument:
    """Args: kind: what it names; told: a few words for help and reference."""

    kind: Kind
    told: str


class Takes(Enum):
    """What an option of the command line takes, as its help calls it."""

    TEXT = "TEXT"
    WHOLE = "NUMBER"
    SECONDS = "SECONDS"
    PATH = "PATH"
    SWITCH = ""


@dataclass(frozen=True, slots=True)
class Option:
    """An option or argument of the command line.

    Args:
        name: ``--run``; without dashes it is an argument in its place, and ``FILE...`` takes one or more.
        told: a few words for help and reference.
        env: the variable that stands in for it.
        needed: there is no going on without it.
        many: may be given again and again.
        into: what the command calls the value; by default as the option.
        old: only taken, and not shown: a spelling of earlier versions.
    """

    name: str
    told: str
    takes: Takes = Takes.TEXT
    env: str = ""
    needed: bool = False
    many: bool = False
    default: str | float | None = None
    into: str = ""
    old: bool = False

    @property
    def positional(self) -> bool:
        return not self.name.startswith("-")

    @property
    def value(self) -> str:
        """What the command calls it."""
        return self.into or self.name.strip("-.").lower().replace("-", "_")


class Way(Enum):
    """How a command of the command line gets at what it needs."""

    READ = "asks an SN, as a member (--sn) or on its host (--ops); it can change nothing"
    SEND = "joins as a node of role SWCI, and may send an operator's transactions"
    HERE = "works on this host alone"
    PROCESS = "is a process with flags of its own"
    RESERVED = "is not there yet"


@dataclass(frozen=True, slots=True)
class Line:
    """A command's form on the command line.

    Args:
        words: noun and verb, or a verb that stands alone.
        way: how it gets at what it needs.
        options: its own; those of its way come to them.
        answer: the shape of ``data`` in its JSON (:mod:`swarm.inspect.shapes`); "": it has none, and ``bare`` says why.
        bare: why there is no such shape.
        streams: it says things as they come: with ``--output jsonl`` an envelope each.
        settings: of a SEND: the model whose fields are its flags, "module:class".
        names: other names, which do the very same.
        old: spellings of earlier versions: they keep their own exit codes, and ``--json`` prints bare data.
        told: its sentence, where it is not its row's.
    """

    words: str
    way: Way
    options: tuple[Option, ...] = ()
    answer: str = ""
    bare: str = ""
    streams: bool = False
    settings: str = ""
    names: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    told: str = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        return (self.words, *self.names, *self.old)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Args:
        name: its keywords, as HELP and errors call it; of one that the shell has not, its words on the command line.
        group: heading in help and reference.
        told: what it does, in one sentence.
        syntax: the documented form in the shell, then further ones; none: the shell has it not.
        row: of the original's commands, its row in the compatibility table; empty for one of ours.
        changes: whether it changes anything in the swarm: viewers may not.
        operators: whether viewers may not though it changes nothing: sites give it to operators alone.
        on_prompt: its answer stands on a line with the prompt, as the original's.
        lines: its forms on the command line; none: only the shell has it.
    """

    name: str
    group: str
    told: str
    syntax: tuple[str, ...] = ()
    row: str = ""
    changes: bool = False
    operators: bool = False
    on_prompt: bool = False
    lines: tuple[Line, ...] = ()
