// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IJobOptions} from "./interfaces/IJobOptions.sol";
import {IMembership} from "./interfaces/IMembership.sol";
import {ITraining} from "./interfaces/ITraining.sol";
import {MembershipGuarded} from "./lib/MembershipGuarded.sol";

/// @title JobOptions: one text a job, changed by operators between runs.
contract JobOptions is IJobOptions, MembershipGuarded {
    struct Options {
        string text;
        uint64 version;
    }

    uint256 private constant BYTES_MAX = 2048;

    /// @inheritdoc IJobOptions
    ITraining public immutable training;
    mapping(bytes32 => Options) private _options;

    constructor(ITraining training_) MembershipGuarded(IMembership(training_.membership())) {
        training = training_;
    }

    /// @inheritdoc IJobOptions
    function set(bytes32 job, string calldata options) external {
        _requireOperator();
        ITraining.JobState memory state = training.state(job);
        if (state.phase == ITraining.Phase.None) revert OptionsUnknownJob(job);
        if (state.phase == ITraining.Phase.Open) revert OptionsRunOpen(job, state.run);
        if (bytes(options).length > BYTES_MAX) revert OptionsTooLong(bytes(options).length, BYTES_MAX);
        Options storage kept = _options[job];
        kept.text = options;
        kept.version += 1;
        emit OptionsSet(job, kept.version, options, msg.sender);
    }

    /// @inheritdoc IJobOptions
    function get(bytes32 job) external view returns (string memory options, uint64 version) {
        Options storage kept = _options[job];
        return (kept.text, kept.version);
    }
}
