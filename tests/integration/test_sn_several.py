"""Several SNs with real geths: they come in by one another, agree, seal by vote, and outlive each other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from support import patience
from support.certs import Authority
from support.snfleet import DEAD_SECONDS, SETTLES_SECONDS, FleetSn, SnFleet, agree, fleet_of, same_block, until
from support.snprocess import MemberClient, SnProcess, clean_environ, running_sn
from swarm.core.chain_view import Role
from swarm.core.ids import to_hex
from swarm.net.faults import BadAnswer

pytestmark = [pytest.mark.geth, pytest.mark.timeout(240)]
LONG = 60.0
"""Seconds; a bound for a busy machine, not what it takes."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory):
    """Three SNs: the sentinel, then two that come in by it at the same moment, the third by service names."""
    with fleet_of(tmp_path_factory.mktemp("f")) as made:
        sentinel = made.sn()
        made.start(sentinel)
        made.start(made.sn(sentinel), made.sn(sentinel, services=True))
        yield made
        print(made.logs())


def whole(fleet: SnFleet) -> list[FleetSn]:
    """All three are up, agree and seal: where every test below begins and ends."""
    fleet.start(*(sn for sn in fleet.sns if sn.process is None or sn.process.poll() is not None))
    until(lambda: all(len(sn.signers()) == 3 for sn in fleet.sns) and agree(*fleet.sns), LONG, "three sealers")
    until(lambda: all(sn.healthy() for sn in fleet.sns), LONG, "all healthy")
    return fleet.sns


def sealer_of(sn: FleetSn) -> str:
    [key] = (sn.state / "geth" / "keystore").iterdir()
    return "0x" + key.name.rpartition("--")[2]


async def admitted(node: MemberClient) -> dict:
    """Join, asking again while the SN has not been given the right to admit."""
    async with asyncio.timeout(patience.seconds(LONG)):
        while True:
            try:
                return await node.join()
            except BadAnswer as error:
                if error.code not in ("no_admitter", "chain_refused"):
                    raise
                await asyncio.sleep(0.3)


@pytest.mark.row("E02")
@pytest.mark.row("E03")
@pytest.mark.row("D04")
async def test_three_sns_are_one_chain_with_three_sealers(fleet):
    """Told by the original's variables alone, they sync, are ready, and vote one sealer into three; fees stay tiny."""
    sns = whole(fleet)
    assert all("accepted and has no effect" in sn.log for sn in sns)
    assert {sealer_of(sn) for sn in sns} == sns[0].signers()
    uris = []
    for sn in sns:
        async with fleet.member(sn, f"looks-{sn.folder.name}") as node:
            swarm = await node.http.get("/v1/swarm")
            uris.append(swarm.pop("sns"))
            assert swarm == {**swarm, "chain": "geth", "can_reorganise": True}
            with pytest.raises(BadAnswer, match="not_an_sn"):
                await node.http.get("/v1/chain")
    assert uris[0] == uris[1] == uris[2]
    ports = [sn.port for sn in sns]
    assert sorted(uris[0]) == sorted(
        f"https://{h}:{p}" for h, p in zip(("127.0.0.1",) * 2 + ("localhost",), ports, strict=True)
    )
    head = sns[1].block()[0]
    assert len({same_block(number, *sns) for number in range(head - 5, head + 1)}) == 6
    async with fleet.member(sns[1], "pays") as node:
        await admitted(node)
        balance = int((await node.rpc("eth_getBalance", to_hex(node.signer.address), "latest"))["result"], 16)
        assert balance == 10**15


async def test_a_sign_of_life_at_one_sn_is_seen_at_all(fleet):
    """A member tells one SN what it does; within the beat the others show it, with the name of who heard it."""
    first, _, third = whole(fleet)
    async with fleet.member(first, "sl-tells") as node:
        await admitted(node)
        await node.http.post("/v1/alive", {"state": "training"})
        wanted = to_hex(node.signer.address)

    def seen() -> bool:
        with urllib.request.urlopen(third.ops + "/v1/alive", timeout=10) as answer:
            rows = {row["node"]: row for row in json.load(answer)}
        return rows[wanted]["sn"] == first.folder.name and rows[wanted]["said"]["state"] == "training"

    until(seen, 30, "the sign of life at another SN")


async def test_the_sentinel_dies_and_the_swarm_goes_on(fleet):
    """kill -9: its geth ends too, blocks go on, others admit, the dead one is voted out; it comes back as it was."""
    sentinel, second, third = whole(fleet)
    until(lambda: fleet.logs().count("can now admit members") >= 2, LONG, "rights of the others")
    async with fleet.member(second, "sl-before") as before:
        await admitted(before)
        geth, height = sentinel.geth_pid(), second.block()[0]
        sentinel.kill()
        killed = time.monotonic()
        gap = until(lambda: second.block()[0] > height + 1, 15, "blocks after the sentinel's death")
        until(lambda: not Path(f"/proc/{geth}").exists(), 10, "the end of the dead SN's geth")
        for sn in (second, third):
            async with fleet.member(sn, f"sl-{sn.folder.name}") as node:
                assert (await admitted(node))["admitted"]
                assert "result" in await node.rpc("eth_blockNumber")
        assert "result" in await before.rpc("eth_blockNumber")
    until(lambda: sealer_of(sentinel) not in third.signers(), LONG, "the vote against the dead sealer")
    out = time.monotonic() - killed
    assert out > DEAD_SECONDS
    until(lambda: len(third.signers()) == 1, LONG, "one sealer of two SNs")
    life = {row["uri"]: row["life"] for row in third.ops_status()["chain"]["sns"]}
    assert life[sentinel.url] == "dead"
    began = time.monotonic()
    whole(fleet)
    print(f"next block {gap:.1f} s, voted out {out:.1f} s, whole again {time.monotonic() - began:.1f} s")
    assert geth != sentinel.geth_pid()


