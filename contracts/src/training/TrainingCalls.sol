// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITraining} from "../interfaces/ITraining.sol";
import {Words} from "../lib/Words.sol";
import {TrainingBase} from "./TrainingBase.sol";

/// @title TrainingCalls: call, here, settle: who is still there, and the reform of a roster that lost its majority.
/// @dev A call is due once rescueAfter of block time and its number of blocks have both passed, and lapses once
///      twice of both have passed, so that on a chain with few blocks there always is a block in which it can settle.
abstract contract TrainingCalls is TrainingBase {
    using Words for uint256[];

    struct Count {
        uint256[] present; // words of those who answered and are joined and active
        uint256 fromRoster; // how many of them are in R
        bool allDone;
        uint64 until; // first expiry among them
    }

    /// @inheritdoc ITraining
    function call(bytes32 job, uint64 run_, uint64 round, uint32 epoch) external {
        Run storage run = _named(job, run_, round, epoch);
        _requireSeated(run, msg.sender);
        uint64 open = run.callId;
        if (open != 0) {
            if (!_lapsed(run)) revert TrainingCallOpen(open);
            _endCall(run);
            emit CallLapsed(job, run_, open);
        }
        CallStamp storage last = run.lastCalls[msg.sender];
        if (last.time != 0) _requirePassed(last.blockNumber, last.time);
        last.blockNumber = uint64(block.number);
        last.time = uint64(block.timestamp);
        uint64 callId = ++_jobs[job].calls;
        run.callId = callId;
        run.callBlock = uint64(block.number);
        run.callTime = uint64(block.timestamp);
        emit Called(job, run_, callId, msg.sender);
    }

    /// @inheritdoc ITraining
    function here(bytes32 job, uint64 callId, bool done) external {
        Run storage run = _known(job);
        _requireOpenCall(run, callId);
        if (_lapsed(run)) revert TrainingNoCall(callId, 0);
        _requireSeated(run, msg.sender);
        mapping(address node => Answer) storage answers = _jobs[job].answers[callId];
        if (answers[msg.sender] != Answer.Silent) revert TrainingAlreadyAnswered(msg.sender, callId);
        answers[msg.sender] = done ? Answer.Done : Answer.Training;
        emit Answered(job, _jobs[job].run, callId, msg.sender, done);
    }

    /// @inheritdoc ITraining
    function settle(bytes32 job, uint64 callId) external {
        Run storage run = _known(job);
        _requireOpenCall(run, callId);
        uint64 number = _jobs[job].run;
        if (_lapsed(run)) {
            _endCall(run);
            emit CallLapsed(job, number, callId);
            return;
        }
        _requirePassed(run.callBlock, run.callTime);
        _endCall(run);
        uint256[] memory roster = run.rosterWords;
        Count memory count = _count(run, _jobs[job].answers[callId], roster);
        bool majority = count.fromRoster >= roster.length / 2 + 1;
        bool doneWithoutAll = count.allDone && count.fromRoster < roster.length;
        if (count.present.length < run.minPeers || (majority && !doneWithoutAll)) {
            emit CallVoided(job, number, callId, uint32(count.present.length));
            return;
        }
        ++run.epoch;
        address[] memory dropped = _drop(run, roster, count);
        emit Reformed(job, number, callId, run.epoch, dropped);
        _openWith(job, run, count.present, count.until);
    }

    function _count(Run storage run, mapping(address node => Answer) storage answers, uint256[] memory roster)
        private
        view
        returns (Count memory count)
    {
        uint256[] memory joined = run.joined;
        uint256[] memory present = new uint256[](joined.length);
        uint256 found = 0;
        uint256 place = 0;
        count.allDone = true;
        count.until = type(uint64).max;
        for (uint256 i = 0; i < joined.length; ++i) {
            address node = Words.nodeOf(joined[i]);
            Answer answer = answers[node];
            if (answer == Answer.Silent) continue;
            uint64 until = _membership.activeUntil(node);
            if (until == 0) continue;
            present[found++] = joined[i];
            if (until < count.until) count.until = until;
            if (answer != Answer.Done) count.allDone = false;
            while (place < roster.length && Words.nodeOf(roster[place]) < node) ++place;
            if (place < roster.length && Words.nodeOf(roster[place]) == node) ++count.fromRoster;
        }
        count.present = present.head(found);
    }

    /// @dev Takes the seat of every member of the old roster that is still joined and not present.
    function _drop(Run storage run, uint256[] memory roster, Count memory count)
        private
        returns (address[] memory dropped)
    {
        uint256[] memory silent = roster.without(count.present);
        uint256 found = 0;
        for (uint256 i = 0; i < silent.length; ++i) {
            if (run.seats[Words.nodeOf(silent[i])].joined) silent[found++] = silent[i];
        }
        silent = silent.head(found);
        dropped = Words.nodesOf(silent);
        _unseat(run, silent, 0);
    }

    function _requireOpenCall(Run storage run, uint64 callId) private view {
        if (callId == 0 || run.callId != callId) revert TrainingNoCall(callId, run.callId);
    }

    function _lapsed(Run storage run) private view returns (bool) {
        return block.timestamp > run.callTime + 2 * _rescueAfterSeconds
            && block.number > run.callBlock + 2 * _rescueAfterBlocks;
    }

    /// @dev Reverts with what is still missing, in blocks and in seconds.
    function _requirePassed(uint256 sinceBlock, uint256 sinceTime) private view {
        uint256 blocks = block.number - sinceBlock;
        uint256 time = block.timestamp - sinceTime;
        if (blocks >= _rescueAfterBlocks && time >= _rescueAfterSeconds) return;
        revert TrainingCallTooEarly(
            blocks < _rescueAfterBlocks ? _rescueAfterBlocks - blocks : 0,
            time < _rescueAfterSeconds ? _rescueAfterSeconds - time : 0
        );
    }
}
