"""A server in the place of a SWCI that says what a test has it say: for what a client makes of any answer."""

from __future__ import annotations

import json
import logging
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from swarmlearning.swci import Swci


class Scripted(BaseHTTPRequestHandler):
    """Notes what it is asked and answers what ``say`` says."""

    asked: ClassVar[list[str]] = []
    cookies: ClassVar[list[str | None]] = []
    uploads: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cookies.append(self.headers.get("Cookie"))
        place = urlsplit(self.path)
        if place.path == "/uploadTaskDef":
            self.uploads.append(body)
            answer: Any = b"saved"
        else:
            command = parse_qs(place.query)["cmd"][0]
            self.asked.append(command)
            answer = self.server.say(command)  # type: ignore[attr-defined]
        if answer == "cut":
            self.close_connection = True
            return
        status = 200
        if isinstance(answer, int):
            status, answer = answer, b"no"
        if not isinstance(answer, bytes):
            answer = json.dumps({"CONTENT": answer}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Set-Cookie", "shell=one; Path=/; HttpOnly")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's terminal."""


@contextmanager
def server(say: Any, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[int]:
    for seen in (Scripted.asked, Scripted.cookies, Scripted.uploads):
        seen.clear()
    one = ThreadingHTTPServer(("127.0.0.1", port), Scripted)
    one.say = say if callable(say) else lambda command: say  # type: ignore[attr-defined]
    if tls is not None:
        one.socket = tls.wrap_socket(one.socket, server_side=True)
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one.server_address[1]
    finally:
        one.shutdown()
        one.server_close()
        thread.join()


@contextmanager
def client(say: Any, **given: Any) -> Iterator[Swci]:
    with server(say) as port:
        yield Swci("127.0.0.1", port, logger=logging.getLogger("test"), **given)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waits(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    fake = ModuleType("time")
    fake.monotonic, fake.sleep = lambda: clock.now, clock.sleep  # type: ignore[attr-defined]
    monkeypatch.setattr(sys.modules["swarmlearning.swci.client"], "time", fake)
    return clock


def runner(states: list[str], peer: str = "u1, FAILED, exit code 1: ValueError") -> Any:
    left = list(states)

    def say(command: str) -> list[str]:
        if command.startswith("get taskrunner peer status"):
            return [f"    {peer}"] if command.endswith(" 0") else ["ERROR no such peer"]
        if command.startswith("get taskrunner status"):
            state = left.pop(0) if len(left) > 1 else left[0]
            return [f"TASK_STATE   : {state}", "ACTIVE       : 1", "COMPLETED    : 1", "FAILED       : 0"]
        return ["    fine"]

    return say
