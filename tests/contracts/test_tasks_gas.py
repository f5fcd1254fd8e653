"""What calls about tasks cost, recorded in gas.json: a change of more than 2 % must be on purpose.

`python tests/contracts/test_tasks_gas.py` (with tests/ on the path) writes the record anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from support.tasktwin import RUNNER, SIGNED, TaskTwin, header, key
from swarm.chain.taskcodec import packed
from swarm.core.ids import sha256
from swarm.core.taskstatements import task_id
from swarm.core.taskview import ItemKind, Report, TaskBody

HERE = Path(__file__).resolve().parent
FILE = HERE / "gas.json"
README = HERE.parents[1] / "contracts" / "README.md"
TOLERANCE = 0.02
MANY = 64


def measured() -> dict[str, int]:
    """Gas of each call, in the place where it costs most in daily use."""
    twin = TaskTwin(MANY)
    found: dict[str, int] = {}

    def took(name: str) -> None:
        found[name] = twin.gas

    twin.step(twin.swci, "create", key(1), header())
    took("create")
    task = task_id(twin.swci, key(1))
    twin.step(twin.swci, "append", task, ItemKind.LINE, 0, [b"RUN apt-get update && apt-get install -y python3"] * 4)
    took("append 4 lines")
    body = TaskBody(tuple(b"RUN pip install package-%03d" % n for n in range(70)), (b"x" * 2600,))
    twin.step(twin.swci, "put", key(2), header(), 70, 1, packed(body))
    took("put a task of 70 lines")
    task = task_id(twin.swci, key(2))
    root = twin.root(header(), body.lines, body.chunks)
    twin.step(twin.swci, "finalise", task, 70, 1, root, *SIGNED)
    took("finalise a whole body")
    twin.step(twin.swops[0], "follow", RUNNER, 4)
    took("follow")
    aid = twin.assign(task, n=2 * MANY, expect=MANY)
    took("assign")
    twin.evm.step = 0
    for swop in twin.swops:
        twin.step(swop, "enrol", RUNNER, aid, 2)
    took("enrol")
    twin.step(twin.swops[0], "start", RUNNER, aid)
    took("start with 64 SWOPs")
    twin.step(twin.swops[0], "renew", RUNNER, aid, 3)
    took("renew, first")
    twin.step(twin.swops[0], "renew", RUNNER, aid, 3)
    twin.evm.step = 1
    twin.step(twin.swops[0], "renew", RUNNER, aid, 3)
    took("renew")
    text = sha256(b"text")
    twin.report(twin.swops[0], aid, Report(0, True, 0, "", text, twin.swops[0], 7, text))
    took("report a pair")
    twin.step(twin.swci, "reset", RUNNER, aid, True)
    took("reset by force")
    return found


def rows(record: dict[str, int]) -> list[str]:
    return [f"| {name} | {round(gas / 1000):,}k |" for name, gas in record.items()]


def test_gas_of_tasks_is_as_recorded() -> None:
    """Each call costs what gas.json says, within the tolerance; contracts/README.md has the same figures."""
    recorded = json.loads(FILE.read_text("utf-8"))["tasks"]
    found = measured()
    assert list(found) == list(recorded)
    for name, gas in found.items():
        assert abs(gas - recorded[name]) <= TOLERANCE * recorded[name], f"{name}: {gas}, recorded {recorded[name]}"
    text = README.read_text("utf-8")
    for row in rows(recorded):
        assert row in text


def main() -> None:
    record = json.loads(FILE.read_text("utf-8")) | {"tasks": measured()}
    FILE.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print("\n".join(rows(record["tasks"])))


if __name__ == "__main__":
    main()
