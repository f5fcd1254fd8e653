// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {Runs} from "./Runs.sol";

/// @title TrainingCarried: jobs and runs that come over from an earlier chain of the swarm.
/// @dev A linked library, as TrainingCalls: Training runs it on its own storage.
library TrainingCarried {
    using Runs for Runs.Ledger;
    using Runs for Runs.Job;

    uint64 private constant RUNS_MAX = 10_000;

    function carryJob(Runs.Ledger storage ledger, IMembership membership, string calldata name, bytes32 origin, uint64 run)
        external
    {
        _requireAdmitter(membership);
        bytes32 job = keccak256(bytes(name));
        Runs.Job storage entry = ledger.jobs[job];
        if (entry.run == 0) ledger.create(name);
        if (entry.origin != 0 || entry.run != 1 || entry.current().phase != ITraining.Phase.Idle || origin == 0) {
            revert ITraining.TrainingJobExists(job);
        }
        if (run == 0 || run > RUNS_MAX + 1) revert ITraining.TrainingWrongRun(run, RUNS_MAX + 1);
        entry.origin = origin;
        // Runs below are without a phase until carryRun has entered them.
        entry.runs[1].phase = ITraining.Phase.None;
        entry.run = run;
        entry.runs[run].phase = ITraining.Phase.Idle;
        emit ITraining.JobCarried(job, run, origin);
    }

    function carryRounds(
        Runs.Ledger storage ledger,
        IMembership membership,
        bytes32 job,
        uint64 run_,
        uint64 first,
        uint256[] calldata words
    ) external {
        Runs.Run storage run = _carried(ledger, membership, job, run_);
        if (first != run.round) revert ITraining.TrainingWrongRound(first, 0, run.round, 0);
        for (uint256 i = 0; i + 1 < words.length; i += 2) {
            run.merges[run.round++] = Runs.Merge(bytes32(words[i]), uint64(words[i + 1]));
        }
        emit ITraining.RoundsCarried(job, run_, first, words);
    }

    function carryRun(
        Runs.Ledger storage ledger,
        IMembership membership,
        bytes32 job,
        uint64 run_,
        bytes32 origin,
        ITraining.Phase phase,
        uint64 began,
        uint64 ended,
        uint256[] calldata members
    ) external {
        Runs.Run storage run = _carried(ledger, membership, job, run_);
        if (phase == ITraining.Phase.None || phase == ITraining.Phase.Idle) {
            revert ITraining.TrainingWrongPhase(job, phase);
        }
        run.phase = phase;
        emit ITraining.RunCarried(job, run_, origin, phase, run.round, began, ended, members);
    }

    /// @dev A run of an earlier chain that carryRun has not entered yet: below the current one, and without a phase.
    function _carried(Runs.Ledger storage ledger, IMembership membership, bytes32 job, uint64 run_)
        private
        view
        returns (Runs.Run storage run)
    {
        (Runs.Job storage entry,) = ledger.known(job);
        _requireAdmitter(membership);
        if (run_ == 0 || run_ >= entry.run) revert ITraining.TrainingWrongRun(run_, entry.run);
        run = entry.runs[run_];
        if (run.phase != ITraining.Phase.None) revert ITraining.TrainingWrongPhase(job, run.phase);
    }

    /// @dev Those who let members in, and so may enter what an earlier chain of the swarm recorded.
    function _requireAdmitter(IMembership membership) private view {
        if (!membership.isAdmitter(msg.sender)) revert IMembership.MembershipNotAdmitter(msg.sender);
    }
}
