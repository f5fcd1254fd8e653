// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITaskrunners} from "../interfaces/ITaskrunners.sol";
import {ITasks} from "../interfaces/ITasks.sol";
import {MembershipGuarded} from "../lib/MembershipGuarded.sol";
import {Pages} from "../lib/Pages.sol";
import {Assignments} from "./Assignments.sol";

/// @title TaskrunnersBase: what was settled at the deployment, and the views.
abstract contract TaskrunnersBase is ITaskrunners, MembershipGuarded {
    uint256 private constant PAGE_MAX = 64;
    uint256 private constant LEASE_SECONDS_MIN = 5;
    uint256 private constant LEASE_SECONDS_MAX = 1 days;

    ITasks internal immutable _tasks;
    uint256 internal immutable _lease;
    uint256 internal immutable _graceBlocks;
    Assignments.Ledger internal _ledger;

    constructor(ITasks tasks_, uint256 leaseSeconds_) MembershipGuarded(IMembership(tasks_.membership())) {
        if (leaseSeconds_ < LEASE_SECONDS_MIN || leaseSeconds_ > LEASE_SECONDS_MAX) {
            revert RunnerBadLease(leaseSeconds_, LEASE_SECONDS_MIN, LEASE_SECONDS_MAX);
        }
        _tasks = tasks_;
        _lease = leaseSeconds_;
        // As for Training's calls: the embedded chain's heartbeat promises a block in 12 seconds.
        uint256 blocks = leaseSeconds_ / 12;
        _graceBlocks = blocks < 2 ? 2 : blocks > 10 ? 10 : blocks;
    }

    // ---- views: they never revert; what is unknown is all zero ------------------------------------------------------

    /// @inheritdoc ITaskrunners
    function state(bytes32 runner) external view returns (State shown, bool busy, Assignment memory current) {
        Assignment storage found = _ledger.entries[_ledger.runners[runner].current].info;
        return (_shown(found), _busy(found), found);
    }

    /// @inheritdoc ITaskrunners
    function assignment(bytes32 aid) external view returns (Assignment memory) {
        return _ledger.entries[aid].info;
    }

    /// @inheritdoc ITaskrunners
    function mine(bytes32 runner, address swop)
        external
        view
        returns (Assignment memory current, Peer memory peer, Pair[] memory found)
    {
        Assignments.Entry storage entry = _ledger.entries[_ledger.runners[runner].current];
        return (entry.info, entry.peers[swop], _pairsOf(entry, swop, 0, Assignments.PAIRS_MAX));
    }

    /// @inheritdoc ITaskrunners
    function peers(bytes32 aid, uint256 from, uint256 count) external view returns (Peer[] memory found) {
        Assignments.Entry storage entry = _ledger.entries[aid];
        (from, count) = Pages.within(from, count, entry.list.length, PAGE_MAX);
        found = new Peer[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = entry.peers[entry.list[from + i]];
        }
    }

    /// @inheritdoc ITaskrunners
    function pairs(bytes32 aid, address swop, uint256 from, uint256 count) external view returns (Pair[] memory) {
        return _pairsOf(_ledger.entries[aid], swop, from, count > PAGE_MAX ? PAGE_MAX : count);
    }

    /// @inheritdoc ITaskrunners
    function history(bytes32 runner, uint256 from, uint256 count) external view returns (Assignment[] memory found) {
        Assignments.Runner storage entry = _ledger.runners[runner];
        if (from == 0) from = 1;
        (from, count) = Pages.within(from - 1, count, entry.ops, PAGE_MAX);
        found = new Assignment[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = _ledger.entries[entry.aids[from + 1 + i]].info;
        }
    }

    /// @inheritdoc ITaskrunners
    function runners(uint256 from, uint256 count) external view returns (bytes32[] memory ids, string[] memory names) {
        ids = Pages.take(_ledger.ids, from, count, PAGE_MAX);
        names = new string[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            names[i] = _ledger.runners[ids[i]].name;
        }
    }

    /// @inheritdoc ITaskrunners
    function followers(bytes32 runner, uint256 from, uint256 count) external view returns (Follower[] memory found) {
        Assignments.Runner storage entry = _ledger.runners[runner];
        (from, count) = Pages.within(from, count, entry.followers.length, PAGE_MAX);
        found = new Follower[](count);
        for (uint256 i = 0; i < count; ++i) {
            address swop = entry.followers[from + i];
            Assignments.Seat storage seat = entry.seats[swop];
            found[i] = Follower(swop, seat.pairs, seat.since, _membership.isActive(swop));
        }
    }

    /// @inheritdoc ITaskrunners
    function counts(bytes32 runner) external view returns (uint64 ops, uint256 followers_) {
        return (_ledger.runners[runner].ops, _ledger.runners[runner].followers.length);
    }

    /// @inheritdoc ITaskrunners
    function nameOf(bytes32 runner) external view returns (string memory) {
        return _ledger.runners[runner].name;
    }

    /// @inheritdoc ITaskrunners
    function waiting() external view returns (uint64) {
        return _ledger.waiting;
    }

    /// @inheritdoc ITaskrunners
    function leaseSeconds() external view returns (uint256) {
        return _lease;
    }

    /// @inheritdoc ITaskrunners
    function graceBlocks() external view returns (uint256) {
        return _graceBlocks;
    }

    /// @inheritdoc ITaskrunners
    function tasks() external view returns (ITasks) {
        return _tasks;
    }

    /// @inheritdoc ITaskrunners
    function membership() external view returns (address) {
        return address(_membership);
    }

    function _busy(Assignment storage found) internal view returns (bool) {
        return found.phase == Phase.Assigned || found.phase == Phase.Running;
    }

    function _shown(Assignment storage found) internal view returns (State) {
        if (found.phase == Phase.None) return State.Idle;
        if (found.phase == Phase.Assigned) return State.Assigned;
        if (found.phase == Phase.Running) return found.failed == 0 ? State.Running : State.Error;
        return found.outcome == Outcome.Complete ? State.Complete : State.Error;
    }

    /// @dev Block time and block from which an assignment that did not start may be ended.
    function _startDue(Assignment storage found) internal view returns (uint256 time, uint256 number) {
        return (uint256(found.assignedTime) + found.enrolSeconds, found.assignedBlock + _graceBlocks);
    }

    function _pairsOf(Assignments.Entry storage entry, address swop, uint256 from, uint256 count)
        private
        view
        returns (Pair[] memory found)
    {
        Peer storage peer = entry.peers[swop];
        (from, count) = Pages.within(from, count, peer.allotted, Assignments.PAIRS_MAX);
        found = new Pair[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = entry.pairs[swop][from + i];
            if (found[i].state != PairState.None) continue;
            found[i].attempt = peer.attempt;
            if (entry.info.phase == Phase.Ended) {
                found[i].state = entry.info.outcome == Outcome.Expired ? PairState.Lost : PairState.Stopped;
            } else {
                bool started = peer.started & (1 << (from + i)) != 0;
                found[i].state = started ? PairState.Started : PairState.Allotted;
            }
        }
    }
}
