"""What one geth is started with: a pure function from our settings to its command lines.

Nothing but ``eth,net,web3`` ever listens on TCP, and that on loopback; everything else goes through the
unix socket, which only this user can open.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarm.core.ids import Address, to_hex

CACHE_MB = 256
LOOPBACK = "127.0.0.1"
TCP_API = "eth,net,web3"
RECOMMIT_SECONDS = 90
"""Longer than any block period. At a period of 1 s and the same here, a sealer now and then signs two blocks of one
height, since a block's content is made anew in the very moment in which it is sealed: seen to split two sealers."""


@dataclass(frozen=True, slots=True)
class Peering:
    """How this geth meets others. The default meets nobody and listens on loopback alone.

    ``listen`` is the local address of the P2P port, ``address`` the one that others are told.

    ``restrict`` is a list of CIDR networks, comma separated; strangers must never reach the P2P port
    (docs/chain.md: one unpatched crash).
    """

    port: int = 0
    listen: str = LOOPBACK
    address: str = LOOPBACK
    restrict: str = LOOPBACK + "/32"
    peers_max: int = 0
    static_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GethConfig:
    """One geth.

    Args:
        binary: of geth 1.13.15 (setting SN_GETH_BIN).
        folder: its data; created with mode 0700.
        sealer: address of the sealing key in ``folder/keystore``; None for a follower.
        http_port, ws_port: None leaves the face off; our own clients use the unix socket.
    """

    binary: Path
    folder: Path
    chain_id: int
    sealer: Address | None = None
    peering: Peering = Peering()
    http_port: int | None = None
    ws_port: int | None = None
    verbosity: int = 3

    @property
    def ipc(self) -> Path:
        return self.folder / "geth.ipc"

    @property
    def genesis_file(self) -> Path:
        return self.folder / "genesis.json"

    @property
    def password_file(self) -> Path:
        return self.folder / "sealer.password"

    @property
    def node_key(self) -> Path:
        return self.folder / "nodekey.secret"

    @property
    def toml(self) -> Path:
        return self.folder / "geth.toml"


def init_command(config: GethConfig) -> list[str]:
    """Writes the genesis block; harmless when it is there, an error when it is another one."""
    return [
        str(config.binary),
        "--datadir",
        str(config.folder),
        "--state.scheme",
        "hash",
        "init",
        str(config.genesis_file),
    ]


def toml_text(config: GethConfig) -> str:
    """Static peers and the address that P2P listens on: what geth takes from a file only."""
    nodes = ", ".join(f'"{node}"' for node in config.peering.static_nodes)
    p = config.peering
    return f'[Node.P2P]\nListenAddr = "{p.listen}:{p.port}"\nStaticNodes = [{nodes}]\n'


def run_command(config: GethConfig) -> list[str]:
    """The node itself. Never ``--mine``: two sealers that start sealing before they have met make two chains."""
    p = config.peering
    command = [str(config.binary), "--datadir", str(config.folder), "--config", str(config.toml)]
    command += ["--networkid", str(config.chain_id), "--syncmode", "full"]
    command += ["--gcmode", "archive", "--state.scheme", "hash", "--cache", str(CACHE_MB)]
    command += ["--nodekey", str(config.node_key), "--nodiscover"]
    command += ["--nat", f"extip:{p.address}", "--netrestrict", p.restrict, "--maxpeers", str(p.peers_max)]
    command += ["--ipcpath", str(config.ipc), "--authrpc.addr", LOOPBACK, "--authrpc.port", "0"]
    if config.http_port is not None:
        command += ["--http", "--http.addr", LOOPBACK, "--http.port", str(config.http_port), "--http.api", TCP_API]
    if config.ws_port is not None:
        command += ["--ws", "--ws.addr", LOOPBACK, "--ws.port", str(config.ws_port), "--ws.api", TCP_API]
    command += ["--txpool.pricelimit", "1", "--miner.gasprice", "1", "--miner.recommit", f"{RECOMMIT_SECONDS}s"]
    command += ["--miner.gaslimit", "60000000", "--rpc.txfeecap", "0", "--verbosity", str(config.verbosity)]
    if config.sealer is not None:
        who = to_hex(config.sealer)
        command += ["--miner.etherbase", who, "--unlock", who, "--password", str(config.password_file)]
        command += ["--allow-insecure-unlock"]
    return command
