"""The gateway's white list: what passes, with which parameters, and what never does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.core.limits import HTTP_BODY_BYTES_MAX, RPC_BATCH_MAX
from swarm.sn.gateway import (
    INVALID,
    METHOD,
    METHODS,
    PARAMS,
    PARSE,
    RAW_TX_BYTES_MAX,
    Call,
    Fault,
    Request,
    check,
    parse,
)

ADDRESS = "0x" + "11" * 20
WORD = "0x" + "22" * 32


def call(method, *params, **extra):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params), **extra}


GOOD = [
    call("eth_chainId"),
    call("net_version"),
    call("web3_clientVersion"),
    call("eth_blockNumber"),
    call("eth_syncing"),
    call("eth_getBlockByNumber", "latest", False),
    call("eth_getBlockByNumber", "0x1f", True),
    call("eth_getBlockByHash", WORD, False),
    call("eth_getTransactionCount", ADDRESS, "pending"),
    call("eth_getBalance", ADDRESS),
    call("eth_getCode", ADDRESS, {"blockHash": WORD}),
    call("eth_call", {"to": ADDRESS, "data": "0x1234", "gas": "0x2faf080"}, "latest"),
    call("eth_sendRawTransaction", "0x02"),
    call("eth_getTransactionReceipt", WORD),
    call("eth_getTransactionByHash", WORD),
    call("eth_getLogs", {"address": ADDRESS, "topics": [None, [WORD, WORD]], "fromBlock": "0x0", "toBlock": "latest"}),
]


@pytest.mark.parametrize("one", GOOD, ids=lambda c: c["method"])
def test_every_method_of_the_list_passes(one):
    """What docs/wire-formats.md offers is forwarded."""
    assert isinstance(check(one), Call)


def test_the_list_is_exactly_the_documented_one():
    """No method more, none less than the document says."""
    assert {c["method"] for c in GOOD} == set(METHODS)


@pytest.mark.row("D01")
@pytest.mark.parametrize(
    "method",
    [
        "admin_addPeer", "admin_nodeInfo", "debug_traceCall", "debug_setHead", "personal_unlockAccount",
        "personal_sendTransaction", "miner_start", "clique_propose", "txpool_content", "engine_newPayloadV1",
        "eth_sendTransaction", "eth_sign", "eth_accounts", "eth_subscribe", "eth_newFilter", "eth_estimateGas",
        "rpc_modules", "ETH_CALL", "eth_call ", "", "__class__", None, 7, ["eth_call"],
    ],
)  # fmt: skip
def test_any_other_method_is_refused(method):
    """Nothing outside the list is forwarded, whatever it looks like."""
    assert check(call(method)).code == METHOD


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (call("eth_call", {"to": ADDRESS, "data": "0x"}, "latest", {ADDRESS: {"balance": "0x1"}}), PARAMS),
        (call("eth_call", {"data": "0x60"}, "latest"), PARAMS),
        (call("eth_call", {"to": ADDRESS, "gas": hex(50_000_001)}), PARAMS),
        (call("eth_call", {"to": ADDRESS, "accessList": []}), PARAMS),
        (call("eth_call", {"to": ADDRESS, "data": "0x" + "00" * (256 * 1024 + 1)}), PARAMS),
        (call("eth_call", {"to": ADDRESS, "data": "0x1 2"}), PARAMS),
        (call("eth_getBalance", ADDRESS, "0x01"), PARAMS),
        (call("eth_getBalance", ADDRESS[:-1]), PARAMS),
        (call("eth_getBalance", ADDRESS, "0x" + "f" * 17), PARAMS),
        (call("eth_getBlockByNumber", "latest", 1), PARAMS),
        (call("eth_getBlockByNumber"), PARAMS),
        (call("eth_chainId", 1), PARAMS),
        (call("eth_sendRawTransaction", "0x" + "00" * (RAW_TX_BYTES_MAX + 1)), PARAMS),
        (call("eth_sendRawTransaction", ["0x00"]), PARAMS),
        (call("eth_getLogs", {"topics": [[WORD] * 65]}), PARAMS),
        (call("eth_getLogs", {"topics": [WORD] * 5}), PARAMS),
        (call("eth_getLogs", {"address": [ADDRESS] * 17}), PARAMS),
        (call("eth_getLogs", {"blockHash": WORD, "fromBlock": "0x0"}), PARAMS),
        (call("eth_getLogs", {"fromBlock": None}), PARAMS),
        (call("eth_getLogs", "latest"), PARAMS),
        ({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": {}}, PARAMS),
        ({"id": 1, "method": "eth_chainId", "params": []}, INVALID),
        ({"jsonrpc": "2.0", "method": "eth_chainId", "params": []}, INVALID),
        ({"jsonrpc": "2.0", "id": True, "method": "eth_chainId"}, INVALID),
        ({"jsonrpc": "2.0", "id": "x" * 65, "method": "eth_chainId"}, INVALID),
        ({"jsonrpc": "2.0", "id": {}, "method": "eth_chainId"}, INVALID),
        (call("eth_chainId", **{"more": 1}), INVALID),
        ([], INVALID),
        ("eth_chainId", INVALID),
    ],
)  # fmt: skip
def test_bad_parameters_never_reach_the_chain(one, code):
    """A parameter that is too long, too many, or of another kind is refused here, with its JSON-RPC code."""
    found = check(one)
    assert isinstance(found, Fault)
    assert found.code == code


def test_a_batch_has_its_bounds():
    """1 to 50 calls; an empty or longer batch is one error; bad calls inside do not spoil the others."""
    batch = [call("eth_chainId")] * RPC_BATCH_MAX
    assert len(parse(json.dumps(batch).encode()).calls) == RPC_BATCH_MAX
    assert parse(json.dumps([*batch, batch[0]]).encode()).code == INVALID
    assert parse(b"[]").code == INVALID
    mixed = parse(json.dumps([call("eth_chainId"), call("admin_peers"), [[]]]).encode())
    assert [type(c) for c in mixed.calls] == [Call, Fault, Fault]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"NaN", b'{"id": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_one_parse_error(body):
    """Broken, deep or foreign bytes end in an error, not in an exception."""
    found = parse(body)
    assert (found if isinstance(found, Fault) else found.calls[0]).code in (PARSE, INVALID)


def test_a_nest_that_would_end_the_process_is_refused_before_it_is_read():
    """With py-evm's recursion limit a deep nest crashes json.loads; closing brackets in texts hide none."""
    import swarm.chain.embedded  # noqa: F401  (raises the limit)

    for body in (b"[" * 1_000_000, b'["' + b"]" * 1_000_000 + b'",' + b"[" * 1_000_000, b'{"a":' * 500_000):
        assert parse(body).code == INVALID


def test_a_body_above_the_bound_is_not_parsed():
    """The bound of the body holds in the filter too."""
    assert parse(b" " * (HTTP_BODY_BYTES_MAX + 1)).code == INVALID


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(method=st.sampled_from(sorted(METHODS)), params=st.lists(JSON, max_size=3))
def test_any_parameters_are_answered(method, params):
    """For whatever JSON a peer sends, the filter answers with a call or a fault and never raises."""
    found = parse(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
    assert isinstance(found, Request)
    assert isinstance(found.calls[0], Call | Fault)
