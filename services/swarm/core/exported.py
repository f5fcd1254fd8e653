"""What ``swarm chain export`` writes and ``import`` reads: one JSON document of a swarm's members, jobs and past runs.

Owns form, bounds and checks of the document, which is read as hostile input; pure. Reading it off a chain and writing
it to one are :mod:`swarm.chain.exporting` and :mod:`swarm.chain.importing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .chain_view import Member, Merged, Phase, Role, Status
from .errors import OperatorFault
from .ids import JOB_NAME_BYTES_MAX, ZERO32, Address, BlobId, Digest, from_hex, to_hex
from .shown import shown

FORM, FORM_VERSION = "swarm chain export", 1
FILE_BYTES_MAX = 64 * 1024 * 1024
MEMBERS_MAX, JOBS_MAX, RUNS_MAX, RUN_MEMBERS_MAX, RUN_ROUNDS_MAX = 10_000, 10_000, 10_000, 1_000, 500_000
"""Of the swarm, of the swarm, of one job, and in the record of one run: about as many rounds as a file has room for."""
OPTIONS_BYTES_MAX = 2048
LARGEST_NAMED = 5
"""Jobs that the refusal of too large an export names."""
_UINT64_MAX = 2**64 - 1
_CHAIN_ID_MAX = 2**63 - 1
_ENDS = (Phase.OPEN, Phase.COMPLETE, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as a chain recorded it.

    Args:
        chain: genesis of the chain that it was on.
        phase: OPEN is one that went on when it was exported, and goes on no more.
        began: block time in seconds of its first event, 0 if unknown; ``ended``: of its last one.
        members: who joined it, ascending; of whom ``contributors`` had a model merged.
        rounds: what each committed round merged, in order.
    """

    run: int
    chain: Digest
    phase: Phase
    began: int
    ended: int
    members: tuple[Address, ...]
    contributors: frozenset[Address]
    rounds: tuple[Merged, ...]


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job; ``run`` is its next one, ``runs`` are all those before it."""

    name: str
    run: int
    options: str
    runs: tuple[PastRun, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """A whole swarm at one block. ``contracts`` is the version of the contracts that it was read from."""

    chain_id: int
    genesis: Digest
    directory: Address
    contracts: int
    block: int
    members: Mapping[Address, Member] = field(default_factory=dict)
    jobs: tuple[PastJob, ...] = ()


def to_text(export: Export) -> str:
    """The document.

    Raises:
        OperatorFault: it is larger than an import takes.
    """
    chain = {
        "id": export.chain_id,
        "genesis": to_hex(export.genesis),
        "directory": to_hex(export.directory),
        "contracts": export.contracts,
        "block": export.block,
    }
    members = [
        {
            "node": to_hex(node),
            "role": m.role.name,
            "status": m.status.name,
            "spki": to_hex(m.spki),
            "spiffe": to_hex(m.spiffe),
            "site": to_hex(m.site),
            "expires": m.expires,
        }
        for node, m in export.members.items()
    ]
    jobs = [_job_json(job) for job in export.jobs]
    found = {"form": FORM, "version": FORM_VERSION, "chain": chain, "members": members, "jobs": jobs}
    text = json.dumps(found, indent=1) + "\n"
    if len(text) > FILE_BYTES_MAX:
        largest = sorted(export.jobs, key=lambda job: sum(len(r.rounds) + len(r.members) + 1 for r in job.runs))
        names = ", ".join(shown(job.name) for job in largest[: -LARGEST_NAMED - 1 : -1])
        raise OperatorFault(
            f"this swarm's export has {len(text)} bytes, and an import takes {FILE_BYTES_MAX}: leave jobs out with "
            f"--without; the largest are {names}"
        )
    return text


def refusal_of(job: PastJob, where: str) -> str | None:
    """Why no import would take a file with this job in it; None where it takes it. ``where`` begins the sentence."""
    try:
        _job(_Place(where, "the job", _job_json(job)))
    except OperatorFault as refused:
        return str(refused)
    return None


def _job_json(job: PastJob) -> dict[str, Any]:
    return {"name": job.name, "run": job.run, "options": job.options, "runs": [_run_json(r) for r in job.runs]}


def _run_json(run: PastRun) -> dict[str, Any]:
    return {
        "run": run.run,
        "chain": to_hex(run.chain),
        "phase": run.phase.name,
        "began": run.began,
        "ended": run.ended,
        "members": [to_hex(m) for m in run.members],
        "contributors": [to_hex(m) for m in sorted(run.contributors)],
        "rounds": [[to_hex(r.blob), r.size] for r in run.rounds],
    }


def from_text(data: bytes, where: str) -> Export:
    """Read the document.

    Args:
        where: what to call it in a refusal.

    Raises:
        OperatorFault: it is not such a document; names the place in it and what was expected.
    """
    if len(data) > FILE_BYTES_MAX:
        raise OperatorFault(f"{where} has {len(data)} bytes; an export has at most {FILE_BYTES_MAX}")
    try:
        found = json.loads(data, object_pairs_hook=_once)
    except _TwiceError as error:
        raise OperatorFault(f"{where} names {error.args[0]!r:.80} twice in one object") from None
    except (ValueError, RecursionError) as error:
        raise OperatorFault(f"{where} is not JSON: {error}") from None
    top = _Place(where, "the document", found)
    if top.fields_of().get("form") != FORM:
        raise OperatorFault(f'{where} is no export of a chain: its "form" is not "{FORM}"')
    version = top.fields_of().get("version")
    if type(version) is not int or version != FORM_VERSION:
        raise OperatorFault(
            f"{where} has form version {version!r:.20}, and this program reads version {FORM_VERSION}: export it with "
            "the program version that is to import it"
        )
    top.only("form", "version", "chain", "members", "jobs")
    chain = top.at("chain").only("id", "genesis", "directory", "contracts", "block")
    members: dict[Address, Member] = {}
    keys: dict[bytes, Address] = {}
    for place in top.at("members").items(MEMBERS_MAX):
        node, member = _member(place)
        if node in members:
            place.refuse(f"member {to_hex(node)} stands there twice")
        members[node] = member
        if not any(member.spki):
            if member.status is not Status.REVOKED:  # one whose heir has its key
                place.at("spki").refuse("a hash of zeros stands for none: only who is REVOKED may have none")
            continue
        if member.spki in keys:
            place.refuse(f"{to_hex(node)} and {to_hex(keys[member.spki])} have the same certificate key")
        keys[member.spki] = node
    jobs: dict[str, PastJob] = {}
    for place in top.at("jobs").items(JOBS_MAX):
        job = _job(place)
        if job.name in jobs:
            place.refuse(f"job {job.name!r:.80} stands there twice")
        jobs[job.name] = job
    return Export(
        chain_id=chain.at("id").integer(1, _CHAIN_ID_MAX),
        genesis=Digest(chain.at("genesis").hash_()),
        directory=chain.at("directory").node(),
        contracts=chain.at("contracts").integer(1, 2**32 - 1),
        block=chain.at("block").integer(0, _UINT64_MAX),
        members=members,
        jobs=tuple(jobs.values()),
    )


def _member(place: _Place) -> tuple[Address, Member]:
    place.only("node", "role", "status", "spki", "spiffe", "site", "expires")
    member = Member(
        role=Role[place.at("role").one_of([r.name for r in Role if r])],
        status=Status[place.at("status").one_of([s.name for s in Status if s])],
        spki=place.at("spki").word(),
        spiffe=place.at("spiffe").word(),
        site=place.at("site").word(),
        expires=place.at("expires").integer(0, _UINT64_MAX),
        since=0,
        changed_block=0,
    )
    return place.at("node").node(), member


def _job(place: _Place) -> PastJob:
    place.only("name", "run", "options", "runs")
    name = place.at("name").text(1, JOB_NAME_BYTES_MAX)
    run = place.at("run").integer(1, RUNS_MAX + 1)
    runs = tuple(_run(one) for one in place.at("runs").items(RUNS_MAX))
    if [r.run for r in runs] != list(range(1, run)):
        place.refuse(f'"runs" must be runs 1 to {run - 1} in order, since "run", the next one, is {run}')
    return PastJob(name, run, place.at("options").text(0, OPTIONS_BYTES_MAX), runs)


def _run(place: _Place) -> PastRun:
    place.only("run", "chain", "phase", "began", "ended", "members", "contributors", "rounds")
    members = tuple(one.node() for one in place.at("members").items(RUN_MEMBERS_MAX))
    if list(members) != sorted(set(members)):
        place.refuse('"members" must ascend by address, each once')
    contributors = [one.node() for one in place.at("contributors").items(RUN_MEMBERS_MAX)]
    if len(set(contributors)) != len(contributors) or not set(contributors) <= set(members):
        place.refuse('"contributors" must be some of "members", each once')
    return PastRun(
        run=place.at("run").integer(1, RUNS_MAX),
        chain=Digest(place.at("chain").hash_()),
        phase=Phase[place.at("phase").one_of([p.name for p in _ENDS])],
        began=place.at("began").integer(0, _UINT64_MAX),
        ended=place.at("ended").integer(0, _UINT64_MAX),
        members=members,
        contributors=frozenset(contributors),
        rounds=tuple(_round(one) for one in place.at("rounds").items(RUN_ROUNDS_MAX)),
    )


def _round(place: _Place) -> Merged:
    pair = list(place.items(2))
    if len(pair) != 2:
        place.refuse("a round is a blob id and a size in bytes")
    return Merged(BlobId(pair[0].hash_()), pair[1].integer(0, _UINT64_MAX))


class _TwiceError(ValueError):
    """A key that an object has twice: readers differ in which one counts."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """A value in the document, with the way to it for refusals."""

    where: str
    step: str | int
    value: Any
    parent: _Place | None = None

    @property
    def path(self) -> str:
        """Made for a refusal only: a large document has millions of places."""
        steps: list[str] = []
        place: _Place | None = self
        while place is not None and place.parent is not None:
            steps.append(f"[{place.step}]" if isinstance(place.step, int) else f".{place.step}")
            place = place.parent
        return "".join(reversed(steps)).removeprefix(".") or str(self.step)

    def refuse(self, why: str) -> NoReturn:
        raise OperatorFault(f"{self.where}, {self.path}: {why}")

    def fields_of(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict):
            self.refuse(f"expected an object, found {self.value!r:.80}")
        return self.value

    def only(self, *names: str) -> _Place:
        fields = self.fields_of()
        missing, more = [n for n in names if n not in fields], [n for n in fields if n not in names]
        if missing or more:
            self.refuse(f"{missing[0]} is missing" if missing else f"{more[0]!r:.80} is no field that it has")
        return self

    def at(self, name: str) -> _Place:
        return _Place(self.where, name, self.value[name], self)

    def items(self, most: int) -> Iterator[_Place]:
        """One after the other, so that the first that is wrong ends it."""
        if not isinstance(self.value, list) or len(self.value) > most:
            found = len(self.value) if isinstance(self.value, list) else f"{self.value!r:.80}"
            self.refuse(f"expected a list of at most {most}, found {found}")
        return (_Place(self.where, n, one, self) for n, one in enumerate(self.value))

    def integer(self, least: int, most: int) -> int:
        if type(self.value) is not int or not least <= self.value <= most:
            self.refuse(f"expected a whole number from {least} to {most}, found {self.value!r:.80}")
        return int(self.value)

    def text(self, least: int, most: int) -> str:
        if not isinstance(self.value, str) or not least <= _length(self.value) <= most:
            self.refuse(f"expected a text of {least} to {most} bytes of UTF-8, found {self.value!r:.80}")
        return str(self.value)

    def one_of(self, names: list[str]) -> str:
        if self.value not in names:
            self.refuse(f"expected one of {', '.join(names)}, found {self.value!r:.80}")
        return str(self.value)

    def word(self) -> bytes:
        return self._hex(32)

    def hash_(self) -> bytes:
        found = self._hex(32)
        if found == ZERO32:
            self.refuse("a hash of zeros stands for none")
        return found

    def node(self) -> Address:
        found = Address(self._hex(20))
        if not any(found):
            self.refuse("an address of zeros is nobody's")
        return found

    def _hex(self, size: int) -> bytes:
        try:
            return from_hex(self.value, size)
        except ValueError as error:
            self.refuse(str(error))


def _length(text: str) -> int:
    """Bytes of its UTF-8; -1 where it has none (half of a surrogate pair)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
