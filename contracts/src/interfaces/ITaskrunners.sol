// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {ITasks} from "./ITasks.sol";

/// @title Taskrunners: who runs which task, and how it ended.
/// @notice docs/tasks.md. A runner is a queue of length one. An assignment is one task given once to one runner; all calls
///         about it quote its id `aid` = keccak256(abi.encode(runner, assigner, key)), so that none ever counts for another.
///         A peer is a SWOP. Its pairs are numbered from 0; what is no RUN_SWARM task has one.
interface ITaskrunners {
    /// @notice What is shown of a runner. Error also while other pairs run on (`open` is not 0 then).
    enum State {
        Idle,
        Assigned,
        Running,
        Error,
        Complete
    }

    enum Phase {
        None,
        Assigned,
        Running,
        Ended
    }

    /// @notice How an assignment ended. TooFew: it did not start in time. Expired: no peer with an open pair was heard.
    enum Outcome {
        None,
        Complete,
        Failed,
        Declined,
        TooFew,
        Expired,
        Aborted,
        Reset
    }

    /// @notice None: not allotted. Lost: open when the assignment expired. Stopped: open when it was aborted or reset.
    enum PairState {
        None,
        Allotted,
        Started,
        Succeeded,
        Failed,
        Lost,
        Stopped
    }

    /// @notice Named: was named by `assign`, no word yet. Invited: by `invite`. In: its pairs are allotted.
    ///         Out: it had enrolled, and the start left it out.
    enum PeerState {
        None,
        Named,
        Enrolled,
        Declined,
        Invited,
        In,
        Out
    }

    /// @notice What an assigner asks for, and signs.
    /// @param prereq id of the final task that the task's prereq means here: any version of that name.
    /// @param n with `named` empty: pairs (RUN_SWARM) or SWOPs wanted, 1-250; else 0.
    /// @param named ascending, at most 64: all of these, each with all it offers.
    /// @param expect how many SWOPs the assigner saw: their answers are waited for, 5 s at most; 0-250.
    /// @param enrolSeconds how long enrolment may take, 10 s to a day.
    struct Order {
        bytes32 key;
        bytes32 task;
        bytes32 prereq;
        uint32 n;
        address[] named;
        uint32 expect;
        uint32 enrolSeconds;
    }

    /// @param op counts the runner's assignments, for people: after a reorganisation it can be another one's.
    /// @param heard block time of the last word of a peer that waits for the start or has an open pair.
    /// @param suspected block time at which somebody suspected it, 0 if nobody did since a peer was heard.
    /// @param offered pairs offered by those enrolled. @param allotted pairs given out; then open + succeeded + failed.
    /// @param endedBy who sent what ended it. @param why what that one said. @param resetTime 0 until it was reset.
    struct Assignment {
        bytes32 aid;
        bytes32 runner;
        uint64 op;
        Phase phase;
        Outcome outcome;
        address by;
        bytes32 key;
        bytes32 task;
        bytes32 prereq;
        ITasks.TaskType taskType;
        uint32 n;
        uint32 named;
        uint32 expect;
        uint32 enrolSeconds;
        uint32 peers;
        uint32 enrolled;
        uint32 declined;
        uint32 offered;
        uint32 swops;
        uint32 allotted;
        uint32 open;
        uint32 succeeded;
        uint32 failed;
        uint64 assignedBlock;
        uint64 assignedTime;
        uint64 startedBlock;
        uint64 startedTime;
        uint64 endedBlock;
        uint64 endedTime;
        uint64 heard;
        uint64 suspected;
        uint64 suspectedBlock;
        address endedBy;
        address resetBy;
        uint64 resetTime;
        string why;
    }

    /// @param fault why it declined, at most 31 bytes. @param textHash of the text that stays at the site.
    /// @param started bit map of its pairs that it said to have started, of the present attempt.
    struct Peer {
        address swop;
        PeerState state;
        bool named;
        uint32 offer;
        uint32 allotted;
        uint32 open;
        uint32 failed;
        uint32 attempt;
        uint64 heard;
        uint256 started;
        bytes31 fault;
        bytes32 textHash;
    }

    /// @param attempt of the last result, or of the one awaited.
    /// @param sl address of the pair's SL, and the run that it joined last: 0 if it never joined one.
    struct Pair {
        PairState state;
        uint32 attempt;
        int32 exitCode;
        uint64 time;
        bytes31 fault;
        bytes32 textHash;
        address sl;
        uint64 run;
        bytes32 job;
    }

    struct Report {
        uint32 pair;
        bool ok;
        int32 exitCode;
        bytes31 fault;
        bytes32 textHash;
        address sl;
        uint64 run;
        bytes32 job;
    }

