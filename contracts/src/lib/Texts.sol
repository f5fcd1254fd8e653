// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Texts: the lengths of names and other short texts of tasks.
library Texts {
    uint256 internal constant CHARACTERS_MAX = 160;
    uint256 internal constant BYTES_MAX = 640;

    /// @notice Characters of a UTF-8 text, which is not checked to be one: bytes that do not continue a character.
    /// @return characters counted, 0 for a text that has too many bytes to be looked at. @return ok 1 to 160 of them.
    function fits(string calldata text) internal pure returns (uint256 characters, bool ok) {
        bytes calldata raw = bytes(text);
        if (raw.length > BYTES_MAX) return (0, false);
        for (uint256 i = 0; i < raw.length; ++i) {
            if (raw[i] & 0xC0 != 0x80) ++characters;
        }
        return (characters, characters != 0 && characters <= CHARACTERS_MAX);
    }
}
