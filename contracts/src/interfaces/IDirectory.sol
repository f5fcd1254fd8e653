// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Directory: the one address a node needs.
/// @notice Maps a contract's name to its address and version. Only the owner (the sentinel) writes.
interface IDirectory {
    struct Entry {
        address target;
        uint32 version;
    }

    /// @notice A name was bound to a contract, or re-bound to a newer version of it.
    event EntrySet(bytes32 indexed name, address target, uint32 version);

    /// @notice No contract of that name is known.
    error DirectoryUnknownName(bytes32 name);
    /// @notice An entry may only move to a higher version with code behind it.
    error DirectoryBadEntry(bytes32 name, address target, uint32 version);

    /// @notice Binds `name` (ASCII, zero padded on the right) to `target`; `version` must grow.
    function set(bytes32 name, address target, uint32 version) external;

    /// @notice The current contract of that name. Reverts with DirectoryUnknownName.
    function get(bytes32 name) external view returns (Entry memory);

    /// @notice All names ever set, in order of first appearance.
    function names() external view returns (bytes32[] memory);
}
