"""The screen of ``swarm status --watch``: what stands on it, and what happens while the SN is away."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from swarm.core.errors import ChainFault, OperatorFault
from swarm.inspect import table
from swarm.inspect.watch import screen, watch

JOB = {"run": 1, "phase": "open", "told": "round 7 is open, 2 joined"}
SN = {"node": "0xaa", "up": True, "head": {"number": 41}, "swarm": {"chain": "geth"}}


def found(name: str = "sl-1") -> dict[str, Any]:
    wait = {"what": "check-ins", "whom": "0xbb", "since": 10.0, "until": 20.0, "then": "the round closes without them"}
    said = {"state": "syncing", "job": "j", "round": 7, "leading": "leader", "bytes_in": 1500, "bytes_out": 20}
    said |= {"disk_bytes": 3_000_000, "waits": [wait]}
    signs = [
        {"node": "0xa1", "name": name, "role": "sl", "alive": True, "age_seconds": 2.0, "sn": "0xaa", "said": said},
        {"node": "0xbb", "name": "sl-2", "role": "sl", "alive": True, "age_seconds": 1, "sn": "0xaa", "said": {}},
    ]
    members = [{"node": n, "role": "sl", "status": "active", "expires": 1} for n in ("0xa1", "0xbb", "0xcc")]
    return {"sn": SN, "nodes": table.rows(members, signs), "jobs": {"j": JOB}}


def test_a_node_and_its_waits_stand_on_the_screen() -> None:
    """State, round, age, bytes, and each wait with whom, since when, until when and what happens then."""
    lines = screen(found(), clock="12:00:00")
    assert lines[0] == "12:00:00  SN 0xaa: up, geth chain, block 41"
    assert lines[1] == "job j: run 1, open: round 7 is open, 2 joined"
    at = next(i for i, line in enumerate(lines) if line.startswith("sl-1"))
    assert lines[at].split("  ")[-1] == "1.5 kB / 20 B / 3.0 MB"
    for words in ("syncing (leads)", " 7 ", "2 s"):
        assert words in lines[at]
    said = "waits for check-ins (sl-2) since 12 s, until in 18 s, then the round closes without them"
    assert lines[at + 1].strip() == said
    assert any("never heard of" in line and line.startswith("0xcc") for line in lines)


@pytest.mark.row("D07")
def test_a_site_that_is_behind_says_by_how_many_rounds() -> None:
    """Beside the round that is open; a site that keeps up, or whose sign is older than that, shows the round alone."""
    for behind, shown in ((3, " 7 (3 behind) "), (0, " 7 "), (None, " 7 ")):
        rows = found()["nodes"]
        mine = next(row for row in rows if row["name"] == "sl-1")
        assert mine["behind"] is None
        mine["behind"] = behind
        lines = screen({**found(), "nodes": rows}, clock="")
        (line,) = [line for line in lines if line.startswith("sl-1")]
        assert shown in line
        assert ("behind" in line) == bool(behind)


def test_a_name_cannot_move_the_cursor() -> None:
    """Others choose their names: control characters do not reach the terminal."""
    assert not any(ord(c) < 32 for line in screen(found("\x1b[2Jsl-1\n"), clock="") for c in line)


def test_an_sn_that_is_away_is_said_and_asked_again() -> None:
    """The old figures stay, marked as old; a pipe gets every look, and Ctrl-C ends with 130 and no trace."""
    answers: list[Any] = [found(), ChainFault("no connection"), found(), KeyboardInterrupt()]

    async def look() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    out = io.StringIO()
    assert watch(look, 0.5, as_json=True, out=out) == 130
    looks = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["trouble"] for one in looks] == [None, "no connection", None]
    assert looks[1]["nodes"] == looks[0]["nodes"]
    assert "NO ANSWER, what follows is old: no connection" in screen(found(), clock="", trouble="no connection")


def test_a_first_look_that_fails_ends_the_command() -> None:
    """A wrong address is no reason to wait for ever; nor is a period of a millisecond one to ask so often."""

    async def look() -> dict[str, Any]:
        raise OperatorFault("no SN answers")

    with pytest.raises(OperatorFault, match="no SN answers"):
        watch(look, 0.5, as_json=False, out=io.StringIO())
    with pytest.raises(OperatorFault, match=r"--watch 0.001: expected 0.5 to 3600 seconds"):
        watch(look, 0.001, as_json=False, out=io.StringIO())
