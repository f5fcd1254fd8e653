"""Begins and ends the command line: a fault is one line on stderr, or an envelope, and its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from swarm.core.errors import SwarmFault

from .building import root
from .output import EXIT_INTERRUPTED, Out
from .streams import spoken

COMPLETE = "_SWARM_COMPLETE"
"""The variable by which a shell asks for completion."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. Always ends with SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    code = spoken(lambda: _code(arguments))
    sys.exit(code if isinstance(code, int | str) else 0)


def _code(arguments: list[str]) -> Any:
    """What the command came to; all that is said of it is written, or in a buffer."""
    # What is wrong with the words is said in the form that they ask for.
    out = Out.asked(arguments)
    try:
        return _invoked(arguments, out)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except SystemExit as ended:  # a process has its own way to end
        return ended.code
    except click.ClickException as error:
        return out.usage(error)
    except (click.Abort, EOFError, KeyboardInterrupt):
        return out.interrupted()
    except SwarmFault as fault:
        if os.environ.get("SWARM_DEBUG"):
            raise
        return out.fault(fault)
    except Exception as error:
        if not out.by_program or os.environ.get("SWARM_DEBUG"):
            raise
        return out.bug(error)


def _invoked(arguments: list[str], out: Out) -> Any:
    """Without click's own ``main``: it ends the process where stdout is a closed pipe, and names no code."""
    command, asked = root(), os.environ.get(COMPLETE)
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(command, {"obj": out}, "swarm", COMPLETE, asked)
    with command.make_context("swarm", arguments, obj=out) as context:
        return command.invoke(context)


__all__ = ["EXIT_INTERRUPTED", "main"]
