"""Points a training program in this process at a bridge under test."""

from __future__ import annotations

import pytest
from support.fake_shell import Place


def point_at(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    """Set the channel variables of ``place``; loop-back off; a short wait for the SL."""
    monkeypatch.setenv("SL_REQUEST_CHANNEL", str(place.request))
    monkeypatch.setenv("SL_RESPONSE_CHANNEL", str(place.response))
    monkeypatch.setenv("SWARM_EXCHANGE_DIR", str(place.exchange))
    monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "10")
    monkeypatch.delenv("SWARM_LOOPBACK", raising=False)
