"""Certificates: what :mod:`swarm.pki.commands` does, with a clock and a handshake from the network room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.core.errors import SwarmFault
from swarm.pki import commands
from swarm.pki.check import faults

from .output import EXIT_FAILED

if TYPE_CHECKING:
    from .building import Call


def init(call: Call) -> int:
    return _made(call, commands.init)


def issue(call: Call) -> int:
    return _made(call, commands.issue)


def request(call: Call) -> int:
    return _made(call, commands.request)


def sign(call: Call) -> int:
    return _made(call, commands.sign)


def _made(call: Call, make: Callable[..., None]) -> int:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        call.out.step({"lines": [line]}, line)

    try:
        make(say, **call.values)
    except SwarmFault as fault:
        if call.out.form != "json":
            raise
        return call.out.fault(fault, {"lines": lines})
    return call.out.done({"lines": lines} if call.out.form == "json" else None)


def check(call: Call) -> int:
    from swarm.net.probe import remote_time
    from swarm.net.rehearsal import rehearse
    from swarm.net.tls import TlsFiles

    values = dict(call.values)
    against = values.pop("against")
    files: tuple[Path, Path, Path | None, Path | None]
    files = values["cert"], values["key"], values["cacert"], values["capath"]
    findings = commands.check_files(*files, datetime.now(UTC), lambda *these: rehearse(TlsFiles(*these)))
    if against is not None:
        clock = commands.clock_of(lambda host, port, *these: remote_time(host, port, TlsFiles(*these)), against, *files)
        findings.append(clock)
    wrong = [finding.field for finding in faults(findings)]
    told = [{"level": one.level.value, "field": one.field, "text": one.text} for one in findings]
    data = {"cert": str(files[0]), "findings": told, "faults": wrong}
    return call.out.done(data, _print, EXIT_FAILED if wrong else 0)


def _print(found: Any) -> None:
    width = max(len(one["field"]) for one in found["findings"])
    for one in found["findings"]:
        print(f"{one['level']:<5}  {one['field']:<{width}}  {one['text']}")
    if found["faults"]:
        sys.stderr.write(f"{found['cert']}: to be mended: {', '.join(found['faults'])}\n")
