"""gen-cert: one CA and a key and certificate for each kind of node of one host, in the original's files (row O11).

Owns names and places. How certificates are made is :mod:`swarm.pki.issue`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from swarm.core.errors import OperatorFault
from swarm.core.limits import CA_DAYS_DEFAULT, NODE_DAYS_DEFAULT
from swarm.pki.files import certificate_pem, key_pem, refuse_existing, write
from swarm.pki.issue import make_authority, sign
from swarm.pki.request import build_request, make_names, new_key

from .table import ROLES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TRUST_DOMAIN = "swarm"
USAGE = """gen-cert -e <example> -i <host> [--force]

  -e <example>  name of the example: files come into workspace/<example>/cert
  -i <host>     number of the host, as in sn-1: each host has a CA of its own
  --force       overwrite what is there

Give every host's workspace/<example>/cert/ca/capath/ca-<host>-cert.pem to all other hosts, into the same folder.
Keys stay on their host, mode 0600."""


@dataclass(frozen=True, slots=True)
class Asked:
    example: str
    host: str
    force: bool


def read(argv: Sequence[str]) -> Asked:
    """What was typed.

    Raises:
        OperatorFault: a word is missing, unknown, or cannot be part of a file's name.
    """
    words, found, force = list(argv), {"e": "", "i": ""}, False
    while words:
        word = words.pop(0)
        letter = word[1:2]
        if word == "--force":
            force = True
        elif re.fullmatch(r"-[ei]", word):
            if not words:
                raise OperatorFault(f"{word} needs a value: gen-cert -e <example> -i <host>")
            found[letter] = words.pop(0)
        elif re.match(r"-[ei][^-]", word):
            found[letter] = word[2:]
        else:
            raise OperatorFault(f"{word!r:.60} is unknown: gen-cert -e <example> -i <host> [--force]")
    for letter, what in (("e", "the example's name"), ("i", "the host's number")):
        if not _NAME.fullmatch(found[letter]):
            raise OperatorFault(
                f"-{letter} is {found[letter]!r:.80}: give {what}, of letters, digits, dots, dashes, as in -{letter} "
                + ("mnist" if letter == "e" else "1")
            )
    return Asked(found["e"], found["i"], force)


def make(asked: Asked, folder: Path, now: datetime | None = None) -> list[str]:
    """All files of one host; lines that say where they are.

    Raises:
        OperatorFault: some of them are there already, or the folder cannot be written.
    """
    now = now or datetime.now(UTC)
    host, there = asked.host, folder / "workspace" / asked.example / "cert"
    ca_key, ca_cert = there / "ca" / f"ca-{host}-key.pem", there / "ca" / "capath" / f"ca-{host}-cert.pem"
    pairs = {role: (there / f"{role}-{host}-key.pem", there / f"{role}-{host}-cert.pem") for role in ROLES}
    refuse_existing([ca_key, ca_cert, *(one for pair in pairs.values() for one in pair)], force=asked.force)
    authority = make_authority(f"CA-{host}", CA_DAYS_DEFAULT, now)
    write(ca_key, key_pem(authority.key), secret=True, force=asked.force)
    write(ca_cert, certificate_pem(authority.certificate), secret=False, force=asked.force)
    for role, (key_file, cert_file) in pairs.items():
        name = f"{role.upper()}-{host}"
        names = make_names(_TRUST_DOMAIN, f"site-{host}", role, name, [name])
        key = new_key()
        certificate = sign(authority, build_request(key, names), names, NODE_DAYS_DEFAULT, now)
        write(key_file, key_pem(key), secret=True, force=asked.force)
        write(cert_file, certificate_pem(certificate), secret=False, force=asked.force)
    return [
        f"keys and certificates of sn, sl, swci and swop of host {host}: {there}",
        f"give to every other host, into its capath folder: {ca_cert}",
    ]