    struct Follower {
        address swop;
        uint32 pairs;
        uint64 since;
        bool active;
    }

    event RunnerCreated(bytes32 indexed runner, string name, address by);
    event Followed(bytes32 indexed runner, address indexed swop, uint32 pairs);
    event Unfollowed(bytes32 indexed runner, address indexed swop);
    /// @param r and `vs`: the assigner's compact EIP-712 signature of the order; no contract looks at it, every SWOP does.
    event Assigned(
        bytes32 indexed runner, bytes32 indexed aid, address indexed by, uint64 op, Order order, bytes32 r, bytes32 vs
    );
    event AssignedBefore(bytes32 indexed runner, bytes32 indexed aid, uint64 op);
    event Enrolled(bytes32 indexed aid, address indexed swop, uint32 offer);
    event Declined(bytes32 indexed aid, address indexed swop, bytes31 fault, bytes32 textHash);
    event Started(bytes32 indexed aid, address[] swops, uint32[] given);
    event Reported(bytes32 indexed aid, address indexed swop, uint32 attempt, Report report);
    event ReportedLate(bytes32 indexed aid, address indexed swop, uint32 attempt, Report[] reports);
    event Invited(bytes32 indexed aid, address indexed swop, uint32 attempt, address by);
    event Suspected(bytes32 indexed aid, address by, uint64 heard);
    event Ended(bytes32 indexed runner, bytes32 indexed aid, Outcome outcome, address by, string why);
    event ResetDone(bytes32 indexed runner, bytes32 indexed aid, address by, bool forced);

    error RunnerUnknown(bytes32 runner);
    error RunnerExists(bytes32 runner);
    error RunnerBadName(uint256 characters, uint256 charactersMax, uint256 bytesLength, uint256 bytesMax);
    error RunnerTooMany(uint256 runners, uint256 runnersMax);
    error RunnerBadLease(uint256 seconds_, uint256 secondsMin, uint256 secondsMax);
    /// @notice A number of the call is out of its bounds; `what` names it.
    error RunnerBadCount(string what, uint256 given, uint256 min, uint256 max);
    error RunnerOrder(uint256 index);
    error RunnerFull(string what, uint256 count, uint256 max);
    error RunnerBusy(bytes32 aid, uint64 op, State state);
    error RunnerNotBusy(bytes32 aid, Outcome outcome);
    error RunnerNotCurrent(bytes32 aid, bytes32 current);
    error RunnerWrongPhase(bytes32 aid, Phase phase);
    error RunnerKeyReused(bytes32 aid);
    error RunnerTaskNotFinal(bytes32 task);
    error RunnerTaskNotRunnable(bytes32 task);
    error RunnerWrongPrereq(bytes32 task, bytes32 prereq);
    error RunnerNotFollower(address swop);
    error RunnerNotNamed(address swop);
    error RunnerNotEnrolled(address swop);
    error RunnerNotIn(address swop);
    error RunnerNotReady(uint256 offered, uint256 wanted);
    error RunnerWrongAttempt(uint32 attempt, uint32 current);
    error RunnerReported(uint32 pair, uint32 attempt);
    error RunnerPairsOpen(address swop, uint32 open);
    error RunnerNothingFailed(address swop);
    error RunnerNothingOpen(address swop);
    /// @notice Too early: not before that block time, and not before that block. 0: suspect it first.
    error RunnerNotDue(uint256 time, uint256 block_);

    // ---- runners and who follows them ---------------------------------------------------------------

    /// @notice Registers a runner. Members of role SN or SWCI only, at most 100 by one of them and 10,000 in all. Name:
    ///         1-160 characters, 640 bytes.
    function createRunner(string calldata name) external returns (bytes32 runner);

    /// @notice Listens to a runner with so many pairs (1-250); again: with another number. Members of role SWOP only, for
    ///         themselves, at most 250; of a full list those who are no active members any more make room.
    function follow(bytes32 runner, uint32 count) external;

    /// @notice Stops listening; nothing if it did not.
    function unfollow(bytes32 runner) external;

    // ---- operators: members of role SN or SWCI ------------------------------------------------------

    /// @notice Gives a final task to a runner that is not busy. The same order under the same key again: nothing but the
    ///         event AssignedBefore. An assignment that did not start in its time is ended first.
    function assign(bytes32 runner, Order calldata order, bytes32 r, bytes32 vs) external returns (bytes32 aid);

    /// @notice While it runs: lets a follower join (attempt 1; it then enrols), or has a peer with failed and no open pairs
    ///         run the failed ones again (attempt = its last + 1).
    function invite(bytes32 runner, bytes32 aid, address swop, uint32 attempt) external;

