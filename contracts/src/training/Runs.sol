// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {Words} from "../lib/Words.sol";

/// @title Runs: storage of jobs and runs, and the steps that Training and its linked library both take.
library Runs {
    using Words for uint256[];

    uint256 private constant NAME_BYTES_MAX = 160;
    uint256 private constant JOBS_MAX = 10_000;

    /// @dev One node's place in one run. `joinedOpening` numbers the opening during which it joined (0: before the
    ///      start), `leftOpening` the one during which it left: while that is the current one, the node was joined
    ///      and active at some time since (0: does not count).
    struct Seat {
        bool eligible;
        bool joined;
        bool closed;
        uint32 order;
        uint32 joinedOpening;
        uint32 leftOpening;
        uint64 joinedBlock;
        uint64 leftBlock;
    }

    struct CallStamp {
        uint64 blockNumber;
        uint64 time;
    }

    struct Merge {
        bytes32 blob;
        uint64 size;
    }

    struct Run {
        ITraining.Phase phase;
        bool started;
        bool rosterStale; // somebody joined or left since the open round's roster was made
        uint32 epoch;
        uint32 minPeers;
        uint32 interval;
        uint64 round;
        uint64 prevSize;
        uint64 openedBlock;
        uint64 openedTime;
        uint32 openings; // rounds opened and reforms so far; numbers the current opening
        uint32 joins; // joins so far; gives founders their order
        uint64 rosterUntil; // first expiry among the open round's roster
        uint64 membershipVersion; // of Membership when the roster was made
        uint64 callId;
        uint64 callBlock;
        uint64 callTime;
        bytes32 prev;
        bytes32 manifest;
        bytes32 roster;
        uint256[] rosterWords;
        uint256[] joined; // words of those joined now, ascending
        uint256[] gone; // words of those who left or were dropped, ascending
        mapping(address node => Seat) seats;
        mapping(address node => CallStamp) lastCalls;
        mapping(uint64 round => Merge) merges;
    }

    struct Job {
        string name;
        uint64 run;
        uint64 calls;
        mapping(uint64 run => Run) runs;
        mapping(uint64 callId => mapping(address node => Answer)) answers;
        bytes32 origin; // genesis of the chain that it was carried over from, 0 if it began here
    }

    enum Answer {
        Silent,
        Training,
        Done
    }

    /// @dev All that Training keeps. `openCalls` counts the jobs whose call is neither settled nor ended.
    struct Ledger {
        mapping(bytes32 job => Job) jobs;
        mapping(address by => uint256) created;
        bytes32[] ids;
        uint64 openCalls;
    }

    /// @dev What was settled at the deployment.
    struct Terms {
        IMembership membership;
        uint256 rescueAfterSeconds;
        uint256 rescueAfterBlocks;
    }

    /// @dev A new job, idle in its run 1. Whether the caller may is decided before.
    function create(Ledger storage ledger, string memory name) internal returns (bytes32 job) {
        uint256 length = bytes(name).length;
        if (length == 0 || length > NAME_BYTES_MAX) revert ITraining.TrainingBadName(length, NAME_BYTES_MAX);
        job = keccak256(bytes(name));
        Job storage entry = ledger.jobs[job];
        if (entry.run != 0) revert ITraining.TrainingJobExists(job);
        if (ledger.ids.length >= JOBS_MAX) revert ITraining.TrainingTooManyJobs(ledger.ids.length, JOBS_MAX);
        entry.name = name;
        entry.run = 1;
        entry.runs[1].phase = ITraining.Phase.Idle;
        ledger.ids.push(job);
        emit ITraining.JobCreated(job, name, msg.sender);
    }

    /// @dev Opens (round, epoch) of the current run with `words` as its roster; round 0 takes its founders so.
    function openWith(Job storage entry, IMembership membership, bytes32 job, uint256[] memory words, uint64 until)
        internal
    {
        Run storage run = current(entry);
        run.rosterWords.assign(words);
        run.roster = words.hash();
        run.rosterUntil = until;
        run.membershipVersion = membership.version();
        // Who is joined but not in these words (a later founder, a silent joiner) enters at the next opening.
        run.rosterStale = words.length != run.joined.length;
        _announce(entry, run, job, words);
    }

    /// @dev Opens the next round. The roster is every joined, active member; it is computed anew only when somebody
    ///      joined, left, expired, or Membership changed since it was last computed: then it cannot be another one.
    function openNext(Job storage entry, IMembership membership, bytes32 job, uint256[] memory words) internal {
        Run storage run = current(entry);
        if (!run.rosterStale && block.timestamp <= run.rosterUntil && membership.version() == run.membershipVersion) {
            _announce(entry, run, job, words);
            return;
        }
        uint64 until;
        (words, until) = joinedAndActive(run, membership);
        openWith(entry, membership, job, words, until);
    }

    /// @return words joined and active now, ascending. @return until the first expiry among them.
    function joinedAndActive(Run storage run, IMembership membership)
        internal
        view
        returns (uint256[] memory words, uint64 until)
    {
        uint256[] memory joined = run.joined;
        words = new uint256[](joined.length);
        uint256 count = 0;
        until = type(uint64).max;
        for (uint256 i = 0; i < joined.length; ++i) {
            uint64 last = membership.activeUntil(Words.nodeOf(joined[i]));
            if (last == 0) continue;
            words[count++] = joined[i];
            if (last < until) until = last;
        }
        words = Words.head(words, count);
    }

    /// @dev Takes the seats of joined nodes (ascending) away, all at once: one by one, dropping half of 250 members
    ///      would not fit a block. They stay in the run's record.
    function unseat(Run storage run, uint256[] memory words, uint32 leftOpening) internal {
        for (uint256 i = 0; i < words.length; ++i) {
            Seat storage seat = run.seats[Words.nodeOf(words[i])];
            seat.joined = false;
            seat.leftBlock = uint64(block.number);
            seat.leftOpening = leftOpening;
        }
        uint256[] memory joined = run.joined;
        run.joined.assign(joined.without(words));
        uint256[] memory gone = run.gone;
        run.gone.assign(gone.merge(words));
        run.rosterStale = true;
    }

    /// @dev A commit or a settlement ends the open call, answers and all (they are kept per call id).
    function endCall(Ledger storage ledger, Run storage run) internal {
        if (run.callId == 0) return;
        --ledger.openCalls;
        run.callId = 0;
        run.callBlock = 0;
        run.callTime = 0;
    }

    function current(Job storage entry) internal view returns (Run storage) {
        return entry.runs[entry.run];
    }

    function known(Ledger storage ledger, bytes32 job) internal view returns (Job storage entry, Run storage run) {
        entry = ledger.jobs[job];
        if (entry.run == 0) revert ITraining.TrainingUnknownJob(job);
        run = current(entry);
    }

    /// @dev The run named, if it is the current one and (round, epoch) is the one that is open.
    function named(Ledger storage ledger, bytes32 job, uint64 run_, uint64 round, uint32 epoch)
        internal
        view
        returns (Job storage entry, Run storage run)
    {
        (entry, run) = known(ledger, job);
        if (run_ != entry.run) revert ITraining.TrainingWrongRun(run_, entry.run);
        if (round != run.round || epoch != run.epoch) {
            revert ITraining.TrainingWrongRound(round, epoch, run.round, run.epoch);
        }
        if (run.phase != ITraining.Phase.Open || !run.started) revert ITraining.TrainingWrongPhase(job, run.phase);
    }

    function _announce(Job storage entry, Run storage run, bytes32 job, uint256[] memory words) private {
        run.openedBlock = uint64(block.number);
        run.openedTime = uint64(block.timestamp);
        ++run.openings;
        emit ITraining.RoundOpened(job, entry.run, run.round, run.epoch, run.prev, run.minPeers, words);
    }
}
