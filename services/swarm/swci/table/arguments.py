"""What each argument of the shell's syntax names, for help, completion and reference."""

from __future__ import annotations

from collections.abc import Mapping

from .form import Argument, Kind

ARGUMENTS: Mapping[str, Argument] = {
    "author": Argument(Kind.WORD, "who wrote the task, 1 to 160 characters"),
    "command": Argument(Kind.COMMAND, "the words that a command begins with"),
    "context": Argument(Kind.CONTEXT, "name of a context: one swarm, reached through one SN"),
    "contract": Argument(Kind.CONTRACT, "name of a training contract (a job)"),
    "env": Argument(Kind.WORD, "name of a variable of a context"),
    "error": Argument(Kind.REST, "an error's name or its text, as it was printed"),
    "file": Argument(Kind.FILE, "task definition (YAML), below the folder that SWCI is confined to"),
    "folder": Argument(Kind.FOLDER, "below the folder that SWCI is confined to (USR_DIR)"),
    "index": Argument(Kind.NUMBER, "number of a line of the body, from 1"),
    "ip": Argument(Kind.HOST, "address or name of an SN's host"),
    "line": Argument(Kind.REST, "the line as it is typed, under 80 characters"),
    "n": Argument(Kind.NUMBER, "how many peers: pairs of SL and ML for RUN_SWARM, else SWOPs"),
    "node": Argument(Kind.NODE, "UUID of a node (LIST NODES shows them), or a beginning that only one has"),
    "options": Argument(Kind.REST, "-l, -a, and a folder or file below USR_DIR"),
    "outcome": Argument(Kind.WORD, "what the task makes: the name of an image or volume"),
    "peer": Argument(Kind.NODE, "index of a peer, from 0, or its UUID"),
    "port": Argument(Kind.NUMBER, "TCP port"),
    "prereq": Argument(Kind.TASK, "task that must be done before; ROOTTASK if none"),
    "retries": Argument(Kind.NUMBER, "how often to try, 5 s apart"),
    "run": Argument(Kind.WORD, "number of a run, or latest"),
    "runner": Argument(Kind.RUNNER, "name of a task runner"),
    "seconds": Argument(Kind.NUMBER, "seconds"),
    "service": Argument(Kind.HOST, "name of an SN's API service, with :port unless it is 443"),
    "swop": Argument(Kind.NODE, "UUID of a SWOP (LIST NODES shows them), or a beginning that only one has"),
    "task": Argument(Kind.TASK, "name of a task"),
    "type": Argument(Kind.WORD, "RUN_SWARM, MAKE_USER_CONTAINER, MAKE_SWARM_USER_CONTENT or PULL_IMAGE"),
    "value": Argument(Kind.WORD, "its value; in quotes if it has blanks"),
    "why": Argument(Kind.REST, "a reason, which the record keeps"),
}
