// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Pages: the part of a list that one view gives.
library Pages {
    /// @notice `from` and `count` cut to a list of `total` entries and to pages of `pageMax`.
    function within(uint256 from, uint256 count, uint256 total, uint256 pageMax)
        internal
        pure
        returns (uint256, uint256)
    {
        if (from > total) from = total;
        if (count > pageMax) count = pageMax;
        if (count > total - from) count = total - from;
        return (from, count);
    }

    function take(bytes32[] storage list, uint256 from, uint256 count, uint256 pageMax)
        internal
        view
        returns (bytes32[] memory page)
    {
        (from, count) = within(from, count, list.length, pageMax);
        page = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            page[i] = list[from + i];
        }
    }
}
