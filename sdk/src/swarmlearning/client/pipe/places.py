"""Where the SL is found: pipes, exchange folder and the longest wait, all from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from .channel import ChannelError

__all__ = ["EXCHANGE_DIR_DEFAULT", "channel_paths", "channel_wait_seconds", "exchange_dir"]

EXCHANGE_DIR_DEFAULT = "/tmp/hpe-swarm"  # noqa: S108 - the name both sides know (row F03)
CHANNEL_WAIT_SECONDS_DEFAULT = 600.0


def channel_paths(environ: Optional[Any] = None) -> tuple[Path, Path]:
    """Request and response pipe from the environment.

    Raises:
        ChannelError: a variable is missing, or holds what cannot be seen.
    """
    source = os.environ if environ is None else environ
    paths = []
    for variable in ("SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL"):
        value = source.get(variable, "")
        if not value:
            raise ChannelError(
                f"the environment variable {variable} is not set, so this program cannot find its SL."
                " Set it to the same pipe as the SL's, or set SWARM_LOOPBACK=True to run without a swarm."
            )
        paths.append(Path(_printable(variable, value)))
    return paths[0], paths[1]


def exchange_dir(environ: Optional[Mapping[str, str]] = None) -> Path:
    """The folder in which program and SL hand each other model files.

    Raises:
        ChannelError: its name holds what cannot be seen.
    """
    source = os.environ if environ is None else environ
    return Path(_printable("SWARM_EXCHANGE_DIR", source.get("SWARM_EXCHANGE_DIR") or EXCHANGE_DIR_DEFAULT))


def _printable(variable: str, value: str) -> str:
    """A folder whose name ends in a carriage return is never found, and looks right in every message."""
    if not value.isprintable():
        raise ChannelError(
            f"{variable} is {value!r}, with characters that cannot be seen: write the file it comes from with Unix"
            " line ends, and the value without line breaks."
        )
    return value


def channel_wait_seconds(environ: Optional[Mapping[str, str]] = None) -> float:
    """How long to wait for the SL to appear, in seconds.

    Raises:
        ChannelError: SWARM_CHANNEL_WAIT_SECONDS is not a positive number.
    """
    source = os.environ if environ is None else environ
    text = source.get("SWARM_CHANNEL_WAIT_SECONDS", "")
    if not text:
        return CHANNEL_WAIT_SECONDS_DEFAULT
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ChannelError(f"SWARM_CHANNEL_WAIT_SECONDS is {text!r}, it must be a positive number of seconds")
    return seconds
