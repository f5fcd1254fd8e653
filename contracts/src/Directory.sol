// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @title Directory (documented in IDirectory)
contract Directory is IDirectory, Ownable2Step {
    mapping(bytes32 name => Entry) private _entries;
    bytes32[] private _names;

    constructor() Ownable(msg.sender) {}

    /// @inheritdoc IDirectory
    function set(bytes32 name, address target, uint32 version) external onlyOwner {
        Entry storage entry = _entries[name];
        if (version <= entry.version || target.code.length == 0) revert DirectoryBadEntry(name, target, version);
        if (entry.version == 0) _names.push(name);
        entry.target = target;
        entry.version = version;
        emit EntrySet(name, target, version);
    }

    /// @inheritdoc IDirectory
    function get(bytes32 name) external view returns (Entry memory) {
        Entry memory entry = _entries[name];
        if (entry.version == 0) revert DirectoryUnknownName(name);
        return entry;
    }

    /// @inheritdoc IDirectory
    function names() external view returns (bytes32[] memory) {
        return _names;
    }
}
