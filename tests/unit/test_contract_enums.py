"""Numbers that stand on the chain are the contracts': an enumeration here has the members of theirs, in their order."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest
from swarm.core import chain_view, taskview

INTERFACES = Path(__file__).resolve().parents[2] / "contracts" / "src" / "interfaces"


@pytest.mark.parametrize(
    ("ours", "file", "theirs"),
    [
        (taskview.TaskType, "ITasks", "TaskType"),
        (taskview.RunnerState, "ITaskrunners", "State"),
        (taskview.AssignmentPhase, "ITaskrunners", "Phase"),
        (taskview.Outcome, "ITaskrunners", "Outcome"),
        (taskview.PairState, "ITaskrunners", "PairState"),
        (taskview.PeerState, "ITaskrunners", "PeerState"),
        (chain_view.Phase, "ITraining", "Phase"),
    ],
)
def test_an_enumeration_is_the_contracts(ours: type[IntEnum], file: str, theirs: str) -> None:
    """Solidity counts from 0; words are written in one there, with underscores here."""
    found = re.search(rf"enum {theirs} {{(.*?)}}", (INTERFACES / f"{file}.sol").read_text(), re.S)
    assert found is not None
    words = re.findall(r"\w+", re.sub(r"//.*", "", found[1]))
    assert [(one.name, one.value) for one in ours] == [
        (re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper(), number) for number, word in enumerate(words)
    ]
