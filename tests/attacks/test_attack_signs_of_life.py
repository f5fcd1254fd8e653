"""Hostile input: a member's sign of life, and another SN's table of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from swarm.core.alive import TEXT_CHARS_MAX, WAITS_MAX, Alive, WaitTold
from swarm.core.errors import PeerFault
from swarm.core.ids import Address
from swarm.sn.lifesigns import LifeSigns
from swarm.store.journal import Journal

WAIT = {"what": "acks", "whom": "0xa", "since": 1.5, "until": None, "then": "recorded"}
MEMBERS = {Address(bytes([0x11] * 20))}
GOOD: dict[str, Any] = Alive("training", waits=(WaitTold("acks", "0xa", 1.5, 3.0, "recorded"),)).to_json()


def test_a_message_reads_back_as_it_was() -> None:
    """What to_json writes, JSON carries and from_json reads is the same message."""
    said = Alive("syncing", "job", 1, 7, "leader", 2, 9, 0.5, None, 10, 20, 33, (WaitTold("x", "0xa", 1.0, None, "y"),))
    assert Alive.from_json(json.loads(json.dumps(said.to_json()))) == said


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state": "x" * (TEXT_CHARS_MAX + 1)}, "state"),
        ({"state": "\x1b[2J"}, "state"),
        ({"state": None}, "state"),
        ({"job": 7}, "job"),
        ({"round": -1}, "round"),
        ({"round": 1.5}, "round"),
        ({"round": True}, "round"),
        ({"round": 2**63}, "round"),
        ({"loss": float("nan")}, "loss"),
        ({"loss": "0"}, "loss"),
        ({"loss": 10**400}, "loss"),
        ({"metric": float("inf")}, "metric"),
        ({"waits": [WAIT] * (WAITS_MAX + 1)}, "waits"),
        ({"waits": "abc"}, "waits"),
        ({"waits": ["abc"]}, "wait"),
        ({"waits": [{**WAIT, "since": -1}]}, "since"),
        ({"waits": [{**WAIT, "since": 1e300}]}, "since"),
        ({"waits": [{**WAIT, "path": "/data/patients"}]}, "path"),
        ({"trace": "ValueError: patient 7"}, "trace"),
    ],
)
def test_what_is_no_sign_of_life_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    """Each bound is checked; fields that could carry something private do not exist."""
    with pytest.raises(PeerFault, match=named):
        Alive.from_json({**GOOD, **change})


@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_what_is_no_object_is_refused(data: Any) -> None:
    """Lists, texts, numbers and null are no message."""
    with pytest.raises(PeerFault):
        Alive.from_json(data)


@pytest.mark.parametrize(
    "rows",
    [
        {},
        [7],
        [{}],
        [{"node": "0x00", "at": 1, "role": "sl", "name": "", "sn": "", "said": None}],
        [{"node": "0x" + "11" * 20, "at": "soon", "role": "sl", "name": "", "sn": "", "said": None}],
        [{"node": "0x" + "11" * 20, "at": 1, "role": "sl", "name": "a\nb", "sn": "", "said": None}],
        [{"node": "0x" + "11" * 20, "at": 1, "role": "sl", "name": "", "sn": 7, "said": None}],
        [{"node": "0x" + "11" * 20, "at": 1, "role": "sl", "name": "", "sn": "", "said": {"state": 7}}],
    ],
)
def test_another_sns_broken_table_is_refused(tmp_path: Path, rows: Any) -> None:
    """Nothing of it can be shown, and no exception but PeerFault leaves the parser."""
    with Journal(tmp_path / "j.db") as journal, pytest.raises(PeerFault):
        LifeSigns(journal, "sn-1").merge(rows, MEMBERS)


def test_a_row_from_the_future_does_not_freeze_a_members_row(tmp_path: Path) -> None:
    """A wrong clock (or a lie) of another SN cannot shadow what is heard here."""
    now = [1000.0]
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: now[0])
        far = {"node": "0x" + "11" * 20, "role": "sl", "name": "x", "sn": "sn-2", "said": GOOD}
        assert signs.merge([{**far, "at": 1e10}], MEMBERS) == 0
        signs.heard(Address(bytes([0x11] * 20)), "sl", "x", GOOD)
        assert signs.rows()[0]["sn"] == "sn-1"
