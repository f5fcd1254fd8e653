"""What the embedded chain refuses, in geth's words, and that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.evmcode import Wallet, assemble, deployer
from swarm.chain.embedded import EmbeddedChain, RpcError
from swarm.chain.embedded.evm import Account, Engine
from swarm.chain.embedded.journal import Journal
from swarm.chain.embedded.ledger import Ledger

CHAIN_ID = 7_002
POOR = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def wallet() -> Wallet:
    return Wallet(8, CHAIN_ID)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, wallet: Wallet) -> Iterator[EmbeddedChain]:
    folder: Path = tmp_path_factory.mktemp("refusals")
    opened = EmbeddedChain.open(folder, chain_id=CHAIN_ID, alloc={wallet.address: 10**18})
    wallet.send(opened, to=POOR, value=1)
    yield opened
    opened.close()


def refusal(chain: EmbeddedChain, method: str, *params: Any) -> RpcError:
    """The error of a call, after checking that the head is where it was."""
    before = chain.handle("eth_getBlockByNumber", ["latest", False])
    with pytest.raises(RpcError) as caught:
        chain.handle(method, list(params))
    assert chain.handle("eth_getBlockByNumber", ["latest", False]) == before
    return caught.value


@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ({"nonce": 0, "value": 3}, "nonce too low: next nonce 1, tx nonce 0"),
        ({"nonce": 5}, "nonce too high"),
        ({"value": 10**18}, "insufficient funds for gas * price + value: balance"),
        ({"maxFeePerGas": 10**14}, "insufficient funds for gas * price + value"),
        ({"chainId": 9}, "invalid chain id for signer: have 9 want 7002"),
        ({"chainId": 9, "gasPrice": 5}, "invalid chain id for signer: have 9 want 7002"),
        ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"gas": 60_000_001}, "exceeds block gas limit"),
        ({"maxPriorityFeePerGas": 0}, "transaction underpriced"),
        ({"gasPrice": 0}, "transaction underpriced"),
        ({"maxPriorityFeePerGas": 2, "maxFeePerGas": 1}, "max priority fee per gas higher than max fee per gas"),
        ({"data": b"\1" * 131_000}, "oversized data"),
    ],
)  # fmt: skip
def test_a_transaction_is_refused_in_geths_words(
    chain: EmbeddedChain, wallet: Wallet, fields: dict[str, Any], phrase: str
) -> None:
    """Each inadmissible transaction gets -32000 with geth's phrase, and neither head nor nonce move."""
    error = refusal(chain, "eth_sendRawTransaction", wallet.sign(**{"to": POOR, "gas": 21_000, **fields}))
    assert (error.code, error.data) == (-32000, None)
    assert phrase in error.message
    assert chain.handle("eth_getTransactionCount", [wallet.hex, "pending"]) == "0x1"


def test_the_same_bytes_again_are_already_known(tmp_path: Path) -> None:
    """A retry with the same bytes is answered 'already known', also after a restart."""
    wallet = Wallet(9, CHAIN_ID)
    chain = EmbeddedChain.open(tmp_path, chain_id=CHAIN_ID, alloc={wallet.address: 10**18})
    raw = wallet.sign(to=POOR)
    chain.handle("eth_sendRawTransaction", [raw])
    assert refusal(chain, "eth_sendRawTransaction", raw).message == "already known"
    chain.close()
    chain = EmbeddedChain.open(tmp_path)
    assert refusal(chain, "eth_sendRawTransaction", raw).message == "already known"
    chain.close()


def test_an_unprotected_or_unknown_type_is_refused(chain: EmbeddedChain, wallet: Wallet) -> None:
    """Legacy without EIP-155, access-list transactions, and empty bytes are refused by name."""
    plain = wallet.account.sign_transaction(
        {"nonce": 1, "gas": 21_000, "gasPrice": 1, "to": bytes.fromhex(POOR[2:]), "value": 0}
    )
    raw = "0x" + bytes(plain.raw_transaction).hex()
    assert "only replay-protected" in refusal(chain, "eth_sendRawTransaction", raw).message
    listed = wallet.sign(to=POOR, type=1, gasPrice=1, accessList=[])
    assert refusal(chain, "eth_sendRawTransaction", listed).message == "transaction type not supported"
    assert refusal(chain, "eth_sendRawTransaction", "0x").message == "typed transaction too short"


