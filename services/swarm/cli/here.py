"""Commands that work on this host alone: files, the node beside, a chain as a whole, schemas of answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.core.errors import OperatorFault

from .looking import source_of

if TYPE_CHECKING:
    from .building import Call


def check(call: Call) -> int:
    from swarm.inspect.taskfile import check as act
    from swarm.inspect.taskfile import print_checked

    values = call.values
    data, code = act(values["files"], values["sets"], values["vars_file"], plain_secrets=values["plain_secrets"])
    return call.out.done(data, print_checked, code)


def render(call: Call) -> int:
    from swarm.inspect.taskfile import print_rendered
    from swarm.inspect.taskfile import render as act

    values = dict(call.values)
    data, code = act(values.pop("file"), values.pop("sets"), values.pop("vars_file"), **values)
    return call.out.done(data, print_rendered, code)


def task_schema(call: Call) -> int:
    from swarm.inspect.taskfile import schema as made

    return _schema(call, made(**call.values))


def _schema(call: Call, made: Any) -> int:
    """As it is in every form, without an envelope; in one line with ``--output jsonl``."""
    print(json.dumps(made, indent=None if call.out.form == "jsonl" else 2))
    return 0


def schema(call: Call) -> int:
    """Of a command's answer, in its envelope."""
    from swarm.swci.table import LINES

    from .schemas import schema_of

    words = " ".join(call.values["words"])
    if words not in LINES:
        raise click.UsageError(f"no command is called {words!r:.80}; swarm --help lists them")
    line = LINES[words][1]
    if not line.answer:
        raise OperatorFault(f"swarm {line.words} answers no JSON: {line.bare}")
    return _schema(call, schema_of(line, lines=call.values["lines"]))


def ready(call: Call) -> int:
    from swarm.inspect.ready import ready as act

    role = call.values["role"]
    reason = act(role, call.values["ops"], call.values["timeout"], os.environ)
    if reason and not call.out.by_program:
        sys.stderr.write(f"swarm: {reason}\n")
    return call.out.done({"role": role, "ready": not reason, "reason": reason or None}, None, int(bool(reason)))


def approve(call: Call) -> int:
    from swarm.sn.approvals import Approvals

    folder, node = _folder(call), call.values["node"]
    found = Approvals(folder)
    if node is not None:
        found.approve(node)
    waiting = [{"node": address, **told} for address, told in found.waiting().items()]
    return call.out.done({"folder": str(folder), "waiting": waiting, "approved": node}, _approvals)


def _approvals(data: Any) -> None:
    if data["approved"] is not None:
        print(f"{data['approved']} may join; it asks again by itself")
        return
    if not data["waiting"]:
        print(f"no node waits for approval at the SN of {data['folder']}")
    for one in data["waiting"]:
        instead = f"  instead of {one['instead']}, which is revoked then" if one.get("instead") else ""
        print(f"{one['node']}  {one['role']}  {one['certificate']}{instead}")


def chain_export(call: Call) -> int:
    """Through an SN that runs (--ops, --sn), or from the state folder of one that does not run (--state-dir)."""
    from swarm.inspect.export import export_to

    file, folder, without = (call.values[name] for name in ("file", "state_dir", "without"))
    if folder is not None:
        from swarm.sn.leftover import embedded_chain

        if call.values["sn"] is not None or call.values["ops"] is not None:
            raise OperatorFault("--state-dir reads a folder, --sn and --ops ask an SN that runs: give one of them")
        found, notes = export_to(file, None, *embedded_chain(folder), without)
    else:
        found, notes = export_to(file, source_of(call), None, None, without)
    if not call.out.by_program:
        for note in notes:
            sys.stderr.write(f"note: {note}\n")
    told = {
        "file": str(file),
        "members": len(found.members),
        "jobs": len(found.jobs),
        "runs": sum(len(job.runs) for job in found.jobs),
        "block": found.block,
        "genesis": f"0x{found.genesis.hex()}",
        "contracts": found.contracts,
        "notes": notes,
    }
    return call.out.done(told, _exported)


def _exported(data: Any) -> None:
    print(
        f"{data['file']}: {data['members']} members, {data['jobs']} jobs, {data['runs']} runs; "
        f"block {data['block']} of the chain with genesis {data['genesis']}, contracts of version {data['contracts']}"
    )


def chain_import(call: Call) -> int:
    from swarm.sn.carrying import import_file

    folder, lines = _folder(call), []

    def say(text: str) -> None:
        lines.append(text)
        call.out.step({"lines": [text]}, text)

    for note in import_file(call.values["file"], folder, say):
        lines.append(f"note: {note}")
        if not call.out.by_program:
            sys.stderr.write(f"note: {note}\n")
        call.out.step({"lines": [f"note: {note}"]}, "") if call.out.form == "jsonl" else None
    return call.out.done({"lines": lines} if call.out.form == "json" else None)


def _folder(call: Call) -> Path:
    from swarm.sn.settings import SnSettings

    folder: Path = call.values["state_dir"] or SnSettings.default_state_folder(os.environ)
    if not folder.is_dir():
        raise OperatorFault(f"{folder} is not there: give the SN's --state-dir (SWARM_STATE_DIR)")
    return folder
