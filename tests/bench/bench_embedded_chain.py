"""Measures the embedded chain: send to receipt, calls, logs, restart, audit, memory and disk; prints JSON.

    python tests/bench/bench_embedded_chain.py [transactions=5000] [folder=a new temporary one]

The contract recovers 4 or 16 signatures (the ecrecover precompile), writes two fresh slots and one old one and logs
five events, which is about what a commit of a round does. Times are milliseconds unless the name says otherwise.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from eth_account import Account
from eth_account.messages import encode_defunct
from support.evmcode import Wallet, assemble, deployer
from swarm.chain.embedded import EmbeddedChain

CHAIN_ID = 7_100
LOGS = 5


def contract() -> bytes:
    """Word 0: how many recoveries; word 1: key of the fresh slots; then digest, v, r, s."""
    return assemble(
        """
        CALLDATASIZE ISZERO @read JUMPI
        0x80 0x40 0x00 CALLDATACOPY 0x00 CALLDATALOAD
        :again DUP1 ISZERO @done JUMPI
        0x20 0x80 0x80 0x00 0x01 GAS STATICCALL POP
        0x01 SWAP1 SUB @again JUMP
        :done 0x80 MLOAD 0x20 CALLDATALOAD SSTORE
        0x80 MLOAD 0x20 CALLDATALOAD 0x01 ADD SSTORE
        0x00 SLOAD 0x01 ADD 0x00 SSTORE
        """
        + "0x20 CALLDATALOAD 0x%s 0x20 0x80 LOG2 " % ("ee" * 32) * LOGS
        + "STOP :read 0x00 SLOAD 0x00 MSTORE 0x20 0x00 RETURN"
    )


def call_data(recoveries: int, key: int) -> bytes:
    signed = Account.sign_message(encode_defunct(b"check-in"), b"\x11" * 32)
    words = (recoveries, key, int.from_bytes(signed.message_hash, "big"), signed.v, signed.r, signed.s)
    return b"".join(word.to_bytes(32, "big") for word in words)


def spread(samples: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(samples, n=100)
    return {"p50": round(cuts[49] * 1e3, 2), "p90": round(cuts[89] * 1e3, 2), "p99": round(cuts[98] * 1e3, 2)}


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


def main(transactions: int, folder: Path) -> dict[str, Any]:
    wallet = Wallet(77, CHAIN_ID)
    chain = EmbeddedChain.open(folder, chain_id=CHAIN_ID, alloc={wallet.address: 10**24})
    memory_before = resident_mib()
    made = wallet.send(chain, data=deployer(contract()), gas=5_000_000)
    key = 1_000

    def send(recoveries: int) -> float:
        nonlocal key
        key += 2
        raw = wallet.sign(to=made["contractAddress"], data=call_data(recoveries, key), gas=2_000_000)
        wallet.nonce += 1
        started = time.perf_counter()
        digest = chain.handle("eth_sendRawTransaction", [raw])
        receipt = chain.handle("eth_getTransactionReceipt", [digest])
        took = time.perf_counter() - started
        if receipt["status"] != "0x1" or len(receipt["logs"]) != LOGS:
            raise SystemExit(f"the bench transaction failed: {receipt}")
        return took

    result: dict[str, Any] = {"send_to_receipt_16_signatures": spread([send(16) for _ in range(100)])}
    samples = [send(4) for _ in range(transactions - 101)]
    result["send_to_receipt_4_signatures"] = spread(samples)
    result["the_last_500"] = spread(samples[-500:])
    message = {"to": made["contractAddress"]}
    read = [timed(lambda: chain.handle("eth_call", [message, "latest"])) for _ in range(500)]
    result["eth_call"] = spread(read)
    heavy = {**message, "data": "0x" + call_data(4, 7).hex()}
    result["eth_call_4_signatures"] = spread([timed(lambda: chain.handle("eth_call", [heavy])) for _ in range(100)])
    result["heartbeat"] = spread([timed(chain.heartbeat) for _ in range(100)])
    query = {"address": made["contractAddress"], "fromBlock": hex(200), "toBlock": hex(1_199)}
    found = len(chain.handle("eth_getLogs", [query]))
    runs = [timed(lambda: chain.handle("eth_getLogs", [query])) for _ in range(10)]
    result["get_logs_1000_blocks"] = {"logs": found, "p50": round(statistics.median(runs) * 1e3, 1)}
    result["memory_mib"] = {"before": memory_before, "after": resident_mib()}
    chain.close()
    size = sum(path.stat().st_size for path in folder.iterdir())
    result["disk_bytes_per_transaction"] = size // transactions
    result["restart_seconds"] = round(timed(lambda: EmbeddedChain.open(folder).close()), 3)
    fresh = (
        "import sys, pathlib; from swarm.chain.embedded import EmbeddedChain as E; E.open(pathlib.Path(sys.argv[1]))"
    )
    result["restart_seconds_with_new_process"] = round(
        timed(lambda: subprocess.run([sys.executable, "-c", fresh, str(folder)], check=True)), 3
    )
    chain = EmbeddedChain.open(folder)
    result["verify_all_seconds"] = round(timed(chain.verify_all), 1)
    chain.close()
    result["transactions"], result["cores"] = transactions, os.cpu_count()
    return result


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch) / "chain"
        print(json.dumps(main(count, place), indent=2))
