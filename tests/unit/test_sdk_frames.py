"""Golden bytes of the pipe: every message and the header, written down from the wire tables."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from support.original_client import header, number, real, text
from swarmlearning.client.pipe import frames, messages
from swarmlearning.client.pipe.messages import MessageType

STATUS = messages.Status(code=2, msg="boom")

GOLDEN: list[tuple[MessageType, Any, bytes]] = [
    (MessageType.STATUS, STATUS, bytes.fromhex("08021204626f6f6d")),
    (
        MessageType.OPEN_REQUEST,
        messages.SessionRequest(
            syncInterval=128,
            minPeers=2,
            maxPeers=0,
            useAdaptiveSync=True,
            checkinModelOnTrainEnd="snapshot",
            nodeWeightage=1,
            trainingContract="c",
            mergeMethod="mean",
        ),
        bytes.fromhex("088001100220012a08736e617073686f7430013a016342046d65616e"),
    ),
    (
        MessageType.OPEN_RESPONSE,
        messages.SessionResponse(status=messages.Status(msg="ok"), sessionID="s1"),
        bytes.fromhex("0a0412026f6b12027331"),
    ),
    (
        MessageType.SYNC_REQUEST,
        messages.SyncRequest(
            sessionID="s1", syncSeqNum=3, nodeWeightage=100, numberOfNodes=1, fileName="trained_weights.pkl"
        ),
        bytes.fromhex("0a02733110031864200 12a13".replace(" ", "")) + b"trained_weights.pkl",
    ),
    (
        MessageType.SYNC_RESPONSE,
        messages.SyncResponse(
            sessionID="s1",
            syncSeqNum=3,
            status=messages.Status(code=0),
            nextSyncInterval=4,
            trainingOver=True,
        ),
        bytes.fromhex("0a02733110031a0020042801"),
    ),
    (
        MessageType.LOSS_REQUEST,
        messages.LossRequest(sessionID="s1", syncSeqNum=3, lossSeqNum=1, fileName="m"),
        bytes.fromhex("0a0273311003180122016d"),
    ),
    (
        MessageType.LOSS_RESPONSE,
        messages.LossResponse(
            sessionID="s1",
            syncSeqNum=3,
            lossSeqNum=1,
            status=messages.Status(code=0),
            loss=-1.0,
            metrics=0.5,
            epochsdone=1,
            totalepochs=8,
        ),
        bytes.fromhex("0a0273311003180122002d000080bf350000003f38014008"),
    ),
    (
        MessageType.KILL,
        messages.KillSessionRequest(sessionID="s1", reason=STATUS),
        bytes.fromhex("0a027331120808021204626f6f6d"),
    ),
]


@pytest.mark.row("F04")
@pytest.mark.row("F05")
@pytest.mark.parametrize(("kind", "message", "body"), GOLDEN, ids=[k.name for k, _, _ in GOLDEN])
def test_each_message_has_its_golden_bytes(kind: MessageType, message: Any, body: bytes) -> None:
    """Numbers and types of fields are wire version 2's, both ways."""
    head, got = frames.frame(kind, message)
    assert got == body
    assert head == header(int(kind), len(body))
    assert frames.decode_body(kind, body) == message
    assert frames.decode_header(head) == frames.FrameHeader(kind, len(body))


@pytest.mark.row("F04")
def test_the_header_is_a_protobuf_message_of_22_bytes() -> None:
    """The header that is packed by hand is what protobuf makes of the Header message."""
    message = messages.Header(msgType=6, msgSize=300)
    message.apiVersion.apiVersion = message.apiVersion.minVersion = 2
    packed = frames.encode_header(MessageType.SYNC_REQUEST, 300)
    assert packed == messages.encode(message)
    assert packed.hex() == "0a0a0d02000000150200000015060000001d2c010000"
    assert len(packed) == frames.HEADER_BYTES == 22


@pytest.mark.row("F04")
def test_an_empty_body_is_never_framed() -> None:
    """proto3 would leave its size out and shorten the header to 17 bytes."""
    with pytest.raises(frames.FrameError, match="0 bytes cannot be framed"):
        frames.frame(MessageType.STATUS, messages.Status())


@pytest.mark.row("F06")
@pytest.mark.parametrize("version", [0, 1, 3, 2**32 - 1])
def test_another_version_is_refused(version: int) -> None:
    """Only version 2 is read."""
    with pytest.raises(frames.FrameError, match="Mismatch in the Swarm API version"):
        frames.decode_header(header(1, 5, version))


@pytest.mark.row("F05")
@pytest.mark.parametrize("kind", [0, 11, 2**32 - 1])
def test_fences_are_no_types(kind: int) -> None:
    """0 and 11 are fences, everything beyond is unknown."""
    with pytest.raises(frames.FrameError, match="unsupported message type"):
        frames.decode_header(header(kind, 5))


def test_sizes_are_bounded_before_the_body_is_read() -> None:
    """64 KiB for ordinary messages; 2 GiB - 1 where weights may stand, and only if the reader allows it."""
    for kind in MessageType:
        with pytest.raises(frames.FrameError, match="claims 65537 bytes"):
            frames.decode_header(header(int(kind), 65537))
    assert frames.decode_header(header(6, 2**31 - 1), inline=True).size == 2**31 - 1
    for size in (0, 2**31, 2**32 - 1):
        with pytest.raises(frames.FrameError, match="claims"):
            frames.decode_header(header(6, size), inline=True)


def test_an_independent_encoder_agrees() -> None:
    """What the hand-written program encodes, our messages read."""
    body = text(1, "s") + number(2, 7) + number(3, 2) + text(4, number(1, 2) + text(2, "x")) + real(5, 0.5)
    got = frames.decode_body(MessageType.LOSS_RESPONSE, body + real(6, 0.25) + number(7, 3) + number(8, 9))
    assert (got.sessionID, got.syncSeqNum, got.lossSeqNum, got.status.code) == ("s", 7, 2, 2)
    assert (got.loss, got.metrics, got.epochsdone, got.totalepochs) == (0.5, 0.25, 3, 9)


def test_broken_headers_and_bodies_raise_the_named_error() -> None:
    """Bytes that are no header or no message are told apart from a broken program of ours."""
    with pytest.raises(frames.FrameError, match="no message header"):
        frames.decode_header(bytes(22))
    with pytest.raises(frames.FrameError, match="22 bytes"):
        frames.decode_header(bytes(17))
    for body in (b"\xff", text(1, b"\xff\xfe"), struct.pack("<Q", 1)):
        with pytest.raises(frames.FrameError, match="cannot be read"):
            frames.decode_body(MessageType.SYNC_REQUEST, body)
