// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskrunners} from "../interfaces/ITaskrunners.sol";
import {ITasks} from "../interfaces/ITasks.sol";
import {Assignments} from "./Assignments.sol";

/// @title TaskrunnersPeers: what a SWOP says of itself, and the allotment.
/// @dev A linked library: Taskrunners runs it on its own storage, and has asked whether the caller is a SWOP.
library TaskrunnersPeers {
    using Assignments for Assignments.Ledger;

    uint256 private constant REPORTS_MAX = 16;
    uint256 private constant EXPECT_SECONDS = 5;

    function enrol(Assignments.Ledger storage ledger, bytes32 runner, bytes32 aid, uint32 offer) external {
        Assignments.Entry storage entry = ledger.current(runner, aid);
        ITaskrunners.Assignment storage found = entry.info;
        bool many = found.taskType == ITasks.TaskType.RunSwarm;
        Assignments.requireCount("offer", offer, 1, many ? Assignments.PAIRS_MAX : 1);
        if (found.phase == ITaskrunners.Phase.Running) {
            _join(ledger, entry, offer);
            return;
        }
        Assignments.requirePhase(found, ITaskrunners.Phase.Assigned);
        if (found.named != 0 && !entry.peers[msg.sender].named) revert ITaskrunners.RunnerNotNamed(msg.sender);
        ITaskrunners.Peer storage peer = Assignments.row(entry, msg.sender);
        if (peer.state == ITaskrunners.PeerState.Enrolled) {
            found.offered -= peer.offer;
        } else {
            if (found.enrolled >= Assignments.SWOPS_MAX) {
                revert ITaskrunners.RunnerFull("enrolled", found.enrolled, Assignments.SWOPS_MAX);
            }
            if (peer.state == ITaskrunners.PeerState.Declined) {
                --found.declined;
                peer.fault = 0;
                peer.textHash = 0;
            }
            ++found.enrolled;
            peer.state = ITaskrunners.PeerState.Enrolled;
        }
        bool changed = peer.offer != offer;
        peer.offer = offer;
        found.offered += offer;
        ledger.heard(found, peer);
        if (changed) emit ITaskrunners.Enrolled(aid, msg.sender, offer);
    }

    function decline(
        Assignments.Ledger storage ledger,
        bytes32 runner,
        bytes32 aid,
        bytes31 fault,
        bytes32 textHash
    ) external {
        Assignments.Entry storage entry = ledger.current(runner, aid);
        ITaskrunners.Assignment storage found = entry.info;
        ITaskrunners.PeerState before = entry.peers[msg.sender].state;
        if (found.phase == ITaskrunners.Phase.Running) {
            if (before != ITaskrunners.PeerState.Invited && before != ITaskrunners.PeerState.Declined) {
                revert ITaskrunners.RunnerNotNamed(msg.sender);
            }
        } else {
            Assignments.requirePhase(found, ITaskrunners.Phase.Assigned);
            if (found.named != 0 && !entry.peers[msg.sender].named) revert ITaskrunners.RunnerNotNamed(msg.sender);
        }
        ITaskrunners.Peer storage peer = Assignments.row(entry, msg.sender);
        if (before == ITaskrunners.PeerState.Declined && peer.fault == fault && peer.textHash == textHash) return;
        if (before == ITaskrunners.PeerState.Enrolled) {
            --found.enrolled;
            found.offered -= peer.offer;
            peer.offer = 0;
        }
        if (before != ITaskrunners.PeerState.Declined) ++found.declined;
        peer.state = ITaskrunners.PeerState.Declined;
        peer.fault = fault;
        peer.textHash = textHash;
        peer.heard = Assignments.nowSeconds();
        emit ITaskrunners.Declined(aid, msg.sender, fault, textHash);
        if (peer.named && found.phase == ITaskrunners.Phase.Assigned) {
            ledger.end(found, ITaskrunners.Outcome.Declined, "");
        }
    }

    function start(
        Assignments.Ledger storage ledger,
        Assignments.Terms memory terms,
        bytes32 runner,
        bytes32 aid
    ) external {
        Assignments.Entry storage entry = ledger.current(runner, aid);
        ITaskrunners.Assignment storage found = entry.info;
        Assignments.requirePhase(found, ITaskrunners.Phase.Assigned);
        ITaskrunners.Peer storage caller = entry.peers[msg.sender];
        if (caller.state != ITaskrunners.PeerState.Enrolled) revert ITaskrunners.RunnerNotEnrolled(msg.sender);
        ledger.heard(found, caller);
        (address[] memory swops, uint32[] memory given) = _living(terms, entry);
        if (found.named != 0) {
            if (swops.length < found.named) revert ITaskrunners.RunnerNotReady(swops.length, found.named);
        } else {
            uint256 offered = _sum(given);
            if (offered < found.n) revert ITaskrunners.RunnerNotReady(offered, found.n);
            uint256 due = found.assignedTime + EXPECT_SECONDS;
            if (found.enrolled + found.declined < found.expect && block.timestamp < due) {
                revert ITaskrunners.RunnerNotDue(due, 0);
            }
            given = _share(given, found.n);
        }
        _allot(ledger, entry, swops, given);
    }

    function renew(Assignments.Ledger storage ledger, bytes32 runner, bytes32 aid, uint256 started) external {
        Assignments.Entry storage entry = ledger.current(runner, aid);
        ITaskrunners.Assignment storage found = entry.info;
        ITaskrunners.Peer storage peer = entry.peers[msg.sender];
        if (found.phase == ITaskrunners.Phase.Running) {
            if (peer.open == 0) revert ITaskrunners.RunnerNothingOpen(msg.sender);
            uint256 mask = (1 << peer.allotted) - 1;
            uint256 bits = peer.started | (started & mask);
            if (bits != peer.started) peer.started = bits;
        } else {
            Assignments.requirePhase(found, ITaskrunners.Phase.Assigned);
            if (peer.state != ITaskrunners.PeerState.Enrolled) revert ITaskrunners.RunnerNotEnrolled(msg.sender);
        }
        ledger.heard(found, peer);
    }

    function report(
        Assignments.Ledger storage ledger,
        bytes32 runner,
        bytes32 aid,
        uint32 attempt,
        ITaskrunners.Report[] calldata reports
    ) external {
        Assignments.requireCount("reports", reports.length, 1, REPORTS_MAX);
        bytes32 current = ledger.known(runner).current;
        Assignments.Entry storage entry = ledger.entries[aid];
        ITaskrunners.Assignment storage found = entry.info;
        if (aid == 0 || found.runner != runner) revert ITaskrunners.RunnerNotCurrent(aid, current);
        ITaskrunners.Peer storage peer = entry.peers[msg.sender];
        if (peer.allotted == 0) revert ITaskrunners.RunnerNotIn(msg.sender);
        if (found.phase == ITaskrunners.Phase.Ended) {
            emit ITaskrunners.ReportedLate(aid, msg.sender, attempt, reports);
            return;
        }
        if (attempt != peer.attempt) revert ITaskrunners.RunnerWrongAttempt(attempt, peer.attempt);
        if (peer.open != 0) ledger.heard(found, peer);
        for (uint256 i = 0; i < reports.length; ++i) {
            _count(entry, peer, reports[i]);
        }
        if (found.open != 0) return;
        ledger.end(found, found.failed == 0 ? ITaskrunners.Outcome.Complete : ITaskrunners.Outcome.Failed, "");
    }

    function _count(
        Assignments.Entry storage entry,
        ITaskrunners.Peer storage peer,
        ITaskrunners.Report calldata said
    ) private {
        Assignments.requireCount("pair", said.pair, 0, peer.allotted - 1);
        ITaskrunners.Assignment storage found = entry.info;
        ITaskrunners.Pair storage pair = entry.pairs[msg.sender][said.pair];
        ITaskrunners.PairState result = said.ok ? ITaskrunners.PairState.Succeeded : ITaskrunners.PairState.Failed;
        if (pair.state != ITaskrunners.PairState.None) {
            bool same = pair.state == result && pair.exitCode == said.exitCode && pair.fault == said.fault
                && pair.textHash == said.textHash && pair.sl == said.sl && pair.run == said.run && pair.job == said.job;
            if (!same) revert ITaskrunners.RunnerReported(said.pair, pair.attempt);
            return;
        }
        pair.state = result;
        pair.attempt = peer.attempt;
        pair.exitCode = said.exitCode;
        pair.time = Assignments.nowSeconds();
        pair.fault = said.fault;
        pair.textHash = said.textHash;
        pair.sl = said.sl;
        pair.run = said.run;
        pair.job = said.job;
        --peer.open;
        --found.open;
        if (said.ok) {
            ++found.succeeded;
        } else {
            ++found.failed;
            ++peer.failed;
        }
        emit ITaskrunners.Reported(found.aid, msg.sender, peer.attempt, said);
    }

    /// @dev One that was invited to a running assignment: all that it offers is allotted at once.
    function _join(Assignments.Ledger storage ledger, Assignments.Entry storage entry, uint32 offer) private {
        ITaskrunners.Assignment storage found = entry.info;
        ITaskrunners.Peer storage peer = entry.peers[msg.sender];
        if (peer.state == ITaskrunners.PeerState.In) return; // the same again
        if (peer.state != ITaskrunners.PeerState.Invited) revert ITaskrunners.RunnerNotNamed(msg.sender);
        if (found.swops >= Assignments.SWOPS_MAX) {
            revert ITaskrunners.RunnerFull("swops", found.swops, Assignments.SWOPS_MAX);
        }
        peer.offer = offer;
        _enter(found, peer, offer);
        ledger.heard(found, peer);
        emit ITaskrunners.Enrolled(found.aid, msg.sender, offer);
    }

    function _enter(ITaskrunners.Assignment storage found, ITaskrunners.Peer storage peer, uint32 count) private {
        peer.state = ITaskrunners.PeerState.In;
        peer.allotted = count;
        peer.open = count;
        peer.attempt = 1;
        ++found.swops;
        found.allotted += count;
        found.open += count;
    }

    function _allot(
        Assignments.Ledger storage ledger,
        Assignments.Entry storage entry,
        address[] memory swops,
        uint32[] memory given
    ) private {
        ITaskrunners.Assignment storage found = entry.info;
        found.phase = ITaskrunners.Phase.Running;
        found.startedBlock = uint64(block.number);
        found.startedTime = Assignments.nowSeconds();
        --ledger.waiting;
        for (uint256 i = 0; i < swops.length; ++i) {
            if (given[i] != 0) _enter(found, entry.peers[swops[i]], given[i]);
        }
        uint256 count = entry.list.length;
        for (uint256 i = 0; i < count; ++i) {
            ITaskrunners.Peer storage peer = entry.peers[entry.list[i]];
            if (peer.state == ITaskrunners.PeerState.Enrolled) peer.state = ITaskrunners.PeerState.Out;
        }
        emit ITaskrunners.Started(found.aid, swops, given);
    }

    /// @dev Enrolled SWOPs that are active members and were heard within a lease, ascending, and what each offers.
    function _living(
        Assignments.Terms memory terms,
        Assignments.Entry storage entry
    ) private view returns (address[] memory swops, uint32[] memory offers) {
        address[] memory list = entry.list;
        swops = new address[](entry.info.enrolled);
        uint256 count = 0;
        for (uint256 i = 0; i < list.length; ++i) {
            ITaskrunners.Peer storage peer = entry.peers[list[i]];
            if (peer.state != ITaskrunners.PeerState.Enrolled || block.timestamp > peer.heard + terms.lease) continue;
            if (!terms.membership.isActive(list[i])) continue;
            uint256 place = count++;
            while (place != 0 && swops[place - 1] > list[i]) {
                swops[place] = swops[place - 1];
                --place;
            }
            swops[place] = list[i];
        }
        address[] memory found = new address[](count);
        offers = new uint32[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = swops[i];
            offers[i] = entry.peers[swops[i]].offer;
        }
        return (found, offers);
    }

    /// @dev One at a time to each in turn, until `n` are given; the offers reach n. A function of the offers alone.
    function _share(uint32[] memory offers, uint256 n) private pure returns (uint32[] memory given) {
        given = new uint32[](offers.length);
        while (n != 0) {
            for (uint256 i = 0; i < offers.length && n != 0; ++i) {
                if (given[i] == offers[i]) continue;
                ++given[i];
                --n;
            }
        }
    }

    function _sum(uint32[] memory offers) private pure returns (uint256 total) {
        for (uint256 i = 0; i < offers.length; ++i) {
            total += offers[i];
        }
    }
}
