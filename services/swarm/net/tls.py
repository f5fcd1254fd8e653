"""The only builder of TLS contexts: TLS 1.3, both sides with certificates, chains to the operator's CAs.

Host names are not the authority here: certificates made elsewhere have a plain CN and no SAN. A chain to a
trusted CA opens the connection; who the peer is follows from its public key, which the caller compares with
the one bound on chain (:mod:`swarm.net.identity`).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import stat
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from swarm.core.errors import OperatorFault

from .identity import PeerIdentity

CA_SUFFIXES = {".pem", ".crt", ".cer"}
CA_FILE_BYTES_MAX = 1024 * 1024
CA_FILES_MAX = 1000


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a node's certificate (chain), key and trusted CAs are; CAs in one file, a folder, or both."""

    cert: Path
    key: Path
    cacert: Path | None = None
    capath: Path | None = None


class _Handshake(ssl.SSLObject):
    """One TLS session over memory buffers that tells the peer why it failed.

    asyncio and uvloop close a connection whose handshake fails without sending OpenSSL's alert, so the other end
    would see a reset and never learn which certificate, and what about it, was refused.
    """

    alert_to: socket.socket | None = None
    outgoing: ssl.MemoryBIO | None = None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.alert_to is not None and self.outgoing is not None:
                # A socket that cannot take 30 bytes now is gone already, and with it who would read them.
                with contextlib.suppress(OSError):
                    self.alert_to.send(self.outgoing.read())
            raise


alert_socket: ContextVar[socket.socket | None] = ContextVar("alert_socket", default=None)
"""The accepted socket whose handshake this task runs; failed handshakes send their alert there."""


class NodeContext(ssl.SSLContext):
    """A TLS context that knows whose certificate it presents, so that errors can name it."""

    own: PeerIdentity | None = None
    sslobject_class = _Handshake

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        session_object = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(session_object, _Handshake):
            session_object.alert_to, session_object.outgoing = alert_socket.get(), outgoing
        return session_object


def server_context(files: TlsFiles, now: datetime | None = None) -> NodeContext:
    """For listening: asks every client for a certificate under the CAs.

    Raises:
        OperatorFault: a file is missing, readable by others, not what it must be, expired or not yet valid,
            or key and certificate do not belong together; names file and field.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files, now)
    # No resumption: a ticket would let a certificate in that has expired since.
    context.num_tickets = 0
    return context


def client_context(files: TlsFiles, now: datetime | None = None) -> NodeContext:
    """For calling; raises as :func:`server_context`."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files, now)


def _context(kind: int, files: TlsFiles, now: datetime | None) -> NodeContext:
    own = _check_own(files, now or datetime.now(UTC))
    context = NodeContext(kind)
    context.own = own
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(files.cert, files.key)
    except (ssl.SSLError, OSError) as error:
        raise OperatorFault(f"{files.cert} with {files.key} cannot be used for TLS: {error}") from error
    context.load_verify_locations(cadata=trusted_cas(files.cacert, files.capath))
    return context


def trusted_cas(cacert: Path | None, capath: Path | None) -> bytes:
    """All CA certificates of the file and of every .pem, .crt and .cer file in the folder, as DER in a row.

    Plain file names are enough (no hash links), and a key or text file in the folder does no harm.

    Raises:
        OperatorFault: neither is given, or no certificate is found there.
    """
    if cacert is None and capath is None:
        raise OperatorFault("no CA is given: set SWARM_ID_CACERT to a file or SWARM_ID_CAPATH to a folder")
    found: list[x509.Certificate] = []
    if cacert is not None:
        here = _certificates(cacert)
        if not here:
            raise OperatorFault(f"{cacert} (CA file) holds no certificate")
        found += here
    if capath is not None:
        try:
            names = sorted(p for p in capath.iterdir() if p.suffix.lower() in CA_SUFFIXES and p.is_file())
        except OSError as error:
            raise OperatorFault(f"{capath} (CA folder) cannot be listed: {error.strerror}") from error
        if len(names) > CA_FILES_MAX:
            raise OperatorFault(f"{capath} (CA folder) holds {len(names)} files; at most {CA_FILES_MAX} are read")
        here = [certificate for name in names for certificate in _certificates(name)]
        if not here:
            raise OperatorFault(f"{capath} (CA folder) holds no certificate in a .pem, .crt or .cer file")
        found += here
    return b"".join({c.public_bytes(Encoding.DER): None for c in found})


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path, "CA")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificates(data)
        if b"-----BEGIN" in data or not data.startswith(b"\x30"):
            return []
        return [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise OperatorFault(f"{path} (CA) holds a certificate that cannot be read: {error}") from error


def _check_own(files: TlsFiles, now: datetime) -> PeerIdentity:
    try:
        chain = x509.load_pem_x509_certificates(_read(files.cert, "certificate"))
    except ValueError as error:
        raise OperatorFault(f"{files.cert} (certificate) is not a PEM certificate: {error}") from error
    key_data = _read(files.key, "key")
    mode = stat.S_IMODE(files.key.stat().st_mode)
    if mode & 0o077:
        raise OperatorFault(
            f"{files.key} (key) has mode {mode:04o} and others could use it; run: chmod 600 {files.key}"
        )
    try:
        key = load_pem_private_key(key_data, password=None)
    except TypeError as error:
        raise OperatorFault(f"{files.key} (key) is encrypted; nodes need a key without passphrase") from error
    except ValueError as error:
        raise OperatorFault(f"{files.key} (key) is not a PEM private key: {error}") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise OperatorFault(f"{files.key} (key) is not the key of {files.cert} (certificate); pair them again")
    begins, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if now < begins:
        raise OperatorFault(
            f"{files.cert} is not valid yet: field not_before is {begins}, the clock says {now:%Y-%m-%dT%H:%M:%SZ}"
        )
    if now > ends:
        raise OperatorFault(
            f"{files.cert} has expired: field not_after is {ends}, the clock says {now:%Y-%m-%dT%H:%M:%SZ}"
        )
    try:
        return PeerIdentity.from_certificate(chain[0])
    except Exception as error:  # of many kinds, see PeerIdentity.from_der: no peer could read it either
        raise OperatorFault(
            f"{files.cert} has a field that nodes cannot read ({type(error).__name__}: {error!s:.200}); "
            "issue it again with plain names"
        ) from error


def _read(path: Path, what: str) -> bytes:
    try:
        if path.stat().st_size > CA_FILE_BYTES_MAX:
            raise OperatorFault(f"{path} ({what}) is larger than {CA_FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise OperatorFault(
            f"{path} ({what}) cannot be read: it is not there; make it with swarm certs issue "
            "(for docker-compose.yml: make certs)"
        ) from error
    except OSError as error:
        raise OperatorFault(f"{path} ({what}) cannot be read: {error.strerror}") from error
