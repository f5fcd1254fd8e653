// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ITraining} from "../src/interfaces/ITraining.sol";
import {Statements} from "../src/lib/Statements.sol";
import {Words} from "../src/lib/Words.sol";

/// @title WireHarness: lets tests ask the contracts' own hashing; never deployed outside tests.
/// @dev Statements that never reach a contract (Proposal, Takeover, Refusal, Join) are hashed here a second time, in
///      another language than the nodes', from the text of docs/wire-formats.md.
contract WireHarness {
    bytes32 private constant PROPOSAL_TYPE = keccak256(
        "Proposal(bytes32 job,uint64 run,uint64 round,uint32 epoch,bytes32 prev,bytes32 roster,uint32 attempt,address leader,bytes32 result)"
    );
    bytes32 private constant TAKEOVER_TYPE = keccak256(
        "Takeover(bytes32 job,uint64 run,uint64 round,uint32 epoch,bytes32 prev,bytes32 roster,uint32 attempt,uint32 ackedAttempt,bytes32 ackedResult,address node)"
    );
    bytes32 private constant REFUSAL_TYPE = keccak256(
        "Refusal(bytes32 job,uint64 run,uint64 round,uint32 epoch,bytes32 prev,bytes32 roster,address node,uint32 version,bytes32 blob,uint32 reason,address leader)"
    );
    bytes32 private constant JOIN_TYPE = keccak256(
        "Join(bytes32 spki,bytes32 spiffe,bytes32 site,address node,uint8 role,bytes32 nonce,uint64 expires)"
    );

    struct Join {
        bytes32 spki;
        bytes32 spiffe;
        bytes32 site;
        address node;
        uint8 role;
        bytes32 nonce;
        uint64 expires;
    }

    function domain(string calldata name, address verifier) external view returns (bytes32) {
        return Statements.domainSeparator(name, verifier);
    }

    function checkIn(bytes32 domain_, ITraining.Name calldata name, ITraining.Item calldata item)
        external
        pure
        returns (bytes32)
    {
        return Statements.checkIn(domain_, name, item);
    }

    function ack(bytes32 domain_, ITraining.Name calldata name, uint32 attempt, bytes32 result, address node)
        external
        pure
        returns (bytes32)
    {
        return Statements.ack(domain_, name, attempt, result, node);
    }

    function proposal(bytes32 domain_, ITraining.Name calldata name, uint32 attempt, address leader_, bytes32 result)
        external
        pure
        returns (bytes32)
    {
        return _digest(domain_, keccak256(abi.encode(PROPOSAL_TYPE, name, attempt, leader_, result)));
    }

    function takeover(
        bytes32 domain_,
        ITraining.Name calldata name,
        uint32 attempt,
        uint32 ackedAttempt,
        bytes32 ackedResult,
        address node
    ) external pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(TAKEOVER_TYPE, name, attempt, ackedAttempt, ackedResult, node)));
    }

    function refusal(
        bytes32 domain_,
        ITraining.Name calldata name,
        address node,
        uint32 version,
        bytes32 blob,
        uint32 reason,
        address leader_
    ) external pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(REFUSAL_TYPE, name, node, version, blob, reason, leader_)));
    }

    function join(bytes32 domain_, Join calldata join_) external pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(JOIN_TYPE, join_)));
    }

    function hashResult(ITraining.Result calldata result_) external pure returns (bytes32) {
        return Statements.hashResult(result_);
    }

    function hashInputs(bytes32[] calldata digests, uint64[] calldata coefficients) external pure returns (bytes32) {
        bytes memory room = Statements.newInputs(digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            Statements.putInput(room, i, digests[i], coefficients[i]);
        }
        return Statements.hashInputs(room, digests.length);
    }

    function hashRoster(uint256[] calldata words) external pure returns (bytes32) {
        return Words.hash(words);
    }

    function leader(uint256[] calldata words, bytes32 job, uint64 run, uint64 round, uint32 attempt)
        external
        pure
        returns (address)
    {
        return Words.leader(words, job, run, round, attempt);
    }

    function recover(bytes32 digest, bytes32 r, bytes32 vs) external pure returns (address) {
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        return ecrecover(digest, uint8(27 + (uint256(vs) >> 255)), r, bytes32(s));
    }

    function _digest(bytes32 domain_, bytes32 structHash) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain_, structHash);
    }
}
