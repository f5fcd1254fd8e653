"""What an engine's ``container create`` takes: read from its own help text, or from a list if nobody could ask it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^\s{1,8}(?:-(\w), )?--([a-z][\w-]*)(?: ([^\s]+))?(?:\s{2,}.*|\s*)$")
_ALIASES = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}
"""Older names that engines take and do not list."""
HELP_CHARACTERS_MAX = 60_000
_SWITCHES = (
    "disable-content-trust init interactive no-healthcheck oom-kill-disable privileged publish-all quiet read-only "
    "rm tty"
)
_VALUES = (
    "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile "
    "cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems device device- "
    "cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option dns-search "
    "domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries health- "
    "start-interval health-start-period health-timeout hostname ip ip6 ipc isolation kernel-memory label label-file "
    "link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness "
    "mount name network network-alias oom-score-adj pid pids-limit platform publish pull restart runtime security- "
    "opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs ulimit user userns uts volume volume-driver "
    "volumes-from workdir"
)
_SHORT = {
    **{"a": "attach", "c": "cpu-shares", "e": "env", "h": "hostname", "i": "interactive", "l": "label", "m": "memory"},
    **{"p": "publish", "P": "publish-all", "q": "quiet", "t": "tty", "u": "user", "v": "volume", "w": "workdir"},
}


@dataclass(frozen=True, slots=True)
class Options:
    """By long name: does it take a value? By letter: its long name."""

    long: Mapping[str, bool]
    short: Mapping[str, str]


BUILT_IN = Options(
    {**dict.fromkeys(_SWITCHES.split(), False), **dict.fromkeys([*_VALUES.split(), *_ALIASES], True)}, _SHORT
)


def options_of(text: str) -> Options:
    """The options that a help text lists; those of :data:`BUILT_IN` if it lists none."""
    long: dict[str, bool] = {}
    short: dict[str, str] = {}
    for line in text[:HELP_CHARACTERS_MAX].splitlines():
        found = _LINE.match(line)
        if found is None or found[2] == "help":
            continue
        long[found[2]] = found[3] is not None
        if found[1]:
            short[found[1]] = found[2]
    if not long:
        return BUILT_IN
    return Options({**{alias: True for alias, name in _ALIASES.items() if name in long}, **long}, short)
