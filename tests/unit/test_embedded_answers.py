"""Answers to calls at one head: worked out once where who asks cannot matter, and never for another head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.evmcode import COUNTER, Wallet, assemble, deployer
from swarm.chain.embedded import EmbeddedChain
from swarm.chain.embedded import evm as engines
from swarm.chain.embedded.answers import ANSWER_BYTES_MAX, ANSWERS_MAX, Answers
from swarm.chain.embedded.asking import NAMED_MAX
from swarm.chain.embedded.evm import Call, Result

CHAIN_ID = 7_002
ONE, TWO = "0x" + "11" * 20, "0x" + "22" * 20
RETURNED = "0x00 MSTORE 0x20 0x00 RETURN"


@pytest.fixture
def wallet() -> Wallet:
    return Wallet(8, CHAIN_ID)


@pytest.fixture
def clock() -> list[float]:
    return [1_800_000_000.0]


@pytest.fixture
def chain(tmp_path: Path, wallet: Wallet, clock: list[float]) -> Iterator[EmbeddedChain]:
    alloc = {wallet.address: 10**18}
    opened = EmbeddedChain.open(tmp_path / "chain", chain_id=CHAIN_ID, alloc=alloc, clock=lambda: clock[0])
    yield opened
    opened.close()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every call for which the engine ran code."""
    found: list[Call] = []
    call = engines.Engine.call

    def counted(self: engines.Engine, env: engines.Env, root: bytes, asked: Call) -> Result:
        found.append(asked)
        return call(self, env, root, asked)

    monkeypatch.setattr(engines.Engine, "call", counted)
    return found


def installed(chain: EmbeddedChain, wallet: Wallet, source: str) -> str:
    return str(wallet.send(chain, data=deployer(assemble(source)))["contractAddress"])


def ask(chain: EmbeddedChain, to: str, who: str, data: str = "0x", **fields: str) -> int:
    return int(chain.handle("eth_call", [{"from": who, "to": to, "data": data, **fields}, "latest"]), 16)


def test_members_that_ask_the_same_share_one_answer(
    chain: EmbeddedChain, wallet: Wallet, clock: list[float], runs: list[Call]
) -> None:
    """Code runs once a head for all askers; what a transaction changes is seen at once."""
    counter = str(wallet.send(chain, data=deployer(COUNTER))["contractAddress"])
    for count in range(3):
        assert [ask(chain, counter, who) for who in (ONE, TWO, ONE)] == [count] * 3
        assert len(runs) == count + 1
        wallet.send(chain, to=counter, data="0x" + "00" * 64)


def test_an_empty_block_ends_what_was_answered_before(
    chain: EmbeddedChain, wallet: Wallet, clock: list[float], runs: list[Call]
) -> None:
    """State and contracts stay as they are, but block number and time do not."""
    place = installed(chain, wallet, f"TIMESTAMP {RETURNED}")
    first = ask(chain, place, ONE)
    clock[0] += 40
    chain.heartbeat()
    assert ask(chain, place, TWO) == first + 40
    assert len(runs) == 2


@pytest.mark.parametrize(
    "source",
    ["CALLER", "ORIGIN", "CALLER BALANCE", f"0x{ONE[2:]} BALANCE GAS", f"0x{ONE[2:]} EXTCODESIZE GAS"],
)
def test_who_asks_gets_an_answer_of_his_own_where_it_matters(
    chain: EmbeddedChain, wallet: Wallet, source: str, runs: list[Call]
) -> None:
    """Caller, origin, and the gas of a look at the asker's own account."""
    place = installed(chain, wallet, f"{source} {RETURNED}")
    first, second = ask(chain, place, ONE), ask(chain, place, TWO)
    assert (first, second) == (ask(chain, place, ONE), ask(chain, place, TWO))
    assert len({bytes(one.sender) for one in runs}) == 2
    if "BALANCE" not in source or "GAS" in source:
        assert first != second


def test_a_contract_that_calls_the_asker_runs_for_each(chain: EmbeddedChain, wallet: Wallet, runs: list[Call]) -> None:
    """A call to the asker's account costs it less gas than a call to a stranger's."""
    call = f"0x00 0x00 0x00 0x00 0x{ONE[2:]} 0xffff STATICCALL POP GAS {RETURNED}"
    place = installed(chain, wallet, call)
    assert ask(chain, place, ONE) > ask(chain, place, TWO)
    runs.clear()
    assert ask(chain, place, TWO) == ask(chain, place, "0x" + "33" * 20) < ask(chain, place, ONE)
    assert len(runs) == 0


