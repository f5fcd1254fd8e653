"""What each command of the command line does: where it stands, to be imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from swarm.swci.table import Way

from .building import Call

OWN: Mapping[str, str] = {
    "status": "swarm.cli.looking:status",
    "run wait": "swarm.cli.looking:wait",
    "run show": "swarm.cli.looking:run",
    "task check": "swarm.cli.here:check",
    "task render": "swarm.cli.here:render",
    "task schema": "swarm.cli.here:task_schema",
    "site init": "swarm.cli.sites:init",
    "site add": "swarm.cli.sites:add",
    "site check": "swarm.cli.sites:check",
    "doctor": "swarm.cli.doctoring:doctor",
    "cert request": "swarm.cli.certs:request",
    "policy allow": "swarm.cli.policies:allow",
    "policy check": "swarm.cli.policies:check",
    "node ready": "swarm.cli.here:ready",
    "member approve": "swarm.cli.here:approve",
    "chain export": "swarm.cli.here:chain_export",
    "chain import": "swarm.cli.here:chain_import",
    "schema": "swarm.cli.here:schema",
    "job reset": "swarm.cli.sending:reset",
    "job options": "swarm.cli.sending:options",
    "sn": "swarm.cli.processes:sn",
    "sl": "swarm.cli.processes:sl",
    "swci": "swarm.cli.processes:swci",
    "swop": "swarm.cli.processes:swop",
    "demo": "swarm.cli.processes:demo",
    "cert init": "swarm.cli.certs:init",
    "cert issue": "swarm.cli.certs:issue",
    "cert sign": "swarm.cli.certs:sign",
    "cert check": "swarm.cli.certs:check",
}
"""By words. A READ that is not here is in :data:`.looking.READINGS`, a SEND is a command of the shell."""


def place(words: str, way: Way) -> str:
    """Where what a command does stands."""
    if way is Way.RESERVED:
        return "swarm.cli.processes:reserved"
    general = {Way.READ: "swarm.cli.looking:reading", Way.SEND: "swarm.cli.sending:shell"}
    return OWN.get(words) or general[way]


def act(call: Call) -> int:
    """Do what was typed; the exit code."""
    module, name = place(call.line.words, call.line.way).split(":")
    found: Callable[[Call], Any] = getattr(import_module(module), name)
    return int(found(call) or 0)
