"""Rows about tasks."""

from __future__ import annotations

from .form import Command, Line, Way
from .options import FILE, OPERATOR, TASK

ROWS: tuple[Command, ...] = (
    Command(
        "CREATE TASK FROM",
        "tasks",
        "Checks a task definition and registers it as a draft.",
        ("CREATE TASK FROM <file>",),
        "C14",
        changes=True,
        lines=(Line("task create", Way.SEND, (FILE,), answer="Said", settings=OPERATOR),),
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
        lines=(Line("task finalize", Way.SEND, (TASK,), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "DELETE TASK",
        "tasks",
        "Removes a draft; a task that was finalized stays.",
        ("DELETE TASK <task>",),
        "C16",
        changes=True,
        lines=(Line("task delete", Way.SEND, (TASK,), answer="Said", settings=OPERATOR),),
    ),
    Command(
        "GET TASK INFO",
        "tasks",
        "Prints the facts about a task.",
        ("GET TASK INFO <task>",),
        "C17",
        lines=(Line("task show", Way.READ, (TASK,), answer="Task"),),
    ),
    Command(
        "GET TASK BODY",
        "tasks",
        "Prints a task's body, line by line.",
        ("GET TASK BODY <task>",),
        "C18",
        lines=(Line("task body", Way.READ, (TASK,), answer="Body"),),
    ),
    Command(
        "LIST TASKS",
        "tasks",
        "Prints the names of the tasks.",
        ("LIST TASKS",),
        "C19",
        lines=(Line("task list", Way.READ, answer="Tasks", told="Lists the tasks that are final, ROOTTASK first."),),
    ),
)