def test_what_a_stranger_was_answered_is_not_for_whom_the_code_looks_at(
    chain: EmbeddedChain, wallet: Wallet, runs: list[Call]
) -> None:
    """The stranger came first; the one whose account is looked at gets his own answer all the same."""
    place = installed(chain, wallet, f"0x{ONE[2:]} BALANCE GAS {RETURNED}")
    assert ask(chain, place, TWO) < ask(chain, place, ONE)
    assert len(runs) == 2


def test_code_that_looks_at_very_many_accounts_runs_for_each_asker(
    chain: EmbeddedChain, wallet: Wallet, runs: list[Call]
) -> None:
    """Who is noted is bounded: beyond it nothing is shared."""
    looks = " ".join(f"0x{n:040x} BALANCE POP" for n in range(1, NAMED_MAX + 2))
    place = installed(chain, wallet, f"{looks} NUMBER {RETURNED}")
    assert ask(chain, place, ONE) == ask(chain, place, TWO)
    assert len(runs) == 2


def test_a_caller_further_in_is_a_contract_and_no_asker(chain: EmbeddedChain, wallet: Wallet, runs: list[Call]) -> None:
    """The inner contract answers with its caller, which is the outer contract whoever asks that one."""
    inner = installed(chain, wallet, f"CALLER {RETURNED}")
    outer = installed(chain, wallet, f"0x20 0x00 0x00 0x00 0x{inner[2:]} 0xffff STATICCALL POP 0x20 0x00 RETURN")
    assert ask(chain, outer, ONE) == ask(chain, outer, TWO) == int(outer, 16)
    assert len(runs) == 1


def test_other_gas_value_and_data_are_other_calls(chain: EmbeddedChain, wallet: Wallet, runs: list[Call]) -> None:
    """Nothing of a call but who asks is left out of what is compared."""
    gas = installed(chain, wallet, f"GAS {RETURNED}")
    assert ask(chain, gas, ONE, gas=hex(90_000)) < ask(chain, gas, ONE, gas=hex(95_000))
    data = installed(chain, wallet, f"0x00 CALLDATALOAD {RETURNED}")
    assert [ask(chain, data, ONE, "0x" + f"{n:064x}") for n in (1, 2, 1)] == [1, 2, 1]
    value = installed(chain, wallet, f"CALLVALUE {RETURNED}")
    assert [ask(chain, value, wallet.hex, value=n) for n in ("0x1", "0x2")] == [1, 2]
    assert len(runs) == 6


def call(number: int, size: int = 1, sender: bytes = b"\1" * 20) -> Call:
    return Call(sender, b"\2" * 20, 1000, 0, number.to_bytes(4, "big") * size, ())


def test_answers_kept_are_bounded_in_number_and_size() -> None:
    """The one asked for longest ago goes first; a large one is not kept at all."""
    answers = Answers()
    assert answers.find(b"h", call(0)) is None
    for number in range(ANSWERS_MAX):
        answers.keep(b"h", call(number), Result(b"", 1, None, False, own=False))
    assert answers.find(b"h", call(0, sender=b"\3" * 20)) is not None
    answers.keep(b"h", call(ANSWERS_MAX), Result(b"", 1, None, False))
    assert len(answers) == ANSWERS_MAX
    assert answers.find(b"h", call(0)) is not None
    assert answers.find(b"h", call(1)) is None
    answers.keep(b"h", call(7, ANSWER_BYTES_MAX), Result(b"", 1, None, False))
    assert answers.find(b"h", call(7, ANSWER_BYTES_MAX)) is None


def test_an_answer_of_another_head_is_not_kept() -> None:
    """Answers of one head only, and a new head ends them all."""
    answers = Answers()
    answers.find(b"old", call(1))
    answers.keep(b"new", call(1), Result(b"", 1, None, False))
    assert len(answers) == 0
    answers.keep(b"old", call(1), Result(b"", 1, None, False))
    assert answers.find(b"new", call(1)) is None
    assert len(answers) == 0
