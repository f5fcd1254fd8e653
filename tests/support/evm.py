"""A chain in memory for contract tests: one call a block, block and time set by the test, snapshots for nothing.

Runs the embedded chain's own engine, so that what is tested is what runs; leaves out its signatures and journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak
from swarm.chain.contract import Artifact, artifact, decode_revert
from swarm.chain.embedded.evm import Call, Engine, Env
from swarm.chain.embedded.tx import Tx as SignedTx
from swarm.chain.embedded.tx import contract_address
from swarm.chain.events import EventDecoder
from swarm.chain.logs import Log
from swarm.chain.suite import SUITE, Terms
from swarm.core.ids import Address, Digest
from swarm.core.limits import RESCUE_AFTER_SECONDS, TASK_LEASE_SECONDS

GAS = 60_000_000
CHAIN_ID = 0x5EED
GENESIS_TIME = 1_800_000_000
ETHER = 10**18


@dataclass(frozen=True)
class Done:
    """A call that succeeded: its logs as events, and the gas that a transaction with it costs."""

    events: list[Any]
    gas: int


class Evm:
    """Senders need no keys and no funds beyond what `fund` gives at the start.

    `number` and `time` are those of the last block; each `send` is a block of its own, `step` seconds later.
    """

    def __init__(self, funded: Sequence[Address] = ()) -> None:
        self._nodes: dict[bytes, bytes] = {}
        self.engine = Engine(CHAIN_ID, self._nodes.get)
        self.root, fresh = self.engine.genesis(dict.fromkeys(funded, ETHER))
        self._nodes.update(fresh)
        self.number, self.time, self.step = 0, GENESIS_TIME, 1
        self.decoder = EventDecoder({})
        self.last_logs: tuple[Any, ...] = ()

    def snapshot(self) -> tuple[bytes, int, int]:
        return self.root, self.number, self.time

    def revert_to(self, kept: tuple[bytes, int, int]) -> None:
        self.root, self.number, self.time = kept

    def skip(self, blocks: int, seconds: int) -> None:
        """Empty blocks."""
        self.number += blocks
        self.time += seconds

    def deploy(
        self, sender: Address, built: Artifact, *arguments: Any, libraries: Mapping[str, Address] | None = None
    ) -> Contract:
        nonce = self.engine.account(self.root, sender).nonce
        self._run(sender, None, built.creation(arguments, libraries), 0, "deployment")
        return Contract(self, Address(contract_address(sender, nonce)), built)

    def send(self, sender: Address, to: Address, data: bytes, *, value: int = 0, what: str = "") -> Done:
        """One transaction in a block of its own.

        Raises:
            Reverted: decoded; the state is as before, and the block has not been made.
        """
        gas = self._run(sender, to, data, value, what)
        logs = [
            Log(Address(x.address), x.topics, x.data, self.number, Digest(bytes(32)), Digest(bytes(32)), i)
            for i, x in enumerate(self.last_logs)
        ]
        return Done([e for e in map(self.decoder, logs) if e is not None], gas)

    def ask(self, to: Address, data: bytes, *, sender: Address | None = None, what: str = "") -> bytes:
        """A call on the head's state, in the head's block."""
        call = Call(sender or Address(bytes(20)), to, GAS, 0, data, ())
        result = self.engine.call(Env(self.number, self.time, ()), self.root, call)
        if result.error is not None:
            raise decode_revert(result.output, call=what)
        return result.output

    def call_gas(self, to: Address, data: bytes) -> int:
        """What a call on the head's state uses."""
        return self.engine.call(
            Env(self.number, self.time, ()), self.root, Call(person("x"), to, GAS, 0, data, ())
        ).gas_used

    def _run(self, sender: Address, to: bytes | None, data: bytes, value: int, what: str) -> int:
        env = Env(self.number + 1, self.time + self.step, ())
        # A receipt has no revert data, so a failure is run once more as a call.
        probe = Call(sender, to, GAS, value, data, ())
        nonce = self.engine.account(self.root, sender).nonce
        tx = SignedTx(b"", b"", sender, 2, CHAIN_ID, nonce, 0, 0, GAS, to, value, data, (), 0, 0, 0)
        outcome = self.engine.execute(env, self.root, tx)
        if not outcome.receipt.status:
            result = self.engine.call(env, self.root, probe)
            assert result.reverted, f"{what}: {result.error}"
            raise decode_revert(result.output, call=what)
        self._nodes.update(outcome.nodes)
        self.root = outcome.state_root
        self.number, self.time = env.number, env.time
        self.last_logs = outcome.receipt.logs
        return outcome.receipt.gas_used


class Contract:
    """A contract at an address; functions by their ABI names."""

    def __init__(self, evm: Evm, address: Address, built: Artifact) -> None:
        self.evm, self.address, self.built = evm, address, built

    def send(self, sender: Address, function: str, *arguments: Any, value: int = 0) -> Done:
        data = self.built.functions[function].encode(arguments)
        return self.evm.send(sender, self.address, data, value=value, what=f"{self.built.name}.{function}")

    def ask(self, function: str, *arguments: Any) -> Any:
        found = self.built.functions[function]
        values = found.decode_output(self.evm.ask(self.address, found.encode(arguments), what=function))
        return values[0] if len(values) == 1 else values


@dataclass
class Chain:
    """The contracts, deployed by `admin`, who is owner, admitter and a member of role SN."""

    evm: Evm
    admin: Address
    directory: Contract
    membership: Contract
    training: Contract
    options: Contract
    tasks: Contract
    runners: Contract


def person(name: str) -> Address:
    """An address without a key."""
    return Address(keccak(name.encode())[12:])


def deployed(*, rescue_after: int = RESCUE_AFTER_SECONDS, task_lease: int = TASK_LEASE_SECONDS) -> Chain:
    admin = person("admin")
    evm = Evm([admin])
    made: dict[str, Contract] = {}
    for part in SUITE:
        there = {name: one.address for name, one in made.items()}
        arguments = part.arguments(there, Terms(rescue_after, task_lease))
        made[part.name] = evm.deploy(admin, artifact(part.name), *arguments, libraries=there)
    evm.decoder = EventDecoder({name: one.address for name, one in made.items()})
    return Chain(
        evm,
        admin,
        made["Directory"],
        made["Membership"],
        made["Training"],
        made["JobOptions"],
        made["Tasks"],
        made["Taskrunners"],
    )
