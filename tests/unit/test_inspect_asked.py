"""An SN that operators' commands ask: what it says beside what is known, how it fails, and how long a wait bears it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.chains import CHAIN_ID, Embedded, address_of, new_account
from support.swarms import admit
from swarm import cli
from swarm.chain.client import ChainClient, MemoryOutbox
from swarm.chain.deploy import deploy
from swarm.chain.membership import Membership
from swarm.chain.rpc import RpcUnreachable
from swarm.chain.training import Training
from swarm.cli.schemas import adapter
from swarm.core.chain_view import Role
from swarm.core.ids import DEFAULT_JOB, job_id
from swarm.inspect import commands, plain, standing
from swarm.inspect.answers import check_signs, check_status
from swarm.inspect.commands import wait
from swarm.inspect.source import Source, View

NODE = "0x" + "22" * 20
JOB = job_id(DEFAULT_JOB)
STATUS: dict[str, Any] = {
    "up": True, "reason": None, "node": NODE, "head": {"number": 7}, "time": 5.0,
    "swarm": {
        "chain_id": 5, "chain": "embedded", "admission": "open", "directory": NODE,
        "contracts": dict.fromkeys(("Membership", "Training", "JobOptions"), NODE),
    },
}  # fmt: skip
SIGN = {
    "node": NODE, "role": "sl", "name": "sl-1", "sn": "sn-1", "age_seconds": 1.0, "alive": True,
    "said": {"state": "training"},
}  # fmt: skip
NAN = float("nan")


def test_what_is_not_known_of_an_sns_answer_is_left_out() -> None:
    """At every depth: a later version, or another program, may say what no reader of JSON takes."""
    more = {**STATUS, "extra": NAN, "head": {"number": 7, "hash": NAN}, "swarm": {**STATUS["swarm"], "extra": [NAN]}}
    assert check_status(more) == STATUS
    older = {name: value for name, value in STATUS.items() if name != "time"}
    assert check_status(older) == older
    assert check_signs([{**SIGN, "extra": NAN, "said": {"state": "training", "extra": NAN}}]) == [SIGN]


class Sn(BaseHTTPRequestHandler):
    """Answers each path with a status and a body; one without is cut off."""

    pages: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        if self.path not in self.pages:
            self.close_connection = True
            return
        status, body = self.pages[self.path]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def answering(pages: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Sn,), {"pages": pages}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


GOOD = (200, json.dumps(STATUS).encode())
FAILS: dict[str, tuple[dict[str, tuple[int, bytes]], int, str]] = {
    "busy": ({"/v1/status": (429, b"")}, 4, "another node's"),
    "failed": ({"/v1/status": (500, b"")}, 4, "another node's"),
    "away behind a proxy": ({"/v1/status": (502, b"<html>")}, 4, "another node's"),
    "starting": ({"/v1/status": (503, b"")}, 4, "another node's"),
    "refuses": ({"/v1/status": (403, b"")}, 2, "the operator's"),
    "another program": ({"/v1/status": (404, b"")}, 2, "the operator's"),
    "no JSON": ({"/v1/status": (200, b"<html>")}, 2, "the operator's"),
    "not an SN": ({"/v1/status": (200, b"{}")}, 2, "the operator's"),
    "failed then": ({"/v1/status": GOOD, "/v1/alive": (500, b"")}, 4, "another node's"),
    "ended then": ({"/v1/status": GOOD}, 4, "another node's"),
    "no JSON then": ({"/v1/status": GOOD, "/v1/alive": (200, b"<html>")}, 4, "another node's"),
    "nonsense then": ({"/v1/status": GOOD, "/v1/alive": (200, b"{}")}, 4, "another node's"),
    "refuses then": ({"/v1/status": GOOD, "/v1/alive": (403, b"")}, 2, "the operator's"),
}
"""What it answers; the code; whose fault it is."""


@pytest.mark.parametrize("how", FAILS)
def test_an_sn_that_fails_is_no_mistake_of_who_asks(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """4 if an SN is there and fails, 2 if none is, or if it refuses."""
    pages, code, whose = FAILS[how]
    with answering(pages) as url, pytest.raises(SystemExit) as ended:
        cli.main(["job", "list", "--ops", url, "--output", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["exit_code"], told["error"]["fault"]) == (code, code, whose)


class Ended(Exception):
    """The test has seen what it waits for."""


@asynccontextmanager
async def chain(folder: Path) -> AsyncIterator[tuple[Any, Any, View, dict[str, int]]]:
    """A chain, its contracts, and an operator's view whose calls of a method fail as often as is told."""
    live, failing = Embedded(folder), dict[str, int]()

    async def rpc(method: str, params: list[Any]) -> Any:
        if failing.get(method, 0):
            failing[method] -= 1
            raise RpcUnreachable(f"{method}: the SN is away")
        return await live.rpc(method, params)

    await live.start()
    try:
        deployed = await deploy(live.client())
        reader = ChainClient(rpc, new_account(), MemoryOutbox(), chain_id=CHAIN_ID)
        training, members = Training(reader, deployed.training.address), Membership(reader, deployed.membership.address)
        options = deployed.addresses["JobOptions"]
        yield live, deployed, View(rpc, training, members, check_status(STATUS), check_signs([SIGN]), options), failing
    finally:
        await live.stop()


def waiting_on(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that reads from there, and asks again at once."""

    @asynccontextmanager
    async def opened(_: Source) -> AsyncIterator[View]:
        yield view

    monkeypatch.setattr(commands, "open_view", opened)
    monkeypatch.setattr(commands, "RETRY_SECONDS", 0.01)


async def test_a_wait_bears_an_sn_that_is_away_from_its_first_look_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so once, asks again, and goes on; what it says fits its shape."""
    async with chain(tmp_path) as (_, _, view, failing):
        waiting_on(view, monkeypatch)
        failing["eth_call"] = 3
        said: list[Any] = []

        def say(step: Any, _: str) -> None:
            said.append(adapter("Step").validate_python(step))
            if "nobody has joined" in step["told"]:
                raise Ended

        with pytest.raises(Ended):
            await wait(Source("", None), DEFAULT_JOB, None, 60, say)
    assert [one["told"] for one in said] == [
        "the SN does not answer (eth_call: the SN is away); asking again",
        "run 1: nobody has joined yet",
    ]


async def test_a_wait_bears_it_while_it_reads_how_a_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's end is known by then: what is lost is the answer to the last question alone."""
    async with chain(tmp_path) as (live, deployed, view, failing):
        site, operator = new_account(), new_account()
        await admit(deployed, address_of(site))
        await admit(deployed, address_of(operator), Role.SWCI)
        await Training(live.client(site), deployed.training.address).join(JOB, "https://sl-1:30305", 2)
        await Training(live.client(operator), deployed.training.address).reset(JOB, True)
        waiting_on(view, monkeypatch)
        failing["eth_getLogs"] = 2
        said: list[str] = []
        assert await wait(Source("", None), DEFAULT_JOB, 1, 60, lambda step, _: said.append(step["told"]))
    assert said[0] == "the SN does not answer (eth_getLogs: the SN is away); asking again"
    assert said[-1].endswith("and a reset began the next run")


async def test_a_standing_holds_what_its_shape_names(tmp_path: Path) -> None:
    """And is JSON."""
    async with chain(tmp_path) as (_, _, view, _):
        found = await standing.standing(view)
    assert json.loads(plain.as_json(found))["sn"] == STATUS
    adapter("Standing").validate_python(found)
