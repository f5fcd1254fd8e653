"""The embedded chain's everyday: transfers, contracts, calls, time, listeners; answers shaped as geth's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import rlp
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth_hash.auto import keccak
from support.evmcode import COUNTED, COUNTER, Wallet, assemble, deployer
from swarm.chain.embedded import EmbeddedChain, RpcError
from swarm.core.errors import LocalFault
from trie import HexaryTrie

CHAIN_ID = 7_001
ETHER = 10**18


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wallet() -> Wallet:
    return Wallet(7, CHAIN_ID)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chain(tmp_path: Path, wallet: Wallet, clock: Clock) -> Iterator[EmbeddedChain]:
    opened = EmbeddedChain.open(tmp_path / "chain", chain_id=CHAIN_ID, alloc={wallet.address: ETHER}, clock=clock)
    yield opened
    opened.close()


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def number(chain: EmbeddedChain, method: str, *params: object) -> int:
    return int(chain.handle(method, list(params)), 16)


def test_a_transfer_moves_value_and_pays_the_tip(chain: EmbeddedChain, wallet: Wallet) -> None:
    """A value transfer is one block; the sender pays value + gas * tip, and the tip goes to the coinbase."""
    to = "0x" + "ab" * 20
    receipt = wallet.send(chain, to=to, value=5, gas=21_000)
    assert (receipt["status"], receipt["gasUsed"], receipt["type"]) == ("0x1", hex(21_000), "0x2")
    assert number(chain, "eth_getBalance", to, "latest") == 5
    assert number(chain, "eth_getBalance", wallet.hex, "latest") == ETHER - 5 - 21_000
    block = chain.handle("eth_getBlockByNumber", ["latest", True])
    assert number(chain, "eth_getBalance", block["miner"], "pending") == 21_000
    assert block["transactions"][0]["hash"] == receipt["transactionHash"]
    assert number(chain, "eth_getTransactionCount", wallet.hex, "pending") == 1
    assert number(chain, "eth_blockNumber") == 1


def test_a_legacy_transaction_with_replay_protection_is_taken(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Type 0 with EIP-155 works and pays its gas price."""
    receipt = wallet.send(chain, to="0x" + "ab" * 20, gasPrice=3, gas=21_000)
    assert (receipt["type"], receipt["effectiveGasPrice"]) == ("0x0", "0x3")
    shown = chain.handle("eth_getTransactionByHash", [receipt["transactionHash"]])
    assert (shown["from"], shown["chainId"], shown["gasPrice"]) == (wallet.hex, hex(CHAIN_ID), "0x3")