    /// @notice Ends a busy assignment as an error. @param why at most 160 bytes.
    function abort(bytes32 runner, bytes32 aid, string calldata why) external;

    /// @notice Makes the runner Idle; a busy assignment is ended by force only.
    function reset(bytes32 runner, bytes32 aid, bool force) external;

    // ---- peers: members of role SWOP, for themselves ------------------------------------------------

    /// @notice Offers so many pairs (1-250; 1 if it is no RUN_SWARM task) while it is Assigned, again: another number; at
    ///         most 64 SWOPs. While it runs: those invited only, whose pairs are allotted at once.
    function enrol(bytes32 runner, bytes32 aid, uint32 offer) external;

    /// @notice "Not here, because": takes an enrolment or an invitation back. Of one that was named by `assign` it ends the
    ///         assignment. The same again: nothing. @param fault a short name of the reason, padded with 0.
    function decline(bytes32 runner, bytes32 aid, bytes31 fault, bytes32 textHash) external;

    /// @notice Fixes the allotment, by an enrolled SWOP: once all named ones are in; or offers reach n, and `expect` SWOPs
    ///         have answered or 5 s have passed. Who is no active member or was silent for a lease does not count.
    ///         One pair at a time, by ascending address, until n are given; named ones get all they offered.
    function start(bytes32 runner, bytes32 aid) external;

    /// @notice "I am here": of a SWOP that waits for the start or has open pairs, every third of a lease.
    /// @param started bit map of the pairs that it has started.
    function renew(bytes32 runner, bytes32 aid, uint256 started) external;

    /// @notice Results of 1-16 pairs of the current attempt. The same again: nothing. The last one ends the assignment.
    ///         For an assignment that has ended: the event ReportedLate, nothing else.
    function report(bytes32 runner, bytes32 aid, uint32 attempt, Report[] calldata reports) external;

    // ---- any active member --------------------------------------------------------------------------

    /// @notice Notes that no peer with an open pair was heard for a lease; any word of one takes it back.
    function suspect(bytes32 runner, bytes32 aid) external;

    /// @notice Ends a suspected assignment a quarter lease and graceBlocks later; or one that was not started within its
    ///         enrolSeconds and graceBlocks.
    function expire(bytes32 runner, bytes32 aid) external;

    // ---- views --------------------------------------------------------------------------------------

    /// @notice What is shown of a runner, whether it is busy, and its current assignment (aid 0: Idle).
    function state(bytes32 runner) external view returns (State shown, bool busy, Assignment memory current);

    /// @notice The record of an assignment of any runner; it outlives resets.
    function assignment(bytes32 aid) external view returns (Assignment memory);

    /// @notice All that a SWOP polls: the runner's current assignment, itself in it, and its pairs.
    function mine(bytes32 runner, address swop)
        external
        view
        returns (Assignment memory current, Peer memory peer, Pair[] memory found);

    /// @notice Who was named, enrolled, declined or was invited, in order of the first word; pages of at most 64.
    function peers(bytes32 aid, uint256 from, uint256 count) external view returns (Peer[] memory);

    /// @notice The pairs of one peer; pages of at most 64.
    function pairs(bytes32 aid, address swop, uint256 from, uint256 count) external view returns (Pair[] memory);

    /// @notice A runner's assignments by op, `from` 1 on; pages of at most 64.
    function history(bytes32 runner, uint256 from, uint256 count) external view returns (Assignment[] memory);

    /// @notice Runners in order of creation; pages of at most 64.
    function runners(uint256 from, uint256 count) external view returns (bytes32[] memory ids, string[] memory names);

    /// @notice Who follows a runner; pages of at most 64.
    function followers(bytes32 runner, uint256 from, uint256 count) external view returns (Follower[] memory);

    /// @notice How many assignments have been given to a runner, and how many SWOPs follow it.
    function counts(bytes32 runner) external view returns (uint64 ops, uint256 followers_);

    /// @notice The name of a runner; empty if there is no such runner.
    function nameOf(bytes32 runner) external view returns (string memory);

    /// @notice How many assignments wait for a start or are suspected: those that block time must go on for.
    function waiting() external view returns (uint64);

    /// @notice Seconds of block time after which a silent peer may be suspected; of the deployment.
    function leaseSeconds() external view returns (uint256);

    /// @notice Blocks that must pass as well before an assignment expires: as many as fit into a lease at one in 12
    ///         seconds, at least 2, at most 10.
    function graceBlocks() external view returns (uint256);

    function tasks() external view returns (ITasks);

    /// @notice The Membership contract this one asks.
    function membership() external view returns (address);
}
