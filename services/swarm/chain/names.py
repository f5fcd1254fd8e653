"""Names of the contracts' custom errors, and the rule from ABI names to Python names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum


def snake(name: str) -> str:
    """camelCase to snake_case; a trailing underscore that only dodges a Solidity keyword goes."""
    return re.sub(r"(?<!^)(?<!_)([A-Z])", r"_\1", name).lower().rstrip("_")


class OwnedError(StrEnum):
    UNAUTHORIZED_ACCOUNT = "OwnableUnauthorizedAccount"
    INVALID_OWNER = "OwnableInvalidOwner"


class DirectoryError(StrEnum):
    UNKNOWN_NAME = "DirectoryUnknownName"
    BAD_ENTRY = "DirectoryBadEntry"


class MembershipError(StrEnum):
    NOT_ADMITTER = "MembershipNotAdmitter"
    UNKNOWN = "MembershipUnknown"
    ALREADY = "MembershipAlready"
    KEY_TAKEN = "MembershipKeyTaken"
    BAD_ROLE = "MembershipBadRole"
    EXPIRY_PAST = "MembershipExpiryPast"
    WRONG_STATUS = "MembershipWrongStatus"
    GRANT_FAILED = "MembershipGrantFailed"
    OVERLAP_TOO_LONG = "MembershipOverlapTooLong"
    EMPTY_KEY = "MembershipEmptyKey"
    OWNER = "MembershipOwner"
    NOT_SN = "MembershipNotSn"
    ANNOUNCED_TOO_OFTEN = "MembershipAnnouncedTooOften"
    URI_TOO_LONG = "MembershipUriTooLong"
    ENODE_TOO_LONG = "MembershipEnodeTooLong"
    REENTRANT = "ReentrancyGuardReentrantCall"


class GuardError(StrEnum):
    """Of every contract that asks Membership who the caller is."""

    NOT_ACTIVE = "MembershipNotActive"
    NOT_ALLOWED = "MembershipNotAllowed"


class TrainingError(StrEnum):
    UNKNOWN_JOB = "TrainingUnknownJob"
    JOB_EXISTS = "TrainingJobExists"
    BAD_NAME = "TrainingBadName"
    TOO_MANY_JOBS = "TrainingTooManyJobs"
    WRONG_PHASE = "TrainingWrongPhase"
    WRONG_RUN = "TrainingWrongRun"
    MIN_PEERS_ZERO = "TrainingMinPeersZero"
    MIN_PEERS_ABOVE_RUN = "TrainingMinPeersAboveRun"
    FULL = "TrainingFull"
    URI_TOO_LONG = "TrainingUriTooLong"
    ALREADY_JOINED = "TrainingAlreadyJoined"
    NOT_JOINED = "TrainingNotJoined"
    WRONG_ROUND = "TrainingWrongRound"
    WRONG_PREV = "TrainingWrongPrev"
    WRONG_ROSTER = "TrainingWrongRoster"
    WRONG_LEADER = "TrainingWrongLeader"
    ORDER = "TrainingOrder"
    ITEM_NOT_MEMBER = "TrainingItemNotMember"
    ITEM_SIGNATURE = "TrainingItemSignature"
    ITEM_FLAGS = "TrainingItemFlags"
    ACK_NOT_ROSTER = "TrainingAckNotRoster"
    ACK_SIGNATURE = "TrainingAckSignature"
    TOO_FEW_ITEMS = "TrainingTooFewItems"
    TOO_FEW_ACKS = "TrainingTooFewAcks"
    WRONG_INPUTS = "TrainingWrongInputs"
    WRONG_MANIFEST = "TrainingWrongManifest"
    EMPTY = "TrainingEmpty"
    CALL_OPEN = "TrainingCallOpen"
    CALL_TOO_EARLY = "TrainingCallTooEarly"
    NO_CALL = "TrainingNoCall"
    ALREADY_ANSWERED = "TrainingAlreadyAnswered"
    MEMBERS_LIVE = "TrainingMembersLive"
    ALREADY_CLOSED = "TrainingAlreadyClosed"
    BAD_RESCUE_AFTER = "TrainingBadRescueAfter"


class OptionsError(StrEnum):
    UNKNOWN_JOB = "OptionsUnknownJob"
    RUN_OPEN = "OptionsRunOpen"
    TOO_LONG = "OptionsTooLong"


class TaskError(StrEnum):
    UNKNOWN = "TaskUnknown"
    NOT_CREATOR = "TaskNotCreator"
    BAD_TEXT = "TaskBadText"
    BAD_TYPE = "TaskBadType"
    RESERVED = "TaskReserved"
    KEY_REUSED = "TaskKeyReused"
    FROZEN = "TaskFrozen"
    WHOLE = "TaskWhole"
    BY_ITEMS = "TaskByItems"
    BAD_BODY = "TaskBadBody"
    BAD_COUNT = "TaskBadCount"
    BAD_ITEM = "TaskBadItem"
    TOO_LONG = "TaskTooLong"
    ITEM_MISSING = "TaskItemMissing"
    TEXT_DIFFERS = "TaskTextDiffers"
    UNKNOWN_PREREQ = "TaskUnknownPrereq"
    DRAFTS_FULL = "TaskDraftsFull"
    TOO_MANY = "TaskTooMany"


class RunnerError(StrEnum):
    UNKNOWN = "RunnerUnknown"
    EXISTS = "RunnerExists"
    BAD_NAME = "RunnerBadName"
    TOO_MANY = "RunnerTooMany"
    BAD_LEASE = "RunnerBadLease"
    BAD_COUNT = "RunnerBadCount"
    ORDER = "RunnerOrder"
    FULL = "RunnerFull"
    BUSY = "RunnerBusy"
    NOT_BUSY = "RunnerNotBusy"
    NOT_CURRENT = "RunnerNotCurrent"
    WRONG_PHASE = "RunnerWrongPhase"
    KEY_REUSED = "RunnerKeyReused"
    TASK_NOT_FINAL = "RunnerTaskNotFinal"
    TASK_NOT_RUNNABLE = "RunnerTaskNotRunnable"
    WRONG_PREREQ = "RunnerWrongPrereq"
    NOT_FOLLOWER = "RunnerNotFollower"
    NOT_NAMED = "RunnerNotNamed"
    NOT_ENROLLED = "RunnerNotEnrolled"
    NOT_IN = "RunnerNotIn"
    NOT_READY = "RunnerNotReady"
    WRONG_ATTEMPT = "RunnerWrongAttempt"
    REPORTED = "RunnerReported"
    PAIRS_OPEN = "RunnerPairsOpen"
    NOTHING_FAILED = "RunnerNothingFailed"
    NOTHING_OPEN = "RunnerNothingOpen"
    NOT_DUE = "RunnerNotDue"


ERRORS: Mapping[str, tuple[type[StrEnum], ...]] = {
    "Directory": (DirectoryError, OwnedError),
    "Membership": (MembershipError, OwnedError, GuardError),
    "TrainingCalls": (TrainingError, GuardError),
    "TrainingCarried": (TrainingError, MembershipError),
    "Training": (TrainingError, GuardError),
    "JobOptions": (OptionsError, GuardError),
    "Tasks": (TaskError, GuardError),
    "TaskrunnersPeers": (RunnerError,),
    "Taskrunners": (RunnerError, GuardError),
}
"""By contract; a test holds it complete. Compare with ``Reverted.name``."""
