"""The stand-in for native solc: the two switches that py-solc-x and slither use, and refusal of all others."""

from __future__ import annotations

import json
import subprocess

import pytest
from support.tools import solc

pytestmark = pytest.mark.solc

SOURCE = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;
import {Panic} from "@openzeppelin/contracts/utils/Panic.sol";
contract Probe { function f() external pure { Panic.panic(1); } }
"""


def ask(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(solc()), *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_answers_with_the_pinned_version() -> None:
    """--version is what py-solc-x parses: the version in the file's own name."""
    done = ask("--version")
    assert done.returncode == 0
    assert f"Version: {solc().name.removeprefix('solc-v')}+commit." in done.stdout


def test_standard_json_is_pure_json_and_finds_the_library() -> None:
    """The output parses from its first byte on, and an import is read from the pinned npm package."""
    wanted = {
        "language": "Solidity",
        "sources": {"Probe.sol": {"content": SOURCE}},
        "settings": {"evmVersion": "london", "outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    output = json.loads(ask("--standard-json", stdin=json.dumps(wanted)).stdout)
    assert [error for error in output.get("errors", []) if error["severity"] == "error"] == []
    assert output["contracts"]["Probe.sol"]["Probe"]["evm"]["bytecode"]["object"]


@pytest.mark.parametrize("arguments", [["--bin", "x.sol"], [], ["--frobnicate"]])
def test_what_it_does_not_serve_is_refused(arguments: list[str]) -> None:
    """Any other use exits with 1 and one line, instead of output that a caller might take for a result."""
    done = ask(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("solc shim: ")
