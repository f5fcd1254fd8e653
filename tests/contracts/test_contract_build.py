"""The committed build is that of the sources, deployable on London, and no refusal of it goes untested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.solidity import build
from swarm.chain.contract import CONTRACTS, artifact
from swarm.core.errors import LocalFault
from swarm.core.ids import Address

HERE = Path(__file__).resolve().parent
ABI = HERE.parents[1] / "services" / "swarm" / "chain" / "abi"
NAMES = CONTRACTS
HIDDEN = {"ReentrancyGuardReentrantCall"}
"""Reaches a caller only inside MembershipGrantFailed; test_a_grant_cannot_be_used_to_come_back_in triggers it."""
PUSH0, PUSH1, PUSH32 = 0x5F, 0x60, 0x7F


def committed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ABI / f"{name}.json").read_text("utf-8"))
    return found


@pytest.mark.row("D03")
def test_the_committed_build_is_that_of_the_sources() -> None:
    """Compiling again gives the same files, byte for byte; run contracts/build.py after a change."""
    for file, text in build().build().items():
        assert (ABI / file).read_text("utf-8") == text, f"{file} is stale: run `python contracts/build.py`"


@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_for_london_and_small_enough(name: str) -> None:
    """No PUSH0 (it deploys with status 0 and no other sign), and 512 of 24,576 bytes stay free."""
    built = committed(name)
    assert built["deployedBytes"] <= 24_576 - 512
    code = artifact(name).bytecode
    place = 0
    while place < len(code):
        assert code[place] != PUSH0, f"PUSH0 at byte {place}"
        place += 1 + (code[place] - PUSH1 + 1 if PUSH1 <= code[place] <= PUSH32 else 0)
        if code[place : place + 1] == b"\xfe":
            break  # the end of the code that runs; data may follow


def test_every_custom_error_is_triggered_by_a_test() -> None:
    """Each error of each ABI is expected by name in some test of this folder."""
    text = "".join(p.read_text("utf-8") for p in HERE.glob("test_*.py") if p.name != Path(__file__).name)
    expected = set(re.findall(r'refused\(\s*"(\w+)"', text)) | set(re.findall(r'0, "(\w+)"\)', text))
    known = {e["name"] for name in NAMES for e in committed(name)["abi"] if e["type"] == "error"}
    assert known - expected == HIDDEN
    assert {e for e in expected if e[0].isupper()} <= known


def test_the_build_names_what_it_was_made_with() -> None:
    """Each committed artefact names the compiler and the EVM it was built for: London, not newer."""
    for name in NAMES:
        compiler = committed(name)["compiler"]
        assert (compiler["solc"], compiler["evmVersion"]) == ("0.8.37", "london")


def test_the_artefacts_know_each_event_and_error_by_one_name() -> None:
    """Interfaces and contracts agree: what ITraining declares is what Training's ABI has."""
    folder = HERE.parents[1] / "contracts" / "src" / "interfaces"
    for name in NAMES:
        if not (folder / f"I{name}.sol").is_file():
            continue  # a library has no interface of its own
        text = (folder / f"I{name}.sol").read_text("utf-8")
        for kind in ("error", "event", "function"):
            declared = set(re.findall(rf"^\s+{kind} (\w+)\(", text, re.MULTILINE))
            found = {e["name"] for e in committed(name)["abi"] if e["type"] == kind}
            assert declared <= found


def test_a_contract_without_room_for_the_next_mend_is_not_built() -> None:
    """One byte of code too many for 512 free ones stops the build with the sizes and the way out."""
    tool = build()
    tool.require_room("Training", 24_064)
    with pytest.raises(tool.BuildError, match=r"Training has 24065 bytes .* 512 stay free: move a concern"):
        tool.require_room("Training", 24_065)


def test_the_readme_names_the_sizes_and_bounds_of_the_build() -> None:
    """The sizes in contracts/README.md are those of the committed build, for every contract and library."""
    text = (HERE.parents[1] / "contracts" / "README.md").read_text("utf-8")
    said = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) bytes \|$", text, re.MULTILINE))
    assert said == {name: f"{committed(name)['deployedBytes']:,}" for name in NAMES}


def test_a_linked_library_has_to_be_there_first() -> None:
    """Training without its library's address is refused by name; with it, the address stands in its places."""
    built = artifact("Training")
    assert set(built.links) == {"TrainingCalls", "TrainingCarried"}
    with pytest.raises(LocalFault, match="Training is linked to TrainingCalls"):
        built.creation([bytes(20), 120])
    made = {name: Address(bytes([n]) * 20) for n, name in enumerate(sorted(built.links), 0x42)}
    with pytest.raises(LocalFault, match="Training is linked to TrainingCarried"):
        built.creation([bytes(20), 120], {"TrainingCalls": made["TrainingCalls"]})
    code = built.creation([bytes(20), 120], made)
    assert all(code[at : at + 20] == made[name] for name, places in built.links.items() for at in places)
