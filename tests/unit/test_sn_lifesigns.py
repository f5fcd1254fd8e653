"""Signs of life: how they become the table of who is alive, and the one table of ``swarm status``."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from swarm.core.alive import (
    ALIVE_SECONDS,
    ALIVE_SOONER_SECONDS,
    CLOSEST_SECONDS,
    GONE_SECONDS,
    Alive,
    WaitTold,
    plain,
    waits_told,
)
from swarm.core.errors import ChainFault, LocalFault
from swarm.core.ids import Address, to_hex
from swarm.inspect.table import ago, cells, rows, size
from swarm.node import lifesigns
from swarm.obs.waits import timed
from swarm.sn.lifesigns import LifeSigns
from swarm.store.journal import Journal

A, B = Address(bytes([1] * 20)), Address(bytes([2] * 20))
SAID = Alive("training", "job", 1, 7, waits=(WaitTold("acks", to_hex(B), 4.0, 6.0, "recorded"),))


@pytest.mark.row("D16")
def test_a_member_drops_out_after_five_minutes_and_stays_in_the_history(tmp_path: Path) -> None:
    """Alive for 300 s after its last message; then gone, still listed; also after a restart of the SN."""
    now = [1000.0]
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        signs = LifeSigns(journal, "sn-1", lambda: now[0])
        signs.heard(A, "sl", "sl-1", SAID.to_json())
        now[0] += GONE_SECONDS - 1
        assert signs.rows()[0]["alive"]
        assert signs.living() == 1
        now[0] += 1
        (row,) = signs.rows()
        assert (row["alive"], row["age_seconds"], row["name"]) == (False, GONE_SECONDS, "sl-1")
        assert signs.living() == 0
    with Journal(path) as journal:
        (row,) = LifeSigns(journal, "sn-1", lambda: now[0]).rows()
    assert (row["node"], row["role"], row["name"], row["said"]) == (to_hex(A), "sl", "sl-1", None)


def test_a_full_disk_costs_the_history_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard is shown all the same, and no fault leaves: it would end the SN, and its chain with it."""
    now = [1000.0]
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: now[0])

        def full(puts: Any, deletes: Any = ()) -> None:
            raise LocalFault("database or disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(journal, "batch", full)
            signs.heard(A, "sl", "sl-1", SAID.to_json())
        assert signs.rows()[0]["said"] == SAID.to_json()
        now[0] += 60.0
        signs.heard(A, "sl", "sl-1", SAID.to_json())
        assert len(journal.items("alive/")) == 1


def test_the_newer_of_two_sns_rows_counts(tmp_path: Path) -> None:
    """A member that turned to another SN is shown with what it told there."""
    now = [1000.0]
    with Journal(tmp_path / "1.db") as one, Journal(tmp_path / "2.db") as two:
        first, second = (LifeSigns(j, n, lambda: now[0]) for j, n in ((one, "sn-1"), (two, "sn-2")))
        first.heard(A, "sl", "sl-1", SAID.to_json())
        now[0] += 20
        second.heard(A, "sl", "sl-1", Alive("done").to_json())
        assert first.merge(second.rows(), {A}) == 1
        assert second.merge(first.rows(), {A}) == 0
        (row,) = first.rows()
    assert (row["sn"], row["said"]["state"]) == ("sn-2", "done")


def test_the_table_tells_who_waits_for_whom() -> None:
    """One row a member with its state and all its waits, names instead of addresses, times as of now."""
    members = [
        {"node": to_hex(A), "role": "sl", "status": "active", "expires": 9},
        {"node": to_hex(B), "role": "sl", "status": "revoked", "expires": 9},
    ]
    signs = [
        {"node": to_hex(A), "name": "a", "sn": "sn", "age_seconds": 2.0, "alive": True, "said": SAID.to_json()},
        {"node": to_hex(B), "name": "b", "sn": "sn", "age_seconds": 400.0, "alive": False, "said": None},
    ]
    first, second = rows(members, signs)
    assert (first["name"], first["state"], first["round"]) == ("a", "training", 7)
    assert first["waits"] == [{"what": "acks", "whom": "b", "since": 6.0, "until": 4.0, "then": "recorded"}]
    assert second["state"] == "revoked"
    assert cells(first)[0][-5:] == ("acks", "b", "6 s", "in 4 s", "recorded")
    (alone,) = rows([{**members[0], "node": to_hex(B)}], [])
    assert alone["state"] == "admitted, never heard of"
    (gone,) = rows([members[0]], [{**signs[0], "alive": False}])
    assert (gone["state"], gone["leading"], gone["waits"]) == ("gone", "-", [])  # what it said is no news of now
    told = {**SAID.to_json(), "leading": "leader"}
    for state, leading in (("syncing", "leader"), ("failed", "-"), ("done", "-")):
        (row,) = rows([members[0]], [{**signs[0], "said": {**told, "state": state}}])
        assert row["leading"] == leading


@pytest.mark.parametrize(
    ("state", "age", "shown", "waits"),
    [
        ("syncing", 29.0, "syncing", 1),
        ("syncing", 31.0, "silent, was syncing", 0),
        ("merging", 250.0, "silent, was merging", 0),
        ("done", 31.0, "done", 0),
        ("failed", 2.0, "failed", 0),
        ("stopped", 250.0, "stopped", 0),
    ],
)
def test_a_dead_or_ended_node_is_not_shown_at_work(state: str, age: float, shown: str, waits: int) -> None:
    """An SL that was killed has not gone on syncing, and who has ended waits for nobody."""
    member = {"node": to_hex(A), "role": "sl", "status": "active", "expires": 9}
    said = {**SAID.to_json(), "state": state, "leading": "leader"}
    sign = {"node": to_hex(A), "name": "a", "sn": "sn", "age_seconds": age, "alive": True, "said": said}
    (row,) = rows([member], [sign])
    assert (row["state"], len(row["waits"])) == (shown, waits)
    assert row["leading"] == ("leader" if waits else "-")


def test_an_end_that_has_passed_is_not_shown() -> None:
    """Not in a row made from an older message, and not in a message."""
    member = {"node": to_hex(A), "role": "sl", "status": "active", "expires": 9}
    sign = {"node": to_hex(A), "name": "a", "sn": "sn", "age_seconds": 7.0, "alive": True, "said": SAID.to_json()}
    (row,) = rows([member], [sign])
    assert row["waits"][0]["until"] is None
    assert cells(row)[0][-2] == "-"
    told = {"what": "w", "whom": "x", "since_seconds": 9.0, "until_seconds": -0.1, "then": ""}
    assert waits_told([told])[0].until is None
    assert timed(told, 1e9)["until"] is None


async def test_a_node_says_how_it_ended() -> None:
    """Without waits; not so soon after its last message that nobody looks; an SN that is away costs nothing more."""
    said: list[tuple[float, dict[str, Any]]] = []
    began = time.monotonic()

    async def send(message: dict[str, Any]) -> None:
        said.append((time.monotonic() - began, message))

    await lifesigns.last_word(Alive("failed", "job", waits=SAID.waits), send, began - 0.3)
    assert said[0][0] >= CLOSEST_SECONDS - 0.3
    assert (said[0][1]["state"], said[0][1]["waits"]) == ("failed", [])

    async def broken(_: dict[str, Any]) -> None:
        raise ChainFault("it is down")

    await lifesigns.last_word(Alive("done"), broken, 0.0)


def test_ages_and_sizes_have_units() -> None:
    """Seconds up to two minutes, then the next unit; powers of 1000."""
    assert [ago(s) for s in (0, 119, 120, 7200, 200_000)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]
    assert [size(b) for b in (0, 1500, 2_500_000, 3e9)] == ["0 B", "1.5 kB", "2.5 MB", "3.00 GB"]


def test_only_the_longest_waits_travel_and_only_plain_text() -> None:
    """At most three, the oldest first; control characters and long texts are made fit."""
    told = [
        {"what": f"w{i}\n", "whom": "x" * 500, "since_seconds": float(i), "until_seconds": None, "then": ""}
        for i in range(9)
    ]
    waits = waits_told(told)
    assert [w.what for w in waits] == ["w8?", "w7?", "w6?"]
    assert len(waits[0].whom) == 200
    assert plain("ä") == "?"


async def test_a_node_tells_at_least_every_ten_seconds_and_soon_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged: one message in 10 s; changed: within 3 s; an SN that fails is asked again all the same."""
    clock, said, states = [0.0], [], {0: "training"}

    async def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] > 60:
            raise asyncio.CancelledError

    async def send(message: dict[str, Any]) -> None:
        said.append((clock[0], message["state"]))
        if len(said) == 2:
            raise ChainFault("it is down")

    def look() -> Alive:
        return Alive(states[max(at for at in states if at <= clock[0])])

    monkeypatch.setattr(lifesigns.asyncio, "sleep", sleep)
    states[25] = "syncing"
    with pytest.raises(asyncio.CancelledError):
        await lifesigns.tell(look, send, clock=lambda: clock[0])
    times = [at for at, _ in said]
    assert max(b - a for a, b in itertools.pairwise(times)) <= ALIVE_SECONDS
    assert min(b - a for a, b in itertools.pairwise(times)) >= ALIVE_SOONER_SECONDS
    assert next(at for at, state in said if state == "syncing") - 25 <= ALIVE_SOONER_SECONDS
