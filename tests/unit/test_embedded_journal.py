"""The embedded chain's disk: restarts, damage, a full disk, a second opener, and kill -9 during work."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.evmcode import COUNTER, Wallet, deployer
from swarm.chain.embedded import EmbeddedChain, RpcError, ledger
from swarm.chain.embedded.block import Header
from swarm.chain.embedded.journal import Journal
from swarm.chain.embedded.ledger import Ledger
from swarm.core.errors import LocalFault, OperatorFault
from swarm.core.ids import Address

CHAIN_ID = 7_004


def make(folder: Path, blocks: int = 4) -> tuple[EmbeddedChain, Wallet, str]:
    """A chain with a counter contract, ``blocks`` events and a heartbeat."""
    wallet = Wallet(20, CHAIN_ID)
    chain = EmbeddedChain.open(folder, chain_id=CHAIN_ID, alloc={Address(wallet.address): 10**18})
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    for i in range(blocks):
        wallet.send(chain, to=contract, data=i.to_bytes(32, "big") + bytes(32))
    chain.heartbeat()
    return chain, wallet, contract


def picture(chain: EmbeddedChain, wallet: Wallet, contract: str) -> list[Any]:
    """Everything a client can see."""
    seen: list[Any] = [chain.chain_id, chain.genesis_hash]
    for number in range(int(chain.handle("eth_blockNumber", []), 16) + 1):
        block = chain.handle("eth_getBlockByNumber", [hex(number), True])
        seen.append(block)
        seen += [chain.handle("eth_getTransactionReceipt", [tx["hash"]]) for tx in block["transactions"]]
    seen.append(chain.handle("eth_getLogs", [{"fromBlock": "0x0"}]))
    seen += [chain.handle(f"eth_get{what}", [wallet.hex, "latest"]) for what in ("Balance", "TransactionCount")]
    seen.append(chain.handle("eth_call", [{"to": contract}, "latest"]))
    return seen


def edit(folder: Path, statement: str, *values: Any) -> None:
    """Change the journal behind the chain's back."""
    with sqlite3.connect(folder / "chain.sqlite3") as db:
        assert db.execute(statement, values).rowcount > 0
    db.close()


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """Head, hashes, receipts, logs, balances and storage are equal after a restart, and the chain goes on."""
    chain, wallet, contract = make(tmp_path)
    before = picture(chain, wallet, contract)
    chain.close()
    chain = EmbeddedChain.open(tmp_path)
    assert picture(chain, wallet, contract) == before
    assert wallet.send(chain, to=contract, data=bytes(64))["status"] == "0x1"
    assert chain.verify_all() == 8
    chain.close()


def test_time_after_a_restart_is_not_before_the_head(tmp_path: Path) -> None:
    """A host whose clock fell back while it was down still gets blocks that are not older than the head."""
    chain = EmbeddedChain.open(tmp_path, clock=lambda: 5_000.0)
    chain.heartbeat()
    chain.close()
    chain = EmbeddedChain.open(tmp_path, clock=lambda: 100.0)
    chain.heartbeat()
    assert chain.handle("eth_getBlockByNumber", ["latest", False])["timestamp"] == hex(5_000)
    chain.close()


