"""Who may use the REST face, and as what: decided from a caller's certificate and two lists of names. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from swarm.core.shown import shown
from swarm.net.identity import PeerIdentity

OPERATORS, VIEWERS = "SWCI_WEB_OPERATORS", "SWCI_WEB_VIEWERS"


class CallerRole(IntEnum):
    """A viewer looks; an operator changes."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Callers:
    """The allow-list.

    Args:
        own: this SWCI's certificate: its key and its site are operators.
        operators, viewers: names of certificates: a whole ``spiffe://`` id, or the common name of one without.
    """

    own: PeerIdentity
    operators: Collection[str]
    viewers: Collection[str]

    def role(self, caller: PeerIdentity) -> CallerRole:
        own, name = self.own, name_of(caller)
        same_site = caller.spiffe is not None and own.spiffe is not None and _site(caller) == _site(own)
        # Any text may stand in a common name, and not every CA may issue every SPIFFE id.
        listed = caller.spiffe is not None or not name.startswith("spiffe:")
        if caller.spki == own.spki or same_site or (listed and name in self.operators):
            return CallerRole.OPERATOR
        return CallerRole.VIEWER if listed and name in self.viewers else CallerRole.NONE


def _site(one: PeerIdentity) -> tuple[str, str]:
    assert one.spiffe is not None
    return one.spiffe.trust_domain, one.spiffe.site


def name_of(caller: PeerIdentity) -> str:
    """What the lists call it: its SPIFFE id, and only without one its common name."""
    return str(caller.spiffe) if caller.spiffe is not None else caller.common_name


def refusal(caller: PeerIdentity) -> str:
    """For a caller that is on no list."""
    return (
        f"the certificate {shown(name_of(caller))!r} may not use this SWCI: add that name to {VIEWERS} or {OPERATORS}"
    )


def too_little(caller: PeerIdentity, command: str) -> str:
    """For a viewer that wants to change something, or what sites give to operators alone."""
    return f"{command} is for operators, and {shown(name_of(caller))!r} is a viewer here: add that name to {OPERATORS}"
