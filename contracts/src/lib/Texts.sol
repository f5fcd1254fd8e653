// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Texts: the lengths of names and other short texts of tasks.
library Texts {
    uint256 internal constant CHARACTERS_MAX = 160;
    uint256 internal constant BYTES_MAX = 640;

    /// @notice Whether a UTF-8 text, which is not checked to be one, has 1 to 160 characters. No text has more of them
    ///         than bytes, so only a longer one is counted: bytes that do not continue a character.
    /// @return characters counted, else the number of bytes, or 0 if there are too many. @return ok whether it fits.
    function fits(string calldata text) internal pure returns (uint256 characters, bool ok) {
        bytes calldata raw = bytes(text);
        if (raw.length > BYTES_MAX) return (0, false);
        if (raw.length <= CHARACTERS_MAX) return (raw.length, raw.length != 0);
        for (uint256 i = 0; i < raw.length; ++i) {
            if (raw[i] & 0xC0 != 0x80) ++characters;
        }
        return (characters, characters <= CHARACTERS_MAX);
    }
}
