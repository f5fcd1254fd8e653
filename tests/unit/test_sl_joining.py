"""What a node makes of an SN's answers while it asks for admission: wait, give up, or whose fault it is."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from swarm.chain.keys import LocalSigner
from swarm.chain.suite import VERSION
from swarm.core.chain_view import Role
from swarm.core.errors import ChainFault, OperatorFault, PeerFault
from swarm.core.ids import Address, Digest
from swarm.net.faults import BadAnswer, Cut, TlsRefused
from swarm.net.identity import PeerIdentity
from swarm.node import joining
from swarm.node.joining import PIN_KEY, Swarm, find_swarm, join_swarm
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

URL = "https://sn:30304"
SWARM = Swarm(7, b"\1" * 32, Address(b"\2" * 20), Address(b"\3" * 20), Address(b"\4" * 20), "embedded")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OWN = PeerIdentity(
    spki=Digest(b"\5" * 32), spiffe=None, common_name="sl-1", not_after=NOW + dt.timedelta(days=1), serial=1
)


class Answers:
    """An SN that gives these answers, one after the other; exceptions are raised."""

    url = URL

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def post(self, path: str, body: Any) -> Any:
        assert path == "/v1/join"
        self.asked.append(body["join"])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_SECONDS", "APPROVAL_RETRY_SECONDS", "BUSY_RETRY_SECONDS"):
        monkeypatch.setattr(joining, name, 0.0)


async def join(*answers: Any) -> Answers:
    sn = Answers(*answers)
    await join_swarm(sn, SWARM, LocalSigner(b"\6" * 32), OWN, Role.SL, Waits())  # type: ignore[arg-type]
    return sn


async def test_an_sn_that_is_busy_or_away_or_waits_for_its_operator_is_asked_again() -> None:
    """Each time with a request of its own, because an SN takes each nonce once."""
    sn = await join(
        BadAnswer(URL, 429, "busy", "too many requests"),
        BadAnswer(URL, 503, "busy", "64 connections are open"),
        Cut(URL, "the connection ended"),
        {"admitted": False, "waiting": "approval"},
        {"admitted": True},
    )
    assert len({asked["nonce"] for asked in sn.asked}) == 5


async def test_a_key_in_use_is_asked_for_until_its_holder_would_be_silent() -> None:
    """The time counts from the first such answer, however long an approval took before; then the SN's words end it."""
    in_use = BadAnswer(
        URL, 503, "key_in_use", "spki: this certificate's key belongs to member 0xab, which may be alive"
    )
    waiting = {"admitted": False, "waiting": "approval"}
    now = [0.0]

    class Slow(Answers):
        async def post(self, path: str, body: Any) -> Any:
            now[0] += 40.0
            return await super().post(path, body)

    async def asked(*answers: Any) -> int:
        sn = Slow(*answers)
        own = LocalSigner(b"\6" * 32)
        await join_swarm(sn, SWARM, own, OWN, Role.SL, Waits(), monotonic=lambda: now[0])  # type: ignore[arg-type]
        return len(sn.asked)

    assert await asked(*[waiting] * 5, *[in_use] * 3, {"admitted": True}) == 9
    with pytest.raises(OperatorFault, match="belongs to member 0xab"):
        await asked(*[in_use] * 4, {"admitted": True})


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (BadAnswer(URL, 403, "role", "role: the certificate is for role sn"), OperatorFault),
        (TlsRefused(URL, "it refused our certificate, field not_after: it has expired"), OperatorFault),
        (BadAnswer(URL, 502, "chain_fault", "the chain failed"), ChainFault),
        ([], PeerFault),
        (None, PeerFault),
    ],
)
async def test_what_no_patience_mends_ends_the_node(answer: Any, fault: type[Exception]) -> None:
    """A refusal, an expired certificate, a failed chain and nonsense each say whose fault they are."""
    with pytest.raises(fault):
        await join(answer)


@pytest.mark.parametrize(
    ("said", "found", "remedy"),
    [({}, 1, "begin a new chain"), ({"contracts_version": 9}, 9, "update this installation")],
)
async def test_an_older_or_newer_chain_is_refused_in_one_sentence(
    tmp_path: Path, said: dict[str, Any], found: int, remedy: str
) -> None:
    """Both versions and what to do; an SN that tells no version has the contracts of version 1; nothing is pinned."""

    async def get(_: str) -> dict[str, Any]:
        old = {"Membership": "0x" + "22" * 20, "Training": "0x" + "33" * 20, "JobOptions": "0x" + "44" * 20}
        return {
            "chain_id": 7,
            "genesis_hash": "0x" + "11" * 32,
            "directory": "0x" + "55" * 20,
            "contracts": old,
            **said,
        }

    with Journal(tmp_path / "journal.db") as journal:
        with pytest.raises(OperatorFault, match=rf"version {found}, .* version {VERSION}: .*{remedy}"):
            await find_swarm(SimpleNamespace(url=URL, get=get), journal, Waits(), wait_seconds=1)  # type: ignore[arg-type]
        assert journal.get(PIN_KEY) is None
