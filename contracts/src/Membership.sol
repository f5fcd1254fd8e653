// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {IMembership} from "./interfaces/IMembership.sol";

/// @title Membership (documented in IMembership)
contract Membership is IMembership, Ownable2Step, ReentrancyGuard {
    uint64 private constant OVERLAP_SECONDS_MAX = 7 days;
    uint256 private constant PAGE_MAX = 250;
    uint256 private constant TEXT_BYTES_MAX = 256;
    uint64 private constant ANNOUNCE_SECONDS = 60;
    uint64 private constant ANNOUNCE_BURST = 100;

    struct Record {
        Role role;
        Status status;
        uint64 expires;
        uint64 since;
        uint64 changedBlock;
        // How the last active spell ended: by a change in this block, or by running out at this time. Both are
        // kept because a later change (a revocation after a suspension) must not look like an end of activity.
        uint64 stoppedBlock;
        uint64 lapsedTime;
        uint64 oldKeyUntil;
        uint64 countsAfter; // of an heir: the block of its admission
        uint64 announcedUntil; // an announcement adds ANNOUNCE_SECONDS; ANNOUNCE_BURST of them may lie ahead
        bytes32 spki;
        bytes32 oldSpki;
        bytes32 spiffe;
        bytes32 site;
    }

    mapping(address node => Record) private _records;
    mapping(bytes32 spki => address) private _holders;
    mapping(address who => bool) private _admitters;
    address[] private _nodes;
    uint64 private _version;

    modifier onlyAdmitter() {
        if (!_mayAdmit(msg.sender)) revert MembershipNotAdmitter(msg.sender);
        _;
    }

    constructor() Ownable(msg.sender) {
        _admitters[msg.sender] = true;
        emit AdmitterSet(msg.sender, true);
    }

    /// @inheritdoc IMembership
    function admit(address node, bytes32 spki, bytes32 spiffe, bytes32 site, Role role, uint64 expires)
        external
        payable
        nonReentrant
        onlyAdmitter
    {
        _requireFuture(expires);
        Status before = _records[node].status;
        if (before == Status.Active || before == Status.Suspended) revert MembershipAlready(node, before);
        _requireFree(spki, node);
        _enter(node, spki, spiffe, site, role, expires);
        _grant(node);
    }

    /// @inheritdoc IMembership
    function restore(
        address node,
        bytes32 spki,
        bytes32 spiffe,
        bytes32 site,
        Role role,
        Status status,
        uint64 expires
    ) external payable nonReentrant onlyAdmitter {
        if (status == Status.None) revert MembershipWrongStatus(node, status);
        Status before = _records[node].status;
        if (before != Status.None) revert MembershipAlready(node, before);
        if (spki != 0 || status != Status.Revoked) _requireFree(spki, node);
        _enter(node, spki, spiffe, site, role, expires);
        _records[node].status = status;
        if (status == Status.Suspended) emit MemberSuspended(node, msg.sender);
        if (status == Status.Revoked) emit MemberRevoked(node, msg.sender);
        _grant(node);
    }

    /// @inheritdoc IMembership
    function suspend(address node) external onlyAdmitter {
        Record storage record = _known(node);
        if (record.status != Status.Active) revert MembershipWrongStatus(node, record.status);
        _endSpell(record);
        record.status = Status.Suspended;
        _touch(record);
        emit MemberSuspended(node, msg.sender);
    }

    /// @inheritdoc IMembership
    function resume(address node) external onlyAdmitter {
        Record storage record = _known(node);
        if (record.status != Status.Suspended) revert MembershipWrongStatus(node, record.status);
        _requireFuture(record.expires);
        record.status = Status.Active;
        _touch(record);
        emit MemberResumed(node, msg.sender);
    }

    /// @inheritdoc IMembership
    function revoke(address node) external {
        if (msg.sender != node && !_mayAdmit(msg.sender)) revert MembershipNotAdmitter(msg.sender);
        Record storage record = _known(node);
        if (record.status == Status.Revoked) revert MembershipWrongStatus(node, record.status);
        _revoke(node, record);
    }

    /// @inheritdoc IMembership
    function succeed(address old, address heir, uint64 expires) external payable nonReentrant onlyAdmitter {
        _requireFuture(expires);
        Record storage record = _known(old);
        if (record.status != Status.Active) revert MembershipWrongStatus(old, record.status);
        if (old == owner()) revert MembershipOwner(old);
        Status before = _records[heir].status;
        if (before != Status.None) revert MembershipAlready(heir, before);
        bytes32 spki = record.spki;
        record.spki = 0;
        record.oldSpki = 0;
        record.oldKeyUntil = 0;
        _revoke(old, record);
        _enter(heir, spki, record.spiffe, record.site, record.role, expires);
        _records[heir].countsAfter = uint64(block.number);
        emit MemberSucceeded(old, heir);
        _grant(heir);
    }

    /// @inheritdoc IMembership
    function extend(address node, uint64 expires) external onlyAdmitter {
        Record storage record = _known(node);
        if (record.status == Status.Revoked) revert MembershipWrongStatus(node, record.status);
        _requireFuture(expires);
        if (record.status == Status.Active && _now() > record.expires) record.lapsedTime = record.expires;
        record.expires = expires;
        _touch(record);
        emit MemberExtended(node, expires);
    }

    /// @inheritdoc IMembership
    function rebind(address node, bytes32 spki, uint64 overlapSeconds) external onlyAdmitter {
        Record storage record = _known(node);
        if (record.status == Status.Revoked) revert MembershipWrongStatus(node, record.status);
        if (overlapSeconds > OVERLAP_SECONDS_MAX) revert MembershipOverlapTooLong(overlapSeconds, OVERLAP_SECONDS_MAX);
        _requireFree(spki, node);
        if (record.spki == spki) revert MembershipKeyTaken(spki, node);
        uint64 oldKeyUntil = _now() + overlapSeconds;
        record.oldSpki = record.spki;
        record.oldKeyUntil = oldKeyUntil;
        record.spki = spki;
        _holders[spki] = node;
        _touch(record);
        emit MemberRebound(node, spki, oldKeyUntil);
    }

    /// @inheritdoc IMembership
    function announce(string calldata uri, string calldata enode, address sealer) external {
        Record storage record = _records[msg.sender];
        if (record.role != Role.SN || !_isActive(record)) revert MembershipNotSn(msg.sender);
        if (bytes(uri).length > TEXT_BYTES_MAX) revert MembershipUriTooLong(bytes(uri).length, TEXT_BYTES_MAX);
        if (bytes(enode).length > TEXT_BYTES_MAX) revert MembershipEnodeTooLong(bytes(enode).length, TEXT_BYTES_MAX);
        uint64 until = record.announcedUntil > _now() ? record.announcedUntil : _now();
        uint64 most = _now() + ANNOUNCE_SECONDS * (ANNOUNCE_BURST - 1);
        if (until > most) revert MembershipAnnouncedTooOften(msg.sender, until - most);
        record.announcedUntil = until + ANNOUNCE_SECONDS;
        emit Announced(msg.sender, uri, enode, sealer);
    }

    /// @inheritdoc IMembership
    function setAdmitter(address who, bool allowed) external onlyOwner {
        _admitters[who] = allowed;
        emit AdmitterSet(who, allowed);
    }

    /// @inheritdoc IMembership
    function isAdmitter(address who) external view returns (bool) {
        return _mayAdmit(who);
    }

    /// @inheritdoc IMembership
    function member(address node) external view returns (Member memory) {
        return _member(node);
    }

    /// @inheritdoc IMembership
    function holderOf(bytes32 spki) external view returns (address) {
        return _holderOf(spki);
    }

    /// @inheritdoc IMembership
    function isActive(address node) external view returns (bool) {
        return _isActive(_records[node]);
    }

    /// @inheritdoc IMembership
    function activeUntil(address node) external view returns (uint64) {
        Record storage record = _records[node];
        return _isActive(record) ? record.expires : 0;
    }

    /// @inheritdoc IMembership
    function wasActiveSince(address node, uint64 sinceBlock, uint64 sinceTime) external view returns (bool) {
        Record storage record = _records[node];
        // Admission and resumption need an expiry in the future, so an Active record was active up to `expires`.
        if (record.status == Status.Active && record.expires >= sinceTime) return true;
        return record.stoppedBlock > sinceBlock || (record.lapsedTime != 0 && record.lapsedTime >= sinceTime);
    }

    /// @inheritdoc IMembership
    function countsAfter(address node) external view returns (uint64) {
        return _records[node].countsAfter;
    }

    /// @inheritdoc IMembership
    function version() external view returns (uint64) {
        return _version;
    }

    /// @inheritdoc IMembership
    function members(uint256 from, uint256 count)
        external
        view
        returns (address[] memory nodes, Member[] memory records)
    {
        uint256 total = _nodes.length;
        if (from > total) from = total;
        if (count > PAGE_MAX) count = PAGE_MAX;
        if (count > total - from) count = total - from;
        nodes = new address[](count);
        records = new Member[](count);
        for (uint256 i = 0; i < count; ++i) {
            nodes[i] = _nodes[from + i];
            records[i] = _member(nodes[i]);
        }
    }

    function _enter(address node, bytes32 spki, bytes32 spiffe, bytes32 site, Role role, uint64 expires) private {
        if (node == address(0)) revert MembershipUnknown(node);
        if (role == Role.None) revert MembershipBadRole(uint8(role));
        Record storage record = _records[node];
        if (record.status == Status.None) _nodes.push(node);
        if (spki != 0) _holders[spki] = node;
        record.role = role;
        record.status = Status.Active;
        record.expires = expires;
        record.since = uint64(block.number);
        record.spki = spki;
        record.oldSpki = 0;
        record.oldKeyUntil = 0;
        record.spiffe = spiffe;
        record.site = site;
        _touch(record);
        emit MemberAdmitted(node, role, spki, site, expires);
    }

    function _grant(address node) private {
        if (msg.value == 0) return;
        (bool sent,) = node.call{value: msg.value}("");
        if (!sent) revert MembershipGrantFailed(node, msg.value);
    }

    function _revoke(address node, Record storage record) private {
        _endSpell(record);
        record.status = Status.Revoked;
        _touch(record);
        emit MemberRevoked(node, msg.sender);
        if (_admitters[node]) {
            _admitters[node] = false;
            emit AdmitterSet(node, false);
        }
    }

    function _endSpell(Record storage record) private {
        if (record.status != Status.Active) return;
        if (_now() <= record.expires) record.stoppedBlock = uint64(block.number);
        else record.lapsedTime = record.expires;
    }

    function _touch(Record storage record) private {
        record.changedBlock = uint64(block.number);
        ++_version;
    }

    function _known(address node) private view returns (Record storage record) {
        record = _records[node];
        if (record.status == Status.None) revert MembershipUnknown(node);
    }

    function _isActive(Record storage record) private view returns (bool) {
        return record.status == Status.Active && _now() <= record.expires;
    }

    /// @dev A member's right rests while it is not active. The owner's never does: nobody could restore it.
    function _mayAdmit(address who) private view returns (bool) {
        if (!_admitters[who]) return false;
        Record storage record = _records[who];
        return record.status == Status.None || _isActive(record) || who == owner();
    }

    function _requireFuture(uint64 expires) private view {
        if (expires <= _now()) revert MembershipExpiryPast(expires, _now());
    }

    function _requireFree(bytes32 spki, address node) private view {
        if (spki == 0) revert MembershipEmptyKey(node);
        address holder = _holderOf(spki);
        if (holder != address(0) && holder != node) revert MembershipKeyTaken(spki, holder);
    }

    function _holderOf(bytes32 spki) private view returns (address) {
        address holder = _holders[spki];
        Record storage record = _records[holder];
        if (spki == 0 || holder == address(0)) return address(0);
        if (record.spki == spki) return holder;
        return record.oldSpki == spki && _now() < record.oldKeyUntil ? holder : address(0);
    }

    function _member(address node) private view returns (Member memory) {
        Record storage record = _records[node];
        return Member({
            role: record.role,
            status: record.status,
            spki: record.spki,
            spiffe: record.spiffe,
            site: record.site,
            expires: record.expires,
            since: record.since,
            changedBlock: record.changedBlock
        });
    }

    function _now() private view returns (uint64) {
        return uint64(block.timestamp);
    }
}
