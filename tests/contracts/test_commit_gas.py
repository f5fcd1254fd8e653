"""What a commit costs, recorded in gas.json: a change of more than 2 % must be on purpose.

`python tests/contracts/test_commit_gas.py` (with tests/ on the path) writes the record anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.twin import Twin, encode_bundle
from swarm.chain.facade import GAS_SIMPLE
from swarm.chain.training import GAS_JOIN, GAS_PER_MEMBER

FILE = Path(__file__).resolve().parent / "gas.json"
COUNTS = (2, 4, 8, 16, 32, 64)
TOLERANCE = 0.02
TRANSACTION_BYTES_MAX = 128 * 1024
LARGEST = 250


def measured(count: int) -> dict[str, int]:
    """Gas of three commits by `count` nodes with a majority of acks: the first, the usual, one after a join."""
    twin = Twin(count + 1)
    twin.join_all(count)
    found = {}
    for kind in ("first", "usual", "after_join"):
        if kind == "after_join":
            twin.join(twin.nodes[count])
        twin.round()
        found[kind] = twin.gas
    return found


@pytest.mark.parametrize("count", COUNTS)
def test_gas_of_a_commit_is_as_recorded(count: int) -> None:
    """A commit of so many nodes costs what gas.json says, within the tolerance."""
    recorded = json.loads(FILE.read_text("utf-8"))["commit"][str(count)]
    found = measured(count)
    for kind, gas in found.items():
        assert abs(gas - recorded[kind]) <= TOLERANCE * recorded[kind], f"{kind}: {gas}, recorded {recorded[kind]}"


def test_the_largest_commit_fits_a_transaction_and_a_block() -> None:
    """250 check-ins and 126 acks stay below geth's 128 KiB and far below a block's gas."""
    twin = Twin(LARGEST)
    twin.join_all(LARGEST)
    bundle = twin.bundle()
    data = twin.chain.training.built.functions["commit"].encode([[encode_bundle(bundle)]])
    assert len(data) + 200 < TRANSACTION_BYTES_MAX
    twin.commit(bundle)
    assert twin.gas < 60_000_000 / 4
    # The record names the figures, so that a reader finds them without running this.
    recorded = json.loads(FILE.read_text("utf-8"))["largest"]
    assert abs(twin.gas - recorded["gas"]) <= TOLERANCE * recorded["gas"]
    assert len(data) == recorded["bytes"]


@pytest.mark.slow
def test_no_step_of_the_largest_job_outgrows_the_gas_that_nodes_give_it() -> None:
    """Joining, growing the roster, leaving, and dropping half of 250 members by a reform."""
    most = GAS_JOIN + GAS_PER_MEMBER * LARGEST
    twin = Twin(LARGEST)
    for node in twin.nodes:
        twin.join(node, 100)
        assert twin.gas < most / 2
    twin.round(items=twin.nodes)
    assert twin.gas < most
    twin.leave(twin.nodes[0])
    assert twin.gas < most / 2
    twin.join(twin.nodes[0])
    assert twin.gas < most / 2
    call_id = twin.call(twin.nodes[1])
    assert twin.gas < GAS_SIMPLE / 2
    for node in twin.nodes[125:]:
        twin.here(node, call_id)
        assert twin.gas < GAS_SIMPLE / 2
    assert twin.settle(call_id)[0].name == "Reformed"
    assert twin.gas < most / 2


def main() -> None:
    twin = Twin(LARGEST)
    twin.join_all(LARGEST)
    bundle = twin.bundle()
    data = twin.chain.training.built.functions["commit"].encode([[encode_bundle(bundle)]])
    twin.commit(bundle)
    record = {
        "commit": {str(count): measured(count) for count in COUNTS},
        "largest": {"nodes": LARGEST, "gas": twin.gas, "bytes": len(data)},
    }
    record = json.loads(FILE.read_text("utf-8")) | record
    FILE.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
