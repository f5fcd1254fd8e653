"""The same floods against whole nodes: real SN and SL processes stay small, answer others, and end when they are told.

What each flood does to a listener alone is told in test_attack_unread.py, which has more kinds of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import patience
from support.floods import POST, UPGRADE, endless, masked, pour
from support.lab import Lab, lab
from support.snprocess import MemberClient
from swarm.net.answers import LINGER_BYTES_MAX
from swarm.net.server import STOP_SECONDS, Limits
from swarm.net.tls import TlsFiles, client_context

pytestmark = pytest.mark.timeout(180)

MIB = 1024 * 1024
GROWTH_MAX = 64 * MIB
PIECE = 256 * 1024
NODES = ("sn", "sl")
LINES = 20
DRIPPING = 30
DRIP_SECONDS = 0.5
GRACE_SECONDS = STOP_SECONDS + 5.0
"""Of a node that is told to stop while its connections are not read: its listener's moment, and its own work."""
ANSWER_SECONDS = 5.0


class Attacked:
    """A swarm of one SN and one SL, and a stranger with a good certificate who has lines to both."""

    def __init__(self, swarm: Lab) -> None:
        self.swarm = swarm
        (site,) = swarm.sites
        assert swarm.sn.process is not None
        assert site.sl is not None
        self.ports = {"sn": swarm.sn.port, "sl": site.fs_port}
        self.processes = {"sn": swarm.sn.process, "sl": site.sl}
        self.files: TlsFiles = swarm.ca.node(swarm.folder / "stranger", "sl-9", uri="spiffe://test/site-9/sl/sl-9")
        self.context = client_context(self.files)
        self.open: list[socket.socket] = []
        self.drips = {node: Drips(self, node) for node in NODES}

    def line(self, node: str) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.ports[node]), timeout=10)
        found = self.context.wrap_socket(plain, server_hostname="x")
        self.open.append(found)
        return found

    def held(self, node: str) -> int:
        """Bytes of memory of that node's process."""
        pages = Path(f"/proc/{self.processes[node].pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def answers(self, node: str) -> bool:
        """Whether somebody else gets an answer in time."""
        line = self.line(node)
        line.settimeout(ANSWER_SECONDS)
        line.sendall(b"GET /is_up HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return b" 200 " in line.recv(4096)

    def close(self) -> None:
        for drips in self.drips.values():
            drips.end()
        for line in self.open:
            line.close()


class Drips:
    """Lines that send a byte of a header now and then, and some that never begin their handshake."""

    def __init__(self, attacked: Attacked, node: str) -> None:
        self.began = time.monotonic()
        self.ended: list[float] = []
        self._over = threading.Event()
        self.mute = [socket.create_connection(("127.0.0.1", attacked.ports[node])) for _ in range(DRIPPING)]
        attacked.open += self.mute
        self._lines = [attacked.line(node) for _ in range(DRIPPING)]
        self._thread = threading.Thread(target=self._run, name=f"drips at {node}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        left = list(self._lines)
        for line in left:
            line.settimeout(5)
            line.sendall(b"GET /is_up HTTP/1.1\r\na: ")
        while left and not self._over.wait(DRIP_SECONDS):
            for line in tuple(left):
                try:
                    line.sendall(b"b")
                except OSError:
                    left.remove(line)
                    self.ended.append(time.monotonic() - self.began)

    def wait(self, seconds: float) -> None:
        self._thread.join(max(0.0, self.began + seconds - time.monotonic()))

    def end(self) -> None:
        self._over.set()
        self._thread.join(15)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with lab(tmp_path_factory.mktemp("attacked"), sites=1) as swarm:
        swarm.wait(swarm.sites[0].healthy, seconds=90, say="the SL is ready")
        found = Attacked(swarm)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.parametrize("node", NODES)
def test_an_endless_trailer_takes_no_memory(attacked: Attacked, node: str) -> None:
    """Of 40 MiB of trailers few are taken, before anybody has joined anything."""
    before = attacked.held(node)
    line = attacked.line(node)
    sent = pour(line, endless(POST + b"0\r\n", b"a: b\r\n" * (PIECE // 6), 160)(), 5.0)
    assert sent < LINGER_BYTES_MAX + 16 * MIB
    assert attacked.held(node) - before < GROWTH_MAX
    assert attacked.answers(node)


@pytest.mark.parametrize("node", NODES)
def test_requests_in_a_row_whose_answers_are_not_read_take_no_memory(attacked: Attacked, node: str) -> None:
    """20 lines of 3 MB of requests each; they stay open, unread, until the node is told to stop."""
    before = attacked.held(node)
    block = b"GET /is_up HTTP/1.1\r\nhost: x\r\n\r\n" * (3 * MIB // 32)
    open_lines = [attacked.line(node) for _ in range(LINES)]
    threads = [threading.Thread(target=pour, args=(line, iter([block]), 2.0)) for line in open_lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert attacked.held(node) - before < GROWTH_MAX
    assert attacked.answers(node)


async def test_pings_whose_pongs_are_not_read_take_no_memory(attacked: Attacked) -> None:
    """A member's WebSocket at the SN that only sends pings; it stays open, unread, until the SN is told to stop."""
    async with MemberClient(attacked.swarm.sn, attacked.files) as member:
        await member.join()
    before = attacked.held("sn")
    line = attacked.line("sn")
    line.sendall(UPGRADE)
    assert b" 101 " in line.recv(4096)
    sent = pour(line, iter([masked(9, b"p" * 125) * 2000] * 250), 2.0)
    assert sent < 32 * MIB
    assert attacked.held("sn") - before < GROWTH_MAX
    assert attacked.answers("sn")


@pytest.mark.parametrize("node", NODES)
def test_lines_that_drip_or_say_nothing_are_let_go(attacked: Attacked, node: str) -> None:
    """Handshakes that do not begin end after their 8 s, headers that drip after their 10 s; others are answered."""
    limits, drips = Limits(), attacked.drips[node]
    assert attacked.answers(node)
    drips.wait(limits.header_seconds + 10)
    assert len(drips.ended) == DRIPPING
    assert limits.header_seconds - DRIP_SECONDS < min(drips.ended)
    assert max(drips.ended) < limits.header_seconds + 10
    for line in drips.mute:
        line.settimeout(ANSWER_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(1) == b""


@pytest.mark.parametrize("node", NODES[::-1])
def test_a_node_whose_lines_nobody_reads_ends_when_it_is_told(attacked: Attacked, node: str) -> None:
    """SIGTERM while the lines of the floods above are open, and ones that drip again: exit code 0 within the grace."""
    drips = Drips(attacked, node)
    attacked.drips[f"{node} again"] = drips
    process = attacked.processes[node]
    assert process.poll() is None
    began = time.monotonic()
    process.terminate()
    assert process.wait(timeout=patience.seconds(60)) == 0
    assert time.monotonic() - began < GRACE_SECONDS * patience.crowd()
