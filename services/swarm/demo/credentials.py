"""The demo's certificates: a throw-away CA and one identity a node, made as ``swarm certs`` makes them."""

from __future__ import annotations

from swarm.pki.issue import create_authority, issue_node
from swarm.pki.request import make_names

from .plan import HOST, SN_NAME, Plan

TRUST_DOMAIN = "demo.swarm"
DAYS = 2
"""Enough for ``--audit`` on the day after."""


def issue_all(plan: Plan) -> None:
    """Write the CA and, into each node's folder, its key (0600), its certificate and the CA's certificate.

    Raises:
        OperatorFault: a folder cannot be used.
    """
    authority = create_authority(plan.ca_folder, common_name="Swarm demo CA", days=DAYS)
    nodes = [(plan.sn_folder, "site1", "sn", SN_NAME)]
    nodes += [(site.folder, site.folder.name, "sl", site.name) for site in plan.sites]
    for folder, site, role, name in nodes:
        issue_node(authority, folder, make_names(TRUST_DOMAIN, site, role, name, ips=[HOST]), days=DAYS)
