"""From SNs on a list to geth's peers and flags, with no geth: what is open, what is met, what a bad name does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from swarm.chain.geth.genesis import genesis
from swarm.core.ids import Address
from swarm.sn.gethhost import CHAIN_KEY, PEERS_KEY, GethHost
from swarm.sn.settings import load_settings
from swarm.store.journal import Journal

B, C = Address(b"\x0b" * 20), Address(b"\x0c" * 20)
ENODE_B, ENODE_C = f"enode://{'b' * 128}@10.0.0.2:30303", f"enode://{'c' * 128}@no-such-name.invalid:30303"


class Geth:
    """The supervisor as GethHost uses it: notes restarts, peers added and removed."""

    def __init__(self, supervisor) -> None:
        self.config = supervisor.config
        self.admin = self
        self.restarts, self.peers = [], []

    async def reconfigure(self, *, peering, period) -> None:
        self.restarts.append((peering, period))
        self.config = replace(self.config, peering=peering)

    async def add_peer(self, enode: str) -> None:
        self.peers.append(enode)

    async def remove_peer(self, enode: str) -> None:
        self.peers.remove(enode)


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as made:
        yield made


async def host(tmp_path: Path, journal: Journal, *flags: str, synced: bool = True, period: int = 0) -> GethHost:
    argv = ["--sentinel", "--cert", "c", "--key", "k", "--cacert", "a", "--state-dir", "s", "--chain", "geth", *flags]
    kept = {"chain_id": 7, "period": period, "period_now": period, "synced": synced}
    kept["genesis"] = genesis(7, [B], period=period, alloc={})
    made = GethHost(load_settings(argv, {}), Path("geth"), tmp_path / "geth", kept, journal)
    made._supervisor = Geth(await made.prepare())
    return made


async def test_the_port_that_others_see_is_not_the_one_inside(tmp_path, journal):
    """Where another port is published (SN_ETH_PORT_EXT), it is announced, and geth listens on its own."""
    made = await host(tmp_path, journal, "--host-ip=10.0.0.1", "--sn-p2p-port=31303", "--sn-p2p-bind-port=30303")
    await made.meet({B: ENODE_B})
    assert made.enode.endswith("@10.0.0.1:31303")
    assert made.supervisor.config.peering.port == 30303


async def test_a_lone_sn_is_closed(tmp_path, journal):
    """No peers: the P2P port is on loopback and takes nobody; also when the own name has no address."""
    for flags in ([], ["--host-ip", "10.0.0.1"], ["--host-ip", "no-such-name.invalid"]):
        made = await host(tmp_path, journal, *flags)
        peering = made.supervisor.config.peering
        assert (peering.listen, peering.peers_max, peering.restrict) == ("127.0.0.1", 0, "127.0.0.1/32")
    assert made.enode is not None
    assert made.enode.endswith("@no-such-name.invalid:30303")


async def test_the_first_peer_opens_the_port_and_sets_the_period(tmp_path, journal):
    """One restart does both, and the journal knows before; a name without an address is left out, and loses nobody."""
    made = await host(tmp_path, journal, "--host-ip", "10.0.0.1")
    await made.meet({B: ENODE_B, C: ENODE_C})
    [(peering, period)] = made.supervisor.restarts
    assert (peering.restrict, peering.address, peering.peers_max) == ("127.0.0.1/32,10.0.0.2/32", "10.0.0.1", 1)
    assert period == made.period == 1
    assert json.loads(journal.get(CHAIN_KEY))["period_now"] == 1
    assert list(json.loads(journal.get(PEERS_KEY)).values()) == [ENODE_B]
    assert made.genesis["config"]["clique"]["period"] == 0


async def test_fixed_networks_need_no_restart_and_let_nobody_else_in(tmp_path, journal):
    """With --p2p-allow and a period the port is open from the start; who is outside is not met."""
    made = await host(tmp_path, journal, "--host-ip", "10.0.0.1", "--p2p-allow", "10.0.0.0/24", period=1)
    assert made.supervisor.config.peering.restrict == "127.0.0.1/32,10.0.0.0/24"
    await made.meet({B: ENODE_B, C: f"enode://{'c' * 128}@10.9.0.1:1"})
    assert (made.supervisor.restarts, made.supervisor.peers) == ([], [ENODE_B])
    await made.meet({})
    assert made.supervisor.peers == []


async def test_who_still_reads_old_blocks_keeps_their_period(tmp_path, journal):
    """Until the whole chain is here its blocks on demand must pass; then comes the sealer's period, once."""
    journal.put(PEERS_KEY, json.dumps({"0x" + B.hex(): ENODE_B}).encode())
    made = await host(tmp_path, journal, "--host-ip", "10.0.0.1", synced=False)
    await made.meet({B: ENODE_B})
    assert (made.supervisor.restarts, made.period) == ([], 0)
    await made.has_synced()
    await made.has_synced()
    assert [period for _, period in made.supervisor.restarts] == [1]
    assert json.loads(journal.get(CHAIN_KEY))["synced"] is True


async def test_a_key_of_anothers_chain_node_is_not_taken_over(tmp_path, journal):
    """An SN that names another SN's P2P key would have that one dropped when it takes its word back."""
    made = await host(tmp_path, journal, "--host-ip", "10.0.0.1", "--p2p-allow", "10.0.0.0/24", period=1)
    stolen = f"enode://{'b' * 128}@10.0.0.9:30303"
    for wanted in ({B: ENODE_B}, {C: stolen, B: ENODE_B}, {B: ENODE_B, C: stolen}, {B: ENODE_B}):
        await made.meet(wanted)
        assert made.supervisor.peers == [ENODE_B]


async def test_an_sn_that_moves_without_end_does_not_restart_geth_without_end(tmp_path, journal, monkeypatch):
    """A new address each few seconds costs the others one restart a minute, not one each time."""
    clock = [10_000.0]
    monkeypatch.setattr("swarm.sn.gethhost.time.monotonic", lambda: clock[0])
    made = await host(tmp_path, journal, "--host-ip", "10.0.0.1", period=1)
    for number in range(60):
        clock[0] += 6.0
        await made.meet({B: ENODE_B, C: f"enode://{'c' * 128}@10.0.0.{100 + number}:30303"})
    assert len(made.supervisor.restarts) <= 8
    last = json.loads(journal.get(PEERS_KEY))["0x" + C.hex()]
    clock[0] += 120.0
    await made.meet({B: ENODE_B, C: f"enode://{'c' * 128}@10.0.0.99:30303"})
    assert json.loads(journal.get(PEERS_KEY))["0x" + C.hex()] != last
