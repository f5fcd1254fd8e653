"""Callers who ask faster than an SN answers: a refusal that names its wait is waited for, looks are shared."""

from __future__ import annotations

import asyncio
import json
import ssl
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from swarm.chain.wake import Waker
from swarm.core.errors import ChainFault
from swarm.inspect.looks import LOOK_SECONDS, Looks
from swarm.net import client as net_client
from swarm.net.answers import ApiError, error_body, json_errors
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer
from swarm.net.identity import anyone
from swarm.node.rated import RATE_SECONDS_MAX, STEP_SECONDS_MIN, in_rate
from swarm.node.sn_link import SnLink
from swarm.node.sn_list import SnList


def busy(wait: float, status: int = 429) -> BadAnswer:
    return BadAnswer("https://sn", status, "too_many_requests", "wait", wait)


class Sn:
    """Answers with what is in its list, in turn; the last again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked, self.url = list(answers), 0, "https://sn"
        self.let = asyncio.Event()
        self.let.set()

    async def get(self, path: str = "") -> Any:
        self.asked += 1
        await self.let.wait()
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_refusal_that_names_its_wait_is_waited_for() -> None:
    """Each wait is slept, then the answer is there."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    sn = Sn(busy(0.25), busy(0.0001), "here")
    assert await in_rate(sn.get, sleep=sleep) == "here"
    assert slept == [0.25, STEP_SECONDS_MIN]


@pytest.mark.parametrize("error", [busy(0.0), busy(RATE_SECONDS_MAX + 0.1), busy(0.1, 403), busy(-1.0), busy(0.1, 503)])
async def test_what_is_no_such_refusal_is_told_at_once(error: BadAnswer) -> None:
    """No wait, one that is too long, another status: nobody waits."""
    sn = Sn(error)
    with pytest.raises(BadAnswer):
        await in_rate(sn.get)
    assert sn.asked == 1


async def test_an_sn_that_refuses_for_ever_is_left_after_the_bound() -> None:
    """However short the waits that it names, questions and time have a bound."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    sn = Sn(busy(1e-9))
    with pytest.raises(BadAnswer):
        await in_rate(sn.get, sleep=sleep)
    assert sum(slept) <= RATE_SECONDS_MAX + 1e-9
    assert sn.asked <= RATE_SECONDS_MAX / STEP_SECONDS_MIN + 2


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        (0.125, 0.125),
        (2, 2.0),
        (True, 0.0),
        (-1, 0.0),
        ("0.1", 0.0),
        (None, 0.0),
        ([1], 0.0),
        (float("inf"), 0.0),
        (float("nan"), 0.0),
        (net_client.WAIT_SECONDS_MAX * 2, 0.0),
        (10**400, 0.0),
    ],
)
async def test_the_wait_of_a_refusal_is_read_or_is_none(told: Any, wait: float) -> None:
    """A peer may write anything there."""
    client = JsonClient("http://127.0.0.1:1", None, anyone)
    body = error_body("too_many_requests", "wait")
    body["error"]["wait_seconds"] = told
    with pytest.raises(BadAnswer) as caught:
        client._parse(429, json.dumps(body).encode())
    assert caught.value.wait == wait
    await client.aclose()


async def test_a_refusal_tells_its_wait_to_programs_and_in_the_header() -> None:
    """The standard's header has whole seconds; the body has the time itself."""
    app = json_errors(FastAPI())

    @app.get("/")
    async def refuse() -> None:
        raise ApiError(429, "too_many_requests", "wait 0.3 s", wait=0.26)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://sn") as client:
        answer = await client.get("/")
    assert answer.json()["error"]["wait_seconds"] == 0.26
    assert answer.headers["retry-after"] == "1"


async def test_a_link_shows_what_it_waits_for() -> None:
    """While a rate is waited for there is a row with the SN's words; with the answer it is gone."""
    link = SnLink(SnList(["https://sn:1"], None), ssl.create_default_context(), Waker())
    sn = Sn(busy(0.05), "here")
    asked = asyncio.ensure_future(link._ask(lambda client: sn.get()))
    while sn.asked < 1 or not link.told():
        assert not asked.done()
        await asyncio.sleep(0.005)
    assert "429 too_many_requests: wait" in link.told()[0]["then"]
    assert await asked == "here"
    assert link.told() == []
    await link.aclose()


async def test_all_who_look_at_one_moment_share_one_question() -> None:
    """Many callers, one question; after LOOK_SECONDS the next one is asked; one that leaves takes nothing away."""
    now = SimpleNamespace(seconds=100.0)
    sn = Sn({"n": 1}, {"n": 2})
    looks = Looks(sn, lambda: now.seconds)
    sn.let.clear()
    callers = [asyncio.ensure_future(looks.get("/v1/status")) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    sn.let.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [{"n": 1}] * 49
    assert sn.asked == 1
    now.seconds += LOOK_SECONDS
    assert await looks.get("/v1/status") == {"n": 1}
    now.seconds += 0.01
    assert await looks.get("/v1/status") == {"n": 2}
    assert await looks.get("/v1/alive") == {"n": 2}  # another path is another question
    assert sn.asked == 3


async def test_a_look_that_failed_is_asked_anew_and_so_is_another_sn() -> None:
    """A failure is shared by those who wait for it and by nobody later; an answer of one SN is none of another's."""
    sn = Sn(ChainFault("away"), "a", "b")
    looks = Looks(sn, lambda: 1.0)
    with pytest.raises(ChainFault):
        await looks.get("/v1/status")
    assert await looks.get("/v1/status") == "a"
    sn.url = "https://other"
    assert await looks.get("/v1/status") == "b"
