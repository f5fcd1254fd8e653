"""The document of ``swarm chain export``: what is written is read back, and nothing else is taken for it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from swarm.core import exported
from swarm.core.chain_view import Member, Merged, Phase, Role, Status
from swarm.core.errors import OperatorFault
from swarm.core.exported import Export, PastJob, PastRun, from_text, to_text
from swarm.core.ids import ZERO32, Address, BlobId, Digest, from_hex

A, B = Address(b"\x0a" * 20), Address(b"\x0b" * 20)
C, D = Address(b"\x0c" * 20), Address(b"\x0d" * 20)
"""Two that lost their keys; their heirs have their certificates' keys."""
GENESIS = Digest(b"\x07" * 32)
RUN = PastRun(
    run=1,
    chain=GENESIS,
    phase=Phase.COMPLETE,
    began=1,
    ended=2,
    members=(A, B),
    contributors=frozenset({B}),
    rounds=(Merged(BlobId(b"\x01" * 32), 10), Merged(BlobId(b"\x02" * 32), 0)),
)
EXPORT = Export(
    chain_id=7,
    genesis=GENESIS,
    directory=Address(b"\x09" * 20),
    contracts=1,
    block=39,
    members={
        A: Member(Role.SN, Status.ACTIVE, b"\x0a" * 32, ZERO32, b"\x05" * 32, 2**40, 0, 0),
        B: Member(Role.SL, Status.REVOKED, b"\x0b" * 32, b"\x06" * 32, b"\x05" * 32, 1, 0, 0),
        C: Member(Role.SL, Status.REVOKED, ZERO32, b"\x06" * 32, b"\x05" * 32, 1, 0, 0),
        D: Member(Role.SL, Status.REVOKED, ZERO32, b"\x06" * 32, b"\x05" * 32, 1, 0, 0),
    },
    jobs=(
        PastJob("défaut", 2, '{"strict":true}', (RUN,)),
        PastJob("never used", 1, "", ()),
    ),
)


def test_what_is_written_is_read_back() -> None:
    """Members, jobs, options, runs and rounds, and a job without any."""
    assert from_text(to_text(EXPORT).encode(), "F") == EXPORT


def put(*path: str | int, value: Any) -> Callable[[Any], None]:
    def act(found: Any) -> None:
        for step in path[:-1]:
            found = found[step]
        found[path[-1]] = value

    return act


def drop(*path: str | int) -> Callable[[Any], None]:
    def act(found: Any) -> None:
        for step in path[:-1]:
            found = found[step]
        del found[path[-1]]

    return act


def again(*path: str | int) -> Callable[[Any], None]:
    def act(found: Any) -> None:
        for step in path:
            found = found[step]
        found.append(found[0])

    return act


