"""Rows of the shell itself, and of its contexts: which swarm is meant."""

from __future__ import annotations

from .form import Command

ROWS: tuple[Command, ...] = (
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
)
