"""Keys and certificates on disk: keys 0600 and never overwritten by accident. Owns no content."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from swarm.core.errors import OperatorFault

FILE_BYTES_MAX = 1024 * 1024
CA_SUFFIXES = {".pem", ".crt", ".cer"}
CA_FILES_MAX = 1000


def write(path: Path, data: bytes, *, secret: bool, force: bool) -> None:
    """Write a key (0600) or a certificate (0644), at once or not at all.

    Raises:
        OperatorFault: the file exists and ``force`` is False, or the folder cannot be used.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            beside.replace(path)
        else:
            os.link(beside, path)
    except FileExistsError:
        raise OperatorFault(f"{path} exists; it is never overwritten without --force") from None
    except OSError as error:
        raise OperatorFault(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):  # a folder that cannot be written has its sentence
            beside.unlink(missing_ok=True)


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """Before anything is made: is there a file that we would have to overwrite?"""
    try:
        taken = [str(path) for path in paths if path.exists()]
    except OSError as error:
        raise OperatorFault(f"{error.filename} cannot be looked at: {error.strerror}") from error
    if taken and not force:
        raise OperatorFault(f"{', '.join(taken)} exist; nothing is overwritten without --force")


def read(path: Path, what: str) -> bytes:
    """A file of at most 1 MiB.

    Raises:
        OperatorFault: it cannot be read or is larger; names file and purpose.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise OperatorFault(f"{path} ({what}) is larger than {FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as error:
        raise OperatorFault(f"{path} ({what}) cannot be read: {error.strerror}") from error


def read_certificates(path: Path, what: str) -> list[x509.Certificate]:
    """All certificates of a PEM file, leaf first."""
    try:
        return x509.load_pem_x509_certificates(read(path, what))
    except ValueError as error:
        raise OperatorFault(f"{path} ({what}) holds no PEM certificate: {error}") from error


def trusted(cacert: Path | None, capath: Path | None) -> list[x509.Certificate]:
    """CAs of a file and of a folder of plain names, as the nodes read them.

    Raises:
        OperatorFault: neither is given, or none is found.
    """
    files = [cacert] if cacert is not None else []
    if capath is not None:
        try:
            inside = sorted(p for p in capath.iterdir() if p.suffix.lower() in CA_SUFFIXES and p.is_file())
        except OSError as error:
            raise OperatorFault(f"{capath} (CA folder) cannot be listed: {error.strerror}") from error
        if len(inside) > CA_FILES_MAX:
            raise OperatorFault(f"{capath} (CA folder) holds {len(inside)} files; at most {CA_FILES_MAX} are read")
        files += inside
    found: list[x509.Certificate] = []
    for path in files:
        data = read(path, "CA")
        try:
            if b"-----BEGIN CERTIFICATE-----" in data:
                found += x509.load_pem_x509_certificates(data)
            elif data.startswith(b"\x30"):
                found.append(x509.load_der_x509_certificate(data))
        except ValueError as error:
            raise OperatorFault(f"{path} (CA) holds a certificate that cannot be read: {error}") from error
    if not found:
        raise OperatorFault("no trusted CA found: give --cacert a file or --capath a folder with certificates")
    return found


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A CA's key.

    Raises:
        OperatorFault: not readable, readable by others, encrypted, or not an EC key.
    """
    data = read(path, "key")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise OperatorFault(f"{path} (key) has mode {mode:04o} and others could use it; run: chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise OperatorFault(f"{path} (key) is not a PEM key without passphrase: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OperatorFault(f"{path} (key) is not an elliptic curve key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
