"""What operators see: log lines, waits, and the operations port."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from swarm.core.errors import OperatorFault
from swarm.obs import log as obs_log
from swarm.obs.metrics import FIGURES, registry
from swarm.obs.ops import BODY_BYTES_MAX, ops_app
from swarm.obs.waits import LongWaits, Waits, timed

SECRETS = [
    "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
    "password=hunter2",
    "https://user:hunter2@host/x",
    "token: hunter2",
]


@pytest.fixture
def restored():
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("restored")
def test_human_lines_have_the_originals_form():
    """``time : name : LEVEL : text key=value``, for our loggers and for the standard library's."""
    out = io.StringIO()
    obs_log.setup(form="human", stream=out)
    with obs_log.bound_contextvars(node="sn-1"):
        obs_log.get("swarm.blCnt").info("Starting SWARM-API-SERVER on port: 30304")
    logging.getLogger("other").warning("port %d", 7)
    first, second = out.getvalue().splitlines()
    assert " : swarm.blCnt : INFO : Starting SWARM-API-SERVER on port: 30304 node=sn-1" in first
    assert second.endswith(" : other : WARNING : port 7")


@pytest.mark.usefixtures("restored")
def test_a_peers_text_cannot_forge_a_line():
    """Line breaks and escapes in values are shown, not obeyed."""
    out = io.StringIO()
    obs_log.setup(form="human", stream=out)
    obs_log.get("x").info("refused", why="no\n2026 : swarm : INFO : fine\x1b[2J")
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["human", "json"])
@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_struck_out(form, secret):
    """Keys, passwords and tokens do not reach a log, as text, as values, nested, or in the message."""
    out = io.StringIO()
    obs_log.setup(form=form, stream=out)
    obs_log.get("x").info("said " + secret, value=secret, more={"password": "hunter2", "list": [secret]})
    logging.getLogger("y").info("said %s", secret)
    assert "hunter2" not in out.getvalue()
    assert "MIIabc" not in out.getvalue()


@pytest.mark.usefixtures("restored")
def test_json_lines_are_json_and_bounded():
    """Off a terminal each line is one JSON object; endless values are cut; traces stay in the line."""
    out = io.StringIO()
    obs_log.setup(stream=out)
    obs_log.get("x").info("long", value="a" * 10_000, raw=b"\x01")
    try:
        raise ValueError("here")
    except ValueError:
        logging.getLogger("y").exception("failed")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert len(first["value"]) < 3000
    assert first["raw"] == "0x01"
    assert "ValueError: here" in second["exception"]


@pytest.mark.parametrize("values", [{"level": "LOUD"}, {"form": "xml"}])
def test_wrong_log_settings_are_the_operators(values):
    """Unknown level or form is one clear fault."""
    with pytest.raises(OperatorFault):
        obs_log.setup(**values)


def test_waits_come_and_go():
    """A row tells what, whom, since, until and then; it goes with its block, also by an error."""
    now = [1_000_000.0]
    waits = Waits(lambda: now[0])
    with waits.row(what="check-ins", whom="2 of 4", deadline_seconds=30, then="merge") as row:
        row.whom = "1 of 4"
        (shown,) = waits.snapshot()
        assert shown["whom"] == "1 of 4"
        assert shown["since"] == "1970-01-12T13:46:40.000Z"
        assert shown["until"] == "1970-01-12T13:47:10.000Z"
    with pytest.raises(RuntimeError), waits.row(what="x"):
        raise RuntimeError
    assert waits.snapshot() == []


async def request(app, method="GET", path="/healthz", body=b"", headers=()):
    """One request to an ASGI app: status and body."""
    sent = []
    messages = [{"type": "http.request", "body": body}]

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": list(headers)}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_the_operations_port():
    """Health with its reason, waits, status, metrics; other paths, methods, web pages and large bodies refused."""
    fault = [None]
    waits = Waits()

    async def echo(body):
        return 200, {"size": len(body)}

    app = ops_app(
        waits=waits.snapshot,
        registry=registry(role="sn", version="1", read=lambda: {"swarm_waits": len(waits)}),
        status=lambda: {"up": True},
        healthy=lambda: fault[0],
        posts={"/v1/rpc": echo},
    )
    assert await request(app) == (200, b'{"healthy": true, "reason": null}\n')
    fault[0] = "geth is stopped"
    status, body = await request(app)
    assert (status, json.loads(body)["reason"]) == (503, "geth is stopped")
    with waits.row(what="x"):
        assert json.loads((await request(app, path="/v1/waits"))[1])[0]["what"] == "x"
        assert b"swarm_waits 1.0" in (await request(app, path="/metrics"))[1]
    assert await request(app, path="/v1/status") == (200, b'{"up": true}\n')
    assert (await request(app, path="/x"))[0] == 404
    assert (await request(app, "POST"))[0] == 405
    assert (await request(app, headers=[(b"origin", b"http://evil")]))[0] == 403
    assert await request(app, "POST", "/v1/rpc", b"abc") == (200, b'{"size": 3}\n')
    assert (await request(app, "POST", "/v1/rpc", b"a" * (BODY_BYTES_MAX + 1)))[0] == 413


def test_two_processes_in_one_interpreter_do_not_share_metrics():
    """Registries are separate."""
    first, second = (registry(role=r, version="1", read=dict) for r in ("sn", "sl"))
    assert isinstance(first, CollectorRegistry)
    assert first is not second


def test_waits_told_in_seconds_get_the_tables_form() -> None:
    """An engine's row, relative to now, reads like a row of the table: points in time, or null."""
    told = {"what": "acks", "whom": "0xa", "since_seconds": 3.0, "until_seconds": 2.5, "then": "recorded"}
    row = timed(told, 10.0)
    assert (row["since"], row["until"]) == ("1970-01-01T00:00:07.000Z", "1970-01-01T00:00:12.500Z")
    assert (row["what"], row["whom"], row["then"]) == ("acks", "0xa", "recorded")
    assert timed({**told, "until_seconds": None}, 10.0)["until"] is None


def test_every_metric_is_in_the_operators_guide() -> None:
    """The guide's table lists exactly the figures there are, with kind and help text."""
    guide = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    listed = dict(re.findall(r"^\| `(swarm_\w+)`[^|]*\| (\w+) \|", guide, re.MULTILINE))
    listed.pop("swarm_phase_seconds")
    assert listed == {name: kind for name, (kind, _, _) in FIGURES.items()}
    assert all(text in guide for _, _, text in FIGURES.values())


def wait_of(age: float, what: str = "founders of the run") -> dict[str, object]:
    """A row as an engine tells it."""
    return {"what": what, "whom": "1 of 2 have joined", "since_seconds": age, "until_seconds": None, "then": "it opens"}


def test_a_long_wait_is_a_line_in_the_log_at_a_minute_and_at_each_doubling():
    """What, whom, how long and what then; seldom enough that a wait of a day is a dozen lines."""
    long = LongWaits()
    said = {age: long.due([wait_of(age), wait_of(3.0, "an answer")]) for age in range(0, 86_400, 5)}
    assert [age for age, lines in said.items() if lines] == [60 * 2**n for n in range(11)]
    assert said[60] == ["still waiting for founders of the run (1 of 2 have joined): 60 s so far; then it opens"]


def test_the_next_wait_of_the_same_name_begins_anew():
    """A merge that took ten minutes does not silence the next one; nor does a wait that has ended."""
    long = LongWaits()
    assert long.due([wait_of(600.0)])
    assert not long.due([wait_of(5.0)])
    assert long.due([wait_of(65.0)])
    assert not long.due([])
    assert long.due([wait_of(70.0)])
