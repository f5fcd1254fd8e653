// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "./interfaces/IMembership.sol";
import {ITraining} from "./interfaces/ITraining.sol";
import {Words} from "./lib/Words.sol";
import {TrainingBase} from "./training/TrainingBase.sol";
import {TrainingCalls} from "./training/TrainingCalls.sol";
import {TrainingCommit} from "./training/TrainingCommit.sol";

/// @title Training: jobs, joining and leaving, reset and closing; rounds are in TrainingCommit, calls in TrainingCalls.
contract Training is TrainingCommit, TrainingCalls {
    using Words for uint256[];

    uint256 private constant NAME_BYTES_MAX = 160;
    uint256 private constant URI_BYTES_MAX = 256;
    string private constant DEFAULT_JOB = "defaultbb.cqdb.sml.hpe";

    constructor(IMembership membership_, uint256 rescueAfterSeconds) TrainingBase(membership_, rescueAfterSeconds) {
        _createJob(DEFAULT_JOB);
    }

    /// @inheritdoc ITraining
    function createJob(string calldata name) external returns (bytes32 job) {
        _requireOperator();
        return _createJob(name);
    }

    /// @inheritdoc ITraining
    function join(bytes32 job, string calldata uri, uint32 minPeers, bool eligible) external {
        Run storage run = _known(job);
        _requireRole(IMembership.Role.SL);
        if (run.phase != Phase.Idle && run.phase != Phase.Open) revert TrainingWrongPhase(job, run.phase);
        if (bytes(uri).length > URI_BYTES_MAX) revert TrainingUriTooLong(bytes(uri).length, URI_BYTES_MAX);
        if (minPeers == 0) revert TrainingMinPeersZero();
        // Nobody could ever meet a minPeers above the number that may be joined.
        uint32 ceiling = run.started ? run.minPeers : uint32(JOINED_MAX);
        if (minPeers > ceiling) revert TrainingMinPeersAboveRun(minPeers, ceiling);
        if (run.seats[msg.sender].joined) revert TrainingAlreadyJoined(msg.sender);
        if (run.joined.length >= JOINED_MAX) revert TrainingFull(run.joined.length, JOINED_MAX);
        run.phase = Phase.Open;
        _seat(run, msg.sender, eligible);
        emit Joined(job, _jobs[job].run, msg.sender, uri, minPeers, eligible);
        if (!run.started) {
            if (minPeers > run.minPeers) run.minPeers = minPeers;
            _start(job, run);
        }
    }

    /// @inheritdoc ITraining
    function leave(bytes32 job) external {
        Run storage run = _known(job);
        Seat storage seat = run.seats[msg.sender];
        if (!seat.joined) revert TrainingNotJoined(msg.sender);
        bool counts = run.started
            && (seat.joinedOpening == run.openings
                || _membership.wasActiveSince(msg.sender, run.openedBlock, run.openedTime));
        uint256[] memory words = new uint256[](1);
        words[0] = Words.word(msg.sender, seat.eligible);
        _unseat(run, words, counts ? run.openings : 0);
        emit Left(job, _jobs[job].run, msg.sender);
    }

    /// @inheritdoc ITraining
    function reset(bytes32 job, bool force) external {
        Run storage run = _known(job);
        _requireOperator();
        uint64 number = _jobs[job].run;
        if (run.phase == Phase.Idle) revert TrainingWrongPhase(job, run.phase);
        if (run.phase == Phase.Open) {
            (uint256[] memory live,) = _joinedAndActive(run);
            if (live.length != 0 && !force) revert TrainingMembersLive(Words.nodesOf(live));
            run.phase = Phase.Failed;
            _endCall(run);
            emit RunFailed(job, number, msg.sender, "reset before completion");
        }
        _jobs[job].run = number + 1;
        _jobs[job].runs[number + 1].phase = Phase.Idle;
        emit RunReset(job, number + 1, msg.sender, force);
    }

    /// @inheritdoc ITraining
    function close(bytes32 job, uint64 run_, int64 loss, int64 metric) external {
        _known(job);
        uint64 current = _jobs[job].run;
        if (run_ == 0 || run_ > current) revert TrainingWrongRun(run_, current);
        Run storage run = _jobs[job].runs[run_];
        if (run.phase != Phase.Complete) revert TrainingWrongPhase(job, run.phase);
        if (!_membership.isActive(msg.sender)) revert TrainingNotActive(msg.sender);
        Seat storage seat = run.seats[msg.sender];
        if (seat.joinedBlock == 0) revert TrainingNotJoined(msg.sender);
        if (seat.closed) revert TrainingAlreadyClosed(msg.sender, run_);
        seat.closed = true;
        emit Closed(job, run_, msg.sender, loss, metric);
    }

    function _createJob(string memory name) private returns (bytes32 job) {
        uint256 length = bytes(name).length;
        if (length == 0 || length > NAME_BYTES_MAX) revert TrainingBadName(length, NAME_BYTES_MAX);
        job = keccak256(bytes(name));
        if (_jobs[job].run != 0) revert TrainingJobExists(job);
        _jobs[job].name = name;
        _jobs[job].run = 1;
        _jobs[job].runs[1].phase = Phase.Idle;
        _jobIds.push(job);
        emit JobCreated(job, name, msg.sender);
    }

    function _seat(Run storage run, address node, bool eligible) private {
        Seat storage seat = run.seats[node];
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

    /// @dev Opens round 0 with the first minPeers joiners, once so many are joined and active.
    function _start(bytes32 job, Run storage run) private {
        uint256 wanted = run.minPeers;
        if (run.joined.length < wanted) return;
        (uint256[] memory words, uint64 until) = _joinedAndActive(run);
        if (words.length < wanted) return;
        // More than wanted is rare (a suspended joiner was resumed meanwhile): the latest to join are not founders.
        while (words.length > wanted) words = _withoutLatest(run, words);
        run.started = true;
        _openWith(job, run, words, until);
    }

    function _withoutLatest(Run storage run, uint256[] memory words) private view returns (uint256[] memory) {
        uint256 latest = 0;
        for (uint256 i = 1; i < words.length; ++i) {
            if (run.seats[Words.nodeOf(words[i])].order > run.seats[Words.nodeOf(words[latest])].order) latest = i;
        }
        for (uint256 i = latest; i + 1 < words.length; ++i) {
            words[i] = words[i + 1];
        }
        return words.head(words.length - 1);
    }

    function _requireOperator() private view {
        if (!_membership.isActive(msg.sender)) revert TrainingNotActive(msg.sender);
        IMembership.Role role = _membership.member(msg.sender).role;
        if (role != IMembership.Role.SN && role != IMembership.Role.SWCI && role != IMembership.Role.SWOP) {
            revert TrainingNotAllowed(msg.sender, IMembership.Role.SWCI);
        }
    }

    function _requireRole(IMembership.Role role) private view {
        if (!_membership.isActive(msg.sender)) revert TrainingNotActive(msg.sender);
        if (_membership.member(msg.sender).role != role) revert TrainingNotAllowed(msg.sender, role);
    }
}
