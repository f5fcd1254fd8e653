// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Words: roster words (eligible << 160 | address), kept ascending by address, and the leader rule.
/// @dev docs/wire-formats.md, section 2.
library Words {
    uint256 private constant ELIGIBLE = 1 << 160;

    function word(address node, bool eligible) internal pure returns (uint256) {
        return uint256(uint160(node)) | (eligible ? ELIGIBLE : 0);
    }

    function nodeOf(uint256 word_) internal pure returns (address) {
        return address(uint160(word_));
    }

    function nodesOf(uint256[] memory words) internal pure returns (address[] memory nodes) {
        nodes = new address[](words.length);
        for (uint256 i = 0; i < words.length; ++i) {
            nodes[i] = nodeOf(words[i]);
        }
    }

    function hash(uint256[] memory words) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(words));
    }

    /// @notice E[(h + attempt) mod |E|] while attempt < |E|, then R[(h + attempt) mod n]; 0 for an empty roster.
    function leader(uint256[] memory words, bytes32 job, uint64 run, uint64 round, uint32 attempt)
        internal
        pure
        returns (address)
    {
        if (words.length == 0) return address(0);
        uint256 place = (uint256(keccak256(abi.encode(job, run))) >> 128) + round + attempt;
        uint256 eligible = 0;
        for (uint256 i = 0; i < words.length; ++i) {
            if (words[i] & ELIGIBLE != 0) ++eligible;
        }
        if (attempt >= eligible) return nodeOf(words[place % words.length]);
        uint256 skip = place % eligible;
        for (uint256 i = 0; i < words.length; ++i) {
            if (words[i] & ELIGIBLE == 0) continue;
            if (skip == 0) return nodeOf(words[i]);
            --skip;
        }
        assert(false); // place % eligible is below the number of eligible words just counted
        return address(0);
    }

    /// @notice The first `count` words.
    function head(uint256[] memory words, uint256 count) internal pure returns (uint256[] memory first) {
        if (count == words.length) return words;
        first = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            first[i] = words[i];
        }
    }

    /// @notice `words` less those of `fewer`; both ascend.
    function without(uint256[] memory words, uint256[] memory fewer) internal pure returns (uint256[] memory rest) {
        rest = new uint256[](words.length);
        uint256 count = 0;
        uint256 place = 0;
        for (uint256 i = 0; i < words.length; ++i) {
            while (place < fewer.length && nodeOf(fewer[place]) < nodeOf(words[i])) ++place;
            if (place == fewer.length || nodeOf(fewer[place]) != nodeOf(words[i])) rest[count++] = words[i];
        }
        return head(rest, count);
    }

    /// @notice `words` and `more`, which have no node in common; all ascend.
    function merge(uint256[] memory words, uint256[] memory more) internal pure returns (uint256[] memory all) {
        all = new uint256[](words.length + more.length);
        uint256 w = 0;
        uint256 m = 0;
        while (w + m < all.length) {
            bool first = m == more.length || (w < words.length && nodeOf(words[w]) < nodeOf(more[m]));
            all[w + m] = first ? words[w] : more[m];
            if (first) ++w;
            else ++m;
        }
    }

    function insert(uint256[] storage list, uint256 word_) internal {
        uint256 i = list.length;
        list.push(word_);
        while (i > 0 && nodeOf(list[i - 1]) > nodeOf(word_)) {
            list[i] = list[i - 1];
            --i;
        }
        list[i] = word_;
    }

    /// @dev The caller knows that a word of `node_` is in the list.
    function remove(uint256[] storage list, address node_) internal {
        uint256 i = 0;
        while (nodeOf(list[i]) != node_) ++i;
        for (; i + 1 < list.length; ++i) {
            list[i] = list[i + 1];
        }
        list.pop();
    }

    /// @dev Makes `list` equal to `words`, writing only what differs.
    function assign(uint256[] storage list, uint256[] memory words) internal {
        while (list.length > words.length) list.pop();
        for (uint256 i = 0; i < words.length; ++i) {
            if (i == list.length) list.push(words[i]);
            else if (list[i] != words[i]) list[i] = words[i];
        }
    }
}
