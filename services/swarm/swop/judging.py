"""What this site says to an assignment: its signatures, its text, what it needs of this host, and the site's policy.

Owns the order of these looks; the policy decides in :mod:`swarm.core.swop.policy`. A refusal's sentence stays at the
site, the chain gets its class and its hash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from swarm.chain.events import EventDecoder
from swarm.chain.paging import logs_up_to
from swarm.chain.taskevents import Assigned
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks
from swarm.chain.tasksigned import signed_task
from swarm.core.errors import OperatorFault
from swarm.core.ids import NO_DIGEST, Digest, to_hex
from swarm.core.statements import Signature, Verifier
from swarm.core.swop.asked import Asked
from swarm.core.swop.containers import Devices, Mount, MountKind
from swarm.core.swop.content import content_volumes, step_of
from swarm.core.swop.dockerfile import addresses_of, images_of
from swarm.core.swop.pairs import Site, Terms, pair, state_volume
from swarm.core.swop.policy import REFUSED, Granted, Policy, decide
from swarm.core.taskrun.passes import Offer, Refusal
from swarm.core.taskrun.work import Key
from swarm.core.taskstatements import OrderStatement, assignment_id, signed_by
from swarm.core.tasktext.layout import slots
from swarm.core.tasktext.model import (
    BuildBody,
    ContentBody,
    Header,
    PullBody,
    RunBody,
    Task,
    TaskType,
    environment,
    image_of,
)
from swarm.core.tasktext.profile import Profile
from swarm.core.tasktext.reading import read
from swarm.core.tasktext.secrets import named_secrets
from swarm.core.tasktext.typed import from_lines
from swarm.core.taskview import Assignment, TaskInfo
from swarm.obs import log as obs_log

from .keeping import Made
from .runtime import ContainerRuntime, RuntimeFault, Trouble

log = obs_log.get("swarm.SWOP")

UNSIGNED, UNREADABLE, UNFIT = "NotSigned", "TaskUnreadable", "ProfileUnfit"
PREREQ_MISSING = "PrereqMissing"


NOTHING = Granted()


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found out about an assignment.

    Args:
        said: to the pass.
        text: why not; empty for an offer.
        task, image, granted: what is needed to carry it out; image: id of the one that a RUN_SWARM task runs.
    of: the task and the prerequisite that the order names.
    """

    said: Offer | Refusal
    text: str = ""
    task: Task | None = None
    image: str = ""
    granted: Granted = NOTHING
    of: tuple[Digest, Digest] = (NO_DIGEST, NO_DIGEST)