def test_the_folder_is_private_and_has_one_holder(tmp_path: Path) -> None:
    """The folder gets mode 0700, and a second opener is refused with the folder's name until the first closes."""
    folder = tmp_path / "deep" / "chain"
    chain = EmbeddedChain.open(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(OperatorFault, match=str(folder)):
        EmbeddedChain.open(folder)
    chain.heartbeat()
    chain.close()
    EmbeddedChain.open(folder).close()


def test_another_genesis_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A different chain id, allocation or engine is refused by name, and the refusal releases the folder."""
    chain, _, _ = make(tmp_path)
    genesis = chain.genesis_hash
    chain.close()
    with pytest.raises(OperatorFault, match="chain id 7004, not 5"):
        EmbeddedChain.open(tmp_path, chain_id=5)
    with pytest.raises(OperatorFault, match="allocation"):
        EmbeddedChain.open(tmp_path, alloc={Address(b"\1" * 20): 1})
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "ENGINE", "another engine")
        with pytest.raises(OperatorFault, match="not another engine"):
            EmbeddedChain.open(tmp_path)
    chain = EmbeddedChain.open(tmp_path, chain_id=CHAIN_ID)
    assert chain.genesis_hash == genesis
    chain.close()


def test_new_chains_differ(tmp_path: Path) -> None:
    """Without a chain id each new chain draws its own, and genesis binds it."""
    first, second = EmbeddedChain.open(tmp_path / "a"), EmbeddedChain.open(tmp_path / "b")
    assert first.chain_id != second.chain_id
    assert first.genesis_hash != second.genesis_hash
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("statement", "tells"),
    [
        ("UPDATE block SET status = 0 WHERE number = 3", "block 3: wrong status, gas or logs"),
        ("UPDATE log SET data = x'01' WHERE block = 3", "block 3: wrong status, gas or logs"),
        ("UPDATE log SET topic1 = zeroblob(32) WHERE block = 3", "block 3: wrong status, gas or logs"),
        ("DELETE FROM log WHERE block = 4", "block 4: wrong status, gas or logs"),
        ("DELETE FROM block WHERE number = 4", "6 blocks, but the newest is number 6"),
        ("UPDATE block SET hash = zeroblob(32) WHERE number = 4", "block 4"),
        ("UPDATE block SET header = (SELECT header FROM block WHERE number = 3) WHERE number = 4", "block 4"),
        ("UPDATE block SET tx = x'02' WHERE number = 4", "block 4"),
        ("UPDATE meta SET value = '5' WHERE key = 'chain_id'", "not those of genesis"),
        ("UPDATE meta SET value = '{}' WHERE key = 'alloc'", "not those of genesis"),
        ("DELETE FROM node", "state of block 6 is not there"),
        ("UPDATE node SET body = x'00'", "state of block 6 is not there"),
    ],
)
def test_a_changed_row_is_refused_at_start(tmp_path: Path, statement: str, tells: str) -> None:
    """A changed row of the newest blocks, the settings or the state root: the chain refuses to start, by name."""
    chain, _, _ = make(tmp_path)
    chain.close()
    edit(tmp_path, statement)
    with pytest.raises(LocalFault, match=tells):
        EmbeddedChain.open(tmp_path)


def test_the_audit_finds_what_the_start_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row older than the tail passes the quick start, but verify_all names it."""
    chain, _, _ = make(tmp_path)
    chain.close()
    edit(tmp_path, "UPDATE log SET data = x'01' WHERE block = 3")
    monkeypatch.setattr(ledger, "TAIL_BLOCKS", 2)
    chain = EmbeddedChain.open(tmp_path)
    with pytest.raises(LocalFault, match="block 3: wrong status, gas or logs"):
        chain.verify_all()
    chain.close()


def test_the_audit_checks_every_trie_node(tmp_path: Path) -> None:
    """A changed or missing trie node that is not the head's root is found by verify_all."""
    for statement, tells in (
        ("UPDATE node SET body = x'00' WHERE hash = ?", "has other content"),
        ("DELETE FROM node WHERE hash = ?", "genesis does not hold"),
    ):
        folder = tmp_path / tells[:3]
        chain, _, _ = make(folder)
        genesis = chain.handle("eth_getBlockByNumber", ["0x0", False])
        chain.close()
        edit(folder, statement, bytes.fromhex(genesis["stateRoot"][2:]))
        chain = EmbeddedChain.open(folder)
        with pytest.raises(LocalFault, match=tells):
            chain.verify_all()
        chain.close()


def test_the_audit_replays_a_forged_head(tmp_path: Path) -> None:
    """A head with a true hash but another existing state root passes the start; the replay refuses it."""
    wallet = Wallet(20, CHAIN_ID)
    chain = EmbeddedChain.open(tmp_path, chain_id=CHAIN_ID, alloc={Address(wallet.address): 10**18})
    wallet.send(chain, to=wallet.hex, value=1)
    wallet.send(chain, to=wallet.hex, value=1)
    chain.close()
    with sqlite3.connect(tmp_path / "chain.sqlite3") as db:
        older, newest = (
            Header.decode(row[0]) for row in db.execute("SELECT header FROM block WHERE number > 0 ORDER BY number")
        )
        forged = Header(**{**vars_of(newest), "state_root": older.state_root})
        db.execute("UPDATE block SET hash = ?, header = ? WHERE number = 2", (forged.hash, forged.encode()))
    db.close()
    chain = EmbeddedChain.open(tmp_path)
    with pytest.raises(LocalFault, match="block 2 does not replay: state root"):
        chain.verify_all()
    chain.close()


def vars_of(header: Header) -> dict[str, Any]:
    return {name: getattr(header, name) for name in Header.__dataclass_fields__}


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A journal file of other content is a LocalFault that names the folder, and the folder is released."""
    (tmp_path / "chain.sqlite3").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LocalFault, match="cannot be read"):
        EmbeddedChain.open(tmp_path)
    (tmp_path / "chain.sqlite3").unlink()
    EmbeddedChain.open(tmp_path).close()


def test_a_full_disk_refuses_the_block_and_nothing_more(tmp_path: Path) -> None:
    """If the journal cannot be written, head and state stay; the same bytes are taken once there is room."""
    wallet = Wallet(20, CHAIN_ID)
    journal = Journal.open(tmp_path)
    book = Ledger.open(journal, lambda: 0.0, CHAIN_ID, {wallet.address: 10**18})
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    raw = bytes.fromhex(wallet.sign(data=deployer(COUNTER * 50), gas=5_000_000)[2:])
    head = book.head
    with pytest.raises(OperatorFault, match="block 1 could not be written"):
        book.submit(raw)
    assert book.head is head
    assert book.account(wallet.address).nonce == 0
    journal._db.execute("PRAGMA max_page_count = 1000000")
    assert book.submit(raw).number == 1
    assert book.account(wallet.address).nonce == 1
    assert book.verify_all() == 2
    journal.close()


CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from support.evmcode import COUNTER, Wallet, deployer
from swarm.chain.embedded import EmbeddedChain
wallet = Wallet(21, 7004)
chain = EmbeddedChain.open(Path(sys.argv[1]), chain_id=7004, alloc={wallet.address: 10**18})
wallet.nonce = int(chain.handle("eth_getTransactionCount", [wallet.hex, "latest"]), 16)
contract = None
while True:
    fields = {"to": contract, "data": bytes(64)} if contract else {"data": deployer(COUNTER)}
    receipt = wallet.send(chain, **fields)
    contract = contract or receipt["contractAddress"]
    print(receipt["transactionHash"], receipt["blockHash"], flush=True)
"""


def test_kill_9_loses_no_receipt(tmp_path: Path) -> None:
    """Killed twice in a stream of transactions, the chain reopens with every receipt it had answered."""
    answered: list[tuple[str, str]] = []
    for after in (5, 12):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(Path(__file__).parents[1])],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(after):
            answered.append(tuple(child.stdout.readline().split()))  # type: ignore[arg-type]
        os.kill(child.pid, signal.SIGKILL)
        answered += [(a, b) for a, b in (line.split() for line in child.stdout if line.endswith("\n"))]
        child.wait()
        child.stdout.close()
        chain = EmbeddedChain.open(tmp_path)
        for tx_hash, block_hash in answered:
            assert chain.handle("eth_getTransactionReceipt", [tx_hash])["blockHash"] == block_hash
        assert chain.verify_all() >= len(answered) + 1
        chain.close()
    assert len(answered) >= 17


def test_errors_of_the_disk_reach_the_client_as_internal(tmp_path: Path) -> None:
    """A lost trie node is an internal error of the call with the fix in its text, not a crash."""
    chain, wallet, contract = make(tmp_path)
    chain.close()
    edit(tmp_path, "DELETE FROM node WHERE length(body) > 20 AND body = ?", COUNTER)
    chain = EmbeddedChain.open(tmp_path)
    for method, params in (
        ("eth_getCode", [contract, "latest"]),
        ("eth_sendRawTransaction", [wallet.sign(to=contract, data=bytes(64))]),
    ):
        with pytest.raises(RpcError, match="lacks a trie node") as caught:
            chain.handle(method, params)
        assert caught.value.code == -32603
    chain.close()
