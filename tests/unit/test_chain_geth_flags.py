"""What geth is given: genesis, flags, keys. Pure or on disk only; no geth runs here."""

from __future__ import annotations

import itertools
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from swarm.chain.geth.config import GethConfig, Peering, init_command, run_command, toml_text
from swarm.chain.geth.genesis import FUNDER_WEI, genesis
from swarm.chain.geth.sealer import ensure_keys
from swarm.core.errors import OperatorFault
from swarm.core.ids import Address

A, B = Address(b"\xaa" * 20), Address(b"\x0b" * 20)
CONFIG = GethConfig(Path("/opt/geth"), Path("/data"), 4242, sealer=A)


def test_genesis_is_london_clique_with_sorted_signers() -> None:
    """Exactly the forks up to London, the period asked for, signers ascending, one funded account."""
    made = genesis(4242, [A, B], period=1, alloc={A: FUNDER_WEI})
    assert made["config"] == {
        "chainId": 4242,
        "homesteadBlock": 0,
        "eip150Block": 0,
        "eip155Block": 0,
        "eip158Block": 0,
        "byzantiumBlock": 0,
        "constantinopleBlock": 0,
        "petersburgBlock": 0,
        "istanbulBlock": 0,
        "berlinBlock": 0,
        "londonBlock": 0,
        "clique": {"period": 1, "epoch": 30000},
    }
    assert made["extraData"] == "0x" + "00" * 32 + "0b" * 20 + "aa" * 20 + "00" * 65
    assert made["alloc"] == {"0x" + "aa" * 20: {"balance": "0xd3c21bcecceda1000000"}}
    assert (made["gasLimit"], made["difficulty"], made["baseFeePerGas"]) == ("0x3938700", "0x1", "0x0")


@pytest.mark.parametrize(
    ("chain_id", "signers", "period"), [(0, [A], 1), (2**53, [A], 1), (1, [], 1), (1, [A], -1), (1, [A], 61)]
)
def test_a_genesis_out_of_range_is_refused(chain_id: int, signers: list[Address], period: int) -> None:
    """Numbers geth would take and fail on later are named at once."""
    with pytest.raises(OperatorFault):
        genesis(chain_id, signers, period=period, alloc={})


def test_the_flags_of_a_sealer_are_these() -> None:
    """Golden: archive, fees of 1 wei, nothing on TCP, no discovery, the key unlocked but not sealing yet."""
    assert " ".join(run_command(CONFIG)) == (
        "/opt/geth --datadir /data --config /data/geth.toml --networkid 4242 --syncmode full "
        "--gcmode archive --state.scheme hash --cache 256 --nodekey /data/nodekey.secret "
        "--nodiscover --nat extip:127.0.0.1 --netrestrict 127.0.0.1/32 --maxpeers 0 "
        "--ipcpath /data/geth.ipc --authrpc.addr 127.0.0.1 --authrpc.port 0 "
        "--txpool.pricelimit 1 --miner.gasprice 1 --miner.recommit 90s --miner.gaslimit 60000000 "
        "--rpc.txfeecap 0 --verbosity 3 "
        "--miner.etherbase 0x{0} --unlock 0x{0} --password /data/sealer.password --allow-insecure-unlock"
    ).format("aa" * 20)
    assert " ".join(init_command(CONFIG)) == "/opt/geth --datadir /data --state.scheme hash init /data/genesis.json"


def test_a_follower_unlocks_nothing() -> None:
    """Without a sealing key there is no unlock flag at all."""
    command = run_command(replace(CONFIG, sealer=None))
    assert not {"--unlock", "--password", "--allow-insecure-unlock", "--miner.etherbase"} & set(command)


def test_no_setting_opens_tcp_beyond_loopback_or_mines_at_boot() -> None:
    """HTTP, WebSocket and the engine port bind to loopback and serve three namespaces; --mine never appears."""
    peering = Peering(port=30303, listen="10.0.0.5", address="10.0.0.5", restrict="10.0.0.0/24", peers_max=50)
    command = run_command(replace(CONFIG, http_port=8545, ws_port=8546, peering=peering))
    pairs = dict(itertools.pairwise(command))
    assert {pairs[flag] for flag in ("--http.addr", "--ws.addr", "--authrpc.addr")} == {"127.0.0.1"}
    assert {pairs[flag] for flag in ("--http.api", "--ws.api")} == {"eth,net,web3"}
    assert pairs["--netrestrict"] == "10.0.0.0/24"
    assert "--nodiscover" in command
    assert not {"--mine", "--dev", "--pprof", "--graphql"} & set(command)


def test_static_nodes_go_into_the_file() -> None:
    """Peers known at the start stand in geth.toml with the address P2P listens on."""
    peering = Peering(port=30303, static_nodes=("enode://ab@10.0.0.2:30303",))
    text = toml_text(replace(CONFIG, peering=peering))
    assert 'StaticNodes = ["enode://ab@10.0.0.2:30303"]' in text
    assert 'ListenAddr = "127.0.0.1:30303"' in text


def test_the_sealers_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Key, password and node key are mode 0600 in 0700 folders; a second start finds the same sealer."""
    config = replace(CONFIG, folder=tmp_path / "geth", sealer=None)
    first = ensure_keys(config, sealing=True)
    assert first is not None
    assert ensure_keys(config, sealing=True) == first
    [key] = (config.folder / "keystore").iterdir()
    for file in (key, config.password_file, config.node_key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (config.folder, config.folder / "keystore"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = Account.decrypt(json.loads(key.read_text()), config.password_file.read_text())
    assert bytes.fromhex(Account.from_key(secret).address[2:]) == first


def test_a_follower_has_no_sealing_key(tmp_path: Path) -> None:
    """A node that does not seal makes only its P2P key."""
    config = replace(CONFIG, folder=tmp_path / "geth", sealer=None)
    assert ensure_keys(config, sealing=False) is None
    assert [p.name for p in config.folder.iterdir()] == ["nodekey.secret"]


def test_half_a_sealer_is_named(tmp_path: Path) -> None:
    """A key file without its password is the operator's to mend, never overwritten."""
    config = replace(CONFIG, folder=tmp_path / "geth", sealer=None)
    ensure_keys(config, sealing=True)
    config.password_file.unlink()
    with pytest.raises(OperatorFault, match=r"sealer\.password"):
        ensure_keys(config, sealing=True)


def test_a_socket_path_that_the_kernel_refuses_is_named() -> None:
    """A state folder too deep for a unix socket is one clear line, not a bind error."""
    from swarm.chain.rpc import ipc_rpc

    with pytest.raises(OperatorFault, match="shorter path"):
        ipc_rpc(Path("/" + "d" * 120) / "geth.ipc")
