"""The commands ``swarm certs init|issue|sign|check``; thin: says what was made or found, and sets the exit code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.spiffe import ROLES

from . import check as report
from . import issue as issuing
from .files import certificate_pem, read, read_certificates, refuse_existing, trusted, write
from .request import make_names, names_in

RemoteClock = Callable[[str, int, Path, Path, Path | None, Path | None], datetime]
"""host, port, cert, key, cacert, capath -> that node's clock. Handed in: this package opens no connections."""

Rehearsal = Callable[[Path, Path, Path | None, Path | None], str | None]
"""cert, key, cacert, capath -> why a TLS handshake refuses them, or None. Handed in likewise."""

TRUST_DOMAIN_DEFAULT = "swarm.local"

CaFolder = Annotated[Path, typer.Option("--ca", help="folder with ca-cert.pem and ca-key.pem, from `init`")]
Out = Annotated[Path, typer.Option("--out", help="folder to write into; made if missing, mode 0700")]
Force = Annotated[bool, typer.Option("--force", help="overwrite existing keys and certificates")]
Site = Annotated[str, typer.Option("--site", help="the organisation that runs the node: A-Z a-z 0-9 . _ -")]
Role = Annotated[str, typer.Option("--role", help=f"what the node is: {' | '.join(ROLES)}")]
Domain = Annotated[str, typer.Option("--trust-domain", help="the consortium's name in every certificate")]
Days = Annotated[int, typer.Option("--days", help="days until the certificate ends (1 to 3650)")]


def build(remote_clock: RemoteClock | None = None, rehearse: Rehearsal | None = None) -> typer.Typer:
    """The command group; ``remote_clock`` enables ``check --against``, ``rehearse`` its last line."""
    app = typer.Typer(
        name="certs",
        help="Certificates: make a CA, issue and sign node certificates, check what you have.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.command(short_help="Make a certificate authority (CA).")
    def init(
        out: Out = Path("certs/generated"),
        name: Annotated[str, typer.Option("--name", help="the CA's common name")] = "Swarm CA",
        days: Days = issuing.CA_DAYS_DEFAULT,
        force: Force = False,
    ) -> None:
        """Make a CA: ca-cert.pem to give to every site, ca-key.pem (0600) to keep."""
        authority = issuing.create_authority(out, common_name=name, days=days, force=force)
        typer.echo(f"CA {name}, valid until {authority.certificate.not_valid_after_utc}")
        typer.echo(f"give to every site: {out / issuing.CA_CERT_FILE}")
        typer.echo(f"keep here, mode 0600: {out / issuing.CA_KEY_FILE}")

    @app.command()
    def issue(
        role: Role,
        name: Annotated[str, typer.Option("--name", help="the node's name: A-Z a-z 0-9 . _ -")],
        site: Site,
        dns: Annotated[list[str] | None, typer.Option("--dns", help="a DNS name of its host; repeatable")] = None,
        ip: Annotated[list[str] | None, typer.Option("--ip", help="an IP address; repeatable")] = None,
        days: Days = issuing.NODE_DAYS_DEFAULT,
        ca: CaFolder = Path("certs/generated"),
        out: Out = Path("certs/generated"),
        trust_domain: Domain = TRUST_DOMAIN_DEFAULT,
        force: Force = False,
    ) -> None:
        """Key and certificate of a node at this site, in one go."""
        names = make_names(trust_domain, site, role, name, dns, ip)
        files = issuing.issue_node(issuing.load_authority(ca), out, names, days=days, force=force)
        typer.echo(f"certificate of {names}, valid for {days} days; the node's flags:")
        typer.echo(f"--cert {files.cert} --key {files.key} --cacert {files.cacert}")

    @app.command(short_help="Sign a request that was made elsewhere.")
    def sign(
        csr: Annotated[Path, typer.Argument(help="a PEM request made elsewhere")],
        role: Role,
        site: Site,
        out: Annotated[Path, typer.Option("--out", help="the certificate file to write")],
        days: Days = issuing.NODE_DAYS_DEFAULT,
        ca: CaFolder = Path("certs/generated"),
        trust_domain: Domain = TRUST_DOMAIN_DEFAULT,
        force: Force = False,
    ) -> None:
        """Sign a request, if it asks for the site and role that you say it has."""
        try:
            request = x509.load_pem_x509_csr(read(csr, "request"))
        except ValueError as error:
            raise OperatorFault(f"{csr} is not a PEM certificate request: {error}") from error
        names = names_in(request)
        typer.echo(f"asks for {names}")
        wanted = (("trust domain", trust_domain), ("site", site), ("role", role))
        asked = (names.spiffe.trust_domain, names.spiffe.site, names.spiffe.role)
        for (field, should), has in zip(wanted, asked, strict=True):
            if has != should:
                raise OperatorFault(f"{csr} asks for {field} {has} in its URI SAN, you said {should}: not signed")
        refuse_existing([out], force=force)
        certificate = issuing.sign(issuing.load_authority(ca), request, names, days, datetime.now(UTC))
        write(out, certificate_pem(certificate), secret=False, force=force)
        typer.echo(f"signed {out}, valid until {certificate.not_valid_after_utc}")

    @app.command(short_help="Say what is right and wrong with a certificate.")
    def check(
        cert: Annotated[Path, typer.Option("--cert", envvar="SWARM_ID_CERT", help="the node's certificate (PEM)")],
        key: Annotated[Path, typer.Option("--key", envvar="SWARM_ID_KEY", help="its key (PEM)")],
        cacert: Annotated[
            Path | None, typer.Option("--cacert", envvar="SWARM_ID_CACERT", help="trusted CA file")
        ] = None,
        capath: Annotated[
            Path | None, typer.Option("--capath", envvar="SWARM_ID_CAPATH", help="folder of trusted CA files")
        ] = None,
        against: Annotated[
            str | None, typer.Option("--against", help="host:port of an SN whose clock to compare with")
        ] = None,
    ) -> None:
        """Say what is right and wrong, one line a field; exit 1 if anything must be mended."""
        findings = check_files(cert, key, cacert, capath, datetime.now(UTC), rehearse)
        if against is not None:
            findings.append(_clock(remote_clock, against, cert, key, cacert, capath))
        width = max(len(finding.field) for finding in findings)
        for finding in findings:
            typer.echo(f"{finding.level.value:<5}  {finding.field:<{width}}  {finding.text}")
        wrong = report.faults(findings)
        if wrong:
            fields = ", ".join(finding.field for finding in wrong)
            typer.echo(f"{cert}: to be mended: {fields}", err=True)
            raise typer.Exit(1)

    return app


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


def _clock(
    remote_clock: RemoteClock | None, against: str, cert: Path, key: Path, cacert: Path | None, capath: Path | None
) -> report.Finding:
    host, _, port = against.rpartition(":")
    if not host or not port.isdigit():
        raise OperatorFault(f"--against wants host:port, not {against}")
    if remote_clock is None:
        raise OperatorFault("--against needs the `swarm certs` command: this program opens no connections")
    try:
        there = remote_clock(host.strip("[]"), int(port), cert, key, cacert, capath)
    except SwarmFault as error:
        return report.Finding("against", report.Level.FAULT, str(error))
    return report.clock(datetime.now(UTC), there, against)


app = build()
