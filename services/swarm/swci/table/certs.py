"""Rows about certificates, which only the command line has."""

from __future__ import annotations

from swarm.core.limits import CA_DAYS_DEFAULT, DAYS_MAX, NODE_DAYS_DEFAULT
from swarm.core.spiffe import ROLES

from .form import Command, Line, Option, Takes, Way

FOLDER = "certs/generated"

CA = Option("--ca", "folder with ca-cert.pem and ca-key.pem, from init", Takes.PATH, default=FOLDER)
OUT = Option("--out", "folder to write into; made if missing, mode 0700", Takes.PATH, default=FOLDER)
FORCE = Option("--force", "overwrite existing keys and certificates", Takes.SWITCH)
SITE = Option("--site", "the organisation that runs the node: A-Z a-z 0-9 . _ -", needed=True)
ROLE = Option("--role", f"what the node is: {' | '.join(ROLES)}", needed=True)
DOMAIN = Option("--trust-domain", "the consortium's name in every certificate", default="swarm.local")


def _days(default: int) -> Option:
    return Option(
        "--days",
        f"days until the certificate ends (1 to {DAYS_MAX}) [default: {default}]",
        Takes.WHOLE,
        default=default,
    )


ROWS: tuple[Command, ...] = (
    Command(
        "cert init",
        "host",
        "Makes a certificate authority (CA): ca-cert.pem to give to every site, ca-key.pem (0600) to keep.",
        lines=(
            Line(
                "cert init",
                Way.HERE,
                (OUT, Option("--name", "the CA's common name", default="Swarm CA"), _days(CA_DAYS_DEFAULT), FORCE),
                answer="Said",
                old=("certs init",),
            ),
        ),
    ),
    Command(
        "cert issue",
        "host",
        "Makes key and certificate of a node at this site, in one go.",
        lines=(
            Line(
                "cert issue",
                Way.HERE,
                (
                    ROLE,
                    Option("--name", "the node's name: A-Z a-z 0-9 . _ -", needed=True),
                    SITE,
                    Option("--dns", "a DNS name of its host; repeatable", many=True),
                    Option("--ip", "an IP address; repeatable", many=True),
                    _days(NODE_DAYS_DEFAULT),
                    CA,
                    OUT,
                    DOMAIN,
                    FORCE,
                ),
                answer="Said",
                old=("certs issue",),
            ),
        ),
    ),
    Command(
        "cert request",
        "host",
        "Makes a node's key, which stays here, and the request that a CA elsewhere signs.",
        lines=(
            Line(
                "cert request",
                Way.HERE,
                (
                    ROLE,
                    Option("--name", "the node's name: A-Z a-z 0-9 . _ -", needed=True),
                    SITE,
                    Option("--dns", "a DNS name of its host; repeatable", many=True),
                    Option("--ip", "an IP address; repeatable", many=True),
                    OUT,
                    DOMAIN,
                    FORCE,
                ),
                answer="Said",
                old=("certs request",),
            ),
        ),
    ),
    Command(
        "cert sign",
        "host",
        "Signs a request that was made elsewhere, if it asks for the site and role that you say it has.",
        lines=(
            Line(
                "cert sign",
                Way.HERE,
                (
                    Option("CSR", "a PEM request made elsewhere", Takes.PATH, needed=True),
                    ROLE,
                    SITE,
                    Option("--out", "the certificate file to write", Takes.PATH, needed=True),
                    _days(NODE_DAYS_DEFAULT),
                    CA,
                    DOMAIN,
                    FORCE,
                ),
                answer="Said",
                old=("certs sign",),
            ),
        ),
    ),
    Command(
        "cert check",
        "host",
        "Says what is right and wrong with a certificate, one line a field; exit code 1 if anything must be mended.",
        lines=(
            Line(
                "cert check",
                Way.HERE,
                (
                    Option("--cert", "the node's certificate (PEM)", Takes.PATH, "SWARM_ID_CERT", needed=True),
                    Option("--key", "its key (PEM)", Takes.PATH, "SWARM_ID_KEY", needed=True),
                    Option("--cacert", "trusted CA file", Takes.PATH, "SWARM_ID_CACERT"),
                    Option("--capath", "folder of trusted CA files", Takes.PATH, "SWARM_ID_CAPATH"),
                    Option("--against", "host:port of an SN whose clock to compare with"),
                ),
                answer="CertFindings",
                old=("certs check",),
            ),
        ),
    ),
)
