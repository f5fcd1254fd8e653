"""THE table of commands: how each is written in the shell and on the command line, what it does in a sentence, what
kind of thing each argument is, and what shape its answer has.

The shell's grammar, help and completion, the command line (``swarm <noun> <verb>``) with its help and completion, the
JSON Schemas of the answers and the references in docs all come from it. It does nothing itself:
:mod:`swarm.swci.session` and :mod:`swarm.cli` act.

Syntax of the shell: a word is a keyword (any letter case), ``<name>`` an argument, ``[name]`` one that may be left out,
``[A|B]`` keywords that may be left out, ``<name...>`` the rest of the line as it was typed. The first syntax of a
command is the documented one; the others are taken too.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import certs, contracts, host, runners, shell, swarm, tasks
from .arguments import ARGUMENTS
from .form import Argument, Command, Kind, Line, Option, Takes, Way

__all__ = [
    "ARGUMENTS",
    "BY_NAME",
    "COMMANDS",
    "GROUPS",
    "LINES",
    "NOUNS",
    "OTHER_NOUNS",
    "Argument",
    "Command",
    "Kind",
    "Line",
    "Option",
    "Takes",
    "Way",
]

GROUPS: Mapping[str, str] = {
    "shell": "The shell itself",
    "contexts": "Contexts: which swarm is meant",
    "swarm": "The swarm",
    "contracts": "Training contracts",
    "tasks": "Tasks",
    "runners": "Task runners",
    "host": "This host, and the chain as a whole",
}
NOUNS: Mapping[str, str] = {
    "node": "Nodes: who is there, and what each waits for.",
    "member": "Members: who was admitted, in which role.",
    "job": "Jobs (training contracts): what is fixed, where each stands.",
    "run": "Runs of a job, and runs of a task from its file to its end.",
    "task": "Tasks: files and profiles before they are sent, and what is on chain.",
    "runner": "Task runners: what they run, for whom, and how it goes.",
    "chain": "The chain as a whole: members, jobs and runs into a new one.",
    "site": "Sites of a swarm: what each gets to join it.",
    "policy": "What a site takes: rules for the tasks that its SWOP runs.",
    "cert": "Certificates: make a CA, issue, sign, check.",
}
OTHER_NOUNS: Mapping[str, str] = {"certs": "cert"}
"""Nouns of earlier versions."""

COMMANDS: tuple[Command, ...] = (
    *shell.ROWS,
    *swarm.ROWS,
    *contracts.ROWS,
    *tasks.ROWS,
    *runners.ROWS,
    *host.ROWS,
    *certs.ROWS,
)

BY_NAME: Mapping[str, Command] = {command.name: command for command in COMMANDS}
LINES: Mapping[str, tuple[Command, Line]] = {
    spelling: (command, line) for command in COMMANDS for line in command.lines for spelling in line.spellings
}
"""Every spelling on the command line."""
