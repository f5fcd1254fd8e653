"""Begins and ends the command line: a fault is one line on stderr, or an envelope, and its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from swarm.core.errors import SwarmFault

from .building import root
from .output import EXIT_INTERRUPTED, Out


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. Always ends with SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # What is wrong with the words is said in the form that they ask for.
    out = Out.asked(arguments)
    try:
        code = root().main(arguments, prog_name="swarm", standalone_mode=False, obj=out)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as error:
        code = out.usage(error)
    except (click.Abort, KeyboardInterrupt):
        code = out.interrupted()
    except SwarmFault as fault:
        if os.environ.get("SWARM_DEBUG"):
            raise
        code = out.fault(fault)
    except BrokenPipeError:  # the reader has seen enough; nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if not out.by_program or os.environ.get("SWARM_DEBUG"):
            raise
        code = out.bug(error)
    sys.exit(code if isinstance(code, int) else 0)


__all__ = ["EXIT_INTERRUPTED", "main"]
