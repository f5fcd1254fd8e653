// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "./interfaces/IMembership.sol";
import {ITaskrunners} from "./interfaces/ITaskrunners.sol";
import {ITasks} from "./interfaces/ITasks.sol";
import {Texts} from "./lib/Texts.sol";
import {Assignments} from "./tasks/Assignments.sol";
import {TaskrunnersBase} from "./tasks/TaskrunnersBase.sol";
import {TaskrunnersPeers} from "./tasks/TaskrunnersPeers.sol";

/// @title Taskrunners: runners, followers, and what operators do; the views are in TaskrunnersBase, what
///        SWOPs say in the linked library TaskrunnersPeers.
contract Taskrunners is TaskrunnersBase {
    using Assignments for Assignments.Ledger;

    uint256 private constant RUNNERS_BY_CREATOR_MAX = 100;
    uint256 private constant FOLLOWERS_MAX = 250;
    uint256 private constant ENROL_SECONDS_MIN = 10;
    uint256 private constant ENROL_SECONDS_MAX = 1 days;
    uint256 private constant WHY_BYTES_MAX = 160;
    string private constant DEFAULT_RUNNER = "defaulttaskbb.taskdb.sml.hpe";

    constructor(ITasks tasks_, uint256 leaseSeconds_) TaskrunnersBase(tasks_, leaseSeconds_) {
        _ledger.create(DEFAULT_RUNNER);
    }

    /// @inheritdoc ITaskrunners
    function createRunner(string calldata name) external returns (bytes32 runner) {
        _requireConductor();
        (uint256 characters, bool fits) = Texts.fits(name);
        if (!fits) revert RunnerBadName(characters, Texts.CHARACTERS_MAX, bytes(name).length, Texts.BYTES_MAX);
        uint256 created = _ledger.created[msg.sender];
        runner = _ledger.create(name);
        if (created >= RUNNERS_BY_CREATOR_MAX) revert RunnerTooMany(created, RUNNERS_BY_CREATOR_MAX);
        _ledger.created[msg.sender] = created + 1;
    }

    /// @inheritdoc ITaskrunners
    function follow(bytes32 runner, uint32 count) external {
        _requireRole(IMembership.Role.SWOP);
        Assignments.Runner storage entry = _ledger.known(runner);
        Assignments.requireCount("pairs", count, 1, Assignments.PAIRS_MAX);
        Assignments.Seat storage seat = entry.seats[msg.sender];
        if (seat.place == 0) seat.place = _seat(entry, runner);
        else if (seat.pairs == count) return;
        seat.pairs = count;
        seat.since = Assignments.nowSeconds();
        emit Followed(runner, msg.sender, count);
    }

    /// @inheritdoc ITaskrunners
    function unfollow(bytes32 runner) external {
        _requireRole(IMembership.Role.SWOP);
        Assignments.Runner storage entry = _ledger.known(runner);
        uint32 place = entry.seats[msg.sender].place;
        if (place == 0) return;
        address last = entry.followers[entry.followers.length - 1];
        entry.followers[place - 1] = last;
        entry.seats[last].place = place;
        entry.followers.pop();
        delete entry.seats[msg.sender];
        emit Unfollowed(runner, msg.sender);
    }

    /// @inheritdoc ITaskrunners
    function assign(bytes32 runner, Order calldata order, bytes32 r, bytes32 vs) external returns (bytes32 aid) {
        _requireConductor();
        Assignments.Runner storage line = _ledger.known(runner);
        aid = keccak256(abi.encode(runner, msg.sender, order.key));
        Assignments.Entry storage entry = _ledger.entries[aid];
        bytes32 hash = keccak256(abi.encode(order));
        if (entry.info.phase != Phase.None) {
            if (entry.order != hash) revert RunnerKeyReused(aid);
            emit AssignedBefore(runner, aid, entry.info.op);
            return aid;
        }
        _requireFree(line.current);
        Assignments.requireCount("enrolSeconds", order.enrolSeconds, ENROL_SECONDS_MIN, ENROL_SECONDS_MAX);
        Assignments.requireCount("expect", order.expect, 0, FOLLOWERS_MAX);
        if (order.named.length == 0) Assignments.requireCount("n", order.n, 1, Assignments.PAIRS_MAX);
        else Assignments.requireCount("n", order.n, 0, 0);
        entry.order = hash;
        _record(entry.info, runner, aid, order);
        entry.info.taskType = _requireRunnable(order);
        uint64 op = ++line.ops;
        entry.info.op = op;
        line.aids[op] = aid;
        line.current = aid;
        ++_ledger.waiting;
        _name(line, entry, order.named);
        emit Assigned(runner, aid, msg.sender, op, order, r, vs);
    }

    /// @inheritdoc ITaskrunners
    function invite(bytes32 runner, bytes32 aid, address swop, uint32 attempt) external {
        _requireConductor();
        Assignments.Entry storage entry = _ledger.current(runner, aid);
        Assignments.requirePhase(entry.info, Phase.Running);
        Peer storage peer = entry.peers[swop];
        if (peer.allotted == 0) {
            if (attempt != 1) revert RunnerWrongAttempt(attempt, 0);
            if (peer.state == PeerState.Invited) return;
            _requireFollower(_ledger.known(runner), swop);
            peer = Assignments.row(entry, swop);
            if (peer.state == PeerState.Declined) --entry.info.declined;
            peer.state = PeerState.Invited;
        } else {
            if (peer.open != 0) revert RunnerPairsOpen(swop, peer.open);
            if (peer.failed == 0) revert RunnerNothingFailed(swop);
            if (attempt != peer.attempt + 1) revert RunnerWrongAttempt(attempt, peer.attempt);
            _again(entry, peer);
        }
        emit Invited(aid, swop, attempt, msg.sender);
    }

    /// @inheritdoc ITaskrunners
    function abort(bytes32 runner, bytes32 aid, string calldata why) external {
        _requireConductor();
        Assignment storage found = _ledger.current(runner, aid).info;
        if (!_busy(found)) revert RunnerNotBusy(aid, found.outcome);
        Assignments.requireCount("why", bytes(why).length, 0, WHY_BYTES_MAX);
        _ledger.end(found, Outcome.Aborted, why);
    }

    /// @inheritdoc ITaskrunners
    function reset(bytes32 runner, bytes32 aid, bool force) external {
        _requireConductor();
        Assignment storage found = _ledger.current(runner, aid).info;
        if (_busy(found)) {
            if (!force) revert RunnerBusy(aid, found.op, _shown(found));
            _ledger.end(found, Outcome.Reset, "");
        }
        found.resetBy = msg.sender;
        found.resetTime = Assignments.nowSeconds();
        _ledger.runners[runner].current = 0;
        emit ResetDone(runner, aid, msg.sender, force);
    }

    /// @inheritdoc ITaskrunners
    function enrol(bytes32 runner, bytes32 aid, uint32 offer) external {
        _requireRole(IMembership.Role.SWOP);
        TaskrunnersPeers.enrol(_ledger, runner, aid, offer);
    }

    /// @inheritdoc ITaskrunners
    function decline(bytes32 runner, bytes32 aid, bytes31 fault, bytes32 textHash) external {
        _requireRole(IMembership.Role.SWOP);
        TaskrunnersPeers.decline(_ledger, runner, aid, fault, textHash);
    }

    /// @inheritdoc ITaskrunners
    function start(bytes32 runner, bytes32 aid) external {
        _requireRole(IMembership.Role.SWOP);
        TaskrunnersPeers.start(_ledger, Assignments.Terms(_membership, _lease), runner, aid);
    }

    /// @inheritdoc ITaskrunners
    function renew(bytes32 runner, bytes32 aid, uint256 started) external {
        _requireRole(IMembership.Role.SWOP);
        TaskrunnersPeers.renew(_ledger, runner, aid, started);
    }

    /// @inheritdoc ITaskrunners
    function report(bytes32 runner, bytes32 aid, uint32 attempt, Report[] calldata reports) external {
        _requireRole(IMembership.Role.SWOP);
        TaskrunnersPeers.report(_ledger, runner, aid, attempt, reports);
    }

    /// @inheritdoc ITaskrunners
    function suspect(bytes32 runner, bytes32 aid) external {
        _requireActive();
        Assignment storage found = _ledger.current(runner, aid).info;
        Assignments.requirePhase(found, Phase.Running);
        if (found.suspected != 0) return;
        uint256 due = found.heard + _lease + 1;
        if (block.timestamp < due) revert RunnerNotDue(due, 0);
        found.suspected = Assignments.nowSeconds();
        found.suspectedBlock = uint64(block.number);
        ++_ledger.waiting;
        emit Suspected(aid, msg.sender, found.heard);
    }

    /// @inheritdoc ITaskrunners
    function expire(bytes32 runner, bytes32 aid) external {
        _requireActive();
        Assignment storage found = _ledger.current(runner, aid).info;
        bool assigned = found.phase == Phase.Assigned;
        if (!assigned) Assignments.requirePhase(found, Phase.Running);
        (uint256 time, uint256 number) = _startDue(found);
        if (!assigned) {
            if (found.suspected == 0) revert RunnerNotDue(0, 0);
            (time, number) = (found.suspected + _lease / 4, found.suspectedBlock + _graceBlocks);
        }
        if (block.timestamp < time || block.number < number) revert RunnerNotDue(time, number);
        _ledger.end(found, assigned ? Outcome.TooFew : Outcome.Expired, "");
    }

    /// @dev A place among the followers. In a full list, that of one who is no active member any more.
    function _seat(Assignments.Runner storage entry, bytes32 runner) private returns (uint32) {
        uint256 count = entry.followers.length;
        if (count < FOLLOWERS_MAX) {
            entry.followers.push(msg.sender);
            return uint32(count + 1);
        }
        for (uint256 i = 0; i < count; ++i) {
            address old = entry.followers[i];
            if (_membership.isActive(old)) continue;
            delete entry.seats[old];
            entry.followers[i] = msg.sender;
            emit Unfollowed(runner, old);
            return uint32(i + 1);
        }
        revert RunnerFull("followers", count, FOLLOWERS_MAX);
    }

    /// @dev The runner is idle or its assignment has ended; one that did not start in its time ends now.
    function _requireFree(bytes32 current) private {
        Assignment storage found = _ledger.entries[current].info;
        if (!_busy(found)) return;
        if (found.phase == Phase.Assigned) {
            (uint256 time, uint256 number) = _startDue(found);
            if (block.timestamp >= time && block.number >= number) {
                _ledger.end(found, Outcome.TooFew, "");
                return;
            }
        }
        revert RunnerBusy(current, found.op, _shown(found));
    }

    function _record(Assignment storage found, bytes32 runner, bytes32 aid, Order calldata order) private {
        found.aid = aid;
        found.runner = runner;
        found.phase = Phase.Assigned;
        found.by = msg.sender;
        found.key = order.key;
        found.task = order.task;
        found.prereq = order.prereq;
        found.n = order.n;
        found.expect = order.expect;
        found.enrolSeconds = order.enrolSeconds;
        found.assignedBlock = uint64(block.number);
        found.assignedTime = Assignments.nowSeconds();
        found.heard = Assignments.nowSeconds();
    }

    function _name(Assignments.Runner storage line, Assignments.Entry storage entry, address[] calldata named) private {
        Assignments.requireCount("named", named.length, 0, Assignments.SWOPS_MAX);
        for (uint256 i = 0; i < named.length; ++i) {
            if (i != 0 && named[i] <= named[i - 1]) revert RunnerOrder(i);
            _requireFollower(line, named[i]);
            Peer storage peer = Assignments.row(entry, named[i]);
            peer.state = PeerState.Named;
            peer.named = true;
        }
        entry.info.named = uint32(named.length);
    }

    /// @dev Failed pairs are open again, under the next attempt.
    function _again(Assignments.Entry storage entry, Peer storage peer) private {
        uint32 failed = peer.failed;
        uint256 started = peer.started;
        for (uint256 i = 0; i < peer.allotted; ++i) {
            if (entry.pairs[peer.swop][i].state != PairState.Failed) continue;
            delete entry.pairs[peer.swop][i];
            started &= ~(1 << i);
        }
        peer.started = started;
        ++peer.attempt;
        peer.open = failed;
        peer.failed = 0;
        entry.info.open += failed;
        entry.info.failed -= failed;
    }

    function _requireRunnable(Order calldata order) private view returns (ITasks.TaskType) {
        (ITasks.TaskType taskType, uint32 version,, bytes32 wanted) = _tasks.typeOf(order.task);
        if (version == 0) revert RunnerTaskNotFinal(order.task);
        if (taskType == ITasks.TaskType.RootTask) revert RunnerTaskNotRunnable(order.task);
        (, uint32 prereqVersion, bytes32 prereq,) = _tasks.typeOf(order.prereq);
        if (prereqVersion == 0 || prereq != wanted) revert RunnerWrongPrereq(order.task, order.prereq);
        return taskType;
    }

    function _requireFollower(Assignments.Runner storage line, address swop) private view {
        if (line.seats[swop].place == 0 || !_membership.isActive(swop)) revert RunnerNotFollower(swop);
    }
}
