// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {ITraining} from "./ITraining.sol";

/// @title JobOptions: how the runs of a job are trained, beyond what each program says for itself.
/// @notice A JSON text a job, read by every node before a run; the contract only keeps who may change it, and when.
interface IJobOptions {
    /// @param version grows by one with each change.
    event OptionsSet(bytes32 indexed job, uint64 version, string options, address by);

    error OptionsUnknownJob(bytes32 job);
    error OptionsRunOpen(bytes32 job, uint64 run);
    error OptionsTooLong(uint256 bytesLength, uint256 bytesMax);

    /// @notice Replaces a job's options, for the runs that begin from now on. Members of role SN, SWCI or SWOP only;
    ///         refused while a run is open, so that all its members trained under the same. At most 2,048 bytes.
    function set(bytes32 job, string calldata options) external;

    /// @notice The options that hold now ("" where none were set) and how often they were changed.
    function get(bytes32 job) external view returns (string memory options, uint64 version);

    /// @notice The Training contract whose jobs these are.
    function training() external view returns (ITraining);
}