class Judge:
    """Args: policy: as it is now, so that a new file counts at once; own_mounts: of this SWOP's container."""

    def __init__(
        self,
        runners: Taskrunners,
        tasks: Tasks,
        verifier: Verifier,
        runtime: ContainerRuntime,
        profile: Profile,
        site: Site,
        policy: Callable[[], Policy],
        made: Made,
        own_paths: tuple[str, ...],
        own_mounts: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._runners, self._tasks, self._verifier, self._runtime = runners, tasks, verifier, runtime
        self._profile, self._site, self._policy, self._made = profile, site, policy, made
        volumes = tuple(state_volume(profile, node) for node in profile.nodes)
        identity = tuple(one.source for node in profile.nodes for one in node.identity)
        self._own, self._own_mounts = (*own_paths, *volumes, *identity), own_mounts

    async def judge(self, current: Assignment) -> Judged:
        """An offer, or a refusal with its sentence.

        Raises:
            ChainFault: the SN does not answer, or contradicts itself: nothing is said then.
            TaskUnsigned: it shows a task that its creator did not sign: :func:`unsigned` is said if it goes on so.
            RuntimeFault: the container engine does not answer.
        """
        found = await self._found(current)
        return replace(found, of=(current.task, current.prereq))

    async def _found(self, current: Assignment) -> Judged:
        if not await self._ordered(current):
            return _refused(UNSIGNED, f"assignment {to_hex(current.aid)} is not signed by {to_hex(current.by)}")
        info = await signed_task(self._tasks, current.task, self._verifier)
        prereq = await signed_task(self._tasks, current.prereq, self._verifier)
        if prereq.header.name != info.header.prereq:
            return _refused(UNSIGNED, f"the order names {prereq.header.name} where the task needs {info.header.prereq}")
        task = None
        try:
            task = await self._read(current.task, info)
            return await self._looked_at(task, info, current.prereq, prereq)
        except RuntimeFault as fault:
            if fault.trouble is Trouble.DAEMON_GONE:
                raise
            return _refused(fault.trouble, str(fault), task)
        except OperatorFault as fault:
            return _refused(getattr(fault, "trouble", UNFIT), str(fault), task)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            # Another site's text found a hole here: that is no reason for this node to end.
            log.exception("a task could not be looked at", task=to_hex(current.task))
            return _refused(UNREADABLE, f"the task cannot be understood here: {error!r:.200}", task)

    async def _ordered(self, current: Assignment) -> bool:
        """Whether who assigned it signed this very order."""
        if assignment_id(current.runner, current.by, current.key) != current.aid:
            return False
        decode = EventDecoder({self._runners.CONTRACT: self._runners.address})
        at = current.assigned_block
        async for log in logs_up_to(self._runners.client.rpc, at, [self._runners.address], [], first=at):
            event = decode(log)
            if isinstance(event, Assigned) and event.aid == current.aid:
                order = event.order
                same = (order.task, order.prereq, order.key) == (current.task, current.prereq, current.key)
                statement = OrderStatement(current.runner, order)
                signature = Signature(event.r, event.vs)
                who = signed_by(statement, self._runners.domain, signature, self._verifier)
                return same and who == current.by
        return False

    async def _read(self, task: Digest, info: TaskInfo) -> Task:
        body = await self._tasks.body(task, info)
        known = info.header
        header = Header(TaskType[known.task_type.name], known.name, known.author, known.prereq, known.outcome)
        lines = [line.decode("utf-8", "replace") for line in body.lines]
        reading = read(body.text, plain_secrets=True) if body.chunks else from_lines(header, lines, plain_secrets=True)
        if reading.value is None:
            raise _Unreadable(f"the task {known.name} cannot be read: {reading.findings[0].text}")
        if reading.value.header != header or (body.chunks and slots(reading.value) != lines):
            raise _Unreadable(f"the text of {known.name} says something else than its header and lines on the chain")
        return reading.value

    async def _looked_at(self, task: Task, info: TaskInfo, prereq_id: Digest, prereq: TaskInfo) -> Judged:
        image, bases, urls = "", tuple[str, ...](), tuple[str, ...]()
        values = list(environment(task).values())
        mounts: list[Mount] = []
        options: list[Devices] = []
        if isinstance(task.body, ContentBody):
            for operation in task.body.operations:
                step_of(operation)
            volumes = content_volumes(task, self._profile)
            if not volumes:
                return _refused(UNFIT, "this site's profile has no nodes, and SWARMCONTENT is a volume for each", task)
            mounts += [Mount(MountKind.VOLUME, volume, "/") for volume in volumes]
        if isinstance(task.body, BuildBody):
            bases, urls = images_of(task.body.dockerfile), addresses_of(task.body.dockerfile)
            if task.body.context is not None:
                mounts.append(Mount(MountKind.VOLUME, task.body.context, "/"))
        if isinstance(task.body, RunBody):
            name, known = image_of(prereq.header.outcome), self._made.of(prereq_id)
            found = await self._runtime.image(name if known is None else known.id)
            if found is None:
                return _refused(
                    PREREQ_MISSING,
                    f"the image {name} is not on this host: run the task {prereq.header.name} here first",
                    task,
                )
            image, bases = found.id, () if known is not None else (name,)
            if not self._profile.nodes:
                return _refused(UNFIT, "this site's profile has no nodes: it can build and pull, and run nothing")
            for number, node in enumerate(self._profile.nodes):
                key = Key(Digest(bytes(32)), number, 1)
                made = pair(self._site, self._profile, node, task, image, key, Terms())
                mounts += made.ml.mounts[1:]
                options.append(made.ml.devices)
        if isinstance(task.body, PullBody) and isinstance(task.body.auth, str):
            values.append(task.body.auth)
        if isinstance(task.body, BuildBody | PullBody):
            await self._refuse_strangers_name(image_of(task.header.outcome))
        secrets = tuple(named_secrets(values))
        own = (*self._own, *await self._own_mounts())
        asked = Asked(task, info.creator, bases, tuple(mounts), tuple(options), own, urls, secrets, info.root)
        granted = decide(self._policy(), asked)
        if isinstance(granted, str):
            return _refused(REFUSED, granted, task)
        offer = len(self._profile.nodes) if isinstance(task.body, RunBody) else 1
        return Judged(Offer(offer), task=task, image=image, granted=granted)

    async def _refuse_strangers_name(self, name: str) -> None:
        """A task may give its image no name that something else has here, the image of SLs before all."""
        own = self._site.sl_image if ":" in self._site.sl_image.rpartition("/")[2] else f"{self._site.sl_image}:latest"
        if name == own or (name not in self._made.names() and await self._runtime.image(name) is not None):
            raise OperatorFault(
                f"the image {name} is on this host and no task made it: remove it (docker rmi {name}), or let the task"
                " have another Outcome"
            )


def unsigned(current: Assignment, why: str) -> Judged:
    """What is said to an assignment of a task that nobody signed."""
    return replace(_refused(UNSIGNED, why), of=(current.task, current.prereq))


class _Unreadable(OperatorFault):
    trouble = UNREADABLE


def _refused(fault: str, text: str, task: Task | None = None) -> Judged:
    return Judged(Refusal(str(fault), Digest(sha256(text.encode()).digest())), text, task)
