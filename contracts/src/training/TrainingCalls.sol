// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {Words} from "../lib/Words.sol";
import {Runs} from "./Runs.sol";

/// @title TrainingCalls: call, here, settle: who is still there, and the reform of a roster that lost its majority.
/// @dev A linked library: its code stands at an address of its own, and Training runs it on its own storage (DELEGATECALL).
///      A call is due once rescueAfter of block time and its number of blocks have both passed, and lapses once
///      twice of both have passed, so that on a chain with few blocks there always is a block in which it can settle.
library TrainingCalls {
    using Words for uint256[];
    using Runs for Runs.Ledger;
    using Runs for Runs.Job;
    using Runs for Runs.Run;

    struct Count {
        uint256[] present; // words of those who answered and are joined and active
        uint256 fromRoster; // how many of them are in R
        bool allDone;
        uint64 until; // first expiry among them
    }

    function call(
        Runs.Ledger storage ledger,
        Runs.Terms memory terms,
        bytes32 job,
        uint64 run_,
        uint64 round,
        uint32 epoch
    ) external {
        (Runs.Job storage entry, Runs.Run storage run) = ledger.named(job, run_, round, epoch);
        _requireSeated(run, terms);
        uint64 open = run.callId;
        if (open != 0) {
            if (!_lapsed(run, terms)) revert ITraining.TrainingCallOpen(open);
            ledger.endCall(run);
            emit ITraining.CallLapsed(job, run_, open);
        }
        Runs.CallStamp storage last = run.lastCalls[msg.sender];
        if (last.time != 0) _requirePassed(terms, last.blockNumber, last.time);
        last.blockNumber = uint64(block.number);
        last.time = uint64(block.timestamp);
        uint64 callId = ++entry.calls;
        ++ledger.openCalls;
        run.callId = callId;
        run.callBlock = uint64(block.number);
        run.callTime = uint64(block.timestamp);
        emit ITraining.Called(job, run_, callId, msg.sender);
    }

    function here(Runs.Ledger storage ledger, Runs.Terms memory terms, bytes32 job, uint64 callId, bool done)
        external
    {
        (Runs.Job storage entry, Runs.Run storage run) = ledger.known(job);
        _requireOpenCall(run, callId);
        if (_lapsed(run, terms)) revert ITraining.TrainingNoCall(callId, 0);
        _requireSeated(run, terms);
        mapping(address node => Runs.Answer) storage answers = entry.answers[callId];
        if (answers[msg.sender] != Runs.Answer.Silent) revert ITraining.TrainingAlreadyAnswered(msg.sender, callId);
        answers[msg.sender] = done ? Runs.Answer.Done : Runs.Answer.Training;
        emit ITraining.Answered(job, entry.run, callId, msg.sender, done);
    }

    function settle(Runs.Ledger storage ledger, Runs.Terms memory terms, bytes32 job, uint64 callId) external {
        (Runs.Job storage entry, Runs.Run storage run) = ledger.known(job);
        _requireOpenCall(run, callId);
        uint64 number = entry.run;
        if (_lapsed(run, terms)) {
            ledger.endCall(run);
            emit ITraining.CallLapsed(job, number, callId);
            return;
        }
        _requirePassed(terms, run.callBlock, run.callTime);
        ledger.endCall(run);
        uint256[] memory roster = run.rosterWords;
        Count memory count = _count(run, terms, entry.answers[callId], roster);
        bool majority = count.fromRoster >= roster.length / 2 + 1;
        bool doneWithoutAll = count.allDone && count.fromRoster < roster.length;
        if (count.present.length < run.minPeers || (majority && !doneWithoutAll)) {
            emit ITraining.CallVoided(job, number, callId, uint32(count.present.length));
            return;
        }
        ++run.epoch;
        address[] memory dropped = _drop(run, roster, count);
        emit ITraining.Reformed(job, number, callId, run.epoch, dropped);
        entry.openWith(terms.membership, job, count.present, count.until);
    }

    function _count(
        Runs.Run storage run,
        Runs.Terms memory terms,
        mapping(address node => Runs.Answer) storage answers,
        uint256[] memory roster
    ) private view returns (Count memory count) {
        uint256[] memory joined = run.joined;
        uint256[] memory present = new uint256[](joined.length);
        uint256 found = 0;
        uint256 place = 0;
        count.allDone = true;
        count.until = type(uint64).max;
        for (uint256 i = 0; i < joined.length; ++i) {
            address node = Words.nodeOf(joined[i]);
            Runs.Answer answer = answers[node];
            if (answer == Runs.Answer.Silent) continue;
            uint64 until = terms.membership.activeUntil(node);
            if (until == 0) continue;
            present[found++] = joined[i];
            if (until < count.until) count.until = until;
            if (answer != Runs.Answer.Done) count.allDone = false;
            while (place < roster.length && Words.nodeOf(roster[place]) < node) ++place;
            if (place < roster.length && Words.nodeOf(roster[place]) == node) ++count.fromRoster;
        }
        count.present = present.head(found);
    }

    /// @dev Takes the seat of every member of the old roster that is still joined and not present.
    function _drop(Runs.Run storage run, uint256[] memory roster, Count memory count)
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
        run.unseat(silent, 0);
    }

    function _requireSeated(Runs.Run storage run, Runs.Terms memory terms) private view {
        if (!terms.membership.isActive(msg.sender)) revert IMembership.MembershipNotActive(msg.sender);
        if (!run.seats[msg.sender].joined) revert ITraining.TrainingNotJoined(msg.sender);
    }

    function _requireOpenCall(Runs.Run storage run, uint64 callId) private view {
        if (callId == 0 || run.callId != callId) revert ITraining.TrainingNoCall(callId, run.callId);
    }

    function _lapsed(Runs.Run storage run, Runs.Terms memory terms) private view returns (bool) {
        return block.timestamp > run.callTime + 2 * terms.rescueAfterSeconds
            && block.number > run.callBlock + 2 * terms.rescueAfterBlocks;
    }

    /// @dev Reverts with what is still missing, in blocks and in seconds.
    function _requirePassed(Runs.Terms memory terms, uint256 sinceBlock, uint256 sinceTime) private view {
        uint256 blocks = block.number - sinceBlock;
        uint256 time = block.timestamp - sinceTime;
        if (blocks >= terms.rescueAfterBlocks && time >= terms.rescueAfterSeconds) return;
        revert ITraining.TrainingCallTooEarly(
            blocks < terms.rescueAfterBlocks ? terms.rescueAfterBlocks - blocks : 0,
            time < terms.rescueAfterSeconds ? terms.rescueAfterSeconds - time : 0
        );
    }
}
