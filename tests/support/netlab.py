"""Sites with networks of their own, whose links tests make slow, lossy or cut: namespaces joined by one bridge.

Owns namespaces, addresses and faults of links; the processes in them belong to ``lab``. Every fault sits in the
bridge's namespace, in the middle of the wire: no process sees it but by what does not arrive. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.lab import Lab, lab
from support.snprocess import Place

COMMAND_SECONDS = 10.0
NETWORK = ipaddress.ip_network("10.77.0.0/16")
NAMES = "swlab"
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
BURST_BYTES = 32 * 1024
QUEUE_MILLISECONDS = 300

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


class NotPermitted(Exception):
    """This machine does not let us make namespaces, links or filters; the text says which command failed."""


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except OSError as fault:
        raise NotPermitted(f"{command[0]}: {fault.strerror}") from fault
    if done.returncode != 0:
        raise NotPermitted(f"{' '.join(command)}: {done.stderr.strip()[:200]}")
    return done.stdout


@contextlib.contextmanager
def _in_namespace(name: str) -> Iterator[None]:
    """This thread's new sockets belong to the namespace; other threads stay where they are."""
    own, target = current(), os.open(NAMESPACES / name, os.O_RDONLY)
    try:
        enter(target)
        try:
            yield
        finally:
            enter(own)
    finally:
        os.close(target)
        os.close(own)


def current() -> int:
    """A descriptor of this thread's network namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def enter(descriptor: int) -> None:
    """This thread, and the threads and processes it starts from now on, belong to that network namespace."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def unshare() -> None:
    """As :func:`enter`, into a new namespace with nothing but a loopback device; raises NotPermitted."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise NotPermitted(f"unshare: {os.strerror(ctypes.get_errno())}")
    _run("ip", "link", "set", "lo", "up")


@dataclass(frozen=True)
class Host(Place):
    """One site: a namespace with ``host`` as its address, linked to the bridge by a port of its own.

    Rates are Mbit/s, both ways; losses percent of packets, both ways.
    """

    namespace: str = ""
    bridge: str = ""
    port: str = ""

    def inside(self) -> contextlib.AbstractContextManager[None]:
        return _in_namespace(self.namespace)

    def rate(self, mbit: float) -> None:
        """Replace the link by one of this rate."""
        shape = ["root", "tbf", "rate", f"{round(mbit * 1000)}kbit", "burst", str(BURST_BYTES)]
        shape += ["latency", f"{QUEUE_MILLISECONDS}ms"]
        _run("tc", "-n", self.namespace, "qdisc", "replace", "dev", "eth0", *shape)
        _run("tc", "-n", self.bridge, "qdisc", "replace", "dev", self.port, *shape)

    def loss(self, percent: int) -> None:
        """Drop packets at random, each direction by itself."""
        chance = f"numgen random mod 100 < {percent}"
        self._filter(f"iifname {self.port} {chance} drop", f"oifname {self.port} {chance} drop")

    def cut(self, *, inward: bool = True, outward: bool = True) -> None:
        """Let nothing through to the site, from it, or both; connections are not told."""
        rules = [f"oifname {self.port} drop"] if inward else []
        self._filter(*rules, *([f"iifname {self.port} drop"] if outward else []))

    def heal(self) -> None:
        """A good link again, as fast as the machine."""
        self._filter()
        for namespace, device in ((self.namespace, "eth0"), (self.bridge, self.port)):
            if "tbf" in _run("tc", "-n", namespace, "qdisc", "show", "dev", device):
                _run("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")

    def mend(self) -> None:
        """End losses and cuts; the rate stays."""
        self._filter()

    def reset(self) -> int:
        """Break every connection of the site, as a firewall's restart does; returns how many there were."""
        done = _run(*self.prefix, "ss", "-K", "-t", "-H", "dst", str(NETWORK))
        return len(done.splitlines())

    def _filter(self, *rules: str) -> None:
        table = ("nsenter", f"--net={NAMESPACES / self.bridge}", "--", "nft")
        _run(*table, "flush", "chain", "bridge", "faults", self.port)
        for rule in rules:
            _run(*table, f"add rule bridge faults {self.port} {rule}")

    def received(self) -> int:
        """Bytes that arrived at the site since it was made, headers included."""
        return int(self._counters()["rx"]["bytes"])

    def sent(self) -> int:
        """Bytes that left the site since it was made, headers included."""
        return int(self._counters()["tx"]["bytes"])

    def _counters(self) -> dict[str, dict[str, int]]:
        found: list[dict[str, dict[str, dict[str, int]]]] = json.loads(
            _run("ip", "-n", self.namespace, "-s", "-j", "link", "show", "dev", "eth0")
        )
        return found[0]["stats64"]