def test_a_planned_stop_votes_itself_out(fleet):
    """SIGTERM: the sealer is voted out before it ends, within the bound; blocks go on, and it comes back in."""
    sentinel, second, third = whole(fleet)
    began = time.monotonic()
    assert second.stop() == 0
    took = time.monotonic() - began
    until(lambda: sealer_of(second) not in third.signers(), SETTLES_SECONDS, "the vote's block at another SN")
    assert took < 20 * patience.crowd()
    height = third.block()[0]
    until(lambda: third.block()[0] > height + 1 and agree(sentinel, third), LONG, "blocks after a planned stop")
    whole(fleet)


def test_all_killed_at_once_all_come_back(fleet):
    """kill -9 of every SN: started again together, they find equal heads, seal, and lose no block that was seen."""
    sns = whole(fleet)
    seen = sns[0].block()[0]
    kept = same_block(seen, *sns)
    for sn in sns:
        sn.kill()
    began = time.monotonic()
    fleet.start(*sns)
    ready = time.monotonic() - began
    assert same_block(seen, *sns) == kept
    height = sns[0].block()[0]
    until(lambda: sns[0].block()[0] > height, LONG, "a block")
    print(f"all ready {ready:.1f} s after the start")


def test_only_admitted_addresses_reach_the_chain_port(tmp_path):
    """A stranger's address is turned away at the P2P port; an SN at a new address is let in and met."""
    with fleet_of(tmp_path) as fleet:
        sentinel = fleet.sn()
        fleet.start(sentinel)
        assert not connects("127.0.0.3", sentinel), "a lone SN's chain port is open"
        away = ["--listen", "127.0.0.2"]
        second = fleet.sn(sentinel, *away, THIS_NODE_IP="127.0.0.2")
        fleet.start(second)
        until(lambda: agree(sentinel, second), LONG, "equal heads over two addresses")
        assert "p2p from 127.0.0.1/32,127.0.0.2/32" in sentinel.log
        assert connects("127.0.0.2", sentinel)
        assert not connects("127.0.0.3", sentinel)


def connects(source: str, sn: FleetSn) -> bool:
    """Whether geth listens to a connection from that address for a second, instead of ending it at once."""
    with socket.socket() as probe:
        probe.bind((source, 0))
        probe.settimeout(1.0)
        try:
            probe.connect(("127.0.0.1", int(sn.environ["SN_ETH_PORT_EXT"])))
            return probe.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False


async def test_an_embedded_chain_takes_no_second_sn(tmp_path):
    """Both sides refuse by name and say --chain geth: the newcomer's start, and the SN that is asked to admit one."""
    ca = Authority()
    with running_sn(tmp_path / "sn", ca) as sn:
        files = ca.node(tmp_path / "certs", "sn-2", uri="spiffe://test/site-b/sn/sn-2")
        async with MemberClient(sn, files, role=Role.SN) as node:
            with pytest.raises(BadAnswer, match="--chain geth") as refused:
                await node.join()
            assert (refused.value.status, refused.value.code) == (403, "no_sns")
        second = SnProcess(tmp_path / "second", files)
        command = [c for c in second.command() if c != "--sentinel"]
        command += ["--sentinel-ip", "127.0.0.1", "--sentinel-api-port", str(sn.port), "--host-ip", "127.0.0.1"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "--chain", "geth"],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environ(),
        )
        assert done.returncode == 2
        assert "--chain geth" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_sns_hand_over_and_a_fourth_follows(tmp_path):
    """With two SNs the one sealer hands over before it stops; a fourth SN is a full node; state folders stay apart."""
    with fleet_of(tmp_path, "--block-period", "1") as fleet:
        sentinel = fleet.sn()
        fleet.start(sentinel)
        second = fleet.sn(sentinel)
        fleet.start(second)
        until(lambda: second.signers() == {sealer_of(sentinel)}, LONG, "one sealer")
        assert sentinel.stop() == 0
        until(lambda: second.signers() == {sealer_of(second)}, SETTLES_SECONDS, "the hand-over at the other SN")
        height = second.block()[0]
        until(lambda: second.block()[0] > height + 2, LONG, "blocks of the second SN alone")
        third = fleet.sn(second)
        fleet.start(third)  # the sentinel is away: it comes in by the second
        fleet.start(sentinel)
        fourth = fleet.sn(third)
        fleet.start(fourth)
        until(
            lambda: all(len(sn.signers()) == 3 for sn in fleet.sns) and agree(*fleet.sns), LONG, "three sealers of four"
        )
        out = next(sn for sn in fleet.sns if sealer_of(sn) not in sentinel.signers())
        assert out.healthy()
        sealing = next(sn for sn in fleet.sns if sealer_of(sn) in sentinel.signers() and sn is not sentinel)
        os.kill(sealing.geth_pid(), signal.SIGKILL)
        until(lambda: sealing.ops_status()["chain"]["sealing"] and agree(*fleet.sns), LONG, "a killed geth seals again")
        sealing.kill()
        until(lambda: sealer_of(out) in out.signers() and len(out.signers()) == 3, LONG, "the fourth steps in")
        second.stop()
        wrong = SnProcess(second.folder, second.files, second.more)
        done = subprocess.run(wrong.command(), capture_output=True, text=True, timeout=60, env=clean_environ())
        assert done.returncode == 2
        assert "another sentinel's swarm" in done.stderr.splitlines()[-1]
