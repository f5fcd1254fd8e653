"""Owns the only contact with py-evm: executes and simulates on a state root; knows no disk and no blocks.

A new State is built for every execution: a long-lived one keeps caches that slow it down (14 to 24 ms
measured). Trie nodes come from ``load``; new ones stay in the outcome until the journal stores them
together with the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast

from eth.abc import AtomicWriteBatchAPI, ComputationAPI, SignedTransactionAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.backends.base import BaseAtomicDB
from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    InsufficientFunds,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfGas,
    Revert,
    StackDepthLimit,
    VMError,
    WriteProtection,
)
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.london.state import LondonState, LondonTransactionExecutor
from eth.vm.forks.london.transactions import UnsignedDynamicFeeTransaction
from eth.vm.interrupt import EVMMissingData
from eth.vm.spoof import SpoofTransaction
from eth_hash.auto import keccak
from eth_typing import Address as EthAddress
from eth_typing import BlockNumber, Hash32
from trie.exceptions import MissingTrieNode

from swarm.chain import secp256k1
from swarm.chain.embedded.asking import AskedState
from swarm.chain.embedded.block import BLOCK_GAS, COINBASE, DIFFICULTY, Log, Receipt
from swarm.chain.embedded.tx import AccessList, Tx
from swarm.core.errors import LocalFault

__all__ = ["ENGINE", "Account", "Call", "Engine", "Env", "Outcome", "Result"]

ENGINE = f"swarm-embedded/1 py-evm/{version('py-evm')} london"
"""Bound into genesis: another engine may compute another state, so it must not continue this journal."""

_PHRASES: tuple[tuple[type[VMError], str], ...] = (
    (Revert, "execution reverted"),
    (OutOfGas, "out of gas"),
    (InvalidJumpDestination, "invalid jump destination"),
    (InvalidInstruction, "invalid opcode"),
    (InsufficientStack, "stack underflow"),
    (FullStack, "stack limit reached 1024"),
    (WriteProtection, "write protection"),
    (StackDepthLimit, "max call depth exceeded"),
    (InsufficientFunds, "insufficient balance for transfer"),
    (ContractCreationCollision, "contract address collision"),
)


@dataclass(frozen=True, slots=True)
class Env:
    """What code sees of its block: ``number``, ``time`` in seconds, ``ancestors`` from the parent back."""

    number: int
    time: int
    ancestors: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Account:
    nonce: int
    balance: int
    code_hash: bytes

    @property
    def has_code(self) -> bool:
        return self.code_hash != EMPTY_SHA3


@dataclass(frozen=True, slots=True)
class Call:
    """A simulated message; ``to`` None is a creation. It costs nothing, and GASPRICE reads 0 in it."""

    sender: bytes
    to: bytes | None
    gas: int
    value: int
    data: bytes
    access_list: AccessList


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transaction's effect: receipt, new state root, and the trie nodes and codes by hash that it made."""

    receipt: Receipt
    state_root: bytes
    nodes: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Result:
    """A call's result: ``error`` is None or geth's phrase; if ``reverted``, ``output`` is revert data.

    ``own``: another asker may get something else; if not, then all get this but the accounts ``named``.
    """

    output: bytes
    gas_used: int
    error: str | None
    reverted: bool
    own: bool = True
    named: frozenset[bytes] = frozenset()


