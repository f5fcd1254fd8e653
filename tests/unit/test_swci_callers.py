"""Who may use SWCI's REST face."""

from __future__ import annotations

from datetime import UTC, datetime

from swarm.core.ids import Digest
from swarm.net.identity import PeerIdentity
from swarm.swci.callers import CallerRole, Callers

UNTIL = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_common_name_is_no_spiffe_id() -> None:
    """A CA that may issue no such id must not get in by writing it where any text may stand."""
    own = PeerIdentity(Digest(b"\x01" * 32), None, "swci", UNTIL, 1)
    callers = Callers(own, frozenset({"spiffe://a/b/swci/c", "op"}), frozenset())
    for name, role in (("op", CallerRole.OPERATOR), ("spiffe://a/b/swci/c", CallerRole.NONE)):
        assert callers.role(PeerIdentity(Digest(b"\x02" * 32), None, name, UNTIL, 2)) is role, name
