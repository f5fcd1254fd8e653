"""What runs on this host, and how a pass's actions are carried out on it: pairs of containers, builds, pulls.

Owns no decision. A pair is found by its labels, whatever this process remembers; a build or a pull runs in this
process, and which attempt made an image stands in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from swarm.core.errors import OperatorFault
from swarm.core.ids import NO_DIGEST, to_hex
from swarm.core.swop.asked import pulled_name
from swarm.core.swop.containers import (
    GRACE_SECONDS,
    BuildSpec,
    ContainerSpec,
    ContainerState,
    Found,
    Image,
    MountKind,
)
from swarm.core.swop.content import content_volumes
from swarm.core.swop.outcome import JOINED_FILE, Joined, interrupted, joined_of, verdict
from swarm.core.swop.pairs import (
    PART,
    SWOP,
    Part,
    Site,
    Standing,
    exchange_volume,
    is_loopback,
    key_of,
    labels,
    pair,
    stamp,
    standing,
)
from swarm.core.taskrun.work import Key, Result, Why, Work, WorkState
from swarm.core.tasktext.model import BuildBody, ContentBody, PullBody, RunBody, image_of
from swarm.core.tasktext.profile import Profile
from swarm.core.taskview import TaskType
from swarm.obs import log as obs_log

from .contents import make, workplace
from .judging import Judged
from .keeping import Kept, Made, MadeImage
from .runtime import ContainerRuntime, RuntimeFault, Trouble
from .texts import Texts

log = obs_log.get("swarm.SWOP")
T = TypeVar("T")

FINISHING_SECONDS = 120.0
"""How long an SL may go on when its program has ended: others may still fetch its last model."""
OUTPUT_LINES = 500
LOOKS = "swarm-learning.looks"
"""Label of what is made to look at a path of the host, and is gone in the same moment: no part of a pair."""
STOPS_MAX = 64
"""Pairs that are being stopped at once."""
REVIVALS_MAX = 5
"""How often an attempt goes on after its host, its engine or somebody ended it, in one life of this SWOP."""


@dataclass
class Job:
    """A build or a pull of this process."""

    state: WorkState = WorkState.CREATED
    result: Result | None = None
    task: asyncio.Task[None] | None = None


class Hands:
    """Args:
    judged: what was found out about an assignment, by the attempt's key.
    scratch: a folder for content before a volume gets it.
    login: to the registry of an image that is pulled.
    made: which image each task made here.
    may_stay_alone: this site takes a program that never joined for a success.
    kept: where attempts are noted whose containers stay after their end; None: none do.
    """

    def __init__(
        self,
        runtime: ContainerRuntime,
        profile: Profile,
        site: Site,
        texts: Texts,
        judged: Callable[[Key], Judged | None],
        scratch: Path,
        login: Callable[[PullBody], Mapping[str, str] | None],
        made: Made,
        *,
        may_stay_alone: bool = False,
        kept: Kept | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime, self._profile, self._site, self._texts = runtime, profile, site, texts
        self._judged, self._may_stay_alone, self._clock = judged, may_stay_alone, clock
        self._kept, self._scratch, self._login, self._made = kept, scratch, login, made
        self._jobs: dict[Key, Job] = {}
        self._stopping: dict[Key, asyncio.Task[None]] = {}
        self._results: dict[Key, Result] = {}
        self._finishing: dict[Key, float] = {}
        self._stopped: set[Key] = set()
        """Told to end: a program that then ends with 0 has not done its task."""
        self._ended: set[Key] = set()
        """Whose containers this process has told to end, for whatever reason."""
        self._interrupted: set[Key] = set()
        self._revived: Counter[Key] = Counter()

    async def aclose(self) -> None:
        """Give up what runs in this process; containers go on."""
        mine = [*self._stopping.values(), *(job.task for job in self._jobs.values() if job.task is not None)]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    # ---- what runs

    async def works(self, wanted: frozenset[Key], kind: TaskType | None) -> list[Work]:
        """All that is here of any attempt.

        Args:
            wanted: attempts that the chain wants; ``kind``: what their task is.

        Raises:
            RuntimeFault: the engine does not answer.
        """
        attempts: dict[Key, list[Found]] = defaultdict(list)
        for found in await self._runtime.find({SWOP: labels(self._site.swop, _ANY)[SWOP]}):
            key = key_of(found.labels)
            if key is not None and PART in found.labels and not (self._kept is not None and key in self._kept):
                attempts[key].append(found)
        works = [work for key, found in attempts.items() if (work := await self._work(key, found, wanted)) is not None]
        if kind in (TaskType.MAKE_USER_CONTAINER, TaskType.PULL_IMAGE):
            works += [work for key in wanted - self._jobs.keys() if (work := await self._made_before(key)) is not None]
        works += [Work(key, job.state, job.result) for key, job in self._jobs.items()]
        return works

    async def _work(self, key: Key, found: list[Found], wanted: frozenset[Key]) -> Work | None:
        stands = standing(found)
        if stands.state is None:
            return None
        if key in self._stopping:
            if not self._stopping[key].done():
                return Work(key, WorkState.STOPPING)
            del self._stopping[key]
        if interrupted(stands) and key not in self._ended and self._revived[key] < REVIVALS_MAX:
            self._interrupted.add(key)
            return Work(key, WorkState.CREATED)  # as before its first start: a pass that wants it starts it
        if stands.finishing and await self._is_over(key, stands):
            self._begin_stop(key)
            return Work(key, WorkState.STOPPING)
        if stands.state is not WorkState.EXITED:
            return Work(key, stands.state)
        self._finishing.pop(key, None)
        if key not in self._results:
            if key in wanted and self._judged(key) is None:
                return Work(key, WorkState.RUNNING)  # what its end means depends on the task, which is read first
            self._results[key] = await self._result(key, stands)
        return Work(key, WorkState.EXITED, self._results[key])

    async def _is_over(self, key: Key, stands: Standing) -> bool:
        """Whether nobody needs the SL of a program that has ended: it failed, never joined, or had its time."""
        since = self._finishing.setdefault(key, self._clock())
        failed = stands.ml is not None and stands.ml.exit_code != 0
        return failed or self._clock() - since >= FINISHING_SECONDS or await self._joined(stands, key) is None

    async def _joined(self, stands: Standing, key: Key) -> Joined | None:
        if stands.sl is None:
            return None
        return joined_of(await self._unless_odd(self._runtime.read_file(stands.sl.name, JOINED_FILE), None), stamp(key))

    async def _unless_odd(self, look: Awaitable[T], instead: T) -> T:
        """One odd container must not blind this SWOP to all: only an engine that is away is news."""
        try:
            return await look
        except RuntimeFault as fault:
            if fault.trouble is Trouble.DAEMON_GONE:
                raise
            log.warning(str(fault))
            return instead

    async def _result(self, key: Key, stands: Standing) -> Result:
        joined = await self._joined(stands, key)
        speaker = stands.ml if stands.ml is not None and stands.ml.state is ContainerState.EXITED else stands.sl
        output = ""
        if speaker is not None:
            output = await self._unless_odd(self._runtime.output(speaker.name, OUTPUT_LINES), "")
        judged = self._judged(key)
        loopback = False
        if judged is not None and judged.task is not None and key.pair < len(self._profile.nodes):
            loopback = is_loopback(judged.task, self._profile.nodes[key.pair])
        found = verdict(
            stands,
            joined,
            output,
            loopback=loopback,
            may_stay_alone=self._may_stay_alone,
            stopped=key in self._stopped,
        )
        if found.ok:
            log.info("program ended well", pair=key.pair, attempt=key.attempt)
            return found
        text_hash = self._texts.keep(key, output)
        log.error("program failed", pair=key.pair, attempt=key.attempt, exit_code=found.exit_code, fault=found.fault)
        return replace(found, text_hash=text_hash)

    async def _made_before(self, key: Key) -> Work | None:
        """An image that this attempt made before this process began."""
        judged = self._judged(key)
        made = None if judged is None else self._made.of(judged.of[0])
        if made is None or made.key != key or await self._runtime.image(made.id) is None:
            return None
        return Work(key, WorkState.EXITED, Result(True, exit_code=0))

    # ---- actions

    async def create(self, key: Key) -> Result | None:
        """Make the pair; a result where that cannot be."""
        judged = self._judged(key)
        if judged is None or judged.task is None:
            return Result(False, fault="NotJudged")
        if not isinstance(judged.task.body, RunBody):
            self._jobs.setdefault(key, Job())
            return None
        if key.pair >= len(self._profile.nodes):
            said = f"pair {key.pair} was offered by another profile: this one has {len(self._profile.nodes)} nodes"
            return self._failed(key, OperatorFault(said))
        try:
            made = pair(
                self._site, self._profile, self._profile.nodes[key.pair], judged.task, judged.image, key,
                judged.granted.terms,
            )  # fmt: skip
            for notice in made.notices:
                log.warning(notice)
            network = made.sl.network
            if network is not None and not await self._runtime.network(network):
                raise RuntimeFault(
                    Trouble.NO_NETWORK,
                    f"the network {network} of the profile does not exist on this host; make it with"
                    f" `docker network create {network}`",
                )
            mine = labels(self._site.swop, key)
            await self._refuse_links([one.source for one in made.ml.mounts if one.kind is MountKind.BIND])
            for spec in (made.sl, made.ml):
                await self._refuse_missing(spec, (made.state, made.exchange))
            await self._runtime.make_volume(made.state, {SWOP: mine[SWOP]})
            await self._runtime.make_volume(made.exchange, mine)
            await self._runtime.create(made.sl)
            await self._runtime.create(made.ml)
        except OperatorFault as fault:
            result = self._failed(key, fault)
            if result is not None:
                with contextlib.suppress(RuntimeFault):  # what is left then is looked at again at the next start
                    await self.remove(key)
            return result
        return None

    async def _refuse_links(self, sources: Iterable[str]) -> None:
        """The policy judged the path that is written; a link in it, as a program may leave one, leads elsewhere."""
        for source in dict.fromkeys(sources):
            link = await self._runtime.link_in(source, {LOOKS: to_hex(self._site.swop)})
            if link is not None:
                raise RuntimeFault(
                    Trouble.LINKED,
                    f"{source} is not mounted: {link} is a symbolic link on this host, and what it leads to was not"
                    " judged by this site's policy; name the folder itself in profile, task and policy",
                )

    async def _refuse_missing(self, spec: ContainerSpec, own: tuple[str, ...]) -> None:
        """An engine makes a volume that is not there, empty: a program would train on nothing."""
        for name in dict.fromkeys(one.source for one in spec.mounts if one.kind is MountKind.VOLUME):
            if name not in own and not await self._runtime.volume(name):
                raise RuntimeFault(
                    Trouble.NO_VOLUME,
                    f"the volume {name} does not exist on this host; make it with `docker volume create {name}` and"
                    " copy the data into it, or run the task that makes it here first",
                )

    async def start(self, key: Key) -> Result | None:
        """Start what was created, the SL first; a result where that cannot be."""
        job = self._jobs.get(key)
        if job is not None:
            if job.state is WorkState.CREATED:
                job.state, job.task = WorkState.RUNNING, asyncio.ensure_future(self._run_job(key, job))
            return None
        again = key in self._interrupted
        try:
            # Again the program first: it waits for its SL, and one that has ended beside an SL that runs has failed.
            for part in (Part.ML, Part.SL) if again else (Part.SL, Part.ML):
                for found in await self._of(key):
                    if found.labels.get(PART) != part:
                        continue
                    if part is Part.ML:  # the engine follows a path anew at each start
                        mounted = await self._runtime.mounts_of(found.name) or ()
                        await self._refuse_links(one.source for one in mounted if one.source.startswith("/"))
                    await self._runtime.start(found.name, again=again)
        except OperatorFault as fault:
            return self._failed(key, fault)
        if again:
            self._interrupted.discard(key)
            self._revived[key] += 1
            log.warning("goes on after its containers were ended from outside", pair=key.pair, attempt=key.attempt)
            return None
        log.info("SWOPRunTask: Started containers successfully", pair=key.pair, attempt=key.attempt)
        return None

    def stop(self, key: Key) -> None:
        """End it with its grace, in the background."""
        self._stopped.add(key)
        job = self._jobs.get(key)
        if job is not None:
            if job.task is not None:
                job.task.cancel()
            job.state, job.result = WorkState.EXITED, job.result or Result(False, Why.STOPPED)
        elif len(self._stopping) < STOPS_MAX:
            self._begin_stop(key)

    def _begin_stop(self, key: Key) -> None:
        self._ended.add(key)
        if key not in self._stopping or self._stopping[key].done():
            self._stopping[key] = asyncio.ensure_future(self._end(key))

    async def _end(self, key: Key) -> None:
        """The program first: its SL hears why it goes."""
        with contextlib.suppress(RuntimeFault):  # looked at again by the next pass
            for part in (Part.ML, Part.SL):
                for found in await self._of(key):
                    if found.labels.get(PART) == part and found.state is ContainerState.RUNNING:
                        await self._runtime.stop(found.name, GRACE_SECONDS)

    async def remove(self, key: Key) -> None:
        """Take away what is left of it; models and keys of its SL stay in the state's volume."""
        if self._jobs.pop(key, None) is not None:
            return
        mine = await self._of(key)
        if any(found.state is ContainerState.RUNNING for found in mine):
            self._begin_stop(key)  # removed by a later pass, once it has ended
            return
        self._results.pop(key, None)
        for noted in (self._stopped, self._ended, self._interrupted):
            noted.discard(key)
        del self._revived[key]
        ended = any(found.state is ContainerState.EXITED for found in mine)
        if self._kept is not None and ended and self._kept.add(key):
            return
        for found in mine:
            await self._runtime.remove(found.name)
        if key.pair < len(self._profile.nodes):
            await self._runtime.remove_volume(exchange_volume(self._profile, self._profile.nodes[key.pair], key))

    async def _of(self, key: Key) -> list[Found]:
        return await self._runtime.find(labels(self._site.swop, key))

    def _failed(self, key: Key, fault: OperatorFault) -> Result | None:
        """The attempt's end; None where the engine only does not answer now."""
        trouble = getattr(fault, "trouble", None)
        if trouble is Trouble.DAEMON_GONE:
            log.error(str(fault))
            return None
        log.error("cannot be run here", pair=key.pair, why=str(fault))
        said = f"{fault}\n{fault.log}" if isinstance(fault, RuntimeFault) and fault.log else str(fault)
        return Result(False, fault=str(trouble or "ProfileUnfit"), text_hash=self._texts.keep(key, said))

    # ---- builds and pulls

    def _note(self, judged: Judged, tag: str, key: Key, image: Image) -> None:
        self._made.note(judged.of[0], MadeImage(image.id, tag, key))

    async def _run_job(self, key: Key, job: Job) -> None:
        judged = self._judged(key)
        assert judged is not None
        assert judged.task is not None
        task = judged.task
        tag = image_of(task.header.outcome)
        try:
            if isinstance(task.body, BuildBody):
                network = None if judged.granted.build_network else "none"
                spec = BuildSpec(
                    tag,
                    task.body.dockerfile,
                    task.body.context,
                    network,
                    labels(self._site.swop, key),
                    judged.granted.terms.memory_bytes,
                    judged.granted.build_minutes,
                )
                self._note(judged, tag, key, await self._runtime.build(spec))
                log.info("SWOPBuildTask: build task completed", image=tag)
            elif isinstance(task.body, PullBody):
                login = await asyncio.to_thread(self._login, task.body)
                self._note(judged, tag, key, await self._runtime.pull(pulled_name(task.body), login, tag))
            elif isinstance(task.body, ContentBody):
                with workplace(self._scratch) as folder:
                    await make(task.body, folder, judged.granted.may_fetch)
                    for volume in content_volumes(task, self._profile):
                        await self._runtime.fill_volume(volume, folder, labels(self._site.swop, key))
            job.result = Result(True, exit_code=0)
        except OperatorFault as fault:
            job.result = self._failed(key, fault) or Result(False, Why.DAEMON_GONE, fault=Why.DAEMON_GONE.value)
        except Exception as error:  # whatever a task's text or a server did: its operators hear of it
            log.exception("a task failed in a way that nobody thought of", pair=key.pair)
            job.result = Result(False, fault=type(error).__name__)
        finally:
            job.state = WorkState.EXITED


_ANY = Key(NO_DIGEST, 0, 0)
