"""``swarm doctor``: what is wrong on this host, each with its fix."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.core.errors import OperatorFault

from .output import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarm.core.doctor.facts import Finding
    from swarm.doctor.looking import Asked

    from .building import Call

GIVEN = ("sn", "cert", "profile", "policy", "folders", "image", "peers")
"""What says what to look at, so that no bundle is needed."""


def doctor(call: Call) -> int:
    from swarm.chain.suite import VERSION
    from swarm.core.doctor.judging import judged
    from swarm.doctor.looking import look
    from swarm.swop.docker import DockerRuntime

    asked = _asked(call.values)
    host = DockerRuntime(call.values["engine"])

    def say(step: str) -> None:
        if not call.out.by_program:
            sys.stderr.write(f"... {step}\n")

    try:
        facts = look(asked, host, os.environ, say)
    finally:
        host.close()
    findings = judged(facts)
    data = {
        "site": asked.site,
        "version": importlib.metadata.version("swarm-platform"),
        "contracts": VERSION,
        "at": time.time(),
        "images": dict(facts.engine.images) if facts.engine is not None else {},
        "reached": [
            {name: value for name, value in asdict(one).items() if name != "text"} | {"reach": one.reach.value}
            for one in facts.reached
        ],
        **told(findings),
    }
    return call.out.done(data, draw, EXIT_FAILED if data["faults"] else 0)


def told(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings as JSON, and how many are faults."""
    rows = [{"area": one.area, "level": one.level.value, "text": one.text, "fix": one.fix} for one in findings]
    return {"findings": rows, "faults": sum(row["level"] == "fault" for row in rows)}


def draw(data: Any) -> None:
    from swarm.core.shown import printable

    width = max([len(one["area"]) for one in data["findings"]], default=0)
    for one in data["findings"]:
        print(f"{one['level']:<5}  {one['area']:<{width}}  {printable(one['text'])}")
        if one["fix"]:
            print(f"{'':5}  {'':{width}}  fix: {printable(one['fix'])}")
    warned = sum(one["level"] == "warn" for one in data["findings"])
    print(f"{data['faults']} faults, {warned} warnings, {len(data['findings'])} looked at")


def _asked(values: dict[str, Any]) -> Asked:
    from swarm.doctor.looking import Asked, of_bundle
    from swarm.net.tls import TlsFiles

    given = any(values[name] for name in GIVEN)
    folder = values["folder"]
    asked = of_bundle(Path(folder or ".")) if folder is not None or not given else Asked()
    if values["cert"] is not None:
        if values["key"] is None or (values["cacert"] is None and values["capath"] is None):
            raise OperatorFault("--cert needs --key, and --cacert or --capath")
        files = TlsFiles(values["cert"], values["key"], values["cacert"], values["capath"])
        asked = replace(asked, files={**asked.files, str(values["cert"]): files})
    if values["sn"] is not None:
        asked = replace(asked, sn=_place("--sn", values["sn"]), here=False)
    peers = tuple((*_place("--peer", one), "as asked for") for one in values["peers"])
    images = {**asked.images, "sl": values["image"]} if values["image"] else asked.images
    for name in ("profile", "policy", "user"):
        if values[name] is not None:
            asked = replace(asked, **{name: values[name]})
    if values["profile"] is not None:
        asked = replace(asked, profile_text=None)
    return replace(asked, peers=peers, images=images, folders=(*asked.folders, *values["folders"]))


def _place(flag: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise OperatorFault(f"{flag} wants host:port, not {text!r:.100}")
    return host.strip("[]"), int(port)
