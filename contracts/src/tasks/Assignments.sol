// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";
import {ITaskrunners} from "../interfaces/ITaskrunners.sol";

/// @title Assignments: storage of runners and assignments, and the steps that Taskrunners and its library both take.
library Assignments {
    uint256 internal constant PAIRS_MAX = 250;
    uint256 internal constant SWOPS_MAX = 64;
    uint256 private constant PEERS_MAX = 250;
    uint256 private constant RUNNERS_MAX = 10_000;

    /// @dev `place` in the list of followers, from 1 on; 0: does not follow.
    struct Seat {
        uint32 pairs;
        uint32 place;
        uint64 since;
    }

    struct Runner {
        string name;
        bytes32 current;
        uint64 ops;
        address[] followers;
        mapping(address swop => Seat) seats;
        mapping(uint256 op => bytes32 aid) aids;
    }

    /// @dev `order` is the hash of what its assigner asked for. `list` holds the peers in order of the first word.
    struct Entry {
        ITaskrunners.Assignment info;
        bytes32 order;
        address[] list;
        mapping(address swop => ITaskrunners.Peer) peers;
        mapping(address swop => mapping(uint256 pair => ITaskrunners.Pair)) pairs;
    }

    /// @dev All that Taskrunners keeps. `waiting` counts the assignments that wait for a start or are suspected.
    struct Ledger {
        mapping(bytes32 runner => Runner) runners;
        mapping(bytes32 aid => Entry) entries;
        mapping(address by => uint256) created;
        bytes32[] ids;
        uint64 waiting;
    }

    /// @dev What was settled at the deployment, as far as a start asks for it.
    struct Terms {
        IMembership membership;
        uint256 lease;
    }

    function create(Ledger storage ledger, string memory name) internal returns (bytes32 runner) {
        runner = keccak256(bytes(name));
        Runner storage line = ledger.runners[runner];
        if (bytes(line.name).length != 0) revert ITaskrunners.RunnerExists(runner);
        if (ledger.ids.length >= RUNNERS_MAX) revert ITaskrunners.RunnerTooMany(ledger.ids.length, RUNNERS_MAX);
        line.name = name;
        ledger.ids.push(runner);
        emit ITaskrunners.RunnerCreated(runner, name, msg.sender);
    }

    function end(
        Ledger storage ledger,
        ITaskrunners.Assignment storage found,
        ITaskrunners.Outcome outcome,
        string memory why
    ) internal {
        if (found.phase == ITaskrunners.Phase.Assigned || found.suspected != 0) --ledger.waiting;
        found.phase = ITaskrunners.Phase.Ended;
        found.outcome = outcome;
        found.endedBlock = uint64(block.number);
        found.endedTime = nowSeconds();
        found.endedBy = msg.sender;
        if (bytes(why).length != 0) found.why = why;
        emit ITaskrunners.Ended(found.runner, found.aid, outcome, msg.sender, why);
    }

    /// @dev A word of a peer that waits for the start or has an open pair: takes a suspicion back.
    function heard(
        Ledger storage ledger,
        ITaskrunners.Assignment storage found,
        ITaskrunners.Peer storage peer
    ) internal {
        peer.heard = nowSeconds();
        found.heard = nowSeconds();
        if (found.suspected == 0) return;
        found.suspected = 0;
        found.suspectedBlock = 0;
        --ledger.waiting;
    }

    /// @dev The row of a SWOP in an assignment, made now if it has none.
    function row(Entry storage entry, address swop) internal returns (ITaskrunners.Peer storage peer) {
        peer = entry.peers[swop];
        if (peer.swop != address(0)) return peer;
        uint256 count = entry.list.length;
        if (count >= PEERS_MAX) revert ITaskrunners.RunnerFull("peers", count, PEERS_MAX);
        entry.list.push(swop);
        entry.info.peers = uint32(count + 1);
        peer.swop = swop;
    }

    function known(Ledger storage ledger, bytes32 runner) internal view returns (Runner storage line) {
        line = ledger.runners[runner];
        if (bytes(line.name).length == 0) revert ITaskrunners.RunnerUnknown(runner);
    }

    /// @dev The runner's present assignment, which must be the one that the caller means.
    function current(Ledger storage ledger, bytes32 runner, bytes32 aid) internal view returns (Entry storage) {
        bytes32 present = known(ledger, runner).current;
        if (aid == 0 || aid != present) revert ITaskrunners.RunnerNotCurrent(aid, present);
        return ledger.entries[aid];
    }

    function requirePhase(ITaskrunners.Assignment storage found, ITaskrunners.Phase phase) internal view {
        if (found.phase != phase) revert ITaskrunners.RunnerWrongPhase(found.aid, found.phase);
    }

    function requireCount(string memory what, uint256 given, uint256 min, uint256 max) internal pure {
        if (given < min || given > max) revert ITaskrunners.RunnerBadCount(what, given, min, max);
    }

    function nowSeconds() internal view returns (uint64) {
        return uint64(block.timestamp);
    }
}
