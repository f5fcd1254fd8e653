// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {Words} from "../lib/Words.sol";

/// @title TrainingBase: storage of jobs and runs, the opening of a round, and the views.
abstract contract TrainingBase is ITraining {
    using Words for uint256[];

    string internal constant DOMAIN_NAME = "SwarmTraining";
    uint256 internal constant JOINED_MAX = 250;
    uint256 private constant RESCUE_AFTER_SECONDS_MIN = 5;
    uint256 private constant RESCUE_AFTER_SECONDS_MAX = 1 days;

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
        Phase phase;
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
    }

    enum Answer {
        Silent,
        Training,
        Done
    }

    IMembership internal immutable _membership;
    uint256 internal immutable _rescueAfterSeconds;
    uint256 internal immutable _rescueAfterBlocks;
    mapping(bytes32 job => Job) internal _jobs;
    bytes32[] internal _jobIds;

    constructor(IMembership membership_, uint256 rescueAfterSeconds) {
        if (rescueAfterSeconds < RESCUE_AFTER_SECONDS_MIN || rescueAfterSeconds > RESCUE_AFTER_SECONDS_MAX) {
            revert TrainingBadRescueAfter(rescueAfterSeconds, RESCUE_AFTER_SECONDS_MIN, RESCUE_AFTER_SECONDS_MAX);
        }
        _membership = membership_;
        _rescueAfterSeconds = rescueAfterSeconds;
        // One block in 12 seconds is what the embedded chain's heartbeat promises; 10 blocks are enough for any reorg.
        uint256 blocks = rescueAfterSeconds / 12;
        _rescueAfterBlocks = blocks < 2 ? 2 : blocks > 10 ? 10 : blocks;
    }

    // ---- views: they never revert; an unknown job is all zero -------------------------------------------------------

    /// @inheritdoc ITraining
    function membership() external view returns (address) {
        return address(_membership);
    }

    /// @inheritdoc ITraining
    function rescueAfter() external view returns (uint256) {
        return _rescueAfterSeconds;
    }

    /// @inheritdoc ITraining
    function state(bytes32 job) external view returns (JobState memory current) {
        Run storage run = _current(job);
        current.phase = run.phase;
        current.started = run.started;
        current.run = _jobs[job].run;
        current.round = run.round;
        current.epoch = run.epoch;
        current.minPeers = run.minPeers;
        current.interval = run.interval;
        current.prev = run.prev;
        current.prevSize = run.prevSize;
        current.manifest = run.manifest;
        current.roster = run.roster;
        current.openedBlock = run.openedBlock;
        current.openedTime = run.openedTime;
        current.joinedCount = uint64(run.joined.length);
        current.callId = run.callId;
        current.callBlock = run.callBlock;
        current.callTime = run.callTime;
    }

    /// @inheritdoc ITraining
    function rosterOf(bytes32 job) external view returns (uint256[] memory) {
        return _current(job).rosterWords;
    }

    /// @inheritdoc ITraining
    function joinersOf(bytes32 job) external view returns (Joiner[] memory joiners) {
        Run storage run = _current(job);
        uint256[] memory joined = run.joined;
        uint256[] memory words = joined.merge(run.gone);
        joiners = new Joiner[](words.length);
        for (uint256 i = 0; i < words.length; ++i) {
            address node = Words.nodeOf(words[i]);
            Seat storage seat = run.seats[node];
            joiners[i] = Joiner(node, seat.eligible, seat.joined, seat.joinedBlock, seat.leftBlock);
        }
    }

    /// @inheritdoc ITraining
    function mergedOf(bytes32 job, uint64 run, uint64 round) external view returns (bytes32 merged, uint64 size) {
        Merge storage merge = _jobs[job].runs[run].merges[round];
        return (merge.blob, merge.size);
    }

    /// @inheritdoc ITraining
    function phaseOf(bytes32 job, uint64 run) external view returns (Phase) {
        return _jobs[job].runs[run].phase;
    }

    /// @inheritdoc ITraining
    function leaderOf(bytes32 job, uint32 attempt) external view returns (address) {
        Run storage run = _current(job);
        return run.rosterWords.leader(job, _jobs[job].run, run.round, attempt);
    }

    /// @inheritdoc ITraining
    function jobs() external view returns (bytes32[] memory ids, string[] memory names) {
        ids = _jobIds;
        names = new string[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            names[i] = _jobs[ids[i]].name;
        }
    }

    // ---- shared steps -----------------------------------------------------------------------------------------------

    /// @dev Opens (round, epoch) of the current run with `words` as its roster; round 0 takes its founders so.
    function _openWith(bytes32 job, Run storage run, uint256[] memory words, uint64 until) internal {
        run.rosterWords.assign(words);
        run.roster = words.hash();
        run.rosterUntil = until;
        run.membershipVersion = _membership.version();
        // Who is joined but not in these words (a later founder, a silent joiner) enters at the next opening.
        run.rosterStale = words.length != run.joined.length;
        _announce(job, run, words);
    }

    /// @dev Opens the next round. The roster is every joined, active member; it is computed anew only when somebody
    ///      joined, left, expired, or Membership changed since it was last computed: then it cannot be another one.
    function _openNext(bytes32 job, Run storage run, uint256[] memory words) internal {
        if (!run.rosterStale && block.timestamp <= run.rosterUntil && _membership.version() == run.membershipVersion) {
            _announce(job, run, words);
            return;
        }
        uint64 until;
        (words, until) = _joinedAndActive(run);
        _openWith(job, run, words, until);
    }

    function _announce(bytes32 job, Run storage run, uint256[] memory words) private {
        run.openedBlock = uint64(block.number);
        run.openedTime = uint64(block.timestamp);
        ++run.openings;
        emit RoundOpened(job, _jobs[job].run, run.round, run.epoch, run.prev, run.minPeers, words);
    }

    /// @return words joined and active now, ascending. @return until the first expiry among them.
    function _joinedAndActive(Run storage run) internal view returns (uint256[] memory words, uint64 until) {
        uint256[] memory joined = run.joined;
        words = new uint256[](joined.length);
        uint256 count = 0;
        until = type(uint64).max;
        for (uint256 i = 0; i < joined.length; ++i) {
            uint64 last = _membership.activeUntil(Words.nodeOf(joined[i]));
            if (last == 0) continue;
            words[count++] = joined[i];
            if (last < until) until = last;
        }
        words = Words.head(words, count);
    }

    /// @dev Takes the seats of joined nodes (ascending) away, all at once: one by one, dropping half of 250 members
    ///      would not fit a block. They stay in the run's record.
    function _unseat(Run storage run, uint256[] memory words, uint32 leftOpening) internal {
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
    function _endCall(Run storage run) internal {
        run.callId = 0;
        run.callBlock = 0;
        run.callTime = 0;
    }

    function _current(bytes32 job) internal view returns (Run storage) {
        Job storage entry = _jobs[job];
        return entry.runs[entry.run];
    }

    function _known(bytes32 job) internal view returns (Run storage run) {
        if (_jobs[job].run == 0) revert TrainingUnknownJob(job);
        run = _current(job);
    }

    /// @dev The run named, if it is the current one and (round, epoch) is the one that is open.
    function _named(bytes32 job, uint64 run_, uint64 round, uint32 epoch) internal view returns (Run storage run) {
        run = _known(job);
        uint64 current = _jobs[job].run;
        if (run_ != current) revert TrainingWrongRun(run_, current);
        if (round != run.round || epoch != run.epoch) {
            revert TrainingWrongRound(round, epoch, run.round, run.epoch);
        }
        if (run.phase != Phase.Open || !run.started) revert TrainingWrongPhase(job, run.phase);
    }

    function _requireSeated(Run storage run, address node) internal view {
        if (!_membership.isActive(node)) revert TrainingNotActive(node);
        if (!run.seats[node].joined) revert TrainingNotJoined(node);
    }
}
