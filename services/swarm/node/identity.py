"""What makes a node itself, read from its settings: TLS files, state folder, chain account."""

from __future__ import annotations

import asyncio
from pathlib import Path

from eth_account.signers.local import LocalAccount

from swarm.core.errors import OperatorFault
from swarm.net.tls import TlsFiles
from swarm.store.files import private_folder, refuse_readable_by_others
from swarm.store.keystore import load_or_create

from .settings import NodeSettings


def tls_files(settings: NodeSettings) -> TlsFiles:
    return TlsFiles(
        cert=_needed(settings.cert), key=_needed(settings.key), cacert=settings.cacert, capath=settings.capath
    )


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
