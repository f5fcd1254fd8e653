"""A SWOP's parts put together over one chain client, one journal and one container runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swarm.chain.client import ChainClient
from swarm.chain.keys import SignatureVerifier
from swarm.chain.membership import Membership
from swarm.chain.taskrunners import Taskrunners
from swarm.chain.tasks import Tasks
from swarm.core.errors import OperatorFault
from swarm.core.ids import Digest
from swarm.core.swop.pairs import Site
from swarm.core.swop.policy import Policy
from swarm.core.taskrun.passes import Rules
from swarm.core.taskstatements import runner_id
from swarm.core.tasktext.profile import Profile
from swarm.node.joining import Swarm
from swarm.obs.waits import Waits
from swarm.store.journal import Journal

from .follower import Follower
from .hands import Hands
from .judging import Judge
from .keeping import Keeping, Kept, Made
from .logins import login_of
from .ownmounts import OwnMounts
from .runtime import ContainerRuntime
from .sighting import Sighting
from .texts import Texts

FRESH_SECONDS = 30.0
"""On a chain that is sealed by the clock nothing is decided on a head that is older."""


@dataclass(frozen=True, slots=True)
class Here:
    """What a SWOP is given of its host.

    Args:
        policy: as it is now.
        own_paths: of this host: keys and state, which nothing may mount.
        usr_dir: of the site's files, which a task may name (a registry's login).
        turn: leave the SN for another one, because of what it shows.
    """

    runtime: ContainerRuntime
    profile: Profile
    site: Site
    policy: Callable[[], Policy]
    own_paths: tuple[str, ...]
    turn: Callable[[str], Awaitable[Any]]
    usr_dir: Path
    may_stay_alone: bool = False
    keep_containers: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    follower: Follower
    hands: Hands
    texts: Texts
    runners: Taskrunners
    runner: Digest


async def assembled(client: ChainClient, swarm: Swarm, journal: Journal, here: Here, waits: Waits) -> Parts:
    """All parts of a SWOP that is a member already.

    Raises:
        OperatorFault: there is no task runner of the profile's name.
        ChainFault: the SN does not answer.
    """
    runners = Taskrunners(client, swarm.contracts[Taskrunners.CONTRACT])
    tasks = Tasks(client, swarm.contracts[Tasks.CONTRACT])
    membership = Membership(client, swarm.membership)
    name = here.profile.taskrunner
    runner = runner_id(name)
    if await runners.name_of(runner) != name:
        raise OperatorFault(f"there is no task runner {name!r} in this swarm; an operator makes it (CREATE TASKRUNNER)")
    depth = swarm.settles_blocks
    rules = Rules(float(await runners.lease_seconds()), FRESH_SECONDS if swarm.can_reorganise else None)
    made = Made(journal)
    texts = Texts(journal, here.site.secrets.values())
    sighting = Sighting(runners, membership, runner, client.address, depth)
    judge = Judge(
        runners,
        tasks,
        SignatureVerifier(),
        here.runtime,
        here.profile,
        here.site,
        here.policy,
        made,
        here.own_paths,
        OwnMounts(here.runtime, here.usr_dir, here.own_paths),
    )
    follower = Follower(runners, runner, rules, sighting, judge, Keeping(journal), waits, client.waker, here.turn)
    hands = Hands(
        here.runtime,
        here.profile,
        here.site,
        texts,
        follower.judged,
        journal.path.parent / "content",
        partial(login_of, secrets=here.site.secrets, usr_dir=here.usr_dir),
        made,
        may_stay_alone=here.may_stay_alone,
        kept=Kept(journal) if here.keep_containers else None,
    )
    follower.hands = hands
    return Parts(follower, hands, texts, runners, runner)
