"""THE table of commands: how each is written, what it does in a sentence, and what kind of thing each argument is.

Grammar, help, completion and docs/swci-reference.md all come from it. It does nothing itself: :mod:`.session` acts.

Syntax: a word is a keyword (any letter case), ``<name>`` an argument, ``[name]`` one that may be left out, ``[A|B]``
keywords that may be left out, ``<name...>`` the rest of the line as it was typed. The first syntax of a command is
the documented one; the others are taken too.
"""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Args:
        name: its keywords, as HELP and errors call it.
        group: heading in help and reference.
        told: what it does, in one sentence.
        syntax: the documented form, then further ones.
        row: of the original's commands, its row in the compatibility table; empty for one of ours.
        changes: whether it changes anything in the swarm: viewers may not.
        on_prompt: its answer stands on a line with the prompt, as the original's.
    """

    name: str
    group: str
    told: str
    syntax: tuple[str, ...]
    row: str = ""
    changes: bool = False
    on_prompt: bool = False


GROUPS: Mapping[str, str] = {
    "shell": "The shell itself",
    "contexts": "Contexts: which swarm is meant",
    "swarm": "The swarm",
    "contracts": "Training contracts",
    "tasks": "Tasks",
    "runners": "Task runners",
}

COMMANDS: tuple[Command, ...] = (
    Command("HELP", "shell", "Lists the commands, or tells how one is written.", ("HELP [command...]",), "C01"),
    Command(
        "SLEEP",
        "shell",
        "Waits so many seconds; Ctrl-C ends it.",
        ("SLEEP <seconds>",),
        "C30",
        on_prompt=True,
    ),
    Command(
        "CD",
        "shell",
        "Changes the folder that file names are relative to; without one, back to USR_DIR.",
        ("cd [folder]",),
        "C29",
        on_prompt=True,
    ),
    Command("PWD", "shell", "Prints the present folder.", ("pwd", "pwd()"), "C29"),
    Command("LS", "shell", "Lists a folder below USR_DIR.", ("ls [options...]", "ls()"), "C29"),
    Command(
        "EXIT ON FAILURE",
        "shell",
        "Says whether a command that fails ends the session; it is OFF at the start, and ON without a word.",
        ("EXIT ON FAILURE [ON|OFF]",),
        "C31",
        on_prompt=True,
    ),
    Command("EXIT", "shell", "Ends the session.", ("EXIT",), "C32", on_prompt=True),
    Command(
        "EXPLAIN",
        "shell",
        "Tells what an error means, whose fault it is, and what to do.",
        ("EXPLAIN <error...>",),
    ),
    Command(
        "CREATE CONTEXT",
        "contexts",
        "Names a swarm by an SN of it: its host (port 30304), or its service behind a proxy (port 443).",
        (
            "CREATE CONTEXT <context> WITH IP <ip> [port]",
            "CREATE CONTEXT <context> WITH SERVICE <service>",
            "CREATE CONTEXT <context> <ip> [port]",
        ),
        "C04",
    ),
    Command(
        "SWITCH CONTEXT", "contexts", "All later commands are for this context.", ("SWITCH CONTEXT <context>",), "C06"
    ),
    Command("LIST CONTEXTS", "contexts", "Prints the names of the contexts.", ("LIST CONTEXTS",), "C07"),
    Command(
        "GET CONTEXT INFO",
        "contexts",
        "Tells where a context's SN is, and which swarm that is.",
        ("GET CONTEXT INFO [context]",),
        "C07",
    ),
    Command(
        "GET CONTEXT VERSION",
        "contexts",
        "Prints the versions of the SN's API and of the swarm's contracts.",
        ("GET CONTEXT VERSION",),
        "C07",
    ),
    Command(
        "LIST CONTEXT ENV",
        "contexts",
        "Prints the variables of a context.",
        ("LIST CONTEXT ENV [context]",),
        "C08",
    ),
    Command(
        "GET CONTEXT ENV",
        "contexts",
        "Prints one variable of a context.",
        ("GET CONTEXT ENV [context] <env>",),
        "C08",
    ),
    Command(
        "SET CONTEXT ENV",
        "contexts",
        "Sets one variable of a context.",
        ("SET CONTEXT ENV [context] <env> <value>",),
        "C08",
    ),
    Command(
        "WAIT FOR IP",
        "swarm",
        "Waits until an SN answers: by default 360 tries, 5 s apart, on port 30304.",
        ("WAIT FOR IP <ip> [port] [retries]", "WAIT FOR <ip> [port] [retries]"),
        "C02",
    ),
    Command(
        "WAIT FOR SERVICE",
        "swarm",
        "Waits until an SN behind a proxy answers: by default 360 tries, 5 s apart, on port 443.",
        ("WAIT FOR SERVICE <service> [retries]",),
        "C03",
    ),
    Command(
        "LIST NODES",
        "swarm",
        "Prints a header, then a line for each SN, SL and SWOP: type, host, port, container, UUID, parent, last heard.",
        ("LIST NODES",),
        "C28",
    ),
    Command("STATUS", "swarm", "Shows the swarm: members, jobs, who waits for what.", ("STATUS",)),
    Command("WHY", "swarm", "Tells what everything waits for, since when, and what ends it.", ("WHY",)),
    Command(
        "LOGS",
        "swarm",
        "Prints the last log lines of a node whose site shares them.",
        ("LOGS <node>",),
    ),
    Command(
        "CREATE CONTRACT",
        "contracts",
        "Registers a training contract, for good.",
        ("CREATE CONTRACT <contract>",),
        "C09",
        changes=True,
    ),
    Command("LIST CONTRACTS", "contracts", "Prints the names of the training contracts.", ("LIST CONTRACTS",), "C10"),
    Command(
        "GET CONTRACT INFO",
        "contracts",
        "Tells what is fixed about a training contract.",
        ("GET CONTRACT INFO <contract>",),
        "C11",
    ),
    Command(
        "GET CONTRACT STATUS",
        "contracts",
        "Tells where a training contract stands now.",
        ("GET CONTRACT STATUS <contract>",),
        "C11",
    ),
    Command(
        "RESET CONTRACT",
        "contracts",
        "Opens the next run of a training contract; FORCE ends a run whose members are live.",
        ("RESET CONTRACT <contract> [FORCE]",),
        "C12",
        changes=True,
    ),
    Command(
        "PERFDATA",
        "contracts",
        "Prints, for each pair of SL and ML, loss, metric and epochs of the present run.",
        ("PERFDATA <contract>",),
        "C13",
    ),
    Command(
        "AUDIT",
        "contracts",
        "Prints the chain's record of a run: members, rounds, leaders, shares; by default of the latest.",
        ("AUDIT <contract> [run]",),
    ),
    Command(
        "HISTORY",
        "contracts",
        "Prints all runs of a training contract, or of all; of a task runner its last assignments.",
        ("HISTORY [contract]",),
    ),
    Command(
        "CREATE TASK FROM",
        "tasks",
        "Checks a task definition and registers it as a draft.",
        ("CREATE TASK FROM <file>",),
        "C14",
        changes=True,
    ),
    Command(
        "CREATE TASK",
        "tasks",
        "Registers a draft without a body; APPEND TASK BODY gives it one.",
        ("CREATE TASK <type> <task> <author> <prereq> <outcome>",),
        "C15",
        changes=True,
    ),
    Command(
        "APPEND TASK BODY",
        "tasks",
        "Adds or replaces a line of a draft's body.",
        ("APPEND TASK BODY <task> <index> <line...>",),
        "C15",
        changes=True,
    ),
    Command(
        "FINALIZE TASK",
        "tasks",
        "Makes a draft a task that can be assigned; it cannot be changed any more.",
        ("FINALIZE TASK <task>",),
        "C16",
        changes=True,
    ),
    Command(
        "DELETE TASK",
        "tasks",
        "Removes a draft; a task that was finalized stays.",
        ("DELETE TASK <task>",),
        "C16",
        changes=True,
    ),
    Command("GET TASK INFO", "tasks", "Prints the facts about a task.", ("GET TASK INFO <task>",), "C17"),
    Command("GET TASK BODY", "tasks", "Prints a task's body, line by line.", ("GET TASK BODY <task>",), "C18"),
    Command("LIST TASKS", "tasks", "Prints the names of the tasks.", ("LIST TASKS",), "C19"),
    Command(
        "CREATE TASKRUNNER",
        "runners",
        "Registers a task runner.",
        ("CREATE TASKRUNNER <runner>",),
        "C20",
        changes=True,
    ),
    Command("LIST TASKRUNNERS", "runners", "Prints the names of the task runners.", ("LIST TASKRUNNERS",), "C20"),
    Command(
        "LIST TASKRUNNER PEERS",
        "runners",
        "Prints the SWOPs that enrolled for a runner's present task.",
        ("LIST TASKRUNNER PEERS <runner>",),
        "C20",
    ),
    Command(
        "ASSIGN TASK",
        "runners",
        "Gives a task to a runner's SWOPs: to n peers, to all that listen now, or to one.",
        (
            "ASSIGN TASK <task> TO <runner> WITH <n> PEERS",
            "ASSIGN TASK <task> TO <runner> WITH ALL PEERS",
            "ASSIGN TASK <task> TO <runner> TARGET <swop>",
        ),
        "C21",
        changes=True,
    ),
    Command(
        "WAIT FOR TASKRUNNER",
        "runners",
        "Waits for the end of a runner's task, and tells who failed, and how.",
        ("WAIT FOR TASKRUNNER <runner>",),
        "C24",
    ),
    Command(
        "RESET TASKRUNNER",
        "runners",
        "Frees a runner, and has SWOPs remove its containers; FORCE ends a task that runs.",
        ("RESET TASKRUNNER <runner> [FORCE]",),
        "C25",
        changes=True,
    ),
    Command(
        "ABORT TASKRUNNER",
        "runners",
        "Ends a runner's task as ERROR; its record stays until the next task.",
        ("ABORT TASKRUNNER <runner> [why...]",),
        changes=True,
    ),
    Command(
        "GET TASKRUNNER STATUS",
        "runners",
        "Tells which task a runner has, its state, and how its peers stand.",
        ("GET TASKRUNNER STATUS <runner>",),
        "C26",
    ),
    Command(
        "GET TASKRUNNER INFO",
        "runners",
        "Tells what is known of a runner: its task, who assigned it, since when.",
        ("GET TASKRUNNER INFO <runner>",),
        "C27",
    ),
    Command(
        "GET TASKRUNNER PEER STATUS",
        "runners",
        "Tells how one peer of a runner's task stands.",
        ("GET TASKRUNNER PEER STATUS <runner> <peer>",),
        "C27",
    ),
    Command(
        "RUN",
        "runners",
        "Creates and finalizes a task, resets the runner if it is free, assigns and waits; may be begun again.",
        ("RUN <file> ON <runner> WITH <n> PEERS", "RUN <file> ON <runner> WITH ALL PEERS"),
        changes=True,
    ),
)

BY_NAME: Mapping[str, Command] = {command.name: command for command in COMMANDS}
