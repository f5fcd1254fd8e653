"""The sealing key and the P2P key of one geth: made once, mode 0600, never a key that owns anything.

Unlocking a key in geth lets any local caller spend from it, so the sealer holds no ether and no role; the
node's contract key stays in the Python process (chain/keys.py and the store's keystore).
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from eth_account import Account

from swarm.core.errors import OperatorFault
from swarm.core.ids import Address, from_hex

from ..secp256k1 import public_key
from .config import GethConfig

SCRYPT_ROUNDS = 4096
"""Light: the password lies beside the file under the same mode, and geth must unlock at each start."""


def ensure_keys(config: GethConfig, *, sealing: bool) -> Address | None:
    """Make what is missing and say who seals; None for a follower.

    Raises:
        OperatorFault: the folder cannot be used, or holds half a sealer.
    """
    try:
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not config.node_key.exists():
            write_secret(config.node_key, secrets.token_hex(32))
        return _ensure_sealer(config) if sealing else None
    except OSError as error:
        raise OperatorFault(f"geth's folder {config.folder} cannot be used: {error}") from error


def _ensure_sealer(config: GethConfig) -> Address:
    keystore = config.folder / "keystore"
    keystore.mkdir(mode=0o700, exist_ok=True)
    files = sorted(p for p in keystore.iterdir() if p.name.startswith("UTC--"))
    if files:
        if not config.password_file.exists():
            raise OperatorFault(f"{keystore} has a key but {config.password_file} is missing; restore it")
        return Address(from_hex("0x" + json.loads(files[0].read_text())["address"].removeprefix("0x"), 20))
    password = secrets.token_hex(32)
    account = Account.create(secrets.token_hex(32))
    sealed = Account.encrypt(account.key, password, kdf="scrypt", iterations=SCRYPT_ROUNDS)
    write_secret(config.password_file, password)
    # Last: a key file without its password would be a sealer that nobody can unlock.
    write_secret(keystore / f"UTC--sealer--{account.address[2:].lower()}", json.dumps(sealed))
    return Address(bytes.fromhex(account.address[2:]))


def node_id(config: GethConfig) -> str:
    """The public half of the P2P key, as it stands in an enode: 128 hex digits.

    Raises:
        OperatorFault: the key file cannot be read.
    """
    try:
        secret = bytes.fromhex(config.node_key.read_text().strip())
        return public_key(secret).hex()
    except (OSError, ValueError) as error:
        raise OperatorFault(f"the P2P key {config.node_key} cannot be used: {error}") from error


def write_secret(path: Path, text: str) -> None:
    """Atomic and durable, mode 0600 from the first byte."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