@dataclass
class Net:
    """All sites of one test. ``add`` makes the next one."""

    prefix: str
    hosts: list[Host] = field(default_factory=list)

    @property
    def bridge(self) -> str:
        return f"{self.prefix}-br"

    def open(self) -> Net:
        _run("ip", "netns", "add", self.bridge)
        _run("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", self.bridge, "link", "set", "br0", "up")
        nft = ("nsenter", f"--net={NAMESPACES / self.bridge}", "--", "nft")
        _run(*nft, "add table bridge faults")
        _run(*nft, "add chain bridge faults wire { type filter hook forward priority 0; }")
        return self

    def add(self) -> Host:
        number = len(self.hosts) + 1
        namespace, port = f"{self.prefix}-{number}", f"p{number}"
        address = str(NETWORK[number])
        _run("ip", "netns", "add", namespace)
        path = str(NAMESPACES / namespace)
        host = Host(address, ("nsenter", f"--net={path}", "--"), path, namespace, self.bridge, port)
        self.hosts.append(host)
        _run("ip", "-n", self.bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "-n", self.bridge, "link", "set", port, "master", "br0", "up")
        _run("ip", "-n", namespace, "link", "set", "lo", "up")
        _run("ip", "-n", namespace, "address", "add", f"{address}/{NETWORK.prefixlen}", "dev", "eth0")
        _run("ip", "-n", namespace, "link", "set", "eth0", "up")
        nft = ("nsenter", f"--net={NAMESPACES / self.bridge}", "--", "nft")
        _run(*nft, f"add chain bridge faults {port}")
        _run(*nft, f"add rule bridge faults wire iifname {port} jump {port}")
        _run(*nft, f"add rule bridge faults wire oifname {port} jump {port}")
        return host

    def close(self) -> None:
        """Remove every namespace of this test; links, queues and filters go with them."""
        for path in NAMESPACES.glob(f"{self.prefix}-*"):
            _run("ip", "netns", "del", path.name)


@contextlib.contextmanager
def net() -> Iterator[Net]:
    """An empty network, removed at the end; what killed test runs left behind goes first."""
    for path in NAMESPACES.glob(f"{NAMES}*-*"):
        owner = path.name.removeprefix(NAMES).split("x")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            _run("ip", "netns", "del", path.name)
    made = Net(f"{NAMES}{os.getpid()}x{next(_numbers)}")
    try:
        yield made.open()
    finally:
        made.close()


def probe() -> str:
    """Try everything once on two sites of a throw-away network; raises NotPermitted."""
    with net() as tried:
        first, second = tried.add(), tried.add()
        first.rate(4)
        first.loss(30)
        first.heal()
        _run(*first.prefix, "true")
        with second.inside():
            pass
    return NETWORK.with_prefixlen


@contextlib.contextmanager
def netlab(folder: Path, *sn_flags: str, sites: int, sl_flags: tuple[str, ...] = (), **environ: str) -> Iterator[Lab]:
    """A :func:`support.lab.lab` whose SN and SLs stand in a namespace each; ``site.place`` is its :class:`Host`."""
    with net() as wires, lab(folder, *sn_flags, place=wires.add()) as found:
        for _ in range(sites):
            found.add_site(*sl_flags, place=wires.add(), **environ).start_sl()
        yield found
