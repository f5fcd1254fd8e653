"""What makes a node itself, read from its settings: certificate and TLS, state folder, chain account."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.core.errors import OperatorFault
from swarm.net.tls import NodeContext, TlsFiles, client_context, server_context
from swarm.pki.check import Level, check
from swarm.pki.files import read_certificates, trusted
from swarm.store.files import private_folder, refuse_readable_by_others
from swarm.store.keystore import load_or_create

from .settings import NodeSettings

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

log = logging.getLogger("swarm.node")


def tls_contexts(settings: NodeSettings) -> tuple[NodeContext, NodeContext]:
    """This node's TLS: for listening, for calling.

    Raises:
        OperatorFault: a file does not work; says which and why.
    """
    cert, key = _needed(settings.cert), _needed(settings.key)
    files = TlsFiles(cert=cert, key=key, cacert=settings.cacert, capath=settings.capath)
    server, client = server_context(files), client_context(files)
    cas = trusted(settings.cacert, settings.capath)
    for finding in check(read_certificates(cert, "certificate"), None, cas, datetime.now(UTC)):
        if finding.field == "issuer" and finding.level is Level.FAULT:
            log.warning("%s: %s; nodes that trust the same CAs will refuse this one", cert, finding.text)
    return server, client


def state_folder(settings: NodeSettings) -> Path:
    """The node's own folder, made if it is not there (0700).

    Raises:
        OperatorFault: it cannot be made or is not ours alone.
    """
    return private_folder(_needed(settings.state_dir))


async def own_account(settings: NodeSettings) -> LocalAccount:
    """The node's Ethereum account, made at the first start.

    Raises:
        OperatorFault: key, folder or password file do not work; says which.
    """
    return await asyncio.to_thread(
        load_or_create, state_folder(settings) / "key", _password(settings.key_password_file)
    )


def _needed(path: Path | None) -> Path:
    if path is None:  # settings refuse this before
        raise OperatorFault("a path is missing in the settings")
    return path


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        refuse_readable_by_others(path)
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise OperatorFault(f"--key-password-file={path}: {error.strerror}") from error
