"""JSON calls and message streams to one peer; the only user of httpx. Bulk bytes go through ``transfer``.

The peer's identity is checked after the TLS handshake and before the first byte of a request (by httpcore's
trace hook), for every connection of the pool; and again at each answer, before its body is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from swarm.core.errors import LocalFault, PeerFault
from swarm.core.limits import HTTP_BODY_BYTES_MAX

from .faults import (
    BadAnswer,
    Cut,
    Refused,
    TimedOut,
    TlsRefused,
    Unreachable,
    tls_error_in,
    tls_sentence,
)
from .identity import Expect, PeerIdentity
from .quick import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
TOTAL_SECONDS = 30.0
CONNECTIONS_MAX = 16
IDLE_SECONDS = 30.0
"""Below the server's keep-alive (75 s), so that we never write into a connection it is closing."""
MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGES_QUEUED_MAX = 64
ERROR_TEXT_MAX = 500
WAIT_SECONDS_MAX = 3600.0
"""A longer wait that a peer asks for is taken as none."""


class JsonClient:
    """Calls one peer.

    Args:
        base_url: ``https://host:port``.
        ssl_context: from :func:`swarm.net.tls.client_context`; None only for a loopback http:// URL.
        expect: raises PeerFault if the peer is not who it must be.
        total_seconds: bound on one whole call; connecting and each read have smaller ones.
        answer_bytes_max: bound on an answer's body.

    Raises:
        PeerFault: no host can have that address.

    Every call raises, besides the errors of ``expect``: Refused, TimedOut, TlsRefused, Cut, BadAnswer
    (:mod:`swarm.net.faults`). A call that is cancelled may have reached the peer.
    """

    def __init__(
        self,
        base_url: str,
        ssl_context: ssl.SSLContext | None,
        expect: Expect,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        answer_bytes_max: int = HTTP_BODY_BYTES_MAX,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.url = base_url.rstrip("/")
        if urlsplit(self.url).scheme != ("http" if ssl_context is None else "https"):
            raise LocalFault(f"{self.url}: an https URL needs a TLS context, and only that may have one")
        self._context = ssl_context
        self._expect = expect
        self._total_seconds = total_seconds
        self._bounds = f"bounds: {read_seconds} s a read, {total_seconds} s in all"
        self._connect_seconds = connect_seconds
        self._answer_bytes_max = answer_bytes_max
        try:
            base = httpx.URL(self.url)
            base.host.encode()  # only now is a name read that claims to be an encoded one
        except (httpx.InvalidURL, UnicodeError) as error:  # such as https://256.1.1.1:1; others announce what they like
            raise PeerFault(f"{self.url!r:.300} is no node's address: {error}") from error
        self._http = httpx.AsyncClient(
            base_url=base,
            verify=ssl_context if ssl_context is not None else False,
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds, pool=total_seconds),
            limits=httpx.Limits(max_connections=connections_max, keepalive_expiry=IDLE_SECONDS),
            headers={"accept": "application/json", "accept-encoding": "identity"},
            trust_env=False,  # a proxy of the environment must not see, nor name, our peers
            follow_redirects=False,
        )

    async def __aenter__(self) -> JsonClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """GET; the answer's JSON."""
        return await self.request("GET", path, params=params)

    async def post(self, path: str, body: Any) -> Any:
        """POST a JSON body; the answer's JSON (None if it is empty)."""
        return await self.request("POST", path, body=body)

    async def request(self, method: str, path: str, *, params: dict[str, Any] | None = None, body: Any = None) -> Any:
        """Any method; ``body`` of None sends none."""
        fresh = False

        async def trace(event: str, info: dict[str, Any]) -> None:
            nonlocal fresh
            if event == "connection.start_tls.complete":
                fresh = True
                await self._check_stream(info["return_value"])

        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if content is None else {"content-type": "application/json"}
        call = self._http.build_request(
            method, path, params=params, content=content, headers=headers, extensions={"trace": trace}
        )
        try:
            async with asyncio.timeout(self._total_seconds):
                answer = await self._http.send(call, stream=True)
                try:
                    self._check(answer.extensions["network_stream"].get_extra_info("ssl_object"))
                    data = await self._read(answer)
                finally:
                    await answer.aclose()
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            UnicodeError,  # a name that no host can have
            OSError,
        ) as error:  # TimeoutError and SSLError are OSErrors
            raise await self._explain(error, fresh=fresh) from error
        return self._parse(answer.status_code, data)

    async def probe(self) -> PeerIdentity:
        """Prove that both sides accept each other before anything is sent; says who the peer is."""
        host, port = self._address()
        if self._context is None:
            raise PeerFault(f"{self.url} is plain HTTP and shows no certificate")
        from . import probe

        return await asyncio.to_thread(probe.handshake, host, port, self._context, self._expect)

    async def websocket(self, path: str) -> AsyncIterator[Any]:
        """The JSON messages of a WebSocket, until the peer closes it in good order; pings find silence.

        Raises:
            as a call; Cut when the connection breaks, so that the caller catches up and opens it again.
        """
        # Most commands listen to nothing, and their start is most of their time.
        from websockets.asyncio.client import ClientConnection, connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        url = "ws" + self.url.removeprefix("http") + path
        check = self._check

        class Checked(ClientConnection):
            async def handshake(self, *args: Any, **kwargs: Any) -> None:
                try:
                    check(self.transport.get_extra_info("ssl_object"))
                except BaseException:
                    self.transport.abort()
                    raise
                await super().handshake(*args, **kwargs)

        try:
            async with connect(
                url,
                ssl=self._context,
                create_connection=Checked,
                open_timeout=self._connect_seconds,
                close_timeout=1.0,
                max_size=MESSAGE_BYTES_MAX,
                max_queue=MESSAGES_QUEUED_MAX,
                compression=None,
                proxy=None,
            ) as stream:
                async for message in stream:
                    yield self._json(101, message if isinstance(message, bytes) else message.encode())
        except InvalidStatus as error:
            self._parse(error.response.status_code, bytes(error.response.body or b""))
            raise BadAnswer(self.url, error.response.status_code, "", "not a WebSocket") from error
        except ConnectionClosed as error:
            raise Cut(url, f"the stream of messages ended: {error}") from error
        except (InvalidHandshake, EOFError, OSError, UnicodeError) as error:
            raise await self._explain(error, fresh=True) from error

    async def _check_stream(self, stream: Any) -> None:
        try:
            self._check(stream.get_extra_info("ssl_object"))
        except BaseException:
            await stream.aclose()
            raise

    def _check(self, tls: ssl.SSLObject | None) -> None:
        if tls is None:
            if self._context is not None:
                raise PeerFault(f"{self.url} did not speak TLS")
            return
        self._expect(PeerIdentity.from_der(tls.getpeercert(binary_form=True) or b""))

    async def _read(self, answer: httpx.Response) -> bytes:
        data = bytearray()
        async for piece in answer.aiter_raw():
            data += piece
            if len(data) > self._answer_bytes_max:
                raise BadAnswer(
                    self.url,
                    answer.status_code,
                    "too_large",
                    f"the body is above {self._answer_bytes_max} bytes",
                )
        return bytes(data)

    def _parse(self, status: int, data: bytes) -> Any:
        if status < 400:
            if status >= 300:
                raise BadAnswer(self.url, status, "redirect", "nodes do not redirect")
            return self._json(status, data) if data else None
        code, message, wait = "", data[:ERROR_TEXT_MAX].decode("utf-8", "replace"), 0.0
        try:
            told = json.loads(data)["error"]
            code, message = str(told["code"])[:100], str(told["message"])[:ERROR_TEXT_MAX]
            wait = _seconds(told.get("wait_seconds"))
        except (ValueError, KeyError, TypeError, RecursionError):
            code = ""  # not our shape: a proxy between us, or another program's port; its text says enough
        raise BadAnswer(self.url, status, code, message, wait)

    def _json(self, status: int, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(self.url, status, "not_json", f"the body is not JSON: {error}") from error

    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    async def _explain(self, error: Exception, *, fresh: bool) -> Unreachable:
        """What a lower library's error means, said once."""
        if isinstance(error, httpx.ConnectTimeout):
            return TimedOut(self.url, f"no connection within {self._connect_seconds} s")
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return TimedOut(self.url, f"no answer in time: {str(error) or self._bounds}")
        tls = tls_error_in(error)
        if tls is not None and self._context is not None:
            if isinstance(tls, ssl.SSLCertVerificationError):
                # asyncio sends no alert: refuse once more in a way that tells the server why.
                with contextlib.suppress(Unreachable, PeerFault):
                    await self.probe()
            from . import probe

            return TlsRefused(self.url, tls_sentence(tls, probe.own_certificate(self._context)))
        if isinstance(error, httpx.ConnectError | ConnectionRefusedError) and not fresh:
            return Refused(self.url, f"no connection: {_root(error)}")
        if fresh and self._context is not None:
            # The server may have refused our certificate while we wrote: ask again, listening.
            try:
                await self.probe()
            except TlsRefused as refused:
                return refused
            except (Unreachable, PeerFault):
                return Cut(self.url, f"the connection ended: {_root(error)}")
        return Cut(self.url, f"the connection ended: {_root(error)}")


def _seconds(told: Any) -> float:
    """A time that a peer asks us to wait; 0 for anything that is none."""
    usable = isinstance(told, int | float) and not isinstance(told, bool) and 0 < told <= WAIT_SECONDS_MAX
    return float(told) if usable else 0.0


def _root(error: BaseException) -> str:
    """The deepest cause: "connection refused" rather than "all connection attempts failed"."""
    for _ in range(16):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
