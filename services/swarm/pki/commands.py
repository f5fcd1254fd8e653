"""What ``swarm cert init|issue|request|sign|check`` do, as functions: each says in lines what was made or found.

How they are typed is the table's (:mod:`swarm.swci.table.certs`). This package opens no connections: the clock of
another node and a rehearsed handshake are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from swarm.core.errors import OperatorFault, SwarmFault

from . import check as report
from . import issue as issuing
from .files import certificate_pem, read, read_certificates, refuse_existing, trusted, write
from .request import make_names, names_in

RemoteClock = Callable[[str, int, Path, Path, Path | None, Path | None], datetime]
"""host, port, cert, key, cacert, capath -> that node's clock."""

Rehearsal = Callable[[Path, Path, Path | None, Path | None], str | None]
"""cert, key, cacert, capath -> why a TLS handshake refuses them, or None."""

Say = Callable[[str], object]


def init(say: Say, *, out: Path, name: str, days: int, force: bool) -> None:
    """Make a CA: ca-cert.pem to give to every site, ca-key.pem (0600) to keep."""
    authority = issuing.create_authority(out, common_name=name, days=days, force=force)
    say(f"CA {name}, valid until {authority.certificate.not_valid_after_utc}")
    say(f"give to every site: {out / issuing.CA_CERT_FILE}")
    say(f"keep here, mode 0600: {out / issuing.CA_KEY_FILE}")


def issue(
    say: Say,
    *,
    role: str,
    name: str,
    site: str,
    dns: Sequence[str],
    ip: Sequence[str],
    days: int,
    ca: Path,
    out: Path,
    trust_domain: str,
    force: bool,
) -> None:
    """Key and certificate of a node at this site, in one go."""
    names = make_names(trust_domain, site, role, name, list(dns), list(ip))
    files = issuing.issue_node(issuing.load_authority(ca), out, names, days=days, force=force)
    say(f"certificate of {names}, valid for {days} days; the node's flags:")
    say(f"--cert {files.cert} --key {files.key} --cacert {files.cacert}")


def request(
    say: Say,
    *,
    role: str,
    name: str,
    site: str,
    dns: Sequence[str],
    ip: Sequence[str],
    out: Path,
    trust_domain: str,
    force: bool,
) -> None:
    """A key that stays at this site, and a request for its certificate."""
    names = make_names(trust_domain, site, role, name, list(dns), list(ip))
    key, csr = issuing.create_request(out, names, force=force)
    say(f"keep here, mode 0600: {key}")
    say(f"request for {names}: send {csr} to whoever signs")


def sign(
    say: Say, *, csr: Path, role: str, site: str, out: Path, days: int, ca: Path, trust_domain: str, force: bool
) -> None:
    """Sign a request, if it asks for the site and role that the operator says it has.

    Raises:
        OperatorFault: it is none, or asks for something else.
    """
    try:
        request = x509.load_pem_x509_csr(read(csr, "request"))
    except ValueError as error:
        raise OperatorFault(f"{csr} is not a PEM certificate request: {error}") from error
    names = names_in(request)
    say(f"asks for {names}")
    wanted = (("trust domain", trust_domain), ("site", site), ("role", role))
    asked = (names.spiffe.trust_domain, names.spiffe.site, names.spiffe.role)
    for (field, should), has in zip(wanted, asked, strict=True):
        if has != should:
            raise OperatorFault(f"{csr} asks for {field} {has} in its URI SAN, you said {should}: not signed")
    refuse_existing([out], force=force)
    certificate = issuing.sign(issuing.load_authority(ca), request, names, days, datetime.now(UTC))
    write(out, certificate_pem(certificate), secret=False, force=force)
    say(f"signed {out}, valid until {certificate.not_valid_after_utc}")


def check_files(
    cert: Path,
    key: Path,
    cacert: Path | None,
    capath: Path | None,
    now: datetime,
    rehearse: Rehearsal | None = None,
) -> list[report.Finding]:
    """The report for files on disk: :func:`swarm.pki.check.check`, the key file's mode, and what TLS says in the end.

    Raises:
        OperatorFault: a file cannot be read at all.
    """
    chain = read_certificates(cert, "certificate")
    try:
        public = load_pem_private_key(read(key, "key"), password=None).public_key()
    except (ValueError, TypeError) as error:
        raise OperatorFault(f"{key} (key) is not a PEM key without passphrase: {error}") from error
    findings = report.check(chain, public, trusted(cacert, capath), now)
    mode = key.stat().st_mode & 0o777
    text = f"{mode:04o}" if not mode & 0o077 else f"{mode:04o}: others could use it; run: chmod 600 {key}"
    level = report.Level.FAULT if mode & 0o077 else report.Level.OK
    findings.append(report.Finding("key file mode", level, text))
    if rehearse is not None and not report.faults(findings):
        try:
            findings.append(report.tls(rehearse(cert, key, cacert, capath)))
        except OperatorFault as error:
            findings.append(report.Finding("TLS", report.Level.FAULT, str(error)))
    return findings


def clock_of(
    remote_clock: RemoteClock, against: str, cert: Path, key: Path, cacert: Path | None, capath: Path | None
) -> report.Finding:
    """How far this host's clock is from that of the node at ``against`` (host:port).

    Raises:
        OperatorFault: that is no address.
    """
    host, _, port = against.rpartition(":")
    if not host or not port.isdigit():
        raise OperatorFault(f"--against wants host:port, not {against}")
    try:
        there = remote_clock(host.strip("[]"), int(port), cert, key, cacert, capath)
    except SwarmFault as error:
        return report.Finding("against", report.Level.FAULT, str(error))
    return report.clock(datetime.now(UTC), there, against)
