// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ITraining} from "../interfaces/ITraining.sol";

/// @title Statements: EIP-712 digests of what nodes sign about a round (docs/wire-formats.md, section 1).
/// @dev Every field is a static word, and nested static structs are flat in the ABI, so abi.encode of the parts is
///      the encoding that EIP-712 asks for.
library Statements {
    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant CHECK_IN_TYPE = keccak256(
        "CheckIn(bytes32 job,uint64 run,uint64 round,uint32 epoch,bytes32 prev,bytes32 roster,address node,uint32 version,bytes32 blob,uint64 size,uint32 weight,int64 loss,int64 metric,uint32 epochsDone,uint32 epochsTotal,uint32 flags)"
    );
    bytes32 internal constant ACK_TYPE = keccak256(
        "Ack(bytes32 job,uint64 run,uint64 round,uint32 epoch,bytes32 prev,bytes32 roster,uint32 attempt,bytes32 result,address node)"
    );
    bytes32 internal constant RESULT_TYPE =
        keccak256("Result(bytes32 merged,uint64 size,bytes32 method,bytes32 inputs,uint32 interval,bytes32 manifest)");

    /// Bytes that one item adds to the pre-image of `inputs`: check-in digest and binary64 coefficient.
    uint256 internal constant INPUT_BYTES = 40;

    /// @dev Made anew at each use: a fork of the chain with another id is another domain.
    function domainSeparator(string memory name, address verifier) internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, keccak256(bytes(name)), keccak256("1"), block.chainid, verifier));
    }

    function checkIn(bytes32 domain, ITraining.Name calldata name, ITraining.Item calldata item)
        internal
        pure
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(CHECK_IN_TYPE, name, item.node, item.version, item.blob, item.size, item.stats)
        );
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function ack(bytes32 domain, ITraining.Name calldata name, uint32 attempt, bytes32 result, address node)
        internal
        pure
        returns (bytes32)
    {
        bytes32 structHash = keccak256(abi.encode(ACK_TYPE, name, attempt, result, node));
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function hashResult(ITraining.Result calldata result) internal pure returns (bytes32) {
        return keccak256(abi.encode(RESULT_TYPE, result));
    }

    /// @dev Room for `count` inputs; 24 bytes of slack because the last coefficient is written as a whole word.
    function newInputs(uint256 count) internal pure returns (bytes memory) {
        return new bytes(count * INPUT_BYTES + 24);
    }

    function putInput(bytes memory inputs, uint256 index, bytes32 digest, uint64 coefficient) internal pure {
        // Within the allocation of newInputs for every index below its count; plain Solidity has no way to write
        // 40-byte records without copying all earlier ones.
        assembly ("memory-safe") {
            let at := add(add(inputs, 32), mul(index, 40))
            mstore(at, digest)
            mstore(add(at, 32), shl(192, coefficient))
        }
    }

    function hashInputs(bytes memory inputs, uint256 count) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(inputs, 32), mul(count, 40))
        }
    }
}
