// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "../interfaces/IMembership.sol";

/// @title MembershipGuarded: refuses callers who are no active member, or not of the role that a call needs.
abstract contract MembershipGuarded {
    IMembership internal immutable _membership;

    constructor(IMembership membership_) {
        _membership = membership_;
    }

    function _requireActive() internal view {
        if (!_membership.isActive(msg.sender)) revert IMembership.MembershipNotActive(msg.sender);
    }

    function _requireRole(IMembership.Role role) internal view {
        _requireActive();
        if (_membership.member(msg.sender).role != role) revert IMembership.MembershipNotAllowed(msg.sender, role);
    }

    /// @dev Those who decide about jobs: SN, SWCI, SWOP.
    function _requireOperator() internal view {
        _requireActive();
        IMembership.Role role = _membership.member(msg.sender).role;
        if (role != IMembership.Role.SN && role != IMembership.Role.SWCI && role != IMembership.Role.SWOP) {
            revert IMembership.MembershipNotAllowed(msg.sender, IMembership.Role.SWCI);
        }
    }

    /// @dev Those who write tasks and give them to runners: SN, SWCI. No SWOP: a stolen key of one must not write other
    ///      sites' tasks.
    function _requireConductor() internal view {
        _requireActive();
        IMembership.Role role = _membership.member(msg.sender).role;
        if (role != IMembership.Role.SN && role != IMembership.Role.SWCI) {
            revert IMembership.MembershipNotAllowed(msg.sender, IMembership.Role.SWCI);
        }
    }
}
