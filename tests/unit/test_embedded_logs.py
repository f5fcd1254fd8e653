"""eth_getLogs of the embedded chain: filters, ranges, order and the named bound, against a plain model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.evmcode import COUNTED, COUNTER, Wallet, assemble, deployer
from swarm.chain.embedded import EmbeddedChain, RpcError, rpc

CHAIN_ID = 7_003
A, B, C = ("0x" + value.to_bytes(32, "big").hex() for value in (1, 2, 3))
SIG = "0x" + COUNTED.hex()
OTHER = "0x" + "77" * 32


class Scene:
    """Two counters, one logger of bare logs, and the blocks with their events."""

    def __init__(self, folder: Any) -> None:
        wallet = Wallet(12, CHAIN_ID)
        self.chain = EmbeddedChain.open(folder, chain_id=CHAIN_ID, alloc={wallet.address: 10**18})
        bare = assemble("0x00 0x00 LOG0 0x%s 0x00 0x00 LOG1 STOP" % ("77" * 32))
        self.x = wallet.send(self.chain, data=deployer(COUNTER))["contractAddress"]
        self.y = wallet.send(self.chain, data=deployer(COUNTER))["contractAddress"]
        self.z = wallet.send(self.chain, data=deployer(bare))["contractAddress"]
        for to, topic in ((self.x, A), (self.x, B), (self.y, A), (self.y, C), (self.z, ""), (self.x, A)):
            data = bytes.fromhex(topic[2:]) + bytes(32) if topic else b""
            wallet.send(self.chain, to=to, data=data)
        self.chain.heartbeat()

    def logs(self, **fields: Any) -> list[tuple[str, list[str]]]:
        found = self.chain.handle("eth_getLogs", [{"fromBlock": "0x0", **fields}])
        keys = [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in found]
        assert keys == sorted(keys)
        return [(log["address"], log["topics"]) for log in found]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("logs"))
    yield made
    made.chain.close()


def test_no_filter_gives_all_logs_in_order(scene: Scene) -> None:
    """Without a filter every log of the range comes, in chain order, bare ones included."""
    x, y, z = scene.x, scene.y, scene.z
    assert scene.logs() == [
        (x, [SIG, A]), (x, [SIG, B]), (y, [SIG, A]), (y, [SIG, C]), (z, []), (z, [OTHER]), (x, [SIG, A]),
    ]  # fmt: skip


def test_addresses_and_topics_filter_as_in_geth(scene: Scene) -> None:
    """One or several addresses, null positions, or-lists and absent positions select what a plain model selects."""
    everything = scene.logs()

    def model(addresses: list[str], topics: list[Any]) -> list[tuple[str, list[str]]]:
        def fits(entry: tuple[str, list[str]]) -> bool:
            wants = [None if one in (None, []) else one if isinstance(one, list) else [one] for one in topics]
            return (
                (not addresses or entry[0] in addresses)
                and len(entry[1]) >= len(topics)
                and all(want is None or got in want for got, want in zip(entry[1], wants, strict=False))
            )

        return [entry for entry in everything if fits(entry)]

    x, y, z = scene.x, scene.y, scene.z
    choices: list[list[Any]] = [
        [], [SIG], [None], [None, A], [SIG, A], [[SIG, OTHER]], [SIG, [A, C]], [[], B], [OTHER], [None] * 3,
        [SIG, [A, None]],
    ]  # fmt: skip
    for addresses in ([], [x], [y], [x, z], [x, y, z], ["0x" + "99" * 20]):
        for topics in choices:
            plain = [None if isinstance(one, list) and None in one else one for one in topics]
            assert scene.logs(address=addresses, topics=topics) == model(addresses, plain), (
                addresses,
                topics,
            )
    assert scene.logs(address=x, topics=[SIG, B]) == [(x, [SIG, B])]


def test_ranges_are_inclusive_and_tags_work(scene: Scene) -> None:
    """fromBlock and toBlock are inclusive, default to the head, may lie beyond it, and blockHash names one block."""
    assert [a for a, _ in scene.logs(fromBlock="0x4", toBlock="0x5")] == [scene.x, scene.x]
    assert scene.logs(fromBlock="0x9", toBlock="latest") == [(scene.x, [SIG, A])]
    assert scene.chain.handle("eth_getLogs", [{}]) == []
    assert scene.logs(fromBlock="0xffff", toBlock="0xfffff") == []
    assert len(scene.logs(fromBlock="earliest", toBlock="0xffff")) == 7
    block = scene.chain.handle("eth_getBlockByNumber", ["0x8", False])
    found = scene.chain.handle("eth_getLogs", [{"blockHash": block["hash"]}])
    assert [(log["logIndex"], log["transactionHash"]) for log in found] == [
        ("0x0", block["transactions"][0]),
        ("0x1", block["transactions"][0]),
    ]


def test_too_many_logs_are_an_error_not_a_part(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """More logs than the bound is an error that names it; exactly the bound is answered."""
    monkeypatch.setattr(rpc, "LOGS_MAX", 6)
    with pytest.raises(RpcError, match="more than 6 results") as caught:
        scene.logs()
    assert caught.value.code == -32005
    monkeypatch.setattr(rpc, "LOGS_MAX", 7)
    assert len(scene.logs()) == 7


def test_receipts_and_logs_agree(scene: Scene) -> None:
    """The logs of all receipts are the logs that eth_getLogs finds, field by field."""
    found = scene.chain.handle("eth_getLogs", [{"fromBlock": "0x0"}])
    listed = []
    for number in range(11):
        block = scene.chain.handle("eth_getBlockByNumber", [hex(number), False])
        for digest in block["transactions"]:
            listed += scene.chain.handle("eth_getTransactionReceipt", [digest])["logs"]
    assert listed == found
