"""Who is alive, as seen from one node: pulses, progress and refused connections of each peer."""

from __future__ import annotations

from dataclasses import dataclass

from ..ids import Address
from .messages import Left

REFUSED_SECONDS = 4.0
"""A peer whose host refuses connections this long, at least twice, is taken as dead."""
REFUSALS_MIN = 2
ABSENT, STALLED = "absent", "stalled"
"""Phases of a node that is there itself: its ML program is not, or makes no progress."""


@dataclass(slots=True)
class Peer:
    """Times are monotonic seconds; None: never."""

    pulse_at: float | None = None
    progress: int = -1
    progress_at: float | None = None
    phase: str = ""
    phase_at: float = 0.0
    round: int = 0
    attempt: int = 0
    left: Left | None = None
    """How its ML program ended, if it says so; None again once it says anything else."""
    given_up: bool = False
    """It was silent for the live time while it was waited for, and has not been heard since."""
    silent_since: float | None = None
    silent_at: float = 0.0
    silent_times: int = 0
    silent_text: str = ""
    next_pulse_at: float = 0.0


class Peers:
    """Liveness of all peers. A suspicion ends when its subject answers."""

    def __init__(self, started_at: float, live_seconds: float, stalled_seconds: float) -> None:
        self._table: dict[Address, Peer] = {}
        self._started_at = started_at
        self._live_seconds = live_seconds
        self._stalled_seconds = stalled_seconds

    def __getitem__(self, node: Address) -> Peer:
        peer = self._table.get(node)
        if peer is None:
            peer = self._table[node] = Peer()
        return peer

    def heard(
        self, node: Address, now: float, progress: int, phase: str, round_: int, attempt: int, left: Left | None = None
    ) -> None:
        peer = self[node]
        peer.pulse_at = now
        if phase != peer.phase:
            peer.phase_at = now
        peer.phase, peer.round, peer.attempt, peer.left = phase, round_, attempt, left
        if progress != peer.progress:
            peer.progress, peer.progress_at = progress, now
        peer.silent_since, peer.silent_times, peer.silent_text = None, 0, ""
        peer.given_up = False

    def _patience(self, peer: Peer) -> float:
        """Seconds of silence after which a peer is not waited for: once in full, then as for one that refuses.

        A cut line refuses nothing for half a minute: each round would wait in full again. Not at once, since it may be
        this node that was cut, and hears of the next round a moment before it hears its peers.
        """
        return min(REFUSED_SECONDS, self._live_seconds) if peer.given_up else self._live_seconds

    def silent(self, node: Address, now: float, text: str) -> None:
        peer = self[node]
        if peer.silent_since is None:
            peer.silent_since = now
        peer.silent_at = now
        peer.silent_times += 1
        peer.silent_text = text

    def live(self, node: Address, now: float, since: float, quorum_at: float | None) -> bool:
        """Whether the leader should wait for ``node``.

        Args:
            since: when this round, epoch or attempt opened here; everybody counts as live for a while after it,
                shorter for one that was given up before.
            quorum_at: when minPeers were ready; a peer without progress for the stall time after it is not waited for.
        """
        peer = self[node]
        latest = max(since, self._started_at, peer.pulse_at if peer.pulse_at is not None else 0.0)
        if now - latest >= self._patience(peer):
            peer.given_up = True
            return False
        if self.refused(node, now):
            return False
        if quorum_at is None:
            return True
        moved = max(quorum_at, peer.progress_at if peer.progress_at is not None else 0.0)
        return now - moved < self._stalled_seconds

    def absent(self, node: Address, now: float) -> bool:
        """Whether its SL is there without an ML program for long enough that no round waits for it."""
        peer = self[node]
        return peer.phase == ABSENT and now - peer.phase_at >= self._live_seconds

    def program_gone(self, node: Address, now: float) -> bool:
        """Whether its ML program is stuck, or away for as long as one may be stuck."""
        peer = self[node]
        return peer.phase == STALLED or (peer.phase == ABSENT and now - peer.phase_at >= self._stalled_seconds)

    def was_heard(self, node: Address) -> bool:
        """Whether it ever said something to this node, over a line on which it showed the certificate of a member."""
        found = self._table.get(node)
        return found is not None and found.pulse_at is not None

    def heard_within(self, node: Address, now: float, seconds: float) -> bool:
        """Whether it said something lately."""
        at = self[node].pulse_at
        return at is not None and now - at < seconds

    def refused(self, node: Address, now: float) -> bool:
        peer = self[node]
        if peer.silent_since is None or peer.silent_times < REFUSALS_MIN:
            return False
        return now - peer.silent_since >= REFUSED_SECONDS

    def _known_dead(self, peer: Peer, base: float, now: float) -> bool:
        """Taken as dead before it was needed, and still unreachable when last tried: no need to find out again."""
        if peer.silent_since is None or peer.silent_times < REFUSALS_MIN:
            return False
        return base - peer.silent_since >= REFUSED_SECONDS and now - peer.silent_at < self._live_seconds

    def suspect(self, node: Address, now: float, since: float, got: float = 0.0) -> str | None:
        """Why the leader ``node`` should be replaced, or None.

        Args:
            since: when we began to need it.
            got: when the last bytes of what it proposes came, whatever it says about its progress.
        """
        peer = self[node]
        base = max(since, self._started_at)
        if self._known_dead(peer, base, now):
            return f"it could not be reached before ({peer.silent_text})"
        if self.refused(node, now) and now - base >= REFUSED_SECONDS:
            return f"it cannot be reached ({peer.silent_text})"
        latest = max(base, peer.pulse_at if peer.pulse_at is not None else 0.0)
        if now - latest >= self._patience(peer):
            heard = max(self._started_at, peer.pulse_at if peer.pulse_at is not None else 0.0)
            peer.given_up = True
            return f"nothing heard from it for {now - heard:.0f} s"
        moved = max(base, got, peer.progress_at if peer.progress_at is not None else 0.0)
        if now - moved >= self._stalled_seconds:
            return f"no progress for {now - moved:.0f} s"
        return None
