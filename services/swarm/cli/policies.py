"""Commands on a site's policy file: what a SWOP of this site takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .building import Call


LISTS = ("texts", "urls", "secrets", "capabilities")
GRANTS = ("build_network", "network", "writable_root", "devices", "privileged")


def allow(call: Call) -> int:
    from swarm.core.swop.allowing import FLAGS
    from swarm.swop.policyfile import allow as act

    values = {name: call.values[name] for name in FLAGS}
    rule = {name: list(value) if isinstance(value, list | tuple) else value for name, value in values.items() if value}
    path = Path(call.values["file"])
    rules = act(path, rule)
    return call.out.done({"file": str(path), "rule": rule, "rules": rules}, _allowed)


def _allowed(data: Any) -> None:
    print(f"{data['file']} has {data['rules']} rules; this one is its last, or was there already:")
    for name, value in data["rule"].items():
        print(f"  {name}: {', '.join(value) if isinstance(value, list) else 'true'}")
    if not data["rule"]:
        print("  any task of any operator, without images, mounts and network")


def check(call: Call) -> int:
    from dataclasses import asdict

    from swarm.core.ids import to_hex
    from swarm.swop.policyfile import check as act

    found = act(Path(call.values["file"]))
    rows = [
        {
            name: [to_hex(each) if isinstance(each, bytes) else each for each in value]
            if isinstance(value, tuple)
            else value
            for name, value in asdict(one).items()
        }
        for one in found.rules
    ]
    return call.out.done({"file": found.source, "share_logs": found.share_logs, "rules": rows}, _checked)


def _checked(data: Any) -> None:
    from swarm.core.swop.containers import BUILD_MINUTES

    shared = "operators may read what failed programs wrote" if data["share_logs"] else "what programs write stays here"
    print(f"{data['file']}: {len(data['rules'])} rules; {shared}")
    for number, one in enumerate(data["rules"], 1):
        who = ", ".join(one["authors"]) or "any operator"
        print(f"  {number}: {', '.join(one['tasks'])} ({', '.join(one['kinds'])}) of {who}")
        print(f"     images {', '.join(one['images']) or 'none'}; mounts {', '.join(one['mounts']) or 'none'}")
        also = [f"{name} {', '.join(one[name])}" for name in LISTS if one[name]]
        also += [name for name in GRANTS if one[name]] + ([] if one["confined"] else ["not confined"])
        also += [f"memory {one['memory'] / 2**20:.0f} MiB"] if one["memory"] else []
        also += [f"builds of {one['build_minutes']} min"] if one["build_minutes"] != BUILD_MINUTES else []
        if also:
            print(f"     {'; '.join(also)}")
