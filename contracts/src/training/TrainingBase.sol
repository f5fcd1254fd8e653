// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {MembershipGuarded} from "../lib/MembershipGuarded.sol";
import {Words} from "../lib/Words.sol";
import {Runs} from "./Runs.sol";

/// @title TrainingBase: what was settled at the deployment, and the views.
abstract contract TrainingBase is ITraining, MembershipGuarded {
    using Words for uint256[];
    using Runs for Runs.Job;

    string internal constant DOMAIN_NAME = "SwarmTraining";
    uint256 internal constant JOINED_MAX = 250;
    uint256 private constant PAGE_MAX = 100;
    uint256 private constant RESCUE_AFTER_SECONDS_MIN = 5;
    uint256 private constant RESCUE_AFTER_SECONDS_MAX = 1 days;

    uint256 internal immutable _rescueAfterSeconds;
    uint256 internal immutable _rescueAfterBlocks;
    Runs.Ledger internal _ledger;

    constructor(IMembership membership_, uint256 rescueAfterSeconds) MembershipGuarded(membership_) {
        if (rescueAfterSeconds < RESCUE_AFTER_SECONDS_MIN || rescueAfterSeconds > RESCUE_AFTER_SECONDS_MAX) {
            revert TrainingBadRescueAfter(rescueAfterSeconds, RESCUE_AFTER_SECONDS_MIN, RESCUE_AFTER_SECONDS_MAX);
        }
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
        Runs.Run storage run = _current(job);
        current.phase = run.phase;
        current.started = run.started;
        current.run = _ledger.jobs[job].run;
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
    function joinersOf(bytes32 job, uint256 from, uint256 count) external view returns (Joiner[] memory joiners) {
        Runs.Run storage run = _current(job);
        uint256[] memory joined = run.joined;
        uint256[] memory words = joined.merge(run.gone);
        (from, count) = _page(words.length, from, count);
        joiners = new Joiner[](count);
        for (uint256 i = 0; i < count; ++i) {
            address node = Words.nodeOf(words[from + i]);
            Runs.Seat storage seat = run.seats[node];
            joiners[i] = Joiner(node, seat.eligible, seat.joined, seat.joinedBlock, seat.leftBlock);
        }
    }

    /// @inheritdoc ITraining
    function mergedOf(bytes32 job, uint64 run, uint64 round) external view returns (bytes32 merged, uint64 size) {
        Runs.Merge storage merge = _ledger.jobs[job].runs[run].merges[round];
        return (merge.blob, merge.size);
    }

    /// @inheritdoc ITraining
    function phaseOf(bytes32 job, uint64 run) external view returns (Phase) {
        return _ledger.jobs[job].runs[run].phase;
    }

    /// @inheritdoc ITraining
    function leaderOf(bytes32 job, uint32 attempt) external view returns (address) {
        Runs.Run storage run = _current(job);
        return run.rosterWords.leader(job, _ledger.jobs[job].run, run.round, attempt);
    }

    /// @inheritdoc ITraining
    function jobs(uint256 from, uint256 count) external view returns (bytes32[] memory ids, string[] memory names) {
        (from, count) = _page(_ledger.ids.length, from, count);
        ids = new bytes32[](count);
        names = new string[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = _ledger.ids[from + i];
            names[i] = _ledger.jobs[ids[i]].name;
        }
    }

    /// @inheritdoc ITraining
    function nameOf(bytes32 job) external view returns (string memory) {
        return _ledger.jobs[job].name;
    }

    /// @inheritdoc ITraining
    function originOf(bytes32 job) external view returns (bytes32) {
        return _ledger.jobs[job].origin;
    }

    /// @inheritdoc ITraining
    function openCalls() external view returns (uint64) {
        return _ledger.openCalls;
    }

    function _current(bytes32 job) internal view returns (Runs.Run storage) {
        return _ledger.jobs[job].current();
    }

    /// @dev What of the page asked for is there; PAGE_MAX at most.
    function _page(uint256 total, uint256 from, uint256 count) private pure returns (uint256, uint256) {
        if (from > total) from = total;
        if (count > PAGE_MAX) count = PAGE_MAX;
        return (from, count > total - from ? total - from : count);
    }
}
