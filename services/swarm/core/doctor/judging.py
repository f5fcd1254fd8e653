"""What facts of one host mean: one finding each, and every one that is no good names its fix."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .facts import Engine, Facts, Finding, Folder, Inside, Level, OwnPort, Reach, Reached

ENGINE_LEAST = (20, 10)
"""Version of Docker: below it what a SWOP asks for is not there."""
DISK_FAULT_BYTES, DISK_WARN_BYTES = 2**30, 10 * 2**30
"""Free: an image of a framework takes some 3 GiB, a build twice that."""
SHM_WARN_BYTES = 2**30
"""Of /dev/shm: Docker gives 64 MiB, which a data loader with workers uses up."""
SLOW_MILLISECONDS = 500.0
SEGMENT_BYTES_LEAST = 1200
"""TCP over IPv6 has 1,220 at least; below it something on the path takes a lot away."""


def judged(facts: Facts) -> list[Finding]:
    """All findings, in the order in which they are best mended."""
    return [
        *(_engine(facts.engine) if facts.engine is not None else ()),
        *facts.said,
        *(one for port in facts.ports for one in _port(port)),
        *(_path(one, facts) for one in facts.reached),
        *(one for inside in facts.inside for one in _inside(inside)),
    ]


def _ok(area: str, text: str) -> Finding:
    return Finding(area, Level.OK, text)


def _fault(area: str, text: str, fix: str) -> Finding:
    return Finding(area, Level.FAULT, text, fix)


def _warn(area: str, text: str, fix: str) -> Finding:
    return Finding(area, Level.WARN, text, fix)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _engine(engine: Engine) -> Iterator[Finding]:
    if engine.fault:
        fix = "start it, and let this user speak to it (its socket's group), or name it by DOCKER_HOST"
        yield _fault("engine", engine.fault, fix)
        return
    known = re.match(r"(\d+)\.(\d+)", engine.version)
    version = (int(known[1]), int(known[2])) if known else (0, 0)
    told = f"{engine.name} {engine.version}"
    if not engine.name.startswith("Docker"):
        yield _warn("engine", f"{told} is not Docker: it was tried by hand", "docs/swop.md says what differs")
    elif version < ENGINE_LEAST:
        least = ".".join(map(str, ENGINE_LEAST))
        yield _fault("engine", f"{told} is too old", f"update it to {least} or newer")
    else:
        yield _ok("engine", told)
    if engine.selinux:
        fix = "label folders of data for containers: chcon -Rt container_file_t FOLDER"
        yield _warn("engine", "SELinux is enforced for containers", fix)
    if engine.rootless:
        yield _ok("engine", "it runs rootless: folders of data must be readable by the user that runs it")
    if engine.free_bytes is not None:
        yield _disk("disk", f"the engine's data {engine.folder}", engine.free_bytes)
    for role, found in sorted(engine.images.items()):
        name = engine.names.get(role, role)
        if found is None:
            yield _fault(
                "images", f"{name} is not on this host", f"docker pull {name}, or docker load it, or make images"
            )
        else:
            yield _ok("images", f"{name}: {found.removeprefix('sha256:')[:12]}")


def _disk(area: str, what: str, free: int) -> Finding:
    told = f"{what}: {size(free)} free"
    if free < DISK_FAULT_BYTES:
        return _fault(area, told, f"free at least {size(DISK_WARN_BYTES)}: docker system df tells what images take")
    if free < DISK_WARN_BYTES:
        return _warn(area, told, f"an image of a framework and its build want {size(DISK_WARN_BYTES)}")
    return _ok(area, told)


def _port(port: OwnPort) -> Iterator[Finding]:
    if port.ours:
        yield _ok("ports", f"{port.port} ({port.whose}): this site's nodes are started already")
    elif port.taken:
        fix = f"end what has it (ss -ltnp 'sport = :{port.port}'), or give the node another port"
        yield _fault("ports", f"{port.port} ({port.whose}) is taken on this host", fix)
    else:
        yield _ok("ports", f"{port.port} ({port.whose}) is free")


def _path(one: Reached, facts: Facts) -> Finding:
    where = f"{one.host}:{one.port} ({one.whose})"
    speed = "" if one.milliseconds is None else f" in {one.milliseconds:.1f} ms"
    past = f"; nodes do not use the proxy of {' and '.join(sorted(facts.proxies))}" if facts.proxies else ""
    if one.reach is Reach.UNKNOWN:
        return _fault("path", f"{where}: {one.text}", "enter the name in DNS or in /etc/hosts, or use the address")
    if one.reach is Reach.SILENT:
        fix = f"open the port in the firewalls of both sites, for this host{past}"
        return _fault("path", f"{where}: nothing comes back: {one.text}", fix)
    if one.reach is Reach.REFUSED:
        fix = "start that site's node, or check its port; the host itself is reached"
        return _warn("path", f"{where}: {one.text}", fix)
    if one.reach is Reach.STUCK:
        fix = (
            "large packets may get lost on the way (a VPN or tunnel): set the MTU of the engine's networks to the "
            f"path's (ping -M do -s 1372 {one.host} finds it), or let ICMP through; or what listens there is no node"
        )
        return _fault("path", f"{where}: TCP connects{speed}, then nothing comes: {one.text}", fix)
    if one.reach is Reach.UNTRUSTED:
        fix = "the certificate at fault is named; swarm cert check on that host says more"
        return _fault("path", f"{where}: {one.text}", fix)
    if one.milliseconds is not None and one.milliseconds > SLOW_MILLISECONDS:
        return _warn("path", f"{where} is reached{speed}", "rounds take a few times that; look for a detour")
    if one.segment_bytes is not None and one.segment_bytes < SEGMENT_BYTES_LEAST:
        fix = "a tunnel takes much of each packet away: raise its MTU"
        return _warn("path", f"{where} is reached{speed}, segments of {one.segment_bytes} bytes", fix)
    segments = "" if one.segment_bytes is None else f", segments of {one.segment_bytes} bytes"
    state = "answers" if one.reach is Reach.ANSWERS else "takes connections"
    return _ok("path", f"{where} {state}{speed}{segments}")


def _inside(inside: Inside) -> Iterator[Finding]:
    if inside.fault:
        if inside.gpus_asked:
            fix = "install the NVIDIA container toolkit and restart the engine, or take gpus out of usrcontaineropts"
            yield _fault("gpu", f"{inside.whose}: no container with its GPUs can be started: {inside.fault}", fix)
        else:
            yield _fault("container", f"{inside.whose}: {inside.fault}", "mend what the engine names")
    elif inside.gpus_asked and not inside.gpus:
        fix = "see that nvidia-smi works on the host and in docker run --rm --gpus all IMAGE nvidia-smi"
        yield _fault("gpu", f"{inside.whose}: the container was started with GPUs and has no device of one", fix)
    elif inside.gpus_asked:
        yield _ok("gpu", f"{inside.whose}: {', '.join(inside.gpus)}")
    if inside.shm_bytes is not None and inside.shm_bytes < SHM_WARN_BYTES:
        fix = "write shm-size: 2G under usrcontaineropts of the profile, or load data without workers"
        yield _warn("shm", f"{inside.whose}: /dev/shm has {size(inside.shm_bytes)}", fix)
    elif inside.shm_bytes is not None:
        yield _ok("shm", f"{inside.whose}: /dev/shm has {size(inside.shm_bytes)}")
    for folder in inside.folders:
        yield from _folder(inside, folder)


def _folder(inside: Inside, folder: Folder) -> Iterator[Finding]:
    what = f"{inside.whose}: {folder.path}"
    who = "as in the image" if inside.user is None else f"user {inside.user}"
    if folder.fault:
        yield _fault(
            "data",
            f"{what}: {folder.fault}",
            f"make the folder on this host, and put data into it: mkdir {folder.path}",
        )
        return
    if not folder.readable:
        fix = f"let that user read it (chmod -R a+rX {folder.path}), or run programs as its owner (--swop-uid)"
        yield _fault("data", f"{what} cannot be read by programs ({who})", fix)
        return
    if folder.entries == 0:
        yield _warn("data", f"{what} is empty", "put the data there before a task runs")
    elif not folder.writable:
        fix = f"only if programs save models there: chown {folder.path} to that user, or make it writable"
        yield _warn("data", f"{what} can be read, not written ({who}); {folder.entries} entries", fix)
    else:
        yield _ok("data", f"{what} can be read and written; {folder.entries} entries")
    if folder.writable:
        yield _disk("data", what, folder.free_bytes)
