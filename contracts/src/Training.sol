// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "./interfaces/IMembership.sol";
import {ITraining} from "./interfaces/ITraining.sol";
import {Words} from "./lib/Words.sol";
import {Runs} from "./training/Runs.sol";
import {TrainingBase} from "./training/TrainingBase.sol";
import {TrainingCalls} from "./training/TrainingCalls.sol";
import {TrainingCarried} from "./training/TrainingCarried.sol";
import {TrainingCommit} from "./training/TrainingCommit.sol";

/// @title Training: jobs, joining and leaving, reset and closing; rounds are in TrainingCommit, calls and
///        what comes from an earlier chain in the linked libraries TrainingCalls and TrainingCarried.
contract Training is TrainingCommit {
    using Words for uint256[];
    using Runs for Runs.Ledger;
    using Runs for Runs.Job;
    using Runs for Runs.Run;

    uint256 private constant URI_BYTES_MAX = 256;
    uint256 private constant JOBS_PER_CREATOR_MAX = 100;
    uint256 private constant SEATS_MAX = 1_000;
    string private constant DEFAULT_JOB = "defaultbb.cqdb.sml.hpe";

    constructor(IMembership membership_, uint256 rescueAfterSeconds) TrainingBase(membership_, rescueAfterSeconds) {
        _ledger.create(DEFAULT_JOB);
    }

    /// @inheritdoc ITraining
    function createJob(string calldata name) external returns (bytes32 job) {
        _requireOperator();
        job = _ledger.create(name);
        uint256 created = _ledger.created[msg.sender];
        if (created >= JOBS_PER_CREATOR_MAX) revert TrainingTooManyJobs(created, JOBS_PER_CREATOR_MAX);
        _ledger.created[msg.sender] = created + 1;
    }

    /// @inheritdoc ITraining
    function carryJob(string calldata name, bytes32 origin, uint64 run) external {
        TrainingCarried.carryJob(_ledger, _membership, name, origin, run);
    }

    /// @inheritdoc ITraining
    function carryRounds(bytes32 job, uint64 run, uint64 first, uint256[] calldata words) external {
        TrainingCarried.carryRounds(_ledger, _membership, job, run, first, words);
    }

    /// @inheritdoc ITraining
    function carryRun(
        bytes32 job,
        uint64 run,
        bytes32 origin,
        Phase phase,
        uint64 began,
        uint64 ended,
        uint256[] calldata members
    ) external {
        TrainingCarried.carryRun(_ledger, _membership, job, run, origin, phase, began, ended, members);
    }

    /// @inheritdoc ITraining
    function join(bytes32 job, string calldata uri, uint32 minPeers, bool eligible) external {
        (Runs.Job storage entry, Runs.Run storage run) = _ledger.known(job);
        _requireRole(IMembership.Role.SL);
        if (run.phase != Phase.Idle && run.phase != Phase.Open) revert TrainingWrongPhase(job, run.phase);
        if (bytes(uri).length > URI_BYTES_MAX) revert TrainingUriTooLong(bytes(uri).length, URI_BYTES_MAX);
        if (minPeers == 0) revert TrainingMinPeersZero();
        // Nobody could ever meet a minPeers above the number that may be joined.
        uint32 ceiling = run.started ? run.minPeers : uint32(JOINED_MAX);
        if (minPeers > ceiling) revert TrainingMinPeersAboveRun(minPeers, ceiling);
        if (run.seats[msg.sender].joined) revert TrainingAlreadyJoined(msg.sender);
        _requireSeatLeft(run);
        if (run.joined.length >= JOINED_MAX) revert TrainingFull(run.joined.length, JOINED_MAX);
        run.phase = Phase.Open;
        _seat(run, msg.sender, eligible);
        emit Joined(job, entry.run, msg.sender, uri, minPeers, eligible);
        if (!run.started) {
            if (minPeers > run.minPeers) run.minPeers = minPeers;
            _start(entry, run, job);
        }
    }

    /// @inheritdoc ITraining
    function leave(bytes32 job) external {
        (Runs.Job storage entry, Runs.Run storage run) = _ledger.known(job);
        Runs.Seat storage seat = run.seats[msg.sender];
        if (!seat.joined) revert TrainingNotJoined(msg.sender);
        bool counts = run.started
            && (seat.joinedOpening == run.openings
                || _membership.wasActiveSince(msg.sender, run.openedBlock, run.openedTime));
        uint256[] memory words = new uint256[](1);
        words[0] = Words.word(msg.sender, seat.eligible);
        run.unseat(words, counts ? run.openings : 0);
        emit Left(job, entry.run, msg.sender);
    }

    /// @inheritdoc ITraining
    function call(bytes32 job, uint64 run, uint64 round, uint32 epoch) external {
        TrainingCalls.call(_ledger, _terms(), job, run, round, epoch);
    }

    /// @inheritdoc ITraining
    function here(bytes32 job, uint64 callId, bool done) external {
        TrainingCalls.here(_ledger, _terms(), job, callId, done);
    }

    /// @inheritdoc ITraining
    function settle(bytes32 job, uint64 callId) external {
        TrainingCalls.settle(_ledger, _terms(), job, callId);
    }

    /// @inheritdoc ITraining
    function reset(bytes32 job, bool force) external {
        (Runs.Job storage entry, Runs.Run storage run) = _ledger.known(job);
        _requireOperator();
        uint64 number = entry.run;
        if (run.phase == Phase.Idle) revert TrainingWrongPhase(job, run.phase);
        if (run.phase == Phase.Open) {
            (uint256[] memory live,) = run.joinedAndActive(_membership);
            if (live.length != 0 && !force) revert TrainingMembersLive(Words.nodesOf(live));
            run.phase = Phase.Failed;
            _ledger.endCall(run);
            emit RunFailed(job, number, msg.sender, "reset before completion");
        }
        entry.run = number + 1;
        entry.runs[number + 1].phase = Phase.Idle;
        emit RunReset(job, number + 1, msg.sender, force);
    }

    /// @inheritdoc ITraining
    function close(bytes32 job, uint64 run_, int64 loss, int64 metric) external {
        (Runs.Job storage entry,) = _ledger.known(job);
        uint64 current = entry.run;
        if (run_ == 0 || run_ > current) revert TrainingWrongRun(run_, current);
        Runs.Run storage run = entry.runs[run_];
        if (run.phase != Phase.Complete) revert TrainingWrongPhase(job, run.phase);
        _requireActive();
        Runs.Seat storage seat = run.seats[msg.sender];
        if (seat.joinedBlock == 0) revert TrainingNotJoined(msg.sender);
        if (seat.closed) revert TrainingAlreadyClosed(msg.sender, run_);
        seat.closed = true;
        emit Closed(job, run_, msg.sender, loss, metric);
    }

    function _seat(Runs.Run storage run, address node, bool eligible) private {
        Runs.Seat storage seat = run.seats[node];
        if (seat.joinedBlock != 0) run.gone.remove(node);
        seat.eligible = eligible;
        seat.joined = true;
        seat.order = ++run.joins;
        seat.joinedOpening = run.openings;
        seat.joinedBlock = uint64(block.number);
        seat.leftBlock = 0;
        run.joined.insert(Words.word(node, eligible));
        run.rosterStale = true;
    }

    function _terms() private view returns (Runs.Terms memory) {
        return Runs.Terms(_membership, _rescueAfterSeconds, _rescueAfterBlocks);
    }

    /// @dev Opens round 0 with the first minPeers joiners, once so many are joined and active.
    function _start(Runs.Job storage entry, Runs.Run storage run, bytes32 job) private {
        uint256 wanted = run.minPeers;
        if (run.joined.length < wanted) return;
        (uint256[] memory words, uint64 until) = run.joinedAndActive(_membership);
        if (words.length < wanted) return;
        // More than wanted is rare (a suspended joiner was resumed meanwhile): the latest to join are not founders.
        while (words.length > wanted) words = _withoutLatest(run, words);
        run.started = true;
        entry.openWith(_membership, job, words, until);
    }

    function _withoutLatest(Runs.Run storage run, uint256[] memory words) private view returns (uint256[] memory) {
        uint256 latest = 0;
        for (uint256 i = 1; i < words.length; ++i) {
            if (run.seats[Words.nodeOf(words[i])].order > run.seats[Words.nodeOf(words[latest])].order) latest = i;
        }
        for (uint256 i = latest; i + 1 < words.length; ++i) {
            words[i] = words[i + 1];
        }
        return words.head(words.length - 1);
    }

    /// @dev A node keeps its place in a run's record when it leaves; who comes back needs no other one.
    function _requireSeatLeft(Runs.Run storage run) private view {
        uint256 taken = run.joined.length + run.gone.length;
        if (run.seats[msg.sender].joinedBlock == 0 && taken >= SEATS_MAX) revert TrainingFull(taken, SEATS_MAX);
    }
}
