// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ITraining} from "../interfaces/ITraining.sol";
import {Statements} from "../lib/Statements.sol";
import {Words} from "../lib/Words.sol";
import {Runs} from "./Runs.sol";
import {TrainingBase} from "./TrainingBase.sol";

/// @title TrainingCommit: accepts a round's result when a majority of its roster acknowledged it.
/// @dev A bundle's checks run in the order of design section 5, step 5; nothing is written before all of them hold.
abstract contract TrainingCommit is TrainingBase {
    using Words for uint256[];
    using Runs for Runs.Ledger;
    using Runs for Runs.Job;

    uint32 private constant FLAG_DONE = 1;
    uint32 private constant FLAG_OBSERVER = 2;
    uint32 private constant FLAGS_ALL = 0xff07; // 4: an original client's own figure; byte 1: rounds behind

    struct Tally {
        uint256 fromRoster; // items whose node is in R
        bool allDone;
        bool contributed; // somebody gave weight >= 1
        bytes32 inputs;
    }

    /// @inheritdoc ITraining
    function commit(Bundle[] calldata bundles) external {
        for (uint256 i = 0; i < bundles.length; ++i) {
            _commit(bundles[i]);
        }
    }

    function _commit(Bundle calldata bundle) private {
        Name calldata name = bundle.name;
        (Runs.Job storage entry, Runs.Run storage run) = _ledger.named(name.job, name.run, name.round, name.epoch);
        if (name.prev != run.prev) revert TrainingWrongPrev(name.prev, run.prev);
        if (name.roster != run.roster) revert TrainingWrongRoster(name.roster, run.roster);
        uint256[] memory words = bundle.roster;
        bytes32 given = words.hash();
        if (given != name.roster) revert TrainingWrongRoster(given, name.roster);
        address leader = words.leader(name.job, name.run, name.round, bundle.attempt);
        if (leader != bundle.leader) revert TrainingWrongLeader(bundle.attempt, bundle.leader, leader);

        bytes32 domain = Statements.domainSeparator(DOMAIN_NAME, address(this));
        Tally memory tally = _checkItems(run, bundle, words, domain);
        if (bundle.items.length < run.minPeers) revert TrainingTooFewItems(bundle.items.length, run.minPeers);
        if (name.round == 0 && !tally.contributed) revert TrainingEmpty();
        if (tally.inputs != bundle.result.inputs) revert TrainingWrongInputs(bundle.result.inputs, tally.inputs);
        if (name.round != 0 && bundle.result.manifest != run.manifest) {
            revert TrainingWrongManifest(bundle.result.manifest, run.manifest);
        }
        _checkAcks(bundle, words, domain);
        _record(run, bundle);
        _advance(entry, run, name.job, words, tally.allDone && tally.fromRoster == words.length);
    }

    function _checkItems(Runs.Run storage run, Bundle calldata bundle, uint256[] memory words, bytes32 domain)
        private
        view
        returns (Tally memory tally)
    {
        uint256 count = bundle.items.length;
        bytes memory inputs = Statements.newInputs(count);
        tally.allDone = true;
        address last = address(0);
        uint256 place = 0;
        for (uint256 i = 0; i < count; ++i) {
            Item calldata item = bundle.items[i];
            address node = item.node;
            if (node <= last) revert TrainingOrder(i);
            last = node;
            _checkFlags(i, item.stats);
            while (place < words.length && Words.nodeOf(words[place]) < node) ++place;
            // A member of R was joined and active when the round opened: nothing is left to ask about it.
            if (place < words.length && Words.nodeOf(words[place]) == node) ++tally.fromRoster;
            else if (!_joinedSince(run, node)) revert TrainingItemNotMember(i, node);
            bytes32 digest = Statements.checkIn(domain, bundle.name, item);
            if (!_signed(digest, item.r, item.vs, node)) revert TrainingItemSignature(i, node);
            Statements.putInput(inputs, i, digest, item.coefficient);
            if (item.stats.flags & FLAG_DONE == 0) tally.allDone = false;
            if (item.stats.weight != 0) tally.contributed = true;
        }
        tally.inputs = Statements.hashInputs(inputs, count);
    }

    function _checkFlags(uint256 index, Stats calldata stats) private pure {
        bool weighty = stats.flags & FLAG_OBSERVER != 0 && stats.weight != 0;
        if (weighty || stats.flags & ~FLAGS_ALL != 0) revert TrainingItemFlags(index, stats.flags);
    }

    function _checkAcks(Bundle calldata bundle, uint256[] memory words, bytes32 domain) private pure {
        bytes32 result = Statements.hashResult(bundle.result);
        uint256 count = bundle.acks.length;
        address last = address(0);
        uint256 place = 0;
        for (uint256 i = 0; i < count; ++i) {
            AckSignature calldata signature = bundle.acks[i];
            address node = signature.node;
            if (node <= last) revert TrainingOrder(i);
            last = node;
            while (place < words.length && Words.nodeOf(words[place]) < node) ++place;
            if (place == words.length || Words.nodeOf(words[place]) != node) revert TrainingAckNotRoster(i, node);
            bytes32 digest = Statements.ack(domain, bundle.name, bundle.attempt, result, node);
            if (!_signed(digest, signature.r, signature.vs, node)) revert TrainingAckSignature(i, node);
        }
        uint256 majority = words.length / 2 + 1;
        if (count < majority) revert TrainingTooFewAcks(count, majority);
    }

    /// @dev Joined and active at the same time, at some moment since this (round, epoch) opened. _unseat noted at the
    ///      time of leaving whether the node had been active since.
    function _joinedSince(Runs.Run storage run, address node) private view returns (bool) {
        // An heir counts where its lost key does not: in what was opened after it was admitted.
        uint64 countsAfter = _membership.countsAfter(node);
        if (countsAfter != 0 && countsAfter >= run.openedBlock) return false;
        Runs.Seat storage seat = run.seats[node];
        if (!seat.joined) return seat.leftOpening == run.openings;
        // Joining needs an active membership, so whoever joined after the opening was both then.
        return seat.joinedOpening == run.openings
            || _membership.wasActiveSince(node, run.openedBlock, run.openedTime);
    }

    function _signed(bytes32 digest, bytes32 r, bytes32 vs, address node) private pure returns (bool) {
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, r, vs);
        return fault == ECDSA.RecoverError.NoError && signer == node;
    }

    function _record(Runs.Run storage run, Bundle calldata bundle) private {
        Name calldata name = bundle.name;
        Result calldata result = bundle.result;
        run.merges[name.round] = Runs.Merge(result.merged, result.size);
        run.prev = result.merged;
        run.prevSize = result.size;
        run.interval = result.interval;
        if (name.round == 0) run.manifest = result.manifest;
        emit Merged(
            name.job,
            name.run,
            name.round,
            name.epoch,
            bundle.attempt,
            bundle.leader,
            result,
            uint32(bundle.items.length),
            uint32(bundle.acks.length)
        );
        for (uint256 i = 0; i < bundle.items.length; ++i) {
            Item calldata item = bundle.items[i];
            emit Contributed(
                name.job,
                name.run,
                item.node,
                name.round,
                item.version,
                item.blob,
                item.size,
                item.stats,
                item.coefficient
            );
        }
    }

    function _advance(Runs.Job storage entry, Runs.Run storage run, bytes32 job, uint256[] memory words, bool over)
        private
    {
        _ledger.endCall(run);
        ++run.round;
        if (over) {
            run.phase = Phase.Complete;
            emit RunCompleted(job, entry.run, run.round, run.prev);
        } else {
            entry.openNext(_membership, job, words);
        }
    }
}
