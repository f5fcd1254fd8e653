"""HTTP to a SWCI: one request a connection, mutual TLS, bounded answers, and the cookie that keeps one shell's state.

Owns sockets and TLS; what is asked and answered is the client's. Standard library only: this runs in every image that a
training program runs in.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import uuid
from pathlib import Path
from typing import Dict, Optional, Union
from urllib.parse import quote

from .errors import SwciError

CONNECT_SECONDS = 30.0
KEEPALIVE_SECONDS, KEEPALIVE_EVERY_SECONDS, KEEPALIVE_TRIES = 60, 10, 6
"""A line whose other end is gone without a word breaks after two minutes, however long the command takes."""
ANSWER_BYTES_MAX = 16 * 1024 * 1024
TASK_FILE_BYTES_MAX = 1024 * 1024
COOKIE_CHARS_MAX = 4096
REFUSED_CHARS_MAX = 300
CA_FILES_MAX = 1000
PATIENCE = (http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS)

File = Union[str, "os.PathLike[str]"]


class Transport:
    """The way to one SWCI.

    Args:
        cert, key, ca: PEM files; no ``cert``: plain HTTP, which only a SWCI on this host without TLS answers.
            With ``ca`` the server must have a certificate of it; without, its certificate is not looked at, as the
            original's client does.
    """

    def __init__(self, host: str, port: int, cert: Optional[File], key: Optional[File], ca: Optional[File]) -> None:
        self._host, self._port = host, port
        self._context = None if cert is None else _context(cert, key, ca)
        self._cookies: Dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._context is None else 'https'}://{host}:{self._port}"

    def execute(self, command: str) -> bytes:
        """Run one command; the body of the answer. Waits as long as the command takes.

        Raises:
            SwciError: nobody answers, or what answers is no SWCI.
        """
        return self._post("/exec?cmd=" + quote(command, safe=""), b"", {})

    def upload(self, path: Path) -> str:
        """Hand over a task file; the text of the answer.

        Raises:
            SwciError: as :meth:`execute`, and a file that is too large.
        """
        size = path.stat().st_size
        if size > TASK_FILE_BYTES_MAX:
            raise SwciError(f"{path} has {size} bytes; a task file has at most {TASK_FILE_BYTES_MAX}")
        border = uuid.uuid4().hex
        name = path.name.replace("\\", "_").replace('"', "_")
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        body = head.encode() + path.read_bytes() + f"\r\n--{border}--\r\n".encode()
        answer = self._post("/uploadTaskDef", body, {"Content-Type": f"multipart/form-data; boundary={border}"})
        return answer.decode("utf-8", "replace")

    def _post(self, target: str, body: bytes, headers: Dict[str, str]) -> bytes:
        with self._lock:
            cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if cookies:
            headers = {**headers, "Cookie": cookies}
        line = self._connection()
        try:
            line.connect()
            if line.sock is not None:
                line.sock.settimeout(None)  # SLEEP and WAIT take as long as they take
                _notice_a_dead_line(line.sock)
            line.request("POST", target, body, headers)
            answer = line.getresponse()
            found = answer.read(ANSWER_BYTES_MAX + 1)
            if len(found) > ANSWER_BYTES_MAX:
                raise SwciError(f"{self.url} answered with more than {ANSWER_BYTES_MAX} bytes", lasting=True)
            self._keep(answer.headers.get_all("Set-Cookie") or [])
            if answer.status != http.client.OK:
                said = found[:REFUSED_CHARS_MAX].decode("utf-8", "replace")
                # Others: whoever stands before the SWCI has lost it for now, or wants patience.
                lasting = answer.status < http.client.INTERNAL_SERVER_ERROR and answer.status not in PATIENCE
                raise SwciError(f"{self.url} answered {answer.status} {answer.reason}: {said}", lasting)
            return found
        except ssl.SSLError as fault:
            # A line that ends in the middle of the handshake is a server that stops or starts.
            lasting = not isinstance(fault, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
            raise SwciError(f"no TLS connection to {self.url}: {fault}", lasting) from None
        except (OSError, http.client.HTTPException) as fault:
            raise SwciError(f"no answer from {self.url}: {type(fault).__name__}: {fault}") from None
        finally:
            line.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._context)

    def _keep(self, given: "list[str]") -> None:
        for text in given:
            pair = text.split(";", 1)[0]
            name, equals, value = (part.strip() for part in pair.partition("="))
            if equals and name and len(pair) <= COOKIE_CHARS_MAX:
                with self._lock:
                    self._cookies = {**self._cookies, name: value} if len(self._cookies) < 8 else {name: value}


def _context(cert: File, key: Optional[File], ca: Optional[File]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # certificates of the original name no host
    context.verify_mode = ssl.CERT_NONE
    try:
        context.load_cert_chain(os.fspath(cert), None if key is None else os.fspath(key))
        if ca is not None:
            for file in _certificates(Path(ca)):
                context.load_verify_locations(cafile=os.fspath(file))
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as fault:
        files = ", ".join(str(file) for file in (cert, key, ca) if file is not None)
        raise SwciError(f"these certificate files cannot be used: {files}: {fault}") from None
    return context


def _certificates(place: Path) -> "list[Path]":
    """A CA file, or those of a folder, whose names are anything: no hash links are needed."""
    if not place.is_dir():
        return [place]
    found = [file for file in sorted(place.iterdir()) if file.suffix in (".pem", ".crt", ".cer")][:CA_FILES_MAX]
    if not found:
        raise SwciError(f"no CA certificate (.pem, .crt, .cer) is in {place}")
    return found


def _notice_a_dead_line(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_TRIES),
    ):
        option = getattr(socket, name, None)
        if option is not None:  # not on every system
            line.setsockopt(socket.IPPROTO_TCP, option, value)
