"""The record of a run, built from events alone."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console
from swarm.chain import events as ev
from swarm.core.chain_view import Stats
from swarm.core.checkinflags import FLAG_OBSERVER, FLAG_OWN_FIGURE
from swarm.core.ids import Address, BlobId, Digest
from swarm.core.limits import NOT_REPORTED
from swarm.core.roster import Roster
from swarm.core.statements import Result, method_word
from swarm.inspect import history, printing
from swarm.inspect.record import build

JOB, A, B, C = Digest(b"\x01" * 32), Address(b"\x0a" * 20), Address(b"\x0b" * 20), Address(b"\x0c" * 20)
MERGED = BlobId(b"\x09" * 32)


def joined(node: Address, uri: str = "https://x"):
    return ev.Joined(JOB, 1, node, uri, 2, True)


def opened(number: int, *who: Address, epoch: int = 0):
    return ev.RoundOpened(JOB, 1, number, epoch, BlobId(bytes(32)), 2, Roster.of((w, True) for w in who))


def merged(number: int, epoch: int = 0):
    result = Result(MERGED, 10, method_word("mean"), Digest(bytes(32)), 4, Digest(bytes(32)))
    return ev.RoundMerged(JOB, 1, number, epoch, 1, A, result, 2, 2)


def part(node: Address, number: int, **stats: int):
    numbers = {"weight": 1, "loss": 500_000, "metric": 1, "epochs_done": 1, "epochs_total": 2, "flags": 0} | stats
    return ev.Contributed(JOB, 1, node, number, 1, MERGED, 10, Stats(**numbers), 0.5)


def record(*events):
    return json.loads(json.dumps(build("job", 1, enumerate(events)).to_json(), allow_nan=False))


def test_nothing_happened_yet():
    """No event: joining; an opened round: open."""
    assert record()["phase"] == "joining"
    found = record(joined(A), joined(B), opened(0, A, B))
    assert (found["phase"], found["open_round"], found["rounds"]) == ("open", 0, [])


def test_a_whole_run():
    """Rounds with leader, attempt, contributions in order; what was not reported is null, never NaN."""
    found = record(
        *(joined(n) for n in (A, B)), opened(0, A, B), merged(0), part(A, 0),
        part(B, 0, loss=NOT_REPORTED, weight=0, flags=FLAG_OBSERVER), opened(1, A, B), merged(1), part(A, 1),
        ev.RunCompleted(JOB, 1, 2, MERGED), ev.Closed(JOB, 1, A, 1_000_000, NOT_REPORTED),
    )  # fmt: skip
    assert (found["phase"], found["final"], found["open_round"]) == ("complete", "0x" + "09" * 32, None)
    first = found["rounds"][0]
    assert (first["attempt"], first["leader"], first["method"]) == (1, "0x" + "0a" * 20, "mean")
    assert [(c["loss"], c["observer"]) for c in first["contributions"]] == [(0.5, False), (None, True)]
    assert [(m["loss"], m["metric"]) for m in found["members"]] == [(1.0, None), (None, None)]


def test_calls_reforms_and_departures():
    """A reform drops its silent members, a call's answers and end are told, who left is said."""
    found = record(
        *(joined(n) for n in (A, B, C)), opened(0, A, B, C), ev.Called(JOB, 1, 1, A), ev.Answered(JOB, 1, 1, A, False),
        ev.CallVoided(JOB, 1, 1, 1), ev.Called(JOB, 1, 2, B), ev.Answered(JOB, 1, 2, A, False),
        ev.Answered(JOB, 1, 2, B, False), ev.Reformed(JOB, 1, 2, 1, (C,)), opened(0, A, B, epoch=1), merged(0, 1),
        part(A, 0), ev.Left(JOB, 1, B),
    )  # fmt: skip
    assert [(c["end"], len(c["answers"])) for c in found["calls"]] == [("void", 1), ("reformed", 2)]
    assert [m["state"] for m in found["members"]] == ["joined", "left", "dropped"]
    assert [(r["epoch"], len(r["roster"]), len(r["contributions"])) for r in found["rounds"]] == [(1, 2, 1)]


def test_a_failed_run_says_why():
    """The reason on chain is in the record."""
    found = record(joined(A), opened(0, A), ev.RunFailed(JOB, 1, A, "program failed"))
    assert (found["phase"], found["reason"]) == ("failed", "program failed")


def test_the_table_counts_what_was_merged_and_marks_an_original_clients_loss():
    """Three take part, two models are merged: "from" says 2, and so does history; a star and its meaning."""
    events = [
        *[joined(node) for node in (A, B, C)],
        opened(0, A, B, C),
        part(A, 0, flags=FLAG_OWN_FIGURE, loss=15_100),
        part(B, 0, loss=753_000),
        part(C, 0, weight=0, flags=FLAG_OBSERVER),
        merged(0),
    ]
    found = record(*events)
    text = io.StringIO()
    printing.print_record(Console(file=text, width=200), found)
    lines = text.getvalue().splitlines()
    row = next(line for line in lines if "mean" in line)
    assert re.split(r"\s*[│|]\s*", row.strip("│┃| "))[4] == "2"
    assert sum("0.0151*" in line for line in lines) == 1
    assert sum("0.753*" in line for line in lines) == 0
    assert any(line.startswith("* as an original client reports it") for line in lines)
    assert history._row("job", 1, list(enumerate(events)))["contributors"] == sorted(["0x" + A.hex(), "0x" + B.hex()])
    plain = io.StringIO()
    printing.print_record(Console(file=plain, width=200), record(*events[:4], part(B, 0), merged(0)))
    assert "original client" not in plain.getvalue()


@pytest.mark.row("D07")
def test_a_late_contribution_shows_its_rounds_and_what_its_weight_became():
    """The record has the number and both weights; the table too. Without the option the weight stands as it is."""
    events = [
        *[joined(node) for node in (A, B)],
        opened(0, A, B),
        part(A, 0, weight=10),
        part(B, 0, weight=30, flags=3 << 8),
        merged(0),
    ]
    found = build("job", 1, enumerate(events))
    assert [(c["behind"], c["weight"], c["counted"]) for c in found.to_json()["rounds"][0]["contributions"]] == [
        (0, 10, 10),
        (3, 30, 30),
    ]
    found.weigh('{"staleness":{"alpha":0.5}}')
    said = found.to_json()
    assert [(c["behind"], c["weight"], c["counted"]) for c in said["rounds"][0]["contributions"]] == [
        (0, 10, 10),
        (3, 30, 15),
    ]
    text = io.StringIO()
    printing.print_record(Console(file=text, width=200), said)
    rows = [re.split(r"\s*[│|]\s*", line.strip("│┃| ")) for line in text.getvalue().splitlines()]
    assert [row[3:5] for row in rows if row[1:2] == ["0x" + B.hex()[:10]] and len(row) == 9] == [["3", "15 (says 30)"]]
    assert [row[3:5] for row in rows if row[1:2] == ["0x" + A.hex()[:10]] and len(row) == 9] == [["-", "10"]]
    assert history._row("job", 1, list(enumerate(events)))["late"] == 1