RUN_AT = ("jobs", 0, "runs", 0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (put("form", value="swarm audit"), 'its "form" is not'),
        (drop("form"), 'its "form" is not'),
        (put("version", value=2), "has form version 2"),
        (put("version", value=True), "has form version True|reads version 1"),
        (put("version", value="1"), "has form version '1'"),
        (put("more", value=1), "'more' is no field"),
        (drop("members"), "members is missing"),
        (put("members", value={}), r"members: expected a list of at most 10000"),
        (put("jobs", value=None), r"jobs: expected a list"),
        (put("chain", value=[]), "chain: expected an object"),
        (put("chain", "id", value=0), "chain.id: expected a whole number from 1"),
        (put("chain", "id", value=2**63), "chain.id: expected a whole number"),
        (put("chain", "id", value=1.0), "chain.id: expected a whole number"),
        (put("chain", "block", value=-1), "chain.block: expected a whole number"),
        (put("chain", "block", value=True), "chain.block: expected a whole number"),
        (put("chain", "genesis", value="0x" + "0" * 64), "chain.genesis: a hash of zeros"),
        (put("chain", "directory", value="0x" + "zz" * 20), "chain.directory: "),
        (again("members"), r"members\[4\]: member 0x0a0a.* twice"),
        (put("members", 1, "spki", value="0x" + "0a" * 32), r"members\[1\]: .* same certificate key"),
        (put("members", 0, "node", value="0x" + "00" * 20), r"members\[0\].node: an address of zeros"),
        (put("members", 0, "node", value="0x" + "ab " * 12 + "abcd"), r"members\[0\].node: expected 0x and 40"),
        (put("members", 0, "spki", value="0x" + "00" * 32), r"members\[0\].spki: a hash of zeros"),
        (put("members", 0, "spki", value=7), r"members\[0\].spki: expected 0x and 64"),
        (put("members", 0, "role", value="NONE"), r"members\[0\].role: expected one of SN, SL, SWCI, SWOP"),
        (put("members", 0, "role", value=["SN"]), r"members\[0\].role: expected one of"),
        (put("members", 0, "status", value="NONE"), r"members\[0\].status: expected one of ACTIVE"),
        (put("members", 0, "expires", value=2**64), r"members\[0\].expires: expected a whole number"),
        (put("members", 0, "since", value=1), "'since' is no field"),
        (again("jobs"), r"jobs\[2\]: job 'défaut' stands there twice"),
        (put("jobs", 0, "name", value=""), r"jobs\[0\].name: expected a text of 1 to 160"),
        (put("jobs", 0, "name", value="é" * 81), r"jobs\[0\].name: expected a text of 1 to 160"),
        (put("jobs", 0, "name", value="\ud800"), r"jobs\[0\].name: expected a text"),
        (put("jobs", 0, "options", value="x" * 2049), r"jobs\[0\].options: expected a text of 0 to 2048"),
        (put("jobs", 0, "options", value={}), r"jobs\[0\].options: expected a text"),
        (put("jobs", 0, "run", value=1), r"jobs\[0\]: \"runs\" must be runs 1 to 0"),
        (put("jobs", 0, "run", value=3), r"jobs\[0\]: \"runs\" must be runs 1 to 2"),
        (put("jobs", 1, "run", value=10_002), r"jobs\[1\].run: expected a whole number from 1 to 10001"),
        (again(*RUN_AT[:3]), r"jobs\[0\]: \"runs\" must be runs 1 to 1"),
        (put(*RUN_AT, "phase", value="IDLE"), r"runs\[0\].phase: expected one of OPEN, COMPLETE, FAILED"),
        (put(*RUN_AT, "began", value=None), r"runs\[0\].began: expected a whole number"),
        (put(*RUN_AT, "members", value=["0x" + "0b" * 20, "0x" + "0a" * 20]), '"members" must ascend'),
        (again(*RUN_AT, "members"), '"members" must ascend'),
        (again(*RUN_AT, "contributors"), '"contributors" must be some of "members", each once'),
        (put(*RUN_AT, "contributors", value=["0x" + "0c" * 20]), '"contributors" must be some of'),
        (put(*RUN_AT, "members", value=["0x" + "0a" * 20] * 1001), "a list of at most 1000, found 1001"),
        (put(*RUN_AT, "rounds", 0, value=["0x" + "01" * 32]), r"rounds\[0\]: a round is a blob id and a size"),
        (put(*RUN_AT, "rounds", 0, 0, value="0x" + "00" * 32), r"rounds\[0\]\[0\]: a hash of zeros"),
        (put(*RUN_AT, "rounds", 0, 1, value=-1), r"rounds\[0\]\[1\]: expected a whole number"),
        (put(*RUN_AT, "rounds", value="many"), r"rounds: expected a list"),
        (put(*RUN_AT, "rounds", value=[1] * 500_001), r"rounds: expected a list of at most 500000, found 500001"),
    ],
)
def test_attack_a_document_that_is_none_is_refused_by_the_place_in_it(spoil: Callable[[Any], None], said: str) -> None:
    """One sentence each, with the file, the place and what was expected; nothing of it is taken."""
    found = json.loads(to_text(EXPORT))
    spoil(found)
    with pytest.raises(OperatorFault, match=said) as caught:
        from_text(json.dumps(found).encode(), "old.json")
    assert str(caught.value).startswith("old.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"form": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b'{"form": "swarm chain export", "form": "x"}', "names 'form' twice"),
    ],
)
def test_attack_bytes_that_are_no_document(data: bytes, said: str) -> None:
    """Not JSON, too deep, a number without end, a name that stands there twice."""
    with pytest.raises(OperatorFault, match=said):
        from_text(data, "old.json")


def test_a_document_has_a_bound_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than FILE_BYTES_MAX is neither written nor read."""
    text = to_text(EXPORT)
    monkeypatch.setattr(exported, "FILE_BYTES_MAX", len(text) - 1)
    with pytest.raises(OperatorFault, match=f"has {len(text)} bytes"):
        to_text(EXPORT)
    with pytest.raises(OperatorFault, match="at most"):
        from_text(text.encode() + b" ", "old.json")


@pytest.mark.parametrize(("at", "many"), [(("members",), 10_000), ((*RUN_AT, "rounds"), 500_000)])
def test_attack_a_long_list_costs_nothing_before_its_first_entry_was_looked_at(
    at: tuple[str | int, ...], many: int
) -> None:
    """64 MiB of entries that are none cost gigabytes: a place and its text for each, and only then the first look."""
    found = json.loads(to_text(EXPORT))
    put(*at, value=[1] * many)(found)
    data = json.dumps(found).encode()
    assert traced(lambda: refused(data)) < traced(lambda: json.loads(data)) + 150_000


def traced(act: Callable[[], object]) -> int:
    """Peak of bytes allocated meanwhile."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(data: bytes) -> None:
    with pytest.raises(OperatorFault, match=r"\[0\]"):
        from_text(data, "old.json")


@pytest.mark.parametrize("text", ["0x" + "ab " * 12 + "abcd", "0x" + "\t" * 40, "0x" + " " * 40])
def test_white_space_is_no_hex(text: str) -> None:
    """bytes.fromhex skips it, so that an address of fewer bytes came out of a text of the right length."""
    with pytest.raises(ValueError, match="40 hex digits"):
        from_hex(text, 20)
