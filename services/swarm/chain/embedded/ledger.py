"""Owns the chain's one line of blocks: admits a transaction, executes it, seals it durably, keeps the head.

One transaction a block. A refused transaction leaves state and journal as they were; a reverted one is a
block with status 0. The head moves only after the journal has the block on disk. Not thread-safe: the
facade's lock guards it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from eth_hash.auto import keccak
from eth_utils.exceptions import ValidationError

from swarm.chain.embedded.answers import Answers
from swarm.chain.embedded.block import BLOCK_GAS, EMPTY_ROOT, Block, Header, Receipt
from swarm.chain.embedded.errors import SERVER, RpcError
from swarm.chain.embedded.evm import ENGINE, Account, Call, Engine, Env, Result, node_is_sound
from swarm.chain.embedded.journal import Journal
from swarm.chain.embedded.tx import Tx, decode
from swarm.core.errors import OperatorFault

__all__ = ["ALLOC_ENTRIES_MAX", "TAIL_BLOCKS", "Ledger"]

TAIL_BLOCKS = 256
"""Newest blocks that are checked at every start."""
ALLOC_ENTRIES_MAX = 1_000
_CHAIN_ID_BITS = 40
_EXTRA = keccak(ENGINE.encode())[:8]
"""Extra data of every block after genesis."""


class Ledger:
    """Blocks on a journal, by an engine; build it with :meth:`open`."""

    def __init__(self, journal: Journal, engine: Engine, clock: Callable[[], float], head: Block) -> None:
        self.journal = journal
        self.engine = engine
        self.chain_id = journal.chain_id
        self.head = head
        self.answers = Answers()
        self._clock = clock

    @classmethod
    def open(
        cls,
        journal: Journal,
        clock: Callable[[], float],
        chain_id: int | None = None,
        alloc: Mapping[bytes, int] | None = None,
    ) -> Ledger:
        """Continue the journal's chain, or begin one.

        Raises:
            OperatorFault: chain id, allocation or engine differ from the journal's.
            LocalFault: the newest blocks do not chain, or the head's state is not there.
        """
        if journal.head_number() < 0:
            _begin(journal, clock, chain_id, alloc)
        meta = journal.meta()
        genesis = journal.block(0)
        if genesis is None or meta.keys() != {"chain_id", "alloc", "engine"}:
            raise journal.broken("genesis or its settings are missing")
        if genesis.header.extra != _binding(meta):
            raise journal.broken("chain id, allocation or engine are not those of genesis")
        _refuse_other("engine", meta["engine"], ENGINE, "run the release that made this folder")
        if chain_id is not None:
            _refuse_other("chain id", meta["chain_id"], chain_id, "leave the chain id out or mend the setting")
        if alloc is not None:
            _refuse_other("allocation", meta["alloc"], _alloc_json(alloc), "leave it out or mend the setting")
        journal.chain_id = meta["chain_id"]
        return cls(journal, Engine(journal.chain_id, journal.node), clock, _checked_head(journal))

    @property
    def root(self) -> bytes:
        return self.head.header.state_root

    def account(self, address: bytes) -> Account:
        return self.engine.account(self.root, address)

    def code(self, address: bytes) -> bytes:
        return self.engine.code(self.root, address)

    def call(self, call: Call) -> Result:
        """Simulate on the head's state and in the head's block context, as geth does for ``latest``."""
        found = self.answers.find(self.head.hash, call)
        if found is None:
            number = self.head.number
            env = Env(number, self.head.header.time, self.journal.ancestors(number - 1))
            found = self.engine.call(env, self.root, call)
            self.answers.keep(self.head.hash, call, found)
        return found

    def submit(self, raw: bytes) -> Block:
        """Seal the transaction in these signed bytes; on return its block is durable and is the head.

        Raises:
            RpcError: refused, with geth's phrase; nothing changed.
            OperatorFault: the journal could not be written; nothing changed.
        """
        if self.journal.has_tx(keccak(raw)):
            raise RpcError(SERVER, "already known")
        tx = decode(raw, self.chain_id)
        self._admit(tx)
        try:
            time, env = self._next()
            outcome = self.engine.execute(env, self.root, tx)
        except ValidationError as exc:
            raise RpcError(SERVER, str(exc)) from exc
        block = Block.seal(self.head, time, outcome.state_root, _EXTRA, tx, outcome.receipt)
        self.journal.append(block, outcome.nodes)
        self.head = block
        return block

    def seal_empty(self) -> Block:
        """Seal a block without a transaction, so that block time moves."""
        time, _ = self._next()
        block = Block.seal(self.head, time, self.root, _EXTRA, None, None)
        self.journal.append(block, {})
        self.head = block
        return block

    def _next(self) -> tuple[int, Env]:
        time = max(self.head.header.time, int(self._clock()))
        return time, Env(self.head.number + 1, time, self.journal.ancestors(self.head.number))

    def _admit(self, tx: Tx) -> None:
        if tx.gas > BLOCK_GAS:
            raise RpcError(SERVER, "exceeds block gas limit")
        account = self.account(tx.sender)
        who = f"address 0x{tx.sender.hex()}"
        if tx.nonce < account.nonce:
            raise RpcError(SERVER, f"nonce too low: next nonce {account.nonce}, tx nonce {tx.nonce}")
        if tx.nonce > account.nonce:
            # geth would park it in its pool; here is no pool, and an answer now beats a silent wait.
            raise RpcError(SERVER, f"nonce too high: {who}, tx: {tx.nonce} state: {account.nonce}")
        cost = tx.value + tx.gas * tx.fee
        if account.balance < cost:
            text = f"balance {account.balance}, tx cost {cost}, overshot {cost - account.balance}"
            raise RpcError(SERVER, f"insufficient funds for gas * price + value: {text}")
        if account.has_code:
            raise RpcError(SERVER, f"sender not an eoa: {who}, codehash: 0x{account.code_hash.hex()}")

    def verify_all(self) -> int:
        """Replay every block from genesis against what is stored: the full audit.

        Returns:
            The number of blocks checked.

        Raises:
            LocalFault: the first block or node that is not what this program would have written.
        """
        journal = self.journal
        stored = set()
        for key, body in journal.nodes():
            if not node_is_sound(key, body):
                raise journal.broken(f"trie node 0x{key.hex()} has other content")
            stored.add(key)
        parent = _require(journal, 0)
        alloc = {bytes.fromhex(who[2:]): int(wei) for who, wei in journal.meta()["alloc"].items()}
        root, nodes = self.engine.genesis(alloc)
        if parent.header.state_root != root or not stored.issuperset(nodes):
            raise journal.broken("genesis does not hold the allocation's state")
        for number in range(1, self.head.number + 1):
            block = _require(journal, number)
            _check(journal, block, parent)
            if block.tx is not None:
                env = Env(number, block.header.time, journal.ancestors(number - 1))
                try:
                    outcome = self.engine.execute(env, parent.header.state_root, block.tx)
                except ValidationError as exc:
                    raise journal.broken(f"block {number} does not replay: {exc}") from exc
                for name, got, want in (
                    ("state root", outcome.state_root, block.header.state_root),
                    ("status, gas or logs", outcome.receipt, block.receipt),
                ):
                    if got != want:
                        raise journal.broken(f"block {number} does not replay: {name} differ")
                if not stored.issuperset(outcome.nodes):
                    raise journal.broken(f"block {number}: trie nodes that it made are missing")
            parent = block
        if parent.hash != self.head.hash:
            raise journal.broken(f"block {parent.number} is not the head in memory")
        return self.head.number + 1


def _begin(
    journal: Journal, clock: Callable[[], float], chain_id: int | None, alloc: Mapping[bytes, int] | None
) -> None:
    chain = chain_id if chain_id is not None else 2**20 + secrets.randbits(_CHAIN_ID_BITS)
    entries = dict(alloc or {})
    if chain < 1 or len(entries) > ALLOC_ENTRIES_MAX or any(len(address) != 20 for address in entries):
        raise OperatorFault(
            f"a chain has an id of at least 1 and at most {ALLOC_ENTRIES_MAX} funded addresses of 20 bytes; "
            f"this one would have id {chain} and {len(entries)} addresses"
        )
    meta = {"chain_id": chain, "alloc": _alloc_json(entries), "engine": ENGINE}
    root, nodes = Engine(chain, journal.node).genesis(entries)
    quiet = Receipt(1, 0, ())
    header = Header(bytes(32), root, EMPTY_ROOT, EMPTY_ROOT, quiet.bloom, 0, 0, max(0, int(clock())), _binding(meta))
    journal.begin(Block(header), nodes, meta)


def _binding(meta: Mapping[str, Any]) -> bytes:
    """Extra data of genesis: binds the settings that every later block rests on."""
    return keccak(json.dumps(meta, sort_keys=True, separators=(",", ":")).encode())


def _alloc_json(alloc: Mapping[bytes, int]) -> dict[str, str]:
    return {f"0x{address.hex()}": str(wei) for address, wei in sorted(alloc.items())}


def _refuse_other(name: str, stored: object, given: object, fix: str) -> None:
    if stored != given:
        raise OperatorFault(f"this chain folder was made with {name} {stored}, not {given}; {fix}")


def _checked_head(journal: Journal) -> Block:
    last = journal.head_number()
    first = max(0, last - TAIL_BLOCKS)
    parent = _require(journal, first)
    for number in range(first + 1, last + 1):
        block = _require(journal, number)
        _check(journal, block, parent)
        parent = block
    root = parent.header.state_root
    body = journal.node(root)
    # A chain without any account has the empty trie's root, which has no node.
    if root != EMPTY_ROOT and (body is None or not node_is_sound(root, body)):
        raise journal.broken(f"the state of block {last} is not there")
    return parent


def _require(journal: Journal, number: int) -> Block:
    block = journal.block(number)
    if block is None:
        raise journal.broken(f"block {number} is missing")
    return block


def _check(journal: Journal, block: Block, parent: Block) -> None:
    faults = block.faults(parent)
    if faults:
        raise journal.broken(f"block {block.number}: wrong {', '.join(faults)}")
