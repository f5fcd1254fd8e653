"""Log lines that are kept for operators: bounded, without secrets, fit for a terminal; and who may have them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from swarm.core.chain_view import Member, Role, Status
from swarm.core.errors import ChainFault
from swarm.core.ids import Digest
from swarm.net.answers import ApiError
from swarm.net.identity import PeerIdentity
from swarm.node.sharing import ALL_BURST, LOOKS_BURST, NOT_SHARED, SharedLogs
from swarm.obs import log as obs_log
from swarm.obs.recent import BYTES_MAX, LINE_BYTES_MAX, LINES_MAX, Recent, kept

NOW = 1_000_000


def test_nothing_is_kept_unless_the_site_wants_it() -> None:
    """The default; and nothing is kept after the block either."""
    with kept(False) as none:
        assert none is None
    before = list(logging.getLogger().handlers)
    with kept(True) as lines:
        assert lines is not None
        logging.getLogger("x").error("kept")
    logging.getLogger("x").error("not kept")
    assert logging.getLogger().handlers == before
    (line,) = lines.told()["lines"]
    assert line.endswith(" : x : ERROR : kept")


@pytest.mark.parametrize("number", [LINES_MAX, LINES_MAX + 1, 3 * LINES_MAX])
def test_the_newest_lines_stay(number: int) -> None:
    """By their number; how many went is told."""
    with kept(True) as lines:
        assert lines is not None
        for one in range(number):
            logging.getLogger("x").error("line %s", one)
        told = lines.told()
    assert len(told["lines"]) == LINES_MAX
    assert told["gone"] == number - LINES_MAX
    assert told["lines"][-1].endswith(f"line {number - 1}")


def test_long_lines_and_many_bytes_are_bounded() -> None:
    """A line is cut, and what is kept has a size whatever its letters."""
    with kept(True) as lines:
        assert lines is not None
        for _ in range(LINES_MAX):
            logging.getLogger("x").error("%s", "é" * 10_000)
        told = lines.told()["lines"]
    sizes = [len(line.encode()) for line in told]
    assert max(sizes) <= LINE_BYTES_MAX
    assert BYTES_MAX - 2 * LINE_BYTES_MAX < sum(sizes) <= BYTES_MAX


def test_secrets_and_control_characters_are_not_kept() -> None:
    """Of messages, of values, and of a traceback, which is one line each."""
    log = obs_log.get("y")
    with kept(True) as lines:
        assert lines is not None
        logging.getLogger("x").error("password=hunter2 \x1b[2J forged\n2026 : y : INFO : fine")
        logging.getLogger("x").error("at %s", "https://user:hunter2@host/x")
        try:
            raise ValueError("token: hunter2")
        except ValueError:
            logging.getLogger("x").exception("failed")
        log.error("structured", api_token="hunter2")
        told = lines.told()["lines"]
    text = "\n".join(told)
    assert "hunter2" not in text
    assert all(line.isprintable() for line in told)
    assert any(line.startswith("ValueError: ") for line in told)
    assert sum(line.startswith("2026 : y") for line in told) == 0


def refusal() -> ApiError:
    return ApiError(404, "not_found", "nothing here for you")


def peer(number: int) -> PeerIdentity:
    return PeerIdentity(Digest(bytes([number] * 32)), None, "x", datetime(2030, 1, 1, tzinfo=UTC), number)


def member(role: Role = Role.SWCI, status: Status = Status.ACTIVE, expires: int = NOW) -> Member:
    return Member(role, status, bytes(32), bytes(32), bytes(32), expires, 0, 0)


@pytest.mark.parametrize(
    "record",
    [None, member(Role.SL), member(Role.SN), member(Role.SWOP), member(status=Status.REVOKED), member(expires=NOW - 1)],
)
@pytest.mark.parametrize("shared", [True, False])
async def test_who_is_no_operator_learns_nothing(record: Member | None, shared: bool) -> None:
    """Not even whether this site shares its lines."""

    async def look(spki: bytes) -> Member | None:
        return record

    logs = SharedLogs(Recent() if shared else None, look, refusal, lambda: NOW)
    with pytest.raises(ApiError) as refused:
        await logs.answer(peer(1))
    assert refused.value.code == "not_found"
    with pytest.raises(ApiError) as again:
        await logs.answer(peer(1))
    assert again.value is not refused.value  # one that is raised again keeps the frames of all times before


async def test_an_operator_is_told_what_is_shared_and_not_too_often() -> None:
    """The site's word decides; one certificate's questions and all together are bounded; a chain away is said."""

    async def look(spki: bytes) -> Member | None:
        if away:
            raise ChainFault("no SN answers")
        return member()

    away = False
    with pytest.raises(ApiError) as refused:
        await SharedLogs(None, look, refusal, lambda: NOW).answer(peer(1))
    assert (refused.value.status, refused.value.code) == (403, NOT_SHARED)
    logs = SharedLogs(Recent(), look, refusal, lambda: NOW)
    for _ in range(int(LOOKS_BURST)):
        assert await logs.answer(peer(1)) == {"lines": [], "gone": 0}
    with pytest.raises(ApiError) as often:
        await logs.answer(peer(1))
    assert often.value.status == 429

    async def many() -> None:
        for number in range(2, 2 + int(3 * ALL_BURST)):
            await logs.answer(peer(number))

    with pytest.raises(ApiError) as crowd:
        await many()
    assert (crowd.value.status, crowd.value.wait > 0) == (429, True)
    assert await logs.answer(peer(2))  # an operator that is known does not wait behind a crowd of others
    away = True
    with pytest.raises(ApiError) as lost:
        await SharedLogs(Recent(), look, refusal).answer(peer(1))
    assert lost.value.status == 503
