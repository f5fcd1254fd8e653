"""The bounds in docs/security.md are the constants' values: a number that is changed in one place is found here."""

from __future__ import annotations

from pathlib import Path

import pytest
from swarm.chain import rpc
from swarm.net import answers, blobserve, lines, refusals, server, transfer
from swarm.sl import transfers
from swarm.sn import approvals, gateway, relay

LIMITS = lines.Limits()
KIB, MIB = 1024, 1024 * 1024
TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()

ROWS = {
    "connections to a port / of one certificate key": f"{LIMITS.connections_max} / {LIMITS.peer_connections_max}",
    "TLS handshakes of one address, and their time": (
        f"{LIMITS.address_handshakes_max}, {LIMITS.handshake_seconds:.0f} s"
    ),
    "time and bytes of headers, of a body": (
        f"{LIMITS.header_seconds:.0f} s and {LIMITS.header_bytes_max // KIB} KiB; "
        f"{LIMITS.body_seconds:.0f} s and {LIMITS.body_bytes_max // MIB} MiB"
    ),
    "chunk sizes, extensions and trailers of a request, empty lines before it": (
        f"{LIMITS.header_bytes_max // KIB} KiB with the headers"
    ),
    "an answer, pong or stream that the peer takes nothing of (on Linux)": f"{lines.UNREAD_SECONDS} s",
    "a WebSocket's message, its fragments; messages not taken yet": (
        f"{LIMITS.message_bytes_max // MIB} MiB, {lines.FRAGMENTS_MAX}; {lines.MESSAGES_WAITING_MAX}"
    ),
    "connections left when a node stops": f"cut after {server.STOP_SECONDS} s",
    "what a refused request still sends is read and thrown away, so that the answer is not lost": (
        f"{answers.LINGER_SECONDS:.0f} s, {answers.LINGER_BYTES_MAX // MIB} MiB"
    ),
    "a reader of our blobs that does not read": (
        f"{blobserve.SEND_SECONDS:.0f} s for {blobserve.PIECE_BYTES // MIB} MiB"
    ),
    "log lines about refused connections, certificates and invalid requests": (
        f"{refusals.REFUSALS_LOGGED_PER_SECOND} a second a port"
    ),
    "a pull: silence, rate; pulls at once": (
        f"{transfer.Pace().idle_seconds:.0f} s, {transfer.Pace().rate_bytes_min // KIB} KiB/s over "
        f"{transfer.Pace().rate_seconds:.0f} s; {transfers.PULLS_AT_ONCE_MAX}"
    ),
    "JSON-RPC at an SN: calls in a batch, rate of a member": (
        f"{gateway.RPC_BATCH_MAX}; {relay.RATE_PER_SECOND:.0f} tokens a second, burst {relay.RATE_BURST:.0f}; "
        f"an `eth_call` costs one token more for each {gateway.TOKEN_BYTES // KIB} KiB"
    ),
    "one `eth_getLogs`: blocks, answer; at once at geth, each on a line of its own": (
        f"{gateway.LOGS_BLOCKS_MAX}, {rpc.LOGS_BYTES_MAX // MIB} MiB; {rpc.LOGS_AT_ONCE_MAX}"
    ),
    "nodes that wait for an operator: all, of one certificate key": (
        f"{approvals.WAITING_MAX}, {approvals.WAITING_PER_KEY_MAX}"
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_documented_bound_is_the_one_in_the_code(what: str) -> None:
    """The row's bound begins with the constants' values."""
    row = next((line for line in TEXT.splitlines() if line.startswith(f"| {what} |")), None)
    assert row is not None, f"docs/security.md has no row {what!r}"
    assert row.split(" | ")[1].startswith(ROWS[what]), row
