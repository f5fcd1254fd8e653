"""Commands on the inventory of a swarm: what each site gets as its join bundle."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.core.errors import OperatorFault

from .output import EXIT_FAILED

if TYPE_CHECKING:
    from swarm.core.doctor.across import Living
    from swarm.inspect.source import Source
    from swarm.sites.writing import Bundle

    from .building import Call


def init(call: Call) -> int:
    from swarm.sites.writing import inventory_in, write

    values = call.values
    made = write(inventory_in(values["inventory"]), Path(values["out"]), values["sites"], force=values["force"])
    return call.out.done([_told(one) for one in made], _bundles)


def add(call: Call) -> int:
    from swarm.sites.writing import add as act
    from swarm.sites.writing import inventory_in

    values = call.values
    made = act(inventory_in(values["inventory"]), values["name"], Path(values["out"]))
    return call.out.done([_told(made)], _bundles)


def check(call: Call) -> int:
    from swarm.core.doctor.across import REPORT_BYTES_MAX, beside_nodes, beside_reports, report_of
    from swarm.sites.writing import inventory_in

    from .doctoring import draw, told
    from .looking import source_of

    where = source_of(call) if _asks_an_sn(call.values) else None
    inventory = inventory_in(call.values["inventory"])
    reports = []
    for path in call.values["reports"]:
        try:
            with open(path, "rb") as file:
                reports.append(report_of(file.read(REPORT_BYTES_MAX), str(path)))
        except OSError as error:
            raise OperatorFault(f"{path}: {error.strerror}") from error
    findings = [] if where is None else beside_nodes(inventory, asyncio.run(_living(where)))
    if reports:
        findings += beside_reports(inventory, reports)
    data = {
        "inventory": str(call.values["inventory"]),
        "sites": [one.name for one in inventory.sites],
        **told(findings),
    }
    return call.out.done(data, draw, EXIT_FAILED if data["faults"] else 0)


def _asks_an_sn(values: dict[str, Any]) -> bool:
    return not values["reports"] or values["sn"] is not None or values["ops"] is not None


async def _living(where: Source) -> list[Living]:
    from swarm.core.doctor.across import Living
    from swarm.inspect.nodes import nodes
    from swarm.inspect.source import open_view

    async with open_view(where) as view:
        rows = await nodes(view)
    roles = {"SENTINEL": "sn"}
    return [
        Living(role=roles.get(row["kind"], row["kind"].lower()), name=row["name"], host=row["host"], port=row["port"])
        for row in rows
    ]


def _told(made: Bundle) -> dict[str, Any]:
    return {"site": made.site, "folder": str(made.folder), "written": made.written, "kept": made.kept}


def _bundles(data: Any) -> None:
    for one in data:
        kept = f", {len(one['kept'])} left as they are" if one["kept"] else ""
        print(f"{one['folder']}: {len(one['written'])} files written{kept}")
    print("give each site its folder: README.md in it says what is done there")
