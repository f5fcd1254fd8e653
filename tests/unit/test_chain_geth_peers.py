"""Enodes, what may reach the P2P port, and the block period that a chain can change. Pure; no geth runs here."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from swarm.chain.geth.config import GethConfig
from swarm.chain.geth.genesis import genesis, same_chain, with_period
from swarm.chain.geth.peers import Enode, covered, network_of, networks, peers_max, restrict
from swarm.chain.geth.sealer import ensure_keys, node_id
from swarm.chain.geth.watchdog import Watchdog
from swarm.core.errors import OperatorFault, PeerFault
from swarm.core.ids import Address

ID = "ab" * 64
ADDRESS = Address(b"\x01" * 20)


@pytest.mark.parametrize("text", [f"enode://{ID}@10.0.0.2:30303", f"enode://{ID}@sn-2.site:1", f"enode://{ID}@[::1]:2"])
def test_an_enode_is_read_and_written_back(text: str) -> None:
    """Names, IPv4 and IPv6 addresses survive a round trip."""
    assert str(Enode.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        7,
        f"enode://{ID}@h:0",
        f"enode://{ID}@h:65536",
        f"enode://{ID[2:]}@h:1",
        f"enode://{ID}@h:1?discport=0",
        f"enode://{ID}@h h:1",
        f"enode://{ID}@{'h' * 200}:1",
        f'enode://{ID}@"],x=["h:1',
    ],
)
def test_what_is_no_enode_is_refused_by_name(text: object) -> None:
    """Only the one plain form passes: it becomes an argument of geth."""
    with pytest.raises(PeerFault, match="enode"):
        Enode.parse(text)


async def test_a_name_becomes_an_address_that_a_node_can_have() -> None:
    """localhost is a loopback address; the unspecified one is refused, and so is a name without an address."""
    assert (await Enode(ID, "localhost", 1).resolved()).host in ("127.0.0.1", "::1")
    with pytest.raises(PeerFault, match="no node's address"):
        await Enode(ID, "0.0.0.0", 1).resolved()
    with pytest.raises(PeerFault, match="no address now"):
        await Enode(ID, "no-such-name.invalid", 1).resolved()


def test_only_admitted_addresses_pass_and_loopback_always() -> None:
    """The list is exact, sorted, without repeats; a network covers its addresses and no others."""
    text = restrict([network_of("10.0.0.2"), *networks("10.1.0.0/16, 10.0.0.2/32"), network_of("fd00::1")])
    assert text == "127.0.0.1/32,10.0.0.2/32,10.1.0.0/16,fd00::1/128"
    assert [covered(a, text) for a in ("127.0.0.1", "127.0.0.2", "10.0.0.2", "10.1.9.9", "10.2.0.1", "fd00::1")] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    with pytest.raises(OperatorFault, match="--p2p-allow"):
        networks("10.0.0.1/8")


def test_the_limit_of_strangers_is_one_until_the_mesh_needs_more() -> None:
    """Trusted peers are beyond the limit; a small one makes geth catch up at once."""
    assert [peers_max(n) for n in (0, 2, 5, 6, 40)] == [1, 1, 1, 50, 50]


def test_the_period_can_change_and_nothing_else() -> None:
    """Two texts that differ in the period alone begin the same chain."""
    first = genesis(7, [ADDRESS], period=0, alloc={})
    assert same_chain(first, with_period(first, 1))
    assert with_period(first, 1) == genesis(7, [ADDRESS], period=1, alloc={})
    assert not same_chain(first, genesis(8, [ADDRESS], period=0, alloc={}))
    with pytest.raises(OperatorFault, match="block period"):
        with_period(first, 61)


def test_the_node_id_is_the_public_half_of_the_p2p_key(tmp_path: Path) -> None:
    """128 hex digits that the key file determines; an unreadable file is the operator's."""
    config = GethConfig(Path("geth"), tmp_path / "g", 1)
    ensure_keys(config, sealing=False)
    numbers = ec.derive_private_key(int(config.node_key.read_text(), 16), ec.SECP256K1()).public_key().public_numbers()
    assert node_id(config) == f"{numbers.x:064x}{numbers.y:064x}"
    config.node_key.write_text("x")
    with pytest.raises(OperatorFault, match=r"nodekey\.secret"):
        node_id(config)


class Node:
    """A chain node as the watchdog asks it."""

    def __init__(self) -> None:
        self.at, self.waiting, self.mines, self.calls = 5, 3, True, []

    async def height(self) -> int:
        return self.at

    async def pool_pending(self) -> int:
        return self.waiting

    async def sealing(self) -> bool:
        return self.mines

    async def stop_sealing(self) -> None:
        self.calls.append("stop")

    async def start_sealing(self) -> None:
        self.calls.append("start")


async def test_a_frozen_height_is_an_alert_and_new_sealing() -> None:
    """15 s without a block while transactions wait: shown, sealing restarted each 15 s; a block ends it."""
    node, now = Node(), [0.0]
    dog = Watchdog(node, lambda: now[0])  # type: ignore[arg-type]
    for now[0] in (0.0, 5.0, 14.0):
        await dog.look()
    assert (dog.frozen, dog.restarts, node.calls) == (0.0, 0, [])
    for now[0] in (15.0, 20.0, 30.0):
        await dog.look()
    assert (dog.frozen, dog.restarts, node.calls) == (30.0, 2, ["stop", "start"] * 2)
    node.at += 1
    await dog.look()
    assert dog.frozen == 0.0


async def test_an_idle_chain_and_a_follower_are_left_alone() -> None:
    """Nothing waits: no alert. A node that does not seal: an alert, nothing restarted."""
    node, now = Node(), [0.0]
    dog = Watchdog(node, lambda: now[0])  # type: ignore[arg-type]
    node.waiting = 0
    for now[0] in (0.0, 100.0):
        await dog.look()
    assert dog.frozen == 0.0
    node.waiting, node.mines = 1, False
    for now[0] in (100.0, 120.0):
        await dog.look()
    assert (dog.frozen, dog.restarts, node.calls) == (20.0, 0, [])
