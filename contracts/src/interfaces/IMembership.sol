// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Membership: who may take part, as what, until when.
/// @notice Binds a node's Ethereum address to the public key of its certificate, its site and its role.
interface IMembership {
    enum Role {
        None,
        SN,
        SL,
        SWCI,
        SWOP
    }
    enum Status {
        None,
        Active,
        Suspended,
        Revoked
    }

    /// @param spki sha256 of the DER SubjectPublicKeyInfo of the node's certificate.
    /// @param spiffe keccak256 of the SPIFFE id's text, 0 if the certificate has none.
    /// @param site keccak256 of the site's name.
    /// @param expires block time in seconds after which the member is not active any more.
    /// @param since block number of the admission.
    /// @param changedBlock block number of the last change of status or expiry.
    struct Member {
        Role role;
        Status status;
        bytes32 spki;
        bytes32 spiffe;
        bytes32 site;
        uint64 expires;
        uint64 since;
        uint64 changedBlock;
    }

    event MemberAdmitted(address indexed node, Role indexed role, bytes32 spki, bytes32 site, uint64 expires);
    event MemberSuspended(address indexed node, address by);
    event MemberResumed(address indexed node, address by);
    event MemberRevoked(address indexed node, address by);
    event MemberExtended(address indexed node, uint64 expires);
    event MemberRebound(address indexed node, bytes32 spki, uint64 oldKeyUntil);
    event MemberSucceeded(address indexed old, address indexed heir);
    event Announced(address indexed node, string uri, string enode, address sealer);
    event AdmitterSet(address indexed who, bool allowed);

    error MembershipNotAdmitter(address caller);
    error MembershipUnknown(address node);
    /// @notice Of any contract that asks this one: the caller is no active member, or not of the role that the call needs.
    error MembershipNotActive(address caller);
    error MembershipNotAllowed(address caller, Role needed);
    error MembershipAlready(address node, Status status);
    error MembershipKeyTaken(bytes32 spki, address holder);
    error MembershipBadRole(uint8 role);
    error MembershipExpiryPast(uint64 expires, uint64 nowSeconds);
    error MembershipWrongStatus(address node, Status status);
    error MembershipGrantFailed(address node, uint256 amount);
    error MembershipOverlapTooLong(uint64 overlapSeconds, uint64 overlapSecondsMax);
    error MembershipEmptyKey(address node);
    error MembershipOwner(address node);
    error MembershipNotSn(address caller);
    error MembershipAnnouncedTooOften(address caller, uint64 waitSeconds);
    error MembershipUriTooLong(uint256 bytesLength, uint256 bytesMax);
    error MembershipEnodeTooLong(uint256 bytesLength, uint256 bytesMax);

    /// @notice Admits `node`; the value sent goes to it as its one grant. Only an admitter (sentinel role).
    ///         A node that is Active or Suspended cannot be admitted again; a Revoked one can, with a new grant only if sent.
    ///         A revoked member's key stays bound to it, so that nobody returns under the same certificate with a new address.
    function admit(address node, bytes32 spki, bytes32 spiffe, bytes32 site, Role role, uint64 expires) external payable;

    /// @notice Enters a member as an earlier chain of this swarm had it, also suspended, revoked or expired; the value sent
    ///         goes to it. Only an admitter, and only a node that this chain does not know. Only a Revoked one may be
    ///         without a certificate key: it had an heir.
    function restore(
        address node,
        bytes32 spki,
        bytes32 spiffe,
        bytes32 site,
        Role role,
        Status status,
        uint64 expires
    ) external payable;

    /// @notice Takes an Active member out until it is resumed. Only an admitter.
    function suspend(address node) external;

    /// @notice Ends a suspension; refused once the membership has expired (extend it first). Only an admitter.
    function resume(address node) external;

    /// @notice Ends a membership at once, and the right to admit with it. Only an admitter, or the node itself.
    function revoke(address node) external;

    /// @notice Sets a new expiry (block time in seconds, in the future) of an Active or Suspended member. Only an admitter.
    function extend(address node, uint64 expires) external;

    /// @notice Binds a new certificate key; the old one stays valid until `overlapSeconds` from now (at most 7 days).
    ///         Only an admitter, who has seen the proof of both keys.
    function rebind(address node, bytes32 spki, uint64 overlapSeconds) external;

    /// @notice A node that lost its key comes back under the same certificate: `old` is revoked and `heir` admitted in its
    ///         place, with its certificate key, id, site and role, and with the value sent as its one grant. Only an
    ///         admitter, who has seen the proof of the certificate's key and of the heir's own.
    ///         A lost folder is a lost promise: the heir is another member, and of the two at most one counts in any round,
    ///         `old` in those that were opened before, the heir in those opened after (see countsAfter).
    ///         Refused for the owner, whose rights nobody could pass on, and for an `old` that is not Active.
    function succeed(address old, address heir, uint64 expires) external payable;

    /// @notice Says where an SN is found: its API, its chain node and the address that node seals with. Only an active
    ///         member of role SN, for itself; the latest announcement holds: read the event. 100 at once, else one in 60 s.
    /// @param uri of the API, at most 256 bytes. @param enode of the chain node, at most 256 bytes, empty if it has none.
    /// @param sealer 0 if it does not seal.
    function announce(string calldata uri, string calldata enode, address sealer) external;

    /// @notice Grants or takes the sentinel role (may admit). Only the owner.
    function setAdmitter(address who, bool allowed) external;

    /// @notice Whether `who` may admit now: it was given the right, and if it is a member (and not the owner), an active one.
    function isAdmitter(address who) external view returns (bool);

    /// @notice The record of `node`; all zero if it was never admitted.
    function member(address node) external view returns (Member memory);

    /// @notice Who holds this certificate key now (current key, or the old one within its overlap), whatever the
    ///         holder's status; 0 if nobody.
    function holderOf(bytes32 spki) external view returns (address);

    /// @notice Active and not expired now.
    function isActive(address node) external view returns (bool);

    /// @notice The last second (block time) of the membership if `node` is active now, else 0.
    function activeUntil(address node) external view returns (uint64);

    /// @notice Active at some time after everything in block `sinceBlock`, or still at time `sinceTime` when the membership
    ///         ended by expiry: what a commit of a round opened then accepts.
    function wasActiveSince(address node, uint64 sinceBlock, uint64 sinceTime) external view returns (bool);

    /// @notice Of an heir: the block of its admission; 0 for all others. It counts in rounds that were opened in a later
    ///         block, and in those that have it on their roster: in one that was opened before, its lost key may count.
    function countsAfter(address node) external view returns (uint64);

    /// @notice Grows with every change of any member; lets readers cache.
    function version() external view returns (uint64);

    /// @notice All members ever admitted, a page at a time (`count` at most 250).
    function members(uint256 from, uint256 count) external view returns (address[] memory nodes, Member[] memory records);
}
