// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMembership} from "./interfaces/IMembership.sol";
import {ITasks} from "./interfaces/ITasks.sol";
import {MembershipGuarded} from "./lib/MembershipGuarded.sol";
import {Pages} from "./lib/Pages.sol";
import {Texts} from "./lib/Texts.sol";

/// @title Tasks (documented in ITasks)
contract Tasks is ITasks, MembershipGuarded {
    uint256 private constant ITEMS_MAX = 4;
    uint256 private constant LINES_MAX = 1_024;
    uint256 private constant CHUNKS_MAX = 16;
    uint256 private constant LINE_BYTES_MAX = 640;
    uint256 private constant CHUNK_BYTES_MAX = 4_096;
    uint256 private constant BODY_BYTES_MAX = 98_304;
    uint256 private constant DRAFTS_MAX = 16;
    uint256 private constant FINAL_BY_CREATOR_MAX = 10_000;
    uint256 private constant NAMES_BY_CREATOR_MAX = 1_000;
    uint256 private constant NAMES_MAX = 10_000;
    uint256 private constant PAGE_MAX = 100;
    string private constant ROOT = "ROOTTASK";

    struct Task {
        Info info;
        mapping(uint256 index => bytes32) lines;
        mapping(uint256 index => bytes32) chunks;
    }

    struct Creator {
        bytes32[] drafts;
        uint64 finals;
        uint64 names;
    }

    mapping(bytes32 id => Task) private _tasks;
    mapping(address who => Creator) private _creators;
    mapping(bytes32 name => bytes32[] ids) private _versions;
    string[] private _names;

    constructor(IMembership membership_) MembershipGuarded(membership_) {
        Header memory header = Header(TaskType.RootTask, ROOT, "HPE", ROOT, ROOT);
        bytes32 id = _idOf(address(0), 0);
        Info storage task = _tasks[id].info;
        task.header = header;
        task.headerHash = _hashOf(header);
        task.created = uint64(block.number);
        task.createdTime = uint64(block.timestamp);
        emit TaskCreated(id, address(0), ROOT);
        _freeze(id, task, _rootOf(_tasks[id], 0, 0), 0, 0);
    }

    /// @inheritdoc ITasks
    function create(bytes32 key, Header calldata header) external returns (bytes32 id) {
        _requireConductor();
        return _create(key, header);
    }

    /// @inheritdoc ITasks
    function append(bytes32 id, Kind kind, uint32 first, bytes[] calldata items) external {
        _requireConductor();
        _append(id, _mine(id), kind, first, items);
    }

    /// @inheritdoc ITasks
    function write(bytes32 key, Header calldata header, Batch[] calldata batches) external returns (bytes32 id) {
        _requireConductor();
        id = _create(key, header);
        // A task that was finalised meanwhile has these very items, or the append below says that it is frozen.
        Task storage task = _tasks[id];
        for (uint256 i = 0; i < batches.length; ++i) {
            _append(id, task, batches[i].kind, batches[i].first, batches[i].items);
        }
    }

    /// @inheritdoc ITasks
    function put(bytes32 key, Header calldata header, uint32 lines, uint32 chunks, bytes calldata body)
        external
        returns (bytes32 id)
    {
        _requireConductor();
        id = _create(key, header);
        _whole(id, _tasks[id].info, lines, chunks, body);
    }

    /// @inheritdoc ITasks
    function replace(bytes32 id, uint32 lines, uint32 chunks, bytes calldata body) external {
        _requireConductor();
        _whole(id, _mine(id).info, lines, chunks, body);
    }

    /// @inheritdoc ITasks
    function finalise(bytes32 id, uint32 lines, uint32 chunks, bytes32 root, bytes32 r, bytes32 vs) external {
        _requireConductor();
        Task storage task = _mine(id);
        Info storage found = task.info;
        if (found.version != 0) {
            if (found.root == root) return;
            revert TaskFrozen(id, found.version);
        }
        _requireCounts(lines, chunks);
        bytes32 stored = found.root;
        // Of a whole body the numbers are in the root; other ones here would be another task's.
        if (stored == 0) stored = _rootOf(task, lines, chunks);
        else if (lines != found.lines || chunks != found.chunks) revert TaskTextDiffers(stored, root);
        if (stored != root) revert TaskTextDiffers(stored, root);
        if (_versions[keccak256(bytes(found.header.prereq))].length == 0) revert TaskUnknownPrereq(found.header.prereq);
        Creator storage creator = _creators[msg.sender];
        if (creator.finals >= FINAL_BY_CREATOR_MAX) revert TaskTooMany(creator.finals, FINAL_BY_CREATOR_MAX);
        ++creator.finals;
        _countName(creator, found);
        found.lines = lines;
        found.chunks = chunks;
        _dropDraft(creator, id);
        _freeze(id, found, root, r, vs);
    }

    /// @inheritdoc ITasks
    function remove(bytes32 id) external {
        _requireConductor();
        _draftOf(id).info.removed = true;
        _dropDraft(_creators[msg.sender], id);
        emit TaskRemoved(id);
    }

    /// @inheritdoc ITasks
    function info(bytes32 id) external view returns (Info memory) {
        return _tasks[id].info;
    }

    /// @inheritdoc ITasks
    function typeOf(bytes32 id)
        external
        view
        returns (TaskType taskType, uint32 number, bytes32 name, bytes32 prereq)
    {
        Info storage found = _tasks[id].info;
        return (
            found.header.taskType,
            found.version,
            keccak256(bytes(found.header.name)),
            keccak256(bytes(found.header.prereq))
        );
    }

    /// @inheritdoc ITasks
    function latest(string calldata name) external view returns (bytes32 id, uint32 number) {
        bytes32[] storage ids = _versions[keccak256(bytes(name))];
        if (ids.length == 0) return (0, 0);
        return (ids[ids.length - 1], uint32(ids.length));
    }

    /// @inheritdoc ITasks
    function version(string calldata name, uint32 number) external view returns (bytes32 id) {
        bytes32[] storage ids = _versions[keccak256(bytes(name))];
        return number == 0 || number > ids.length ? bytes32(0) : ids[number - 1];
    }

    /// @inheritdoc ITasks
    function names(uint256 from, uint256 count) external view returns (string[] memory found, uint32[] memory counts) {
        (from, count) = Pages.within(from, count, _names.length, PAGE_MAX);
        found = new string[](count);
        counts = new uint32[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = _names[from + i];
            counts[i] = uint32(_versions[keccak256(bytes(found[i]))].length);
        }
    }

    /// @inheritdoc ITasks
    function versions(string calldata name, uint256 from, uint256 count) external view returns (bytes32[] memory ids) {
        return Pages.take(_versions[keccak256(bytes(name))], from, count, PAGE_MAX);
    }

    /// @inheritdoc ITasks
    function draftsOf(address creator, uint256 from, uint256 count) external view returns (bytes32[] memory ids) {
        return Pages.take(_creators[creator].drafts, from, count, PAGE_MAX);
    }

    /// @inheritdoc ITasks
    function hashes(bytes32 id, Kind kind, uint256 from, uint256 count) external view returns (bytes32[] memory found) {
        Task storage task = _tasks[id];
        (from, count) =
            Pages.within(from, count, kind == Kind.Line ? task.info.lines : task.info.chunks, PAGE_MAX);
        found = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = kind == Kind.Line ? task.lines[from + i] : task.chunks[from + i];
        }
    }

    /// @inheritdoc ITasks
    function membership() external view returns (address) {
        return address(_membership);
    }

    function _create(bytes32 key, Header calldata header) private returns (bytes32 id) {
        id = _idOf(msg.sender, key);
        bytes32 hash = _hashOf(header);
        Info storage found = _tasks[id].info;
        if (found.created != 0) {
            if (found.removed || found.headerHash != hash) revert TaskKeyReused(id);
            return id;
        }
        if (header.taskType == TaskType.None || header.taskType == TaskType.RootTask) {
            revert TaskBadType(header.taskType);
        }
        _requireText("name", header.name);
        _requireText("author", header.author);
        _requireText("prereq", header.prereq);
        _requireText("outcome", header.outcome);
        if (keccak256(bytes(header.name)) == keccak256(bytes(ROOT))) revert TaskReserved(header.name);
        bytes32[] storage drafts = _creators[msg.sender].drafts;
        if (drafts.length >= DRAFTS_MAX) revert TaskDraftsFull(drafts.length, DRAFTS_MAX);
        drafts.push(id);
        found.header = header;
        found.creator = msg.sender;
        found.headerHash = hash;
        found.created = uint64(block.number);
        found.createdTime = uint64(block.timestamp);
        emit TaskCreated(id, msg.sender, header.name);
    }

    function _append(bytes32 id, Task storage task, Kind kind, uint32 first, bytes[] calldata items) private {
        if (items.length == 0 || items.length > ITEMS_MAX) revert TaskBadCount(items.length, ITEMS_MAX);
        Info storage found = task.info;
        if (found.root != 0 && found.version == 0) revert TaskWhole(id);
        bool line = kind == Kind.Line;
        uint256 end = uint256(first) + items.length;
        uint256 endMax = line ? LINES_MAX : CHUNKS_MAX;
        if (end > endMax) revert TaskTooLong(kind, end, endMax);
        mapping(uint256 index => bytes32) storage kept = line ? task.lines : task.chunks;
        if (!_keep(kept, line, first, items)) return;
        if (found.version != 0) revert TaskFrozen(id, found.version);
        if (end > (line ? found.lines : found.chunks)) {
            if (line) found.lines = uint32(end);
            else found.chunks = uint32(end);
        }
        emit TaskAppended(id, kind, first, items);
    }

    function _whole(bytes32 id, Info storage found, uint32 lines, uint32 chunks, bytes calldata body) private {
        _requireCounts(lines, chunks);
        if (body.length > BODY_BYTES_MAX) revert TaskBadBody(body.length, BODY_BYTES_MAX);
        bytes32 root = _rootOfWhole(found.headerHash, lines, chunks, body);
        if (found.root == root) return;
        if (found.root == 0 && (found.lines != 0 || found.chunks != 0)) revert TaskByItems(id);
        if (found.version != 0) revert TaskFrozen(id, found.version);
        found.root = root;
        found.lines = lines;
        found.chunks = chunks;
        emit TaskWritten(id, lines, chunks, body);
    }

    /// @return changed whether any of them is another one than before.
    function _keep(mapping(uint256 index => bytes32) storage kept, bool line, uint256 first, bytes[] calldata items)
        private
        returns (bool changed)
    {
        for (uint256 i = 0; i < items.length; ++i) {
            uint256 length = items[i].length;
            uint256 lengthMax = line ? LINE_BYTES_MAX : CHUNK_BYTES_MAX;
            if (length > lengthMax || (length == 0 && !line)) revert TaskBadItem(first + i, length, lengthMax);
            bytes32 hash = keccak256(items[i]);
            if (kept[first + i] == hash) continue;
            changed = true;
            kept[first + i] = hash;
        }
    }

    /// @dev A name that has no version yet is one more of its creator's.
    function _countName(Creator storage creator, Info storage found) private {
        if (_versions[keccak256(bytes(found.header.name))].length != 0) return;
        if (creator.names >= NAMES_BY_CREATOR_MAX) revert TaskTooMany(creator.names, NAMES_BY_CREATOR_MAX);
        if (_names.length >= NAMES_MAX) revert TaskTooMany(_names.length, NAMES_MAX);
        ++creator.names;
    }

    function _freeze(bytes32 id, Info storage found, bytes32 root, bytes32 r, bytes32 vs) private {
        string memory name = found.header.name;
        bytes32[] storage ids = _versions[keccak256(bytes(name))];
        if (ids.length == 0) _names.push(name);
        ids.push(id);
        uint32 number = uint32(ids.length);
        found.version = number;
        found.root = root;
        found.finalised = uint64(block.number);
        found.finalisedTime = uint64(block.timestamp);
        emit TaskFinalised(id, name, number, root, r, vs);
    }

    function _dropDraft(Creator storage creator, bytes32 id) private {
        bytes32[] storage drafts = creator.drafts;
        uint256 i = 0;
        while (drafts[i] != id) ++i; // a draft stands in its creator's list, which has DRAFTS_MAX entries at most
        drafts[i] = drafts[drafts.length - 1];
        drafts.pop();
    }

    function _mine(bytes32 id) private view returns (Task storage task) {
        task = _tasks[id];
        if (task.info.created == 0 || task.info.removed) revert TaskUnknown(id);
        if (task.info.creator != msg.sender) revert TaskNotCreator(msg.sender, task.info.creator);
    }

    function _draftOf(bytes32 id) private view returns (Task storage task) {
        task = _mine(id);
        if (task.info.version != 0) revert TaskFrozen(id, task.info.version);
    }

    function _rootOf(Task storage task, uint256 lines, uint256 chunks) private view returns (bytes32) {
        bytes32[] memory words = new bytes32[](3 + lines + chunks);
        words[0] = task.info.headerHash;
        words[1] = bytes32(lines);
        words[2] = bytes32(chunks);
        for (uint256 i = 0; i < lines; ++i) {
            bytes32 hash = task.lines[i];
            if (hash == 0) revert TaskItemMissing(Kind.Line, i);
            words[3 + i] = hash;
        }
        for (uint256 i = 0; i < chunks; ++i) {
            bytes32 hash = task.chunks[i];
            if (hash == 0) revert TaskItemMissing(Kind.Text, i);
            words[3 + lines + i] = hash;
        }
        return _hashWords(words);
    }

    function _hashWords(bytes32[] memory words) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(add(words, 32), shl(5, mload(words)))
        }
    }

    /// @dev As _rootOf, of the items in `body`, each of which is looked at for its length.
    function _rootOfWhole(bytes32 headerHash, uint256 lines, uint256 chunks, bytes calldata body)
        private
        pure
        returns (bytes32)
    {
        uint256 count = lines + chunks;
        bytes32[] memory words = new bytes32[](3 + count);
        words[0] = headerHash;
        words[1] = bytes32(lines);
        words[2] = bytes32(chunks);
        uint256 at = _hashItems(words, 0, lines, body, 0, 0, LINE_BYTES_MAX);
        at = _hashItems(words, lines, count, body, at, 1, CHUNK_BYTES_MAX);
        // An item that ends above the body was read from beyond it: nothing of that is kept.
        if (at != body.length) revert TaskBadBody(body.length, BODY_BYTES_MAX);
        return _hashWords(words);
    }

    /// @dev Puts the hashes of items `from` to `to` in their places, the first of them at `at` in the body.
    /// @return end where the next item begins.
    function _hashItems(
        bytes32[] memory words,
        uint256 from,
        uint256 to,
        bytes calldata body,
        uint256 at,
        uint256 lengthMin,
        uint256 lengthMax
    ) private pure returns (uint256 end) {
        uint256 length = 0;
        uint256 i = from;
        // Hashes each item in free memory, to which nothing else is written meanwhile. Checked steps would be four
        // times as many, and an embedded chain takes its time for each. An item is 4 bytes and at most lengthMax, so
        // no sum here is above 2^23. `words` has room for 3 and all items.
        assembly ("memory-safe") {
            let free := mload(64)
            let place := add(body.offset, at)
            let target := add(words, shl(5, add(4, from)))
            for {} lt(i, to) { i := add(i, 1) } {
                length := shr(224, calldataload(place))
                if or(gt(length, lengthMax), lt(length, lengthMin)) { break }
                calldatacopy(free, add(place, 4), length)
                mstore(target, keccak256(free, length))
                target := add(target, 32)
                place := add(place, add(4, length))
            }
            end := sub(place, body.offset)
        }
        if (i != to) revert TaskBadItem(i - from, length, lengthMax);
    }

    function _requireCounts(uint256 lines, uint256 chunks) private pure {
        if (lines > LINES_MAX) revert TaskTooLong(Kind.Line, lines, LINES_MAX);
        if (chunks > CHUNKS_MAX) revert TaskTooLong(Kind.Text, chunks, CHUNKS_MAX);
        if (lines == 0) revert TaskItemMissing(Kind.Line, 0);
        if (chunks == 0) revert TaskItemMissing(Kind.Text, 0);
    }

    function _requireText(string memory field, string calldata text) private pure {
        (uint256 characters, bool fits) = Texts.fits(text);
        if (!fits) {
            revert TaskBadText(field, characters, Texts.CHARACTERS_MAX, bytes(text).length, Texts.BYTES_MAX);
        }
    }

    function _idOf(address creator, bytes32 key) private pure returns (bytes32) {
        return keccak256(abi.encode(creator, key));
    }

    function _hashOf(Header memory header) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                header.taskType,
                keccak256(bytes(header.name)),
                keccak256(bytes(header.author)),
                keccak256(bytes(header.prereq)),
                keccak256(bytes(header.outcome))
            )
        );
    }
}
