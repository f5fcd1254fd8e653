"""EXPLAIN: what an error means, whose fault it is, and what to do; by its name or the text that it was printed with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from swarm.core.errors import OperatorFault, Reverted, SwarmFault
from swarm.core.shown import shown


@dataclass(frozen=True, slots=True)
class Explained:
    """Args: means: one sentence; whose: fault; mend: what to do."""

    means: str
    whose: str
    mend: str


OPERATOR, PEER, CHAIN, NOBODY, PROGRAM = "the operator's", "another node's", "the chain's", "nobody's", "the program's"
_BEHIND = Explained(
    "a node's statement about a round does not fit what the chain has recorded",
    PEER,
    "nothing: the nodes settle it by themselves; if it comes again and again, compare versions and clocks",
)
_BOUND = Explained("a text or list is beyond its bound; the error names both numbers", OPERATOR, "give a shorter one")
_OWNER = Explained("the caller does not own this contract", OPERATOR, "send it from the SN that owns it (the sentinel)")

BY_NAME: Mapping[str, Explained] = {
    "MembershipNotActive": Explained(
        "the caller is no active member: never admitted, suspended, revoked or expired",
        OPERATOR,
        "see STATUS; join again, renew the certificate, or have an SN's operator approve or resume it",
    ),
    "MembershipNotAllowed": Explained(
        "the caller is a member, in a role that may not do this; the error names the role that may",
        OPERATOR,
        "use a certificate of that role: swci (or sn) for tasks, runners, contracts and resets",
    ),
    "MembershipNotAdmitter": Explained(
        "only SNs that the swarm's owner named admitters may do this", OPERATOR, "do it at an SN that is one"
    ),
    "MembershipUnknown": Explained("no member has this address", OPERATOR, "compare it with LIST NODES or STATUS"),
    "MembershipAlready": Explained("this node is a member already", NOBODY, "nothing: it can take part"),
    "MembershipKeyTaken": Explained(
        "this certificate's key belongs to another member",
        OPERATOR,
        "every node needs a certificate of its own",
    ),
    "MembershipOwner": Explained(
        "the owner of the contracts has no heir: nobody could pass its rights on",
        OPERATOR,
        "give that node its state folder again (--state-dir)",
    ),
    "MembershipBadRole": Explained("no such role", OPERATOR, "take one of sn, sl, swci, swop"),
    "MembershipExpiryPast": Explained(
        "the membership would end before it begins", OPERATOR, "renew the certificate; compare the clocks"
    ),
    "MembershipWrongStatus": Explained(
        "the member's status does not allow this step", OPERATOR, "see STATUS: resume, revoke or admit it first"
    ),
    "MembershipGrantFailed": Explained(
        "the admission grant could not be paid", CHAIN, "see the balance of the SN that admits"
    ),
    "MembershipOverlapTooLong": _BOUND,
    "MembershipEmptyKey": Explained("no certificate key was named", PEER, "join again with a whole certificate"),
    "MembershipNotSn": Explained(
        "only SNs announce an address", PEER, "nothing, unless the certificate's role is wrong"
    ),
    "MembershipAnnouncedTooOften": Explained(
        "an SN announced itself twice within a short time", NOBODY, "nothing: it does so again later"
    ),
    "MembershipUriTooLong": _BOUND,
    "MembershipEnodeTooLong": _BOUND,
    "ReentrancyGuardReentrantCall": Explained(
        "a contract was entered twice in one transaction", PEER, "report it: no node of this platform does that"
    ),
    "OwnableUnauthorizedAccount": _OWNER,
    "OwnableInvalidOwner": Explained("that address can own nothing", OPERATOR, "name a member's address"),
    "DirectoryUnknownName": Explained(
        "the swarm's Directory has no contract of that name",
        CHAIN,
        "the swarm is of another version: see docs/chain.md",
    ),
    "DirectoryBadEntry": Explained("an entry of the Directory cannot be", CHAIN, "name a contract that is deployed"),
    "TrainingUnknownJob": Explained(
        "no training contract has this name", OPERATOR, "LIST CONTRACTS shows them; CREATE CONTRACT makes one"
    ),
    "TrainingJobExists": Explained("there is a training contract of that name", NOBODY, "use it as it is"),
    "TrainingBadName": Explained("a contract's name has 1 to 160 bytes", OPERATOR, "choose another name"),
    "TrainingTooManyJobs": Explained(
        "the swarm has as many training contracts as it may", OPERATOR, "use one of them again: RESET CONTRACT"
    ),
    "TrainingWrongPhase": Explained(
        "the contract's run is in a phase that does not allow this step",
        OPERATOR,
        "GET CONTRACT STATUS tells the phase; RESET CONTRACT opens the next run",
    ),
    "TrainingWrongRun": Explained(
        "this is about another run than the present one", PEER, "start the program again: it joins the present run"
    ),
    "TrainingMinPeersZero": Explained("minPeers must be 1 or more", PROGRAM, "mend the program's minPeers"),
    "TrainingMinPeersAboveRun": Explained(
        "this site asks for more peers than the run was begun with",
        PROGRAM,
        "give all sites the same minPeers, then RESET CONTRACT",
    ),
    "TrainingFull": Explained("the run has as many members as one may", OPERATOR, "use a further contract"),
    "TrainingUriTooLong": _BOUND,
    "TrainingAlreadyJoined": Explained("this node is in the run already", NOBODY, "nothing"),
    "TrainingNotJoined": Explained(
        "this node is not in the run, or was left out after a silence", PEER, "start its program again"
    ),
    "TrainingMembersLive": Explained(
        "the run's members are at work; a reset would end their programs",
        OPERATOR,
        "wait for the end (GET CONTRACT STATUS), or RESET CONTRACT <contract> FORCE",
    ),
    "TrainingAlreadyClosed": Explained("this node has reported its end already", NOBODY, "nothing"),
    "TrainingBadRescueAfter": _BOUND,
    "TrainingCallOpen": Explained(
        "a call for absent members is open already", NOBODY, "nothing: it is settled when due"
    ),
    "TrainingCallTooEarly": Explained("a call for absent members is not due yet", NOBODY, "nothing"),
    "TrainingNoCall": Explained("that call is over", NOBODY, "nothing"),
    "TrainingAlreadyAnswered": Explained("this node has answered the call", NOBODY, "nothing"),
    **dict.fromkeys(
        (
            *("TrainingWrongRound", "TrainingWrongPrev", "TrainingWrongRoster", "TrainingWrongLeader"),
            *("TrainingOrder", "TrainingItemNotMember", "TrainingItemSignature", "TrainingItemFlags"),
            *("TrainingAckNotRoster", "TrainingAckSignature", "TrainingTooFewItems", "TrainingTooFewAcks"),
            *("TrainingWrongInputs", "TrainingWrongManifest", "TrainingEmpty"),
        ),
        _BEHIND,
    ),
    "OptionsUnknownJob": Explained("no training contract has this name", OPERATOR, "LIST CONTRACTS shows them"),
    "OptionsRunOpen": Explained(
        "the options of a contract are fixed while its run is open", OPERATOR, "wait for its end, or RESET CONTRACT"
    ),
    "OptionsTooLong": _BOUND,
    "TaskUnknown": Explained("there is no such task or draft", OPERATOR, "LIST TASKS shows them"),
    "TaskNotCreator": Explained("only who created a draft may change it", OPERATOR, "create one of your own"),
    "TaskBadText": _BOUND,
    "TaskBadType": Explained(
        "no such type of task", OPERATOR, "RUN_SWARM, MAKE_USER_CONTAINER, MAKE_SWARM_USER_CONTENT or PULL_IMAGE"
    ),
    "TaskReserved": Explained("ROOTTASK is the chain's own", OPERATOR, "choose another name"),
    "TaskKeyReused": Explained(
        "a draft was begun with other contents under the same key", OPERATOR, "create the task again"
    ),
    "TaskFrozen": Explained(
        "the task is final and cannot be changed", OPERATOR, "CREATE TASK FROM makes its next version"
    ),
    "TaskWhole": Explained(
        "the draft was written as a whole and takes no further lines",
        OPERATOR,
        "mend the file, and CREATE TASK FROM it",
    ),
    "TaskByItems": Explained(
        "the draft was begun line by line and cannot be written as a whole",
        OPERATOR,
        "DELETE TASK, and create it again",
    ),
    "TaskBadBody": Explained("the body is not of the form that was announced", PEER, "report it: SWCI writes it whole"),
    "TaskBadCount": _BOUND,
    "TaskBadItem": _BOUND,
    "TaskTooLong": _BOUND,
    "TaskItemMissing": Explained(
        "a line of the body is missing; the error names its number", OPERATOR, "APPEND TASK BODY, or create it again"
    ),
    "TaskTextDiffers": Explained(
        "what is on chain is not what was signed", OPERATOR, "DELETE TASK, and create it again; another shell was at it"
    ),
    "TaskUnknownPrereq": Explained(
        "no final task has the name of the prereq", OPERATOR, "create and finalize that one first, or name ROOTTASK"
    ),
    "TaskDraftsFull": Explained("as many drafts are open as may be", OPERATOR, "FINALIZE or DELETE some of them"),
    "TaskTooMany": Explained("as many tasks exist as may be", OPERATOR, "use those that are there"),
    "RunnerUnknown": Explained("there is no such task runner", OPERATOR, "LIST TASKRUNNERS shows them"),
    "RunnerExists": Explained("there is a task runner of that name", NOBODY, "use it as it is"),
    "RunnerBadName": Explained("a runner's name has 1 to 160 characters", OPERATOR, "choose another name"),
    "RunnerTooMany": Explained("as many task runners exist as may be", OPERATOR, "use one that is there"),
    "RunnerBadLease": _BOUND,
    "RunnerBadCount": _BOUND,
    "RunnerOrder": Explained("peers were named out of order or twice", PEER, "report it: SWCI sorts them"),
    "RunnerFull": Explained("as many SWOPs take part as may", OPERATOR, "use a further task runner"),
    "RunnerBusy": Explained(
        "the runner has a task that is not over",
        OPERATOR,
        "WAIT FOR TASKRUNNER; ABORT TASKRUNNER, or RESET TASKRUNNER <runner> FORCE, ends it",
    ),
    "RunnerNotBusy": Explained("the runner's task is over", NOBODY, "RESET TASKRUNNER, or assign the next one"),
    "RunnerNotCurrent": Explained(
        "the runner has another assignment by now", NOBODY, "GET TASKRUNNER STATUS tells which; type the command again"
    ),
    "RunnerWrongPhase": Explained(
        "the runner's task is in a phase that does not allow this step", NOBODY, "GET TASKRUNNER STATUS tells which"
    ),
    "RunnerKeyReused": Explained("an assignment was given with other contents under its key", OPERATOR, "assign again"),
    "RunnerTaskNotFinal": Explained("only a final task can be assigned", OPERATOR, "FINALIZE TASK first"),
    "RunnerTaskNotRunnable": Explained("ROOTTASK cannot be run", OPERATOR, "assign another task"),
    "RunnerWrongPrereq": Explained(
        "the prereq got a new version meanwhile, or there is none", OPERATOR, "assign again; GET TASK INFO names it"
    ),
    "RunnerNotFollower": Explained(
        "that SWOP does not listen to this runner", OPERATOR, "its profile names its runner; LIST NODES shows SWOPs"
    ),
    "RunnerNotNamed": Explained("the assignment names other SWOPs", PEER, "nothing: it is not for this one"),
    "RunnerNotEnrolled": Explained("that SWOP has not enrolled", PEER, "LIST TASKRUNNER PEERS shows who has"),
    "RunnerNotIn": Explained("that SWOP has no part in the assignment", PEER, "LIST TASKRUNNER PEERS shows who has"),
    "RunnerNotReady": Explained(
        "fewer pairs are offered than the task wants", OPERATOR, "start more SWOPs, or assign it WITH fewer PEERS"
    ),
    "RunnerWrongAttempt": Explained("a report is about an earlier attempt", PEER, "nothing: it does not count"),
    "RunnerReported": Explained("another result of that pair is recorded", PEER, "nothing: the first one counts"),
    "RunnerPairsOpen": Explained(
        "the SWOP still has pairs at work", OPERATOR, "ASSIGN ... TARGET again when these have ended"
    ),
    "RunnerNothingFailed": Explained("that SWOP has nothing to run again", OPERATOR, "GET TASKRUNNER PEER STATUS"),
    "RunnerNothingOpen": Explained("nothing is open that could be suspected", NOBODY, "nothing"),
    "RunnerNotDue": Explained("it is too early to end a silent assignment", NOBODY, "wait, or ABORT TASKRUNNER"),
    "OutOfGas": Explained("a transaction ran out of its gas", CHAIN, "report it with the command that was typed"),
}
"""Errors of the contracts; a test holds that none is missing."""

_LICENCE = Explained("the original's licence server refuses", OPERATOR, "none is needed here: leave it out")

BY_TEXT: Mapping[str, Explained] = {
    "API server is down": Explained(
        "the SN of this context does not answer", OPERATOR, "start it, or WAIT FOR IP; GET CONTEXT INFO tells why"
    ),
    "Unable to contact API-Server": Explained(
        "the SN of this context does not answer", OPERATOR, "start it, or WAIT FOR IP; GET CONTEXT INFO tells why"
    ),
    "no SN answers": Explained(
        "nobody listens at the address, or it is not reached from here",
        OPERATOR,
        "start the SN, or mend the context's address; WAIT FOR IP waits for it",
    ),
    "no receipt": Explained(
        "the chain has not confirmed a transaction in time", CHAIN, "see STATUS; it is sent again by itself"
    ),
    "no context is in use": Explained(
        "a command needs a swarm, and none was named", OPERATOR, "CREATE CONTEXT, then SWITCH CONTEXT"
    ),
    "CHECKIN NOT ALLOWED": Explained(
        "the contract's run does not take check-ins now", OPERATOR, "GET CONTRACT STATUS; RESET CONTRACT if it is over"
    ),
    "errUidNotMatchingWithEnroll": Explained(
        "a node reports for a task that another one enrolled for", PEER, "RESET TASKRUNNER, and assign the task again"
    ),
    "DESC IS TOO LONG": _BOUND,
    "Error code: 6002": _LICENCE,
    "Error code: 304": _LICENCE,
    "belongs to another running process": Explained(
        "another process of this operator holds the state folder", OPERATOR, "wait for it, or end it"
    ),
}
"""Texts that users search for."""
NEAR_RATIO = 0.6


def told(fault: SwarmFault) -> str:
    """A fault's own text; of a contract's refusal also what it means, and the mend."""
    known = BY_NAME.get(fault.name) if isinstance(fault, Reverted) else None
    return str(fault) if known is None else f"{fault}: {known.means}; {known.mend}"


def explain(error: str) -> list[str]:
    """Three lines about the error that ``error`` names or holds.

    Raises:
        OperatorFault: none of those that are known; names the nearest.
    """
    words = re.findall(r"\w+", error)
    found = next((name for name in BY_NAME if name in words), "") or next(
        (name for name in BY_NAME if name.lower() == error.strip().lower()), ""
    )
    text = "" if found else next((text for text in BY_TEXT if text.lower() in error.lower()), "")
    if not found and not text:
        near = difflib.get_close_matches(error.strip(), [*BY_NAME, *BY_TEXT], n=1, cutoff=NEAR_RATIO)
        mend = f"did you mean {near[0]}?" if near else "docs/operations.md tells what to look at first"
        raise OperatorFault(f"nothing is known of {shown(error)!r}; {mend}")
    one = BY_NAME[found] if found else BY_TEXT[text]
    return [f"{found or text}: {one.means}", f"Fault : {one.whose}", f"Mend  : {one.mend}"]
