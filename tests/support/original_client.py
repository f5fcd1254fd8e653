"""A training program's side of the pipe, written from the wire tables alone: nothing of our SDK is used here.

Protobuf is put together by hand, pipes are opened with blocking opens in the original's order, pickles are the
standard library's. Also a program of its own: ``python original_client.py FORM REQUEST RESPONSE EXCHANGE MODE``.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Tuple  # noqa: UP035  (runs on Python 3.8)

import numpy as np

Weights = Dict[str, np.ndarray]  # noqa: UP006
Loss = Callable[[Weights], Tuple[float, float, int, int]]  # noqa: UP006

FIXED = {"pickle": "trained_weights.pkl", "tensors": "trained_weights.safetensors"}


def varint(value: int) -> bytes:
    out = b""
    while True:
        byte, value = value & 0x7F, value >> 7
        if not value:
            return out + bytes([byte])
        out += bytes([byte | 0x80])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def text(field: int, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw if raw else b""


def real(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value) if value else b""


def header(kind: int, size: int, version: int = 2) -> bytes:
    return (
        b"\x0a\x0a\x0d"
        + struct.pack("<I", version)
        + b"\x15"
        + struct.pack("<I", version)
        + b"\x15"
        + struct.pack("<I", kind)
        + b"\x1d"
        + struct.pack("<I", size)
    )


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def parse(data: bytes) -> dict[int, list[int | bytes]]:
    """Field number -> values in order; delimited fields as bytes, 4-byte fields as bytes."""
    found: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        elif tag & 7 == 5:
            value, at = data[at : at + 4], at + 4
        else:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def pack_weights(weights: Weights) -> bytes:
    out = b""
    for name, array in weights.items():
        shape = b"".join(varint(size) for size in array.shape)
        body = text(1, repr(array.dtype)) + text(2, shape) + text(3, array.tobytes())
        out += text(1, text(1, name) + text(2, body))
    return out


def unpack_weights(data: bytes) -> Weights:
    found: Weights = {}
    for entry in parse(data).get(1, []):
        parts = parse(entry)  # type: ignore[arg-type]
        body = parse(parts[2][0])  # type: ignore[arg-type]
        shape, at = [], 0
        for packed in body.get(2, []):
            while at < len(packed):  # type: ignore[arg-type]
                size, at = read_varint(packed, at)  # type: ignore[arg-type]
                shape.append(size)
        dtype = np.dtype(body[1][0][7:-2].decode())  # type: ignore[index,union-attr]
        name = parts[1][0].decode()  # type: ignore[union-attr]
        found[name] = np.frombuffer(body.get(3, [b""])[0], dtype).reshape(shape)  # type: ignore[arg-type]
    return found


class SlError(RuntimeError):
    """The SL answered with an error status."""


class OriginalClient:
    """One program; ``form`` is pickle (2.3), inline (2.1 and 2.2) or tensors (ours)."""

    def __init__(self, form: str, request: Path, response: Path, exchange: Path) -> None:
        self.form, self.exchange = form, exchange
        self.request_path, self.response_path = request, response
        self.session = ""
        self.counts = {6: 0, 4: 0}
        self.losses: list[Weights] = []

    def open_pipes(self, *, wait: float = 10.0) -> None:
        """The original's order: both pipes must exist, response for reading first, then request for writing."""
        until = time.monotonic() + wait
        while not (os.path.exists(self.request_path) and os.path.exists(self.response_path)):
            if time.monotonic() > until:
                raise TimeoutError("no pipes")
            time.sleep(0.01)
        if self.form == "pickle":
            for name in ("trained_weights.pkl", "merged_weights.pkl"):
                if not (self.exchange / name).is_file():
                    raise RuntimeError(f"{name}: cannot create file")
        self.response = open(self.response_path, "rb")  # noqa: SIM115
        self.request = open(self.request_path, "wb")  # noqa: SIM115

    def close_pipes(self) -> None:
        self.request.close()
        self.response.close()

    def send(self, kind: int, body: bytes, *, version: int = 2) -> None:
        self.request.write(header(kind, len(body), version))
        self.request.write(body)
        self.request.flush()

    def receive(self) -> tuple[int, dict[int, list[int | bytes]]]:
        raw = self.response.read(22)
        if len(raw) != 22:
            raise EOFError(f"wanted 22 bytes, got {len(raw)}")
        kind, size = struct.unpack_from("<I", raw, 13)[0], struct.unpack_from("<I", raw, 18)[0]
        assert raw == header(kind, size)
        body = parse(self.response.read(size))
        if kind == 1:
            raise SlError(body[2][0].decode())  # type: ignore[union-attr]
        return kind, body

    def open_session(
        self,
        *,
        interval: int = 4,
        min_peers: int = 1,
        weightage: int = 1,
        job: str = "defaultbb.cqdb.sml.hpe",
        method: str = "mean",
        mode: str = "snapshot",
    ) -> None:
        self.send(
            2,
            number(1, interval)
            + number(2, min_peers)
            + text(5, mode)
            + number(6, weightage)
            + text(7, job)
            + text(8, method),
        )
        kind, body = self.receive()
        assert kind == 3
        self.session = body[2][0].decode()  # type: ignore[union-attr]

    def sync_body(self, kind: int, weights: Weights, weightage: int = 1) -> bytes:
        self.counts[kind] += 1
        if self.form == "inline":
            payload = pack_weights(weights)
        else:
            payload = FIXED[self.form].encode()
            path = self.exchange / FIXED[self.form]
            if self.form == "pickle":
                path.write_bytes(pickle.dumps(weights, protocol=pickle.HIGHEST_PROTOCOL))
            else:
                from safetensors.numpy import save_file

                save_file(weights, path)
        return (
            text(1, self.session)
            + number(2, self.counts[kind])
            + number(3, weightage)
            + number(4, 1)
            + text(5, payload)
        )

    def sync(
        self, weights: Weights, loss: Loss | None = None, *, kind: int = 6, weightage: int = 1
    ) -> tuple[int, bool]:
        """A whole sync (6) or close (4); returns next interval and whether training is over."""
        self.send(kind, self.sync_body(kind, weights, weightage))
        while True:
            got, body = self.receive()
            if got != 8:
                break
            merged = self.load(body[4][0])  # type: ignore[arg-type]
            self.losses.append(merged)
            value, metric, done, total = (loss or (lambda _: (0.0, 0.0, 0, 0)))(merged)
            head = text(1, body[1][0]) + number(2, body[2][0]) + number(3, body[3][0])  # type: ignore[arg-type]
            status = text(4, text(2, "StatusOK"))
            self.send(9, head + status + real(5, value) + real(6, metric) + number(7, done) + number(8, total))
        assert got == kind + 1
        assert body[2][0] == self.counts[kind]
        return int(body.get(4, [0])[0]), bool(body.get(5, [0])[0])

    def load(self, field: bytes) -> Weights:
        if self.form == "inline":
            return unpack_weights(field)
        path = self.exchange / field.decode()
        if self.form == "pickle":
            with open(path, "rb") as file:
                return pickle.load(file)  # type: ignore[no-any-return]
        from safetensors.numpy import load_file

        return load_file(path)

    def kill(self, reason: str, code: int = 0) -> None:
        self.send(10, text(1, self.session) + text(2, number(1, code) + text(2, reason)))


def main() -> None:
    form, request, response, exchange, mode = sys.argv[1:]
    client = OriginalClient(form, Path(request), Path(response), Path(exchange))
    client.open_pipes()
    client.open_session()
    if mode == "train":
        client.sync({"w": np.ones(3, np.float32)})
        client.sync({"w": np.ones(3, np.float32)}, kind=4)
    elif mode == "hang":
        client.send(6, client.sync_body(6, {"w": np.ones(3, np.float32)}))
        time.sleep(60)
    elif mode == "crash":
        os._exit(3)


if __name__ == "__main__":
    main()