def test_a_contract_is_deployed_called_and_logs(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Code, storage and events of a contract are there right after the receipt."""
    made = wallet.send(chain, data=deployer(COUNTER))
    contract = made["contractAddress"]
    assert chain.handle("eth_getCode", [contract, "latest"]) == "0x" + COUNTER.hex()
    receipt = wallet.send(chain, to=contract, data=words(11, 22))
    (log,) = receipt["logs"]
    assert (log["address"], log["topics"]) == (contract, ["0x" + COUNTED.hex(), "0x" + words(11).hex()])
    assert (log["data"], log["logIndex"], log["removed"]) == ("0x" + words(22).hex(), "0x0", False)
    assert log["blockHash"] == receipt["blockHash"] != made["blockHash"]
    assert chain.handle("eth_call", [{"to": contract}, "latest"]) == "0x" + words(1).hex()


def test_a_reverted_transaction_is_a_block_with_status_0(chain: EmbeddedChain, wallet: Wallet) -> None:
    """A revert costs gas and the nonce, leaves no logs and no storage change."""
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    receipt = wallet.send(chain, to=contract, data=b"\x01\x02\x03")
    assert (receipt["status"], receipt["logs"], receipt["blockNumber"]) == ("0x0", [], "0x2")
    assert chain.handle("eth_call", [{"to": contract}]) == "0x" + words(0).hex()
    assert number(chain, "eth_getTransactionCount", wallet.hex) == 2


def test_a_failed_creation_leaves_no_code(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Init code that is invalid burns its gas; London also refuses code that begins with 0xEF."""
    for init in (b"\xfe", deployer(b"\xef\x01")):
        receipt = wallet.send(chain, data=init, gas=100_000)
        assert (receipt["status"], receipt["gasUsed"]) == ("0x0", hex(100_000))
        assert chain.handle("eth_getCode", [receipt["contractAddress"], "latest"]) == "0x"


def test_revert_data_comes_back_as_geth_gives_it(chain: EmbeddedChain, wallet: Wallet) -> None:
    """eth_call and eth_estimateGas answer a revert with code 3, the reason in words, and the raw data."""
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    text = b"\x08\xc3\x79\xa0" + words(32, 2) + b"no".ljust(33, b"\0")
    panic = b"\x4e\x48\x7b\x71" + words(0x11)
    custom = b"\x01\x02\x03\x04\x05"
    for data, message in (
        (text, "execution reverted: no"),
        (panic + b"\0", "execution reverted"),
        (custom, "execution reverted"),
    ):
        for method in ("eth_call", "eth_estimateGas"):
            with pytest.raises(RpcError) as caught:
                chain.handle(method, [{"to": contract, "data": "0x" + data.hex()}])
            assert (caught.value.code, caught.value.message) == (3, message)
            assert caught.value.data == "0x" + data.hex()


def test_failures_without_data_have_no_data(chain: EmbeddedChain) -> None:
    """Out of gas, a bad opcode and a value nobody has are server errors, not reverts."""
    burn = ":a @a JUMP"
    for code, gas, phrase in (
        ("INVALID", 100_000, "invalid opcode"),
        (burn, 60_000, "out of gas"),
        ("ADD", 60_000, "stack underflow"),
        ("0x05 JUMP", 60_000, "invalid jump destination"),
        ("0x00 0x00 REVERT", 60_000, "execution reverted"),
    ):
        with pytest.raises(RpcError, match=phrase) as caught:
            chain.handle("eth_call", [{"data": "0x" + assemble(code).hex(), "gas": hex(gas)}])
        assert (caught.value.code, caught.value.data) == (-32000, None)
    with pytest.raises(RpcError, match="insufficient funds for gas"):
        chain.handle("eth_call", [{"from": "0x" + "07" * 20, "to": "0x" + "08" * 20, "value": "0x1"}])
    with pytest.raises(RpcError, match="intrinsic gas too low"):
        chain.handle("eth_call", [{"to": "0x" + "08" * 20, "gas": "0x1"}])


def test_a_call_changes_nothing(chain: EmbeddedChain, wallet: Wallet) -> None:
    """eth_call and eth_estimateGas of code that writes leave head, balances, counts and storage as they were."""
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    before = chain.handle("eth_getBlockByNumber", ["latest", True])
    message = {"from": wallet.hex, "to": contract, "data": "0x" + words(1, 2).hex()}
    assert chain.handle("eth_call", [message, "latest"]) == "0x"
    chain.handle("eth_estimateGas", [message])
    chain.handle("eth_call", [{"from": wallet.hex, "data": "0x" + deployer(COUNTER).hex()}])
    assert chain.handle("eth_getBlockByNumber", ["latest", True]) == before
    assert chain.handle("eth_call", [{"to": contract}]) == "0x" + words(0).hex()
    assert number(chain, "eth_getTransactionCount", wallet.hex) == 1
    assert chain.verify_all() == 2


def test_a_call_honours_from_value_and_gas(chain: EmbeddedChain, wallet: Wallet) -> None:
    """CALLER, CALLVALUE and the gas limit of a call are those of its fields; its block is the head's."""

    def run(opcode: str, **fields: str) -> int:
        code = assemble(f"{opcode} 0x00 MSTORE 0x20 0x00 RETURN")
        return number(chain, "eth_call", {"data": "0x" + code.hex(), **fields}, "latest")

    wallet.send(chain, to=wallet.hex)
    head = chain.handle("eth_getBlockByNumber", ["latest", False])
    assert run("CALLER", **{"from": wallet.hex}) == int(wallet.hex, 16)
    assert run("CALLVALUE", value="0x9", **{"from": wallet.hex}) == 9
    assert 0 < run("GAS", gas=hex(100_000)) < 100_000
    assert run("CHAINID") == CHAIN_ID
    assert run("NUMBER") == int(head["number"], 16) == 1
    assert run("TIMESTAMP") == int(head["timestamp"], 16)
    assert run("BASEFEE") == 0
    assert run("0x00 BLOCKHASH") == int(head["parentHash"], 16)


def test_an_estimate_is_enough_and_close(chain: EmbeddedChain, wallet: Wallet) -> None:
    """The estimated gas suffices, and is little above what the transaction uses."""
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    message = {"from": wallet.hex, "to": contract, "data": "0x" + words(1, 2).hex()}
    estimate = number(chain, "eth_estimateGas", message)
    receipt = wallet.send(chain, to=contract, data=words(1, 2), gas=estimate)
    assert receipt["status"] == "0x1"
    assert estimate <= int(receipt["gasUsed"], 16) * 1.12
    assert number(chain, "eth_estimateGas", {"to": wallet.hex}) == 21_000


def test_old_state_is_refused_clearly(chain: EmbeddedChain, wallet: Wallet) -> None:
    """State is served for the head, by tag, number or hash; any other block gets an error that says so."""
    wallet.send(chain, to=wallet.hex)
    head = chain.handle("eth_getBlockByNumber", ["latest", False])
    for tag in ("latest", "safe", "finalized", "pending", "0x1", {"blockHash": head["hash"]}, head["hash"]):
        assert number(chain, "eth_getTransactionCount", wallet.hex, tag) == 1
    for tag in ("earliest", "0x0", "0x2", {"blockNumber": "0x0"}, "0x" + "00" * 32):
        with pytest.raises(RpcError, match="head only, which is block 1"):
            chain.handle("eth_call", [{"to": wallet.hex}, tag])


def test_blocks_are_real_london_blocks(chain: EmbeddedChain, wallet: Wallet) -> None:
    """An independent decoder finds the same hash, and an independent trie the same roots."""
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    receipt = wallet.send(chain, to=contract, data=words(5, 6))
    block = chain.handle("eth_getBlockByNumber", ["0x2", False])
    raw = {
        key: bytes.fromhex(v[2:].rjust(len(v) % 2 + len(v) - 2, "0")) for key, v in block.items() if isinstance(v, str)
    }
    header = LondonBlockHeader(
        difficulty=int(block["difficulty"], 16), block_number=2, gas_limit=int(block["gasLimit"], 16),
        timestamp=int(block["timestamp"], 16), coinbase=raw["miner"], parent_hash=raw["parentHash"],
        uncles_hash=raw["sha3Uncles"], state_root=raw["stateRoot"], transaction_root=raw["transactionsRoot"],
        receipt_root=raw["receiptsRoot"], bloom=int(block["logsBloom"], 16), gas_used=int(block["gasUsed"], 16),
        extra_data=raw["extraData"], mix_hash=raw["mixHash"], nonce=raw["nonce"], base_fee_per_gas=0,
    )  # fmt: skip
    assert header.hash == raw["hash"]
    log = receipt["logs"][0]
    body = [1, int(receipt["gasUsed"], 16), raw["logsBloom"], [
        [bytes.fromhex(contract[2:]), [bytes.fromhex(t[2:]) for t in log["topics"]], bytes.fromhex(log["data"][2:])]
    ]]  # fmt: skip
    receipts = HexaryTrie({})
    receipts[rlp.encode(0)] = b"\x02" + rlp.encode(body)
    assert receipts.root_hash == raw["receiptsRoot"]
    assert chain.handle("eth_getBlockByHash", [block["hash"], False]) == block
    assert block["parentHash"] == chain.handle("eth_getBlockByNumber", ["0x1", False])["hash"]
    assert chain.handle("eth_getBlockByNumber", ["earliest", False])["hash"] == "0x" + chain.genesis_hash.hex()
    assert chain.handle("eth_getBlockByNumber", ["0x3", False]) is None


def test_time_follows_the_clock_but_never_back(chain: EmbeddedChain, clock: Clock) -> None:
    """A heartbeat moves block time on an idle chain; a clock set back does not move it back."""

    def beat() -> int:
        chain.heartbeat()
        block = chain.handle("eth_getBlockByNumber", ["latest", False])
        assert block["transactions"] == []
        return int(block["timestamp"], 16)

    clock.now += 100
    assert beat() == int(clock.now)
    clock.now -= 50
    assert beat() == int(clock.now) + 50
    clock.now += 60
    assert beat() == int(clock.now)
    assert number(chain, "eth_blockNumber") == 3
    assert chain.verify_all() == 4


def test_a_listener_hears_every_durable_block_in_order(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Listeners get each block's head and logs once readers can see it; one that fails hurts nobody."""
    heard: list[tuple[str, int, bool]] = []

    def broken(head: dict[str, object], logs: list[dict[str, object]]) -> None:
        raise RuntimeError("listener bug")

    def listen(head: dict[str, object], logs: list[dict[str, object]]) -> None:
        seen = chain.handle("eth_getBlockByNumber", ["latest", False])
        heard.append((str(head["number"]), len(logs), seen["hash"] == head["hash"]))

    chain.subscribe(broken)
    end = chain.subscribe(listen)
    contract = wallet.send(chain, data=deployer(COUNTER))["contractAddress"]
    wallet.send(chain, to=contract, data=words(1, 2))
    chain.heartbeat()
    end()
    end()
    chain.heartbeat()
    assert heard == [("0x1", 0, True), ("0x2", 1, True), ("0x3", 0, True)]


def test_many_threads_may_send(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Calls from several threads are put in one line: every transaction gets its own block."""
    others = [Wallet(100 + i, CHAIN_ID) for i in range(4)]
    for other in others:
        wallet.send(chain, to=other.hex, value=10**16)
    results: list[str] = []

    def work(other: Wallet) -> None:
        for _ in range(5):
            results.append(other.send(chain, to=wallet.hex, value=1, gas=21_000)["blockHash"])

    threads = [threading.Thread(target=work, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 20
    assert number(chain, "eth_blockNumber") == 24


def test_deep_recursion_of_a_contract_stays_harmless(chain: EmbeddedChain, wallet: Wallet) -> None:
    """A contract that calls itself as deep as gas allows ends, also in a thread, and the chain goes on."""
    code = assemble("0x00 0x00 0x00 0x00 0x00 ADDRESS GAS CALL STOP")
    contract = wallet.send(chain, data=deployer(code))["contractAddress"]
    seen: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: seen.append(wallet.send(chain, to=contract, gas=30_000_000)))
    thread.start()
    thread.join()
    assert seen[0]["status"] == "0x1"
    assert int(str(seen[0]["gasUsed"]), 16) > 60_000  # about 140 gas a level
    assert wallet.send(chain, to=wallet.hex)["status"] == "0x1"


def test_the_small_answers_are_geths(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Ids, prices, fee history and syncing have the forms that clients parse."""
    wallet.send(chain, to=wallet.hex, gas=21_000)
    assert chain.handle("eth_chainId", []) == hex(CHAIN_ID)
    assert chain.handle("net_version", []) == str(CHAIN_ID)
    assert chain.handle("eth_syncing", []) is False
    assert chain.handle("eth_gasPrice", []) == chain.handle("eth_maxPriorityFeePerGas", []) == "0x1"
    assert "py-evm/" in chain.handle("web3_clientVersion", [])
    history = chain.handle("eth_feeHistory", ["0x5", "latest", [50]])
    assert history["oldestBlock"] == "0x0"
    assert history["baseFeePerGas"] == ["0x0"] * 3
    assert history["reward"] == [["0x0"], ["0x1"]]
    assert history["gasUsedRatio"] == [0.0, 21_000 / 60_000_000]
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt"):
        assert chain.handle(method, ["0x" + "00" * 32]) is None


def test_a_closed_chain_says_so(chain: EmbeddedChain) -> None:
    """After close, calls and heartbeats fail with a clear text, and closing again is harmless."""
    chain.close()
    chain.close()
    with pytest.raises(RpcError, match="was closed"):
        chain.handle("eth_chainId", [])
    with pytest.raises(LocalFault, match="was closed"):
        chain.heartbeat()


def test_ecrecover_survives_any_input(chain: EmbeddedChain) -> None:
    """The signature precompile answers empty for garbage (bad r, s, v, points off the curve), never an error."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    for v in (0, 26, 27, 28, 29, 2**255):
        for r in (0, 1, 5, order - 1, order, 2**256 - 1):
            for s in (0, 1, order - 1, order):
                data = keccak(b"x") + words(v, r, s)
                answer = chain.handle("eth_call", [{"to": "0x" + "00" * 19 + "01", "data": "0x" + data.hex()}])
                assert answer == "0x" or len(answer) == 66
