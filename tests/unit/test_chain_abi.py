"""The facades cover the ABI, and its coding is our own."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
from eth_abi.abi import encode
from swarm.chain.contract import CONTRACTS, artifact, decode_revert, known_errors
from swarm.chain.events import EVENTS, Announced, EventDecoder, Joined
from swarm.chain.facade import Facade
from swarm.chain.logs import parse_log
from swarm.chain.names import ERRORS, snake
from swarm.chain.suite import SUITE
from swarm.core.chain_view import JobState, Joiner, Member, Phase, Role, Stats, Status
from swarm.core.errors import LocalFault
from swarm.core.ids import Address

FACADES: dict[str, type[Facade]] = {part.name: part.facade for part in SUITE if part.facade is not None}


@pytest.mark.parametrize("name", FACADES)
def test_every_function_has_a_method(name: str) -> None:
    """Each ABI function has a public coroutine on its facade, and the facade claims no other."""
    facade = FACADES[name]
    assert set(facade.FUNCTIONS) == set(artifact(name).functions)
    for method in facade.FUNCTIONS.values():
        assert inspect.iscoroutinefunction(getattr(facade, method)), method


@pytest.mark.parametrize("name", FACADES)
def test_every_event_has_a_class_with_its_fields(name: str) -> None:
    """Each ABI event has a dataclass whose fields are the event's arguments in snake_case."""
    assert set(EVENTS[name]) == set(artifact(name).events)
    for event, kind in EVENTS[name].items():
        wanted = [snake(i["name"]) for i in artifact(name).events[event].inputs]
        assert sorted(f.name for f in dataclasses.fields(kind)) == sorted(wanted), event


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_error_has_a_name(name: str) -> None:
    """Each custom error of an ABI stands in an enum; owners' errors only where there is an owner."""
    named = {str(e) for enum in ERRORS[name] for e in enum}
    assert set(artifact(name).errors) <= named
    own = {str(e) for e in ERRORS[name][0]} if name in FACADES else set()  # a library has some of Training's
    assert own <= set(artifact(name).errors)


@pytest.mark.parametrize(
    ("contract", "function", "kind"),
    [("Training", "state", JobState), ("Training", "joinersOf", Joiner), ("Membership", "member", Member)],
)
def test_views_have_the_structs_fields(contract: str, function: str, kind: type) -> None:
    """The plain values of core have the fields of the contract's structs, in their order."""
    output = artifact(contract).functions[function].outputs[0]
    assert [snake(c["name"]) for c in output["components"]] == [f.name for f in dataclasses.fields(kind)]


def test_stats_have_the_events_fields() -> None:
    """Stats mirrors the struct inside Contributed."""
    stats = next(i for i in artifact("Training").events["Contributed"].inputs if i["name"] == "stats")
    assert [snake(c["name"]) for c in stats["components"]] == [f.name for f in dataclasses.fields(Stats)]


def test_enums_have_the_contracts_order() -> None:
    """Role, Status and Phase number their values as the interfaces do."""
    assert [r.name for r in Role] == ["NONE", "SN", "SL", "SWCI", "SWOP"]
    assert [s.name for s in Status] == ["NONE", "ACTIVE", "SUSPENDED", "REVOKED"]
    assert [p.name for p in Phase] == ["NONE", "IDLE", "OPEN", "COMPLETE", "FAILED"]


def test_selectors_of_errors_are_unique() -> None:
    """No two custom errors of our contracts share a selector, so a revert has one name."""
    names = {e.text for name in CONTRACTS for e in artifact(name).errors.values()}
    assert len(known_errors()) == len(names)


def test_reverts_decode_by_name_and_value() -> None:
    """Custom errors, require texts and panics are told apart; anything else keeps its bytes."""
    error = artifact("Training").errors["TrainingWrongRound"]
    fault = decode_revert(error.hash[:4] + encode(error.input_types, [1, 2, 3, 4]), call="commit")
    assert (fault.name, fault.values) == (
        "TrainingWrongRound",
        {"round": 1, "epoch": 2, "openRound": 3, "openEpoch": 4},
    )
    assert "commit" in str(fault)
    text = decode_revert(bytes.fromhex("08c379a0") + encode(["string"], ["no"]))
    assert (text.name, text.values) == ("Error", {"message": "no"})
    panic = decode_revert(bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]))
    assert (panic.name, panic.values) == ("Panic", {"code": 0x11})
    for odd in (b"\x01\x02\x03\x04rest", b"", error.hash[:4] + b"short"):
        assert decode_revert(odd).values == {"data": odd}


def test_arguments_that_do_not_fit_are_our_own_fault() -> None:
    """A wrong argument never becomes calldata."""
    with pytest.raises(LocalFault, match="createJob"):
        artifact("Training").functions["createJob"].encode([7])


@pytest.mark.parametrize(("contract", "kind"), [("Membership", Announced), ("Training", Joined)])
def test_attack_a_text_of_any_bytes_does_not_stop_the_readers(contract: str, kind: type) -> None:
    """A member puts bytes that are no UTF-8 where an event has a string: the event decodes, with marks in the text."""
    event = artifact(contract).events[kind.__name__]
    plain = [item for item in event.inputs if not item["indexed"]]
    types = ["bytes" if item["type"] == "string" else item["type"] for item in plain]
    blank = {"bytes": b"\xff\xfehttps://h", "address": "0x" + "01" * 20, "bool": True, "bytes32": bytes(32)}
    data = encode(types, [blank.get(t, 1) for t in types])
    topics = ["0x" + event.hash.hex(), *("0x" + "00" * 31 + "02" for item in event.inputs if item["indexed"])]
    raw = {"address": "0x" + "11" * 20, "topics": topics, "data": "0x" + data.hex(), "removed": False}
    raw |= {"blockNumber": "0x1", "blockHash": "0x" + "33" * 32, "transactionHash": "0x" + "44" * 32, "logIndex": "0x0"}
    found = EventDecoder(
        {name: Address(b"\x11" * 20) if name == contract else Address(b"\x12" * 20) for name in CONTRACTS}
    )
    assert found(parse_log(raw)).uri == "\ufffd\ufffdhttps://h"
