"""The node's Ethereum key on disk: made on first start, kept encrypted and private; owns no signing."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.core.errors import OperatorFault

from .files import private_folder, refuse_readable_by_others, write_private

if TYPE_CHECKING:  # its import takes most of a second: here it is only where a key is made or opened
    from eth_account.signers.local import LocalAccount

KEY_FILE = "node-key.json"
PASSWORD_FILE = "node-key.password"  # noqa: S105 - a file name
PASSWORD_RANDOM_BYTES = 32

KDF_ROUNDS_RANDOM_PASSWORD = 2**10
"""PBKDF2 rounds (milliseconds) where the password is 256 random bits that we made ourselves.

Rounds slow down guessing; nobody guesses 2^256 passwords at any speed, so more rounds would only slow our
start. What protects this key is the mode of the two files, with one round as with a million.
"""
SCRYPT_N_OPERATOR_PASSWORD = 2**18
"""scrypt cost (about a second) where a person chose the password: the keystore's usual full strength."""


def load_or_create(folder: Path, password: str | None) -> LocalAccount:
    """The node's account, from ``folder`` (0700), made there at the first call (files 0600).

    Args:
        password: the operator's; None keeps a random one in a file beside the key.

    Raises:
        OperatorFault: the folder is not usable, a file can be read by others, the password is missing or
            wrong, or the file is not a keystore. An existing key is never overwritten.
    """
    private_folder(folder)
    key_file, password_file = folder / KEY_FILE, folder / PASSWORD_FILE
    if not key_file.exists():
        _create(key_file, password_file, password)
    refuse_readable_by_others(key_file)
    if password is None:
        if not password_file.exists():
            raise OperatorFault(f"{key_file} needs a password: {password_file} is missing and no password was given")
        refuse_readable_by_others(password_file)
        password = password_file.read_text(encoding="ascii").strip()
    return _decrypt(key_file, password)


def _create(key_file: Path, password_file: Path, password: str | None) -> None:
    from eth_account import Account

    account: LocalAccount = Account.create(secrets.token_hex(32))
    if password is None:
        if password_file.exists():
            # A crash between the two files, or a lost key: the password protects nothing yet, so keep it.
            refuse_readable_by_others(password_file)
            password = password_file.read_text(encoding="ascii").strip()
        else:
            password = secrets.token_urlsafe(PASSWORD_RANDOM_BYTES)
            write_private(password_file, password.encode("ascii") + b"\n", replace=False)
        sealed = Account.encrypt(account.key, password, kdf="pbkdf2", iterations=KDF_ROUNDS_RANDOM_PASSWORD)
    else:
        sealed = Account.encrypt(account.key, password, kdf="scrypt", iterations=SCRYPT_N_OPERATOR_PASSWORD)
    try:
        write_private(key_file, json.dumps(sealed, indent=1).encode("ascii"), replace=False)
    except FileExistsError:
        raise OperatorFault(f"{key_file} appeared meanwhile: two processes share {key_file.parent}") from None


def _decrypt(key_file: Path, password: str) -> LocalAccount:
    from eth_account import Account

    try:
        sealed = json.loads(key_file.read_text(encoding="utf-8"))
        key = Account.decrypt(sealed, password)
    except (ValueError, KeyError, TypeError) as error:
        if "MAC mismatch" in str(error):
            raise OperatorFault(f"the password given does not open {key_file}") from error
        raise OperatorFault(f"{key_file} is not a version 3 keystore: {error}") from error
    account: LocalAccount = Account.from_key(key)
    return account
