"""A blocking look at another node: whom does it show, does it take our certificate, what time is it there.

Used where the asyncio client cannot say why a connection ended: in TLS 1.3 a server judges our certificate
after our handshake is over, and its alert is lost if we are writing a request meanwhile.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .faults import BadAnswer, Cut, Refused, TimedOut, TlsRefused, tls_error_in, tls_sentence
from .identity import Expect, PeerIdentity, anyone
from .tls import NodeContext, TlsFiles, client_context

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0


def own_certificate(context: ssl.SSLContext) -> str:
    """How to call the certificate that a context presents."""
    own = context.own if isinstance(context, NodeContext) else None
    return f"our certificate {own}" if own else "our certificate (none is set)"


def connect(host: str, port: int, context: ssl.SSLContext, expect: Expect) -> ssl.SSLSocket:
    """Open a TLS connection to a peer that ``expect`` accepts; nothing but the handshake was sent.

    Raises:
        Refused, TimedOut, TlsRefused, Cut: no connection; names the peer and the cause.
        PeerFault: from ``expect``.
    """
    url = f"https://{host}:{port}"
    try:
        plain = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise TimedOut(url, f"no connection within {CONNECT_SECONDS} s") from error
    except OSError as error:
        raise Refused(url, f"no connection: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Refused(url, f"no host can have this name: {error}") from error
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLError as error:
        plain.close()
        if tls_error_in(error) is None:
            raise Cut(url, "the peer ended the connection during the TLS handshake") from error
        raise TlsRefused(url, tls_sentence(error, own_certificate(context))) from error
    except TimeoutError as error:
        plain.close()
        raise TimedOut(url, f"no TLS handshake within {CONNECT_SECONDS} s") from error
    except OSError as error:
        plain.close()
        raise Cut(url, f"the connection ended during the TLS handshake: {error.strerror or error}") from error
    try:
        expect(PeerIdentity.from_der(secured.getpeercert(binary_form=True) or b""))
    except BaseException:
        secured.close()
        raise
    return secured


def handshake(host: str, port: int, context: ssl.SSLContext, expect: Expect = anyone) -> PeerIdentity:
    """Prove that both certificates are accepted, by one empty request once the peer is known; says who it is.

    Raises:
        as :func:`connect`, with the server's verdict on our certificate too.
    """
    url = f"https://{host}:{port}"
    with connect(host, port, context, expect) as secured:
        peer = PeerIdentity.from_der(secured.getpeercert(binary_form=True) or b"")
        secured.settimeout(ANSWER_SECONDS)
        try:
            _say(secured, f"HEAD / HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
            if not secured.recv(1):
                raise Cut(url, "the peer ended the connection without an answer")
        except ssl.SSLError as error:
            if tls_error_in(error) is None:
                raise Cut(url, "the peer ended the connection without an answer") from error
            raise TlsRefused(url, tls_sentence(error, own_certificate(context))) from error
        except TimeoutError as error:
            raise TimedOut(url, f"no answer within {ANSWER_SECONDS} s") from error
        except OSError as error:
            raise Cut(url, f"the connection ended: {error.strerror or error}") from error
    return peer


def remote_time(host: str, port: int, files: TlsFiles) -> datetime:
    """The clock of a node, from the Date header of its ``GET /is_up``; to the second.

    Raises:
        OperatorFault: our own files (see :func:`swarm.net.tls.client_context`).
        Unreachable: no connection, or no Date in the answer.
    """
    url = f"https://{host}:{port}/is_up"
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    context = client_context(files)
    connection.sock = connect(host, port, context, anyone)
    connection.sock.settimeout(ANSWER_SECONDS)
    try:
        connection.request("GET", "/is_up", headers={"Connection": "close"})
        answer = connection.getresponse()
        date = answer.getheader("Date")
        if date is None:
            raise BadAnswer(url, answer.status, "", "the answer has no Date header")
        return parsedate_to_datetime(date).astimezone(UTC)
    except ssl.SSLError as error:
        raise TlsRefused(url, tls_sentence(error, own_certificate(context))) from error
    except TimeoutError as error:
        raise TimedOut(url, f"no answer within {ANSWER_SECONDS} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Cut(url, f"no HTTP answer: {error}") from error
    finally:
        connection.close()


def _say(secured: ssl.SSLSocket, data: bytes) -> None:
    """Write; if the peer is gone already, its alert can be read still."""
    try:
        secured.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return
