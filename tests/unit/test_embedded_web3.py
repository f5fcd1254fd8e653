"""web3.py, which operators' own tools bring, works over the embedded chain's `handle`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.evmcode import COUNTER, Wallet, deployer
from swarm.chain.embedded import EmbeddedChain, RpcError
from web3 import AsyncWeb3
from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.providers.async_base import AsyncBaseProvider

CHAIN_ID = 7_005
EVENT = {
    "type": "event", "name": "Counted", "anonymous": False,
    "inputs": [
        {"name": "key", "type": "uint256", "indexed": True}, {"name": "value", "type": "uint256", "indexed": False},
    ],
}  # fmt: skip


class Provider(AsyncBaseProvider):
    """JSON-RPC without a wire."""

    def __init__(self, chain: EmbeddedChain) -> None:
        super().__init__()
        self.chain = chain

    async def make_request(self, method: Any, params: Any) -> Any:
        try:
            result = await asyncio.to_thread(self.chain.handle, method, list(params))
        except RpcError as error:
            return {"jsonrpc": "2.0", "id": 1, "error": error.as_json()}
        return {"jsonrpc": "2.0", "id": 1, "result": result}


async def test_web3_sends_waits_reads_and_decodes(tmp_path: Path) -> None:
    """Deploy, estimate, send, wait, decode events, read blocks; reverts are web3's own exceptions."""
    wallet = Wallet(30, CHAIN_ID)
    chain = EmbeddedChain.open(tmp_path, chain_id=CHAIN_ID, alloc={wallet.address: 10**18})
    w3: AsyncWeb3[Any] = AsyncWeb3(Provider(chain))
    me = wallet.account.address

    async def send(**fields: Any) -> Any:
        wanted = {
            "from": me, "nonce": await w3.eth.get_transaction_count(me, "pending"), "value": 0,
            "chainId": await w3.eth.chain_id, "maxPriorityFeePerGas": await w3.eth.max_priority_fee,
            "maxFeePerGas": 10**9, **fields,
        }  # fmt: skip
        wanted["gas"] = await w3.eth.estimate_gas(wanted)
        signed = wallet.account.sign_transaction(wanted)
        return await w3.eth.wait_for_transaction_receipt(
            await w3.eth.send_raw_transaction(signed.raw_transaction), timeout=5, poll_latency=0.01
        )

    made = await send(data=deployer(COUNTER))
    to = made["contractAddress"]
    receipt = await send(to=to, data=(3).to_bytes(32, "big") + (4).to_bytes(32, "big"))
    contract = w3.eth.contract(address=to, abi=[EVENT])
    (event,) = await contract.events.Counted().get_logs(from_block=0, argument_filters={"key": [3]})
    assert dict(event["args"]) == {"key": 3, "value": 4}
    assert event["blockHash"] == receipt["blockHash"]
    assert int.from_bytes(await w3.eth.call({"to": to}), "big") == 1
    assert await w3.eth.get_code(to) == COUNTER

    block = await w3.eth.get_block("latest", full_transactions=True)
    assert block["transactions"][0]["hash"] == receipt["transactionHash"]
    assert (await w3.eth.get_transaction(receipt["transactionHash"]))["from"] == me
    assert block["baseFeePerGas"] == 0
    assert (await w3.eth.fee_history(2, "latest", [50]))["reward"] == [[1], [1]]
    assert await w3.eth.get_balance(me) == 10**18 - made["gasUsed"] - receipt["gasUsed"]
    assert (await w3.eth.syncing) is False

    reason = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(33, b"\0")
    with pytest.raises(ContractLogicError, match="execution reverted: no"):
        await w3.eth.call({"to": to, "data": reason})
    with pytest.raises(ContractCustomError) as caught:
        await w3.eth.call({"to": to, "data": b"\1\2\3\4\5"})
    assert caught.value.data == "0x0102030405"
    with pytest.raises(TransactionNotFound):
        await w3.eth.get_transaction_receipt("0x" + "00" * 32)
    with pytest.raises(Web3RPCError, match="nonce too low"):
        await w3.eth.send_raw_transaction(wallet.sign(nonce=0, to=to))
    chain.close()
