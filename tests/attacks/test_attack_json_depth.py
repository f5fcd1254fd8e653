"""Depth: a deep nest of JSON or of contract calls is an error or an end by gas, never the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.evm import GAS, Evm
from swarm.chain.embedded.evm import Call, Env
from swarm.chain.embedded.tx import contract_address
from swarm.core.ids import Address

SENDER = Address(b"\x11" * 20)

SOURCE = """
import importlib, json, threading
importlib.import_module({module!r})
def parse():
    for opening in ("[", '{{"a":'):
        try:
            json.loads(opening * 1_000_000)
        except RecursionError:
            print("refused")
parse()
thread = threading.Thread(target=parse)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("module", ["swarm.chain.embedded", "swarm.sn.service", "swarm.sl.service"])
def test_no_depth_of_json_ends_a_node(module: str) -> None:
    """With all libraries of a node loaded, json.loads of a million openings raises, in every thread."""
    done = subprocess.run(
        [sys.executable, "-c", SOURCE.format(module=module)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 4), done.stderr[-500:]


def test_a_contract_that_calls_itself_to_the_bottom_ends_by_gas_or_depth() -> None:
    """The same limit is enough for the deepest call chain a block's gas buys: the transaction just ends."""
    evm = Evm([SENDER])
    calls_itself = "6000600060006000600030" + "5af100"
    creation = bytes.fromhex("6d" + calls_itself + "600052" + "600e6012f3")
    result = evm.engine.call(Env(1, evm.time + 1, ()), evm.root, Call(SENDER, None, GAS, 0, creation, ()))
    assert result.output.hex() == calls_itself
    deployed = Address(contract_address(SENDER, 0))
    evm._run(SENDER, None, creation, 0, "deployment")
    levels = (evm.send(SENDER, deployed, b"").gas - 21_000) // 121  # a level: six pushes and the like, one warm call
    assert levels > 500
