"""Hostile input: an SN of another site that was admitted and has gone bad, as its fellow SNs meet it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.certs import Authority
from swarm.core.alive import Alive
from swarm.core.errors import PeerFault
from swarm.core.ids import Address, to_hex
from swarm.net.client import JsonClient
from swarm.net.faults import Unreachable
from swarm.net.identity import anyone
from swarm.net.tls import client_context
from swarm.sn.fleet import Answer, Fleet, Sn
from swarm.sn.lifesigns import ROWS_MAX, LifeSigns
from swarm.store.journal import Journal

NODE = Address(bytes([0x11] * 20))
SAID = Alive("training").to_json()


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


def _row(node: Address = NODE, **change: Any) -> dict[str, Any]:
    return {"node": to_hex(node), "at": 1000.0, "role": "sl", "name": "x", "sn": "sn-2", "said": None, **change}


@pytest.mark.parametrize("at", [10**400, -(10**400)])
def test_a_time_beyond_all_floats_is_refused_and_ends_nobody(tmp_path: Path, at: int) -> None:
    """Whatever a fellow SN's table holds, only PeerFault leaves the parser: else this SN's process would end."""
    with Journal(tmp_path / "j.db") as journal, pytest.raises(PeerFault):
        LifeSigns(journal, "sn-1", lambda: 1000.0).merge([_row(at=at)], {NODE})


@pytest.mark.parametrize("at", [float("-inf"), -1e300, -1e12, float("nan"), True])
def test_a_time_that_no_page_can_show_is_not_kept(tmp_path: Path, at: float) -> None:
    """A row from before all time would end every later look at the tables with an error."""
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: 1000.0)
        try:
            signs.merge([_row(at=at)], {NODE})
        except PeerFault:
            assert not signs.rows()
        json.dumps(signs.rows(), allow_nan=False)
        for seen in signs.last_seen().values():
            datetime.fromtimestamp(seen, UTC)


def test_only_members_have_rows(tmp_path: Path) -> None:
    """Addresses that a fellow SN invents neither push out members nor fill the journal."""
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: 1000.0)
        signs.heard(NODE, "sl", "x", SAID)
        made_up = [_row(Address(i.to_bytes(20, "big")), at=1001.0) for i in range(1, ROWS_MAX + 1)]
        assert signs.merge(made_up, {NODE}) == 0
        assert [row["node"] for row in signs.rows()] == [to_hex(NODE)]
        assert len(journal.items("alive/")) == 1


def test_what_is_heard_here_is_not_shadowed(tmp_path: Path) -> None:
    """A forged row, even in this SN's name and a little ahead of its clock, hides no member's own words."""
    now = [1000.0]
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: now[0])
        forged = _row(at=1004.0, sn="sn-1", said=Alive("done").to_json())
        signs.merge([forged], {NODE})
        signs.heard(NODE, "sl", "x", SAID)
        assert signs.rows()[0]["said"]["state"] == "training"
        signs.merge([forged], {NODE})
        assert signs.rows()[0]["said"]["state"] == "training"
        now[0] += 60.0  # not heard here any more: then others' word counts
        assert signs.merge([_row(at=1059.0, said=Alive("done").to_json())], {NODE}) == 1


def test_a_clock_set_back_silences_nobody(tmp_path: Path) -> None:
    """After the SN's clock went back an hour the next message counts at once."""
    now = [10_000.0]
    with Journal(tmp_path / "j.db") as journal:
        signs = LifeSigns(journal, "sn-1", lambda: now[0])
        signs.heard(NODE, "sl", "x", Alive("joined").to_json())
        now[0] -= 3600.0
        signs.heard(NODE, "sl", "x", SAID)
        assert signs.rows()[0]["said"]["state"] == "training"


ODD = [
    "https://256.1.1.1:1",
    "https://[::1]x:1",
    "https://[v1.x]:1",
    "https://10-0-0-1:30304",
    "https://1a2b3c4:1",
    "https://xn--a:1",
]
"""Addresses that one library takes for a URL and another one does not; also what an operator may type by mistake."""


@pytest.mark.parametrize("uri", ODD)
async def test_no_announced_address_ends_who_looks_at_it(ca: Authority, tmp_path: Path, uri: str) -> None:
    """The SN that announced it does not answer, for all that the others see; it ends none of them."""
    context = client_context(ca.node(tmp_path, "sn-1", uri="spiffe://t/s/sn/sn-1"))
    fleet = Fleet(None, SimpleNamespace(membership=None, addresses={"Membership": NODE}), context, Address(bytes(20)))
    fleet.sns = [Sn(NODE, uri, "", Address(bytes(20)), 1, False)]
    assert await fleet.ask_all() == {NODE: Answer.NONE}
    assert await fleet.block(fleet.sns[0]) is None
    assert await fleet.tip(fleet.sns[0]) is None
    assert await fleet.living(fleet.sns[0]) is None
    await fleet.aclose()


@pytest.mark.parametrize("host", ["xn--a", "a..b", "a" * 70, ".", "*"])
async def test_attack_a_name_that_no_host_can_have_is_an_unreachable_peer(
    ca: Authority, tmp_path: Path, host: str
) -> None:
    """For calls and for streams of messages alike: no other exception leaves the client."""
    context = client_context(ca.node(tmp_path, "sl-1", uri="spiffe://t/s/sl/sl-1"))
    with pytest.raises((Unreachable, PeerFault)):
        await JsonClient(f"https://{host}:1", context, anyone).get("/is_up")
    with pytest.raises((Unreachable, PeerFault)):
        await anext(aiter(JsonClient(f"https://{host}:1", context, anyone).websocket("/v1/events")))
