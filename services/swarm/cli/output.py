"""What a command says, as text, as one envelope (json) or as an envelope a line (jsonl); and its exit code.

The envelope: ``schema_version``, ``status``, ``exit_code``, ``data``, ``error``. docs/command-line.md tells it to
users; the shape of ``data`` is the table's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from click.exceptions import NoArgsIsHelpError

from swarm.core.errors import ChainFault, LocalFault, OperatorFault, PeerFault, ProgramFault, Reverted, SwarmFault

if TYPE_CHECKING:
    import click

    from swarm.inspect.shapes_host import Fault
    from swarm.swci.table import Line

SCHEMA_VERSION = 1
FORMS = ("text", "json", "jsonl")
EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, EXIT_TIMEOUT, EXIT_UNKNOWN, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130
EXIT_UNSAID = 141
"""stdout could not be written: as a shell has it of a program that a closed pipe ended. No envelope can tell it."""
STATUSES = {
    EXIT_DONE: "ok",
    EXIT_FAILED: "failed",
    EXIT_REFUSED: "refused",
    EXIT_TIMEOUT: "timeout",
    EXIT_UNKNOWN: "unknown",
    EXIT_INTERRUPTED: "interrupted",
}
RUNNING = "running"
"""Of a line that more will follow."""
WHOSE = (
    (OperatorFault, "the operator's"),
    (PeerFault, "another node's"),
    (ChainFault, "the chain's"),
    (ProgramFault, "the program's"),
    (LocalFault, "this program's"),
)


@dataclass
class Out:
    """Args: form: how it is said; bare: as ``--json`` of earlier versions; old: the name was one of theirs."""

    form: str = "text"
    bare: bool = False
    old: bool = False
    _last: Any = field(default=None)

    @classmethod
    def asked(cls, arguments: Sequence[str]) -> Out:
        """The form that words ask for, which may be wrong otherwise."""
        found = "text"
        for one, following in pairwise([*arguments, ""]):
            if one == "--":
                break
            name, _, value = one.partition("=")
            if name == "--output":
                found = value or following
        return cls(found if found in FORMS else "text")

    @property
    def by_program(self) -> bool:
        """Whether a program reads it."""
        return self.form != "text" or self.bare

    def begin(self, line: Line, typed: str, form: str, *, bare: bool) -> None:
        """The words are right; what follows is said so."""
        self.form, self.bare, self.old = form, bare, typed in line.old and form == "text"

    def step(self, data: Any, text: str, trouble: str | None = None) -> None:
        """Something that is said while it goes on.

        Args:
            trouble: why it is old, if it is.
        """
        if self.form == "jsonl":
            error: Fault | None = None
            if trouble is not None:
                error = {"kind": "no answer", "message": trouble, "fault": "the chain's", "fix": None}
            self._write(RUNNING, None, data, error)
        elif not self.by_program:
            print(text, flush=True)

    def done(self, data: Any, draw: Callable[[Any], object] | None = None, code: int = 0) -> int:
        """The whole answer; the exit code.

        Args:
            draw: prints the data as text; None: the steps were all that is to be said.
            code: 0, or what the data come to.
        """
        code = self.code(code)
        if self.bare:
            print(_json(data, 1))
        elif self.form == "text":
            if draw is not None:
                draw(data)
        elif self.form == "jsonl" and isinstance(data, list):
            for one in data:
                self._write(STATUSES.get(code, "failed"), code, one, None)
        else:
            self._write(STATUSES.get(code, "failed"), code, data, None)
        return code

    def code(self, code: int) -> int:
        """Audits of earlier versions ended with 5 where some rounds could not be judged."""
        return code if self.old or code != 5 else EXIT_UNKNOWN

    def fault(self, fault: SwarmFault, data: Any = None) -> int:
        code = fault.exit_code if self.old else code_of(fault)
        return self._end(code, fault_of(fault), data)

    def usage(self, error: click.ClickException) -> int:
        if isinstance(error, NoArgsIsHelpError) and not self.by_program:
            sys.stderr.write(error.format_message() + "\n")
            return EXIT_REFUSED
        path = getattr(getattr(error, "ctx", None), "command_path", "swarm")
        text = " ".join(error.format_message().split()).rstrip(".")
        return self._end(
            EXIT_REFUSED,
            {"kind": "usage", "message": text, "fault": WHOSE[0][1], "fix": f"see: {path} --help"},
        )

    def interrupted(self) -> int:
        sys.stderr.write("\n")  # after the ^C that a terminal shows
        if not self.by_program:
            return EXIT_INTERRUPTED
        told: Fault = {"kind": "interrupted", "message": "it was interrupted", "fault": WHOSE[0][1], "fix": None}
        return self._end(EXIT_INTERRUPTED, told)

    def bug(self, error: Exception) -> int:
        import traceback

        traceback.print_exception(error)
        kind = type(error).__name__
        return self._end(EXIT_FAILED, {"kind": kind, "message": str(error), "fault": WHOSE[-1][1], "fix": None})

    def _end(self, code: int, error: Fault, data: Any = None) -> int:
        if self.form == "text":
            fix = f"; {error['fix']}" if error["kind"] == "usage" else ""
            sys.stderr.write(f"swarm: {error['message']}{fix}\n")
        else:
            self._write(STATUSES.get(code, "failed"), code, data, error)
        return code

    def _write(self, status: str, code: int | None, data: Any, error: Fault | None) -> None:
        told = {"schema_version": SCHEMA_VERSION, "status": status, "exit_code": code, "data": data, "error": error}
        print(_json(told, None if self.form == "jsonl" else 1), flush=True)


def _json(told: Any, indent: int | None) -> str:
    from swarm.inspect.plain import as_json

    return as_json(told, indent)


def code_of(fault: SwarmFault) -> int:
    """2: refused, or to be mended by who asks; 3: out of time; 4: nobody can tell; 1: it failed."""
    if isinstance(fault, Reverted):
        return EXIT_REFUSED
    from swarm.net.faults import Unreachable

    if isinstance(fault, ChainFault | PeerFault | Unreachable):
        return EXIT_UNKNOWN
    return fault.exit_code


def fault_of(fault: SwarmFault) -> Fault:
    """Whose fault it is and what to do: of a contract's refusal as EXPLAIN tells it, else the message says it."""
    text = " ".join(str(fault).split())
    whose = next((told for kind, told in WHOSE if isinstance(fault, kind)), "nobody's")
    if not isinstance(fault, Reverted):
        return {"kind": type(fault).__name__, "message": text, "fault": whose, "fix": None}
    from swarm.swci.explained import BY_NAME

    known = BY_NAME.get(fault.name)
    if known is None:
        return {"kind": fault.name, "message": text, "fault": whose, "fix": None}
    return {"kind": fault.name, "message": text, "fault": known.whose, "fix": known.mend}