def test_a_contract_cannot_send(tmp_path: Path) -> None:
    """Code at the sender's address means 'sender not an eoa' (EIP-3607): tried with code planted in the state."""

    wallet = Wallet(10, CHAIN_ID)
    journal = Journal.open(tmp_path)
    ledger = Ledger.open(journal, lambda: 0.0, CHAIN_ID, {wallet.address: 10**18})

    class Planted(Engine):
        def account(self, root: bytes, address: bytes) -> Account:
            return Account(0, 10**18, b"\1" * 32)

    ledger.engine = Planted(CHAIN_ID, journal.node)
    with pytest.raises(RpcError, match="sender not an eoa"):
        ledger.submit(bytes.fromhex(wallet.sign(to=POOR)[2:]))
    journal.close()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_damaged_bytes_are_refused_and_nothing_else(chain: EmbeddedChain, wallet: Wallet, data: st.DataObject) -> None:
    """Any flip, cut or extension of signed bytes is an RpcError, or comes from some other (penniless) sender."""
    good = (
        bytes.fromhex(wallet.sign(to=POOR, nonce=0, gasPrice=1)[2:])
        if data.draw(st.booleans())
        else (bytes.fromhex(wallet.sign(to=POOR, nonce=0)[2:]))
    )
    at = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "extend", "insert"]))
    piece = data.draw(st.binary(min_size=1, max_size=3))
    raw = {
        "flip": good[:at] + bytes([good[at] ^ (piece[0] or 1)]) + good[at + 1 :],
        "cut": good[:at],
        "extend": good + piece,
        "insert": good[:at] + piece + good[at:],
    }[change]
    error = refusal(chain, "eth_sendRawTransaction", "0x" + raw.hex())
    assert error.code == -32000


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_mining", [], -32601),
        ("personal_sign", [], -32601),
        ("eth_getBalance", [], -32602),
        ("eth_getBalance", ["0x12", "latest"], -32602),
        ("eth_getBalance", [POOR, "newest"], -32602),
        ("eth_getBalance", [POOR, "latest", 1], -32602),
        ("eth_getBalance", {"address": POOR}, -32602),
        ("eth_sendRawTransaction", ["zz"], -32602),
        ("eth_sendRawTransaction", ["0x" + "00" * 300_000], -32602),
        ("eth_call", ["0x"], -32602),
        ("eth_call", [{"to": 5}], -32602),
        ("eth_call", [{"to": POOR, "gas": "0x01"}], -32602),
        ("eth_call", [{"to": POOR, "data": "0x00", "input": "0x01"}], -32602),
        ("eth_call", [{"to": POOR}, "latest", {POOR: {}}], -32602),
        ("eth_getTransactionReceipt", ["0x" + "00" * 31], -32602),
        ("eth_getLogs", [{"topics": [None] * 5}], -32602),
        ("eth_getLogs", [{"address": [POOR] * 1_001}], -32602),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32, "fromBlock": "0x0"}], -32602),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32}], -32000),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x0"}], -32000),
        ("eth_feeHistory", ["0x1", "0x99"], -32000),
    ],
)
def test_bad_calls_get_geths_codes(chain: EmbeddedChain, method: str, params: Any, code: int) -> None:
    """Unknown methods are -32601, malformed or oversized parameters -32602, impossible wishes -32000."""
    with pytest.raises(RpcError) as caught:
        chain.handle(method, params)
    assert caught.value.code == code
    assert caught.value.as_json()["message"]


def test_a_panic_is_named(tmp_path: Path) -> None:
    """A Solidity panic comes back with its meaning, as geth words it."""
    wallet = Wallet(11, CHAIN_ID)
    chain = EmbeddedChain.open(tmp_path, chain_id=CHAIN_ID, alloc={wallet.address: 10**18})
    code = assemble("CALLDATASIZE 0x00 0x00 CALLDATACOPY CALLDATASIZE 0x00 REVERT")
    contract = wallet.send(chain, data=deployer(code))["contractAddress"]
    for panic, words in ((0x11, "arithmetic underflow or overflow"), (0x99, "unknown panic code: 0x99")):
        data = "0x4e487b71" + panic.to_bytes(32, "big").hex()
        error = refusal(chain, "eth_call", {"to": contract, "data": data})
        assert error.as_json() == {"code": 3, "message": f"execution reverted: {words}", "data": data}
    chain.close()
