"""What a command imports before it does anything: its start is most of its time."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from swarm.chain.client import ChainClient, MemoryOutbox, Onlooker
from swarm.chain.suite import VERSION
from swarm.core.errors import LocalFault
from swarm.swci.table import LINES, Way

HEAVY = ("eth_account", "py_ecc.bls", "web3", "eth", "torch", "tensorflow", "fastapi", "uvicorn", "numpy")
"""Most of a second each; of keys, an EVM, servers, frameworks and arrays a command that reads needs none."""
LATER = ("eth_abi", "pydantic", "cryptography", "rich", "typer", "prompt_toolkit", "yaml", "ruamel", "websockets")
"""A third of a second together: needed for an answer, a certificate or a table, and not before."""
READINGS = sorted(words for words, (_, line) in LINES.items() if line.way is Way.READ)


@pytest.mark.parametrize("module", ["swarm.cli", "swarm.cli.looking", "swarm.inspect.commands", "swarm.inspect.tasks"])
def test_a_command_that_reads_imports_nothing_heavy(module: str) -> None:
    """In a process of its own, as at each call."""
    told = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_readings_import_late_what_they_need_late() -> None:
    """Each of them, up to the moment when nobody answers; its help, and a mistake in its words, before that."""
    script = f"""
import sys
from swarm.cli import main
for words in {READINGS!r}:
    for more in (["--help"], ["--no-such"], ["x", "y", "--ops", "http://127.0.0.1:1"], ["x", "--ops", "http://127.0.0.1:1"],
                 ["--ops", "http://127.0.0.1:1"]):
        try:
            main([*words.split(), *more])
        except SystemExit:
            pass
print("FOUND", *[name for name in {(*HEAVY, *LATER)!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "FOUND", done.stdout[-300:]
    assert done.stderr.count("no SN answers") >= len(READINGS)


@pytest.mark.parametrize(
    ("argv", "most"), [(["status", "--help"], 200), (["job", "list", "--ops", "http://127.0.0.1:1"], 450)]
)
def test_a_start_costs_little(argv: list[str], most: int) -> None:
    """In modules, which a busy machine does not stretch: 0.4 s of processor time are some 390, 1 s was 856."""
    script = f"""
import sys
from swarm.cli import main
try:
    main({argv!r})
except SystemExit:
    print("FOUND", len(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1].removeprefix("FOUND ")) <= most


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
