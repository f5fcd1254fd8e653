"""Gathers the facts of one host: what is asked for, or what a site's bundle says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from swarm.core.doctor.facts import Engine, Facts, Finding, Inside, Level, OwnPort, Reach, Reached
from swarm.core.errors import OperatorFault, SwarmFault
from swarm.core.sites.described import DESCRIBED_BYTES_MAX, Described, described
from swarm.core.swop.containers import ContainerState, Mount, MountKind
from swarm.core.swop.devices import devices
from swarm.core.tasktext.findings import Weight
from swarm.core.tasktext.profile import Profile, read_profile
from swarm.inspect.nodes import nodes
from swarm.inspect.source import open_view, source
from swarm.net.probe import remote_time
from swarm.net.rehearsal import rehearse
from swarm.net.tls import TlsFiles, client_context
from swarm.pki import check as report
from swarm.pki import commands
from swarm.swop.files import policy_in

from .engine import Host, Wanted, engine_of, inside
from .paths import Target, listens, proxies, reached

PROFILE, PROFILE_IN, POLICY, SITE = "usr/swop-profile.yaml", "usr/swop-profile.yaml.in", "usr/policy.yaml", "site.json"
PROFILE_BYTES_MAX = 1024 * 1024
ROLES = ("sn", "sl", "swop", "swci")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be looked at.

    Args:
        files: certificates by the node's name.
        sn: the SN that nodes of this host talk to.
        peers: further ports of other hosts.
        ports: whose each port of this host is to be.
        folders: of data, that no profile names.
        images: of the node programs, by role; the sl's is also what looks around in a container.
        user: that programs run as.
        here: this site's SN is the one asked: it is no path to another host.
        host: this host, as others know it; project: of the site's containers, as compose labels them.
    """

    site: str = ""
    host: str = ""
    project: str = ""
    files: Mapping[str, TlsFiles] = field(default_factory=dict)
    sn: tuple[str, int] | None = None
    peers: tuple[Target, ...] = ()
    ports: Mapping[int, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    profile: Path | None = None
    profile_text: bytes | None = None
    policy: Path | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    here: bool = False


def of_bundle(folder: Path) -> Asked:
    """What a site's bundle says of it.

    Raises:
        OperatorFault: it is no bundle.
    """
    site = _described(folder)
    images = _environment(folder / ".env")
    prefix, tag = images.get("SWARM_IMAGES", "swarm-learning"), images.get("SWARM_IMAGE_TAG", "dev")
    profile = next((folder / one for one in (PROFILE, PROFILE_IN) if (folder / one).is_file()), None)
    roles = {role for role in site.nodes.values() if role in ROLES}
    certs = {name: folder / "certs" / name for name in site.nodes}
    return Asked(
        site=site.site,
        host=site.host,
        project=images.get("COMPOSE_PROJECT_NAME", ""),
        files={name: TlsFiles(at / "cert.pem", at / "key.pem", at / "ca-cert.pem") for name, at in certs.items()},
        sn=(site.sentinel.host, site.sentinel.port),
        here=site.sentinel.here,
        ports=dict(site.ports),
        folders=() if profile is not None else site.data,
        profile=profile,
        profile_text=None if profile is None else _profile_text(profile, folder),
        policy=folder / POLICY if profile is not None else None,
        images={role: f"{prefix}/{role}:{tag}" for role in sorted(roles)},
    )


def look(asked: Asked, host: Host, environ: Mapping[str, str], say: Callable[[str], object]) -> Facts:
    """All facts; each step is said before it is taken, for it may take its time."""
    say("certificates, profile and policy")
    said = [one for name, files in asked.files.items() for one in _certificates(name, files)]
    profile, found = _profile(asked)
    said += found
    say("the engine, its images, and what a container sees")
    engine, seen = asyncio.run(_engine(asked, host, profile))
    ours = bool(asked.project) and not engine.fault and asyncio.run(_runs(host, asked.project))
    ports = tuple(OwnPort(port, whose, listens(port), ours) for port, whose in sorted(asked.ports.items()))
    say("paths to other hosts")
    usable = next((one for one in asked.files.values() if _complete(one)), None)
    paths, more = _paths(asked, usable, environ)
    return Facts(engine, seen, tuple(paths), ports, proxies(environ), (*said, *more))


def _described(folder: Path) -> Described:
    try:
        with open(folder / SITE, "rb") as file:
            return described(file.read(DESCRIBED_BYTES_MAX), str(folder / SITE))
    except OSError as error:
        raise OperatorFault(
            f"{folder / SITE}: {error.strerror}; give the folder of a site's bundle (swarm site init writes it), or "
            "say what to look at: --sn, --cert, --profile, --data"
        ) from error


def _environment(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _profile_text(path: Path, bundle: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(PROFILE_BYTES_MAX).replace(b"<BUNDLE>", str(bundle.resolve()).encode())


def _complete(files: TlsFiles) -> bool:
    try:
        client_context(files)
    except OperatorFault:
        return False
    return True


def _certificates(name: str, files: TlsFiles) -> list[Finding]:
    missing = [str(path) for path in (files.cert, files.key, files.cacert) if path is not None and not path.is_file()]
    if missing:
        fix = "make the key and its request (./make-requests.sh), and have it signed: README.md of the bundle says how"
        return [Finding("certificates", Level.FAULT, f"{name}: {missing[0]} is missing", fix)]
    try:
        found = commands.check_files(
            files.cert,
            files.key,
            files.cacert,
            files.capath,
            datetime.now(UTC),
            lambda *these: rehearse(TlsFiles(*these)),
        )
    except OperatorFault as error:
        return [Finding("certificates", Level.FAULT, f"{name}: {error}", "put the right file there")]
    wrong = [one for one in found if one.level is not report.Level.OK]
    fix = f"have the certificate issued anew, or mend what is named; swarm cert check says all of {files.cert}"
    told = [Finding("certificates", Level(one.level.value), f"{name}: {one.field}: {one.text}", fix) for one in wrong]
    if any(one.level is Level.FAULT for one in told):
        return told
    until = next((one.text for one in found if one.field == "not_after"), "")
    return [*told, Finding("certificates", Level.OK, f"{name}: {until}")]


def _profile(asked: Asked) -> tuple[Profile | None, list[Finding]]:
    found: list[Finding] = []
    profile = None
    if asked.profile is not None:
        try:
            text = asked.profile_text if asked.profile_text is not None else _profile_text(asked.profile, Path())
        except OSError as error:
            return None, [
                Finding("profile", Level.FAULT, f"{asked.profile}: {error.strerror}", "name the SWOP profile")
            ]
        reading = read_profile(text)
        profile = reading.value
        for one in reading.findings:
            level = Level.WARN if one.weight is Weight.WARNING else Level.FAULT
            found.append(
                Finding("profile", level, f"{asked.profile}: {one}", "mend that line; swarm task check reads it too")
            )
        if profile is not None and not found:
            found.append(Finding("profile", Level.OK, f"{asked.profile}: {len(profile.nodes)} pairs"))
    if asked.policy is not None:
        found.append(_policy(asked.policy))
    return profile, found


def _policy(path: Path) -> Finding:
    try:
        policy = policy_in(path)
    except OperatorFault as error:
        return Finding("policy", Level.FAULT, str(error), "docs/swop.md explains the keys")
    if not policy.rules:
        fix = f"a refused task's sentence names the command that writes one: swarm policy allow {path} ..."
        return Finding("policy", Level.WARN, f"{path} has no rule: this site takes no task yet", fix)
    return Finding("policy", Level.OK, f"{path}: {len(policy.rules)} rules")


async def _engine(asked: Asked, host: Host, profile: Profile | None) -> tuple[Engine, tuple[Inside, ...]]:
    engine = await engine_of(host, asked.images)
    if engine.fault or engine.images.get("sl", engine.images.get("swop")) is None:
        return engine, ()
    image = asked.images.get("sl") or asked.images["swop"]
    seen = []
    for wanted in _wanted(asked, profile):
        if isinstance(wanted, Inside):
            seen.append(wanted)
            continue
        told, free = await inside(host, image, wanted, asked.user)
        seen.append(told)
        engine = replace(engine, free_bytes=free if free is not None else engine.free_bytes)
    return engine, tuple(seen)


def _wanted(asked: Asked, profile: Profile | None) -> Iterator[Wanted | Inside]:
    """What programs get here; an Inside: what a profile asks for cannot be."""
    if not asked.folders and profile is None:
        yield Wanted("a container")
    for folder in asked.folders:
        yield Wanted("data", Mount(MountKind.BIND, folder, ""))
    for node in profile.nodes if profile is not None else ():
        whose = f"pair {node.index}"
        mount = None
        if node.private is not None and node.private.mount in MountKind.__members__:
            mount = Mount(MountKind(node.private.mount), node.private.source, "")
        try:
            options, _ = devices(node.user_options)
        except OperatorFault as error:
            yield Inside(whose, str(error))
        else:
            yield Wanted(whose, mount, options)


async def _runs(host: Host, project: str) -> bool:
    """Whether this site's containers are there already."""
    try:
        return any(
            one.state is ContainerState.RUNNING for one in await host.find({"com.docker.compose.project": project})
        )
    except OperatorFault:
        return False


def _paths(asked: Asked, files: TlsFiles | None, environ: Mapping[str, str]) -> tuple[list[Reached], list[Finding]]:
    context = None if files is None else client_context(files)
    said: list[Finding] = []
    targets: list[Target] = [*asked.peers]
    if asked.sn is not None and not asked.here:
        targets.insert(0, (*asked.sn, "the SN"))
    first = reached(targets, context)
    sn = next((one for one in first if one.reach is Reach.ANSWERS and (one.host, one.port) == asked.sn), None)
    if sn is None or files is None or asked.sn is None:
        return first, said
    said.append(_clock(f"{sn.host}:{sn.port}", files))
    known = {(one.host, one.port) for one in first}
    try:
        others = asyncio.run(_others(f"{sn.host}:{sn.port}", files, environ))
    except SwarmFault as error:
        said.append(Finding("path", Level.OK, f"the SN does not tell this certificate of other nodes yet: {error}"))
        return first, said
    more = [one for one in others if one[:2] not in known and one[0] != asked.host]
    return [*first, *reached(more, context)], said


def _clock(against: str, files: TlsFiles) -> Finding:
    found = commands.clock_of(
        lambda host, port, *these: remote_time(host, port, TlsFiles(*these)),
        against,
        files.cert,
        files.key,
        files.cacert,
        files.capath,
    )
    return Finding(
        "clock", Level(found.level.value), found.text, "run a time service (chrony, systemd-timesyncd) on both hosts"
    )


async def _others(sn: str, files: TlsFiles, environ: Mapping[str, str]) -> list[Target]:
    """Nodes that the SN knows as living, where others reach them."""
    where = source(
        sn=sn, ops=None, cert=files.cert, key=files.key, cacert=files.cacert, capath=files.capath, environ=environ
    )
    async with open_view(where) as view:
        rows = await nodes(view)
    return [(row["host"], int(row["port"]), row["name"]) for row in rows if row["port"].isdigit()]