@dataclass
class _Nodes(BaseAtomicDB):
    """Store by hash as py-evm wants it: reads fall through to ``load``, writes stay in ``fresh``."""

    load: Callable[[bytes], bytes | None]
    fresh: dict[bytes, bytes] = field(default_factory=dict)

    def __getitem__(self, key: bytes) -> bytes:
        found = self.fresh.get(key)
        if found is None:
            found = self.load(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.fresh[key] = value

    def __delitem__(self, key: bytes) -> None:
        raise LocalFault(f"py-evm asked to delete trie node 0x{key.hex()}; nothing is ever pruned")

    def _exists(self, key: bytes) -> bool:
        return key in self.fresh or self.load(key) is not None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        # Atomicity comes from the journal: `fresh` is dropped whole if anything fails before its one commit.
        yield cast(AtomicWriteBatchAPI, self)


class Engine:
    """London rules for one chain id.

    Args:
        chain_id: what CHAINID answers.
        load: returns the trie node or code with this keccak hash, or None.
    """

    def __init__(self, chain_id: int, load: Callable[[bytes], bytes | None]) -> None:
        secp256k1.require()
        self._chain_id = chain_id
        self._load = load

    def genesis(self, alloc: Mapping[bytes, int]) -> tuple[bytes, Mapping[bytes, bytes]]:
        """State root and nodes of a state in which each address owns its wei and nothing else exists."""
        state, nodes = self._state(Env(0, 0, ()), BLANK_ROOT_HASH)
        for address, balance in sorted(alloc.items()):
            state.set_balance(EthAddress(address), balance)
        state.persist()
        return state.state_root, nodes.fresh

    def account(self, root: bytes, address: bytes) -> Account:
        with _translated():
            state, _ = self._state(Env(0, 0, ()), root)
            who = EthAddress(address)
            return Account(state.get_nonce(who), state.get_balance(who), state.get_code_hash(who))

    def code(self, root: bytes, address: bytes) -> bytes:
        with _translated():
            return self._state(Env(0, 0, ()), root)[0].get_code(EthAddress(address))

    def execute(self, env: Env, root: bytes, tx: Tx) -> Outcome:
        """Apply a transaction that the ledger found admissible (nonce, funds, gas) to the state at ``root``.

        Raises:
            LocalFault: a trie node is missing on disk.
            eth_utils.ValidationError: py-evm does not admit the transaction; nothing happened.
        """
        with _translated():
            state, nodes = self._state(env, root)
            call = Call(tx.sender, tx.to, tx.gas, tx.value, tx.data, tx.access_list)
            message = self._spoof(call, tx.nonce, tx.tip, tx.fee)
            computation = state.apply_transaction(message)
            used = _gas_used(state, computation, tx.gas)
            logs = tuple(
                Log(bytes(address), tuple(topic.to_bytes(32, "big") for topic in topics), bytes(data))
                for address, topics, data in computation.get_log_entries()
            )
            state.lock_changes()
            state.persist()
        receipt = Receipt(int(computation.is_success), used, logs)
        return Outcome(receipt, state.state_root, nodes.fresh)

    def call(self, env: Env, root: bytes, call: Call) -> Result:
        """Run a message on the state at ``root`` and forget all changes; gas costs the sender nothing."""
        with _translated():
            state = AskedState(_Nodes(self._load), self._context(env), Hash32(root))
            nonce = state.get_nonce(EthAddress(call.sender))
            message = self._spoof(call, nonce, 0, 0)
            computation = state.apply_transaction(message)
            used = _gas_used(state, computation, call.gas)
        # A creation's address and an amount sent depend on who asks before any code does.
        own, named = state.own or call.to is None or call.value != 0, frozenset(state.named)
        if computation.is_success:
            return Result(computation.output, used, None, False, own, named)
        error = computation.error
        phrase = next((text for kind, text in _PHRASES if isinstance(error, kind)), f"evm: {error}")
        reverted = isinstance(error, Revert)
        return Result(computation.output if reverted else b"", used, phrase, reverted, own, named)

    def _state(self, env: Env, root: bytes) -> tuple[LondonState, _Nodes]:
        nodes = _Nodes(self._load)
        return LondonState(nodes, self._context(env), Hash32(root)), nodes

    def _context(self, env: Env) -> ExecutionContext:
        return ExecutionContext(
            coinbase=EthAddress(COINBASE),
            timestamp=env.time,
            block_number=BlockNumber(env.number),
            difficulty=DIFFICULTY,
            mix_hash=Hash32(bytes(32)),
            gas_limit=BLOCK_GAS,
            prev_hashes=cast(Iterable[Hash32], env.ancestors),
            chain_id=self._chain_id,
            base_fee_per_gas=0,
        )

    def _spoof(self, call: Call, nonce: int, tip: int, fee: int) -> SignedTransactionAPI:
        # The sender was recovered when the transaction was decoded; py-evm would do it again for 0.5 ms.
        to, access = call.to or b"", call.access_list
        unsigned: Any = UnsignedDynamicFeeTransaction(
            self._chain_id, nonce, tip, fee, call.gas, to, call.value, call.data, access
        )
        return cast(SignedTransactionAPI, SpoofTransaction(unsigned, from_=call.sender))


def _gas_used(state: LondonState, computation: ComputationAPI, gas: int) -> int:
    used = gas - computation.get_gas_remaining()
    return used - LondonTransactionExecutor.calculate_gas_refund(computation, used)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (EVMMissingData, MissingTrieNode) as exc:
        raise LocalFault(
            f"the chain's journal lacks a trie node ({exc}); restore its folder from a copy, or begin anew"
        ) from exc


def node_is_sound(key: bytes, body: bytes) -> bool:
    """Whether a stored trie node or code is the one its key names."""
    return keccak(body) == key
