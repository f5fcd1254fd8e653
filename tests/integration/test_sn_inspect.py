"""`swarm audit`, `wait` and `status` against a real SN and rounds that members really committed through its gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time

import pytest
from support import patience, warm
from support.certs import Authority
from support.snprocess import clean_environ, running_sn
from support.trained import run_two_rounds
from swarm.core.ids import DEFAULT_JOB, to_hex


def swarm(*argv: str) -> subprocess.CompletedProcess[str]:
    return warm.run(argv, clean_environ(COLUMNS="200"), seconds=60)


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def sn(tmp_path_factory: pytest.TempPathFactory, ca: Authority):
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as running:
        yield running


async def test_a_run_from_waiting_to_its_audit(sn, ca):
    """wait blocks until the run ends and gives its code; audit tells what the chain holds, on both ways to it."""
    ops = ["--ops", sn.ops]
    early = await asyncio.to_thread(swarm, "wait", DEFAULT_JOB, "--timeout", "1", *ops)
    assert early.returncode == 3
    assert "has not ended within 1 s" in early.stderr
    waiting = asyncio.create_task(asyncio.to_thread(swarm, "wait", DEFAULT_JOB, "--timeout", "30", *ops))
    await asyncio.sleep(1.5)
    nodes = await run_two_rounds(sn, ca)
    done = await waiting
    assert done.returncode == 0, done.stderr
    assert "complete after 2 rounds" in done.stdout

    record = json.loads((await asyncio.to_thread(swarm, "audit", DEFAULT_JOB, "--json", *ops)).stdout)
    assert (record["phase"], record["min_peers"], len(record["rounds"])) == ("complete", 2, 2)
    assert record["final"] == record["rounds"][-1]["merged"]
    addresses = sorted(to_hex(n.signer.address) for n in nodes)
    assert sorted(m["node"] for m in record["members"]) == addresses
    assert {m["uri"] for m in record["members"]} == {"https://sl-1:30305", "https://sl-2:30305"}
    closed = [m for m in record["members"] if m["metric"] is not None]
    assert [(m["loss"], m["metric"]) for m in closed] == [(0.25, 0.9)]
    for one in record["rounds"]:
        assert one["leader"] in addresses
        assert one["roster"] == addresses
        assert one["acks"] == 2
        assert abs(one["time"] - time.time()) < 600
        assert [c["node"] for c in one["contributions"]] == addresses
        assert {(c["weight"], c["coefficient"], c["loss"]) for c in one["contributions"]} == {(10, 0.5, 0.5)}
    assert [c["done"] for c in record["rounds"][1]["contributions"]] == [True, True]

    sl = sn.folder / "certs" / "sl-1"
    api = ["--sn", f"127.0.0.1:{sn.port}", "--cert", f"{sl}.crt", "--key", f"{sl}.key", "--cacert", f"{sl}-ca.pem"]
    assert json.loads((await asyncio.to_thread(swarm, "audit", DEFAULT_JOB, "--json", *api)).stdout) == record
    shown = (await asyncio.to_thread(swarm, "audit", DEFAULT_JOB, *api)).stdout
    for text in ("complete", "https://sl-1:30305", record["final"], "0.5000", "mean"):
        assert text in shown

    async with asyncio.timeout(patience.seconds(20)):  # an SN tells of itself every 10 s, of a change at once
        while True:
            status = json.loads((await asyncio.to_thread(swarm, "status", "--json", *ops)).stdout)
            (own,) = [row for row in status["nodes"] if row["role"] == "sn"]
            if not own["state"].startswith("down: this SN is starting"):
                break
    assert status["jobs"][DEFAULT_JOB]["phase"] == "complete"
    assert {row["node"] for row in status["nodes"]} >= set(addresses)
    assert (own["state"], own["alive"]) == ("serving", True)
    assert DEFAULT_JOB in (await asyncio.to_thread(swarm, "status", *api)).stdout


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["audit", "nosuch"], "there is no job 'nosuch'; there are: " + DEFAULT_JOB),
        (["audit", DEFAULT_JOB, "--run", "77"], "--run=77"),
        (["wait", "nosuch"], DEFAULT_JOB),
    ],
)
def test_what_does_not_exist_is_one_line(sn, argv, named):
    """Unknown job or run: one line that tells which exist, exit code 2."""
    done = swarm(*argv, "--ops", sn.ops)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nobody_there_is_one_line(ca, tmp_path):
    """No SN: one line with the address and what to do, exit code 2; an API without a certificate likewise."""
    done = swarm("status", "--ops", "http://127.0.0.1:1")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "127.0.0.1:1" in done.stderr
    done = swarm("status", "--sn", "127.0.0.1:1")
    assert done.returncode == 2
    assert "--cert" in done.stderr
