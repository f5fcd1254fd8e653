"""What a command imports before it does anything: its start is most of its time."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.suite import VERSION
from swarm.core.errors import LocalFault

HEAVY = ("eth_account", "py_ecc.bls", "web3", "eth", "torch", "tensorflow", "fastapi", "uvicorn")
"""Most of a second each; of keys, an EVM, servers and frameworks a command that reads needs none."""


@pytest.mark.parametrize("module", ["swarm.cli", "swarm.inspect.commands", "swarm.inspect.taskfile"])
def test_a_command_that_reads_imports_nothing_heavy(module: str) -> None:
    """In a process of its own, as at each call."""
    told = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_who_only_looks_cannot_send() -> None:
    """It has no key; a fault of ours that would send is named, and nothing leaves the process."""
    client = ChainClient(lambda method, params: pytest.fail(method), Onlooker(), MemoryOutbox(), chain_id=1)
    assert client.address == bytes(20)
    with pytest.raises(LocalFault, match="only reads"):
        client._account.sign_transaction({})


def test_the_version_is_told() -> None:
    """Of the program, and of the contracts: a chain of another version is refused."""
    done = subprocess.run([sys.executable, "-m", "swarm.cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"swarm {version('swarm-platform')}, contracts of version {VERSION}\n"
