"""Odd places: settings with Windows line ends, file systems that cannot lock, and times that say their zone."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_shell import bridge_at
from support.sdk_channel import point_at
from swarm.core.errors import OperatorFault
from swarm.demo.table import plain_lines
from swarm.inspect import printing
from swarm.sl.settings import load_settings
from swarmlearning.base import SwarmError
from swarmlearning.plain import SwarmCallback

ROOT = Path(__file__).resolve().parents[2]
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def callback() -> SwarmCallback:
    model = {"w": np.zeros(2, np.float32)}
    return SwarmCallback(1, 1, get_parameters=lambda: model, set_parameters=model.update, totalEpochs=1)


@pytest.mark.parametrize("variable", ["SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL", "SWARM_EXCHANGE_DIR"])
@pytest.mark.parametrize("end", ["\r", "\n", "\x00x"[1:] + "\t"])
def test_what_cannot_be_seen_in_a_place_is_shown(
    variable: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program's settings come from files with Windows line ends: at once, not after ten minutes of looking."""
    places = {"SL_REQUEST_CHANNEL": "rq", "SL_RESPONSE_CHANNEL": "rp", "SWARM_EXCHANGE_DIR": "exchange"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(tmp_path / place) + (end if name == variable else ""))
    monkeypatch.setenv("SWARM_CHANNEL_WAIT_SECONDS", "2")
    with pytest.raises(SwarmError, match=re.escape(f"{variable} is ") + r".*\\[rnt]', with characters"):
        callback()


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (["--sn-ip", "10.0.0.1\r"], {}),
        ([], {"SN_IP": "10.0.0.1"} | {"SL_REQUEST_CHANNEL": "/tmp/a\r"}),
        ([], {"SWARM_EXCHANGE_DIR": "/tmp/x\n"}),
    ],
)
def test_a_nodes_settings_show_what_cannot_be_seen(flags: list[str], environ: dict[str, str]) -> None:
    """Flags and variables alike, before anything else is looked at."""
    with pytest.raises(OperatorFault, match=r"is '[^']*\\[rn]', with characters that cannot be seen"):
        load_settings(flags, environ)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
async def test_a_file_system_without_locks_is_said_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program goes on, and is told what nobody can see to now."""
    real = fcntl.flock

    def refuses(descriptor: Any, operation: int) -> None:
        if operation & fcntl.LOCK_EX and operation & fcntl.LOCK_NB:
            raise OSError(number, os.strerror(number))
        real(descriptor, operation)

    async with bridge_at(tmp_path) as place:
        point_at(monkeypatch, place)
        with caplog.at_level(logging.WARNING, "SwarmCallback"):
            monkeypatch.setattr("swarmlearning.client.pipe.channel.fcntl.flock", refuses)
            made = await asyncio.to_thread(callback)
            await asyncio.to_thread(made.on_train_begin)
            await asyncio.to_thread(made.on_train_end)
    said = [one for one in caplog.messages if "cannot lock" in one]
    assert len(said) == 1
    assert "no second program" in said[0]


def test_times_say_their_zone() -> None:
    """What operators read of the swarm and the demo: ISO 8601, UTC."""
    assert printing.clock(0) == "1970-01-01T00:00:00Z"
    assert re.match(ISO, plain_lines("title", [])[0])


def test_no_page_prints_a_time_without_zone() -> None:
    """The nodes' log lines for people and the shell's answers (row C00) have the original's form, each in one place."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in (ROOT / "services").rglob("*.py")
        for line in path.read_text().splitlines()
        if "%H:%M" in line and "Z" not in line and path.name not in ("log.py", "shown.py")
    ]
    assert found == []


def test_the_first_loop_of_the_readme_goes_on_where_it_was() -> None:
    """Who copies it gets a program that can be restarted."""
    loops = re.findall(r"^for epoch in range\((.*)\):", (ROOT / "README.md").read_text(), re.M)
    assert loops == ["swarm.resumedEpoch, epochs"]
