"""A TLS handshake of a certificate with itself, in memory: what the nodes' own contexts say of it.

The last word of ``swarm certs check``, which knows by name what is wrong most often; OpenSSL knows all of it.
"""

from __future__ import annotations

import ssl

from .faults import tls_sentence
from .tls import TlsFiles, client_context, server_context

FLIGHTS_MAX = 8
"""Turns of both sides; TLS 1.3 needs two."""


def rehearse(files: TlsFiles) -> str | None:
    """Why a node with these files would refuse, or be refused by, one that has the same; None where both sides agree.

    Raises:
        OperatorFault: the files make no TLS context (see :func:`swarm.net.tls.server_context`).
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client_context(files).wrap_bio(to_client, to_server, server_side=False),
        server_context(files).wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(FLIGHTS_MAX):
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                side = "as a client" if end.server_side else "as a server"
                return f"shown {side} to a node with the same files: {tls_sentence(error)}"
        if not ends:
            return None
    return f"the handshake did not end within {FLIGHTS_MAX} turns"
