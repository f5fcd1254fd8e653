"""Commands on the inventory of a swarm: what each site gets as its join bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def _told(made: Bundle) -> dict[str, Any]:
    return {"site": made.site, "folder": str(made.folder), "written": made.written, "kept": made.kept}


def _bundles(data: Any) -> None:
    for one in data:
        kept = f", {len(one['kept'])} left as they are" if one["kept"] else ""
        print(f"{one['folder']}: {len(one['written'])} files written{kept}")
    print("give each site its folder: README.md in it says what is done there")
