// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Tasks: the texts that say what to build or run.
/// @notice docs/tasks.md. A task is a draft until its creator finalises it; then it is frozen, and is the next version
///         under its name. The chain keeps hashes; the bytes are in the events of the transactions that appended them.
interface ITasks {
    /// @notice What a task makes of its text; the order is that of every reader. RootTask exists from deployment only.
    enum TaskType {
        None,
        RootTask,
        RunSwarm,
        MakeUserContainer,
        MakeSwarmUserContent,
        PullImage
    }

    /// @notice Line: one slot of the body as `GET TASK BODY` prints it. Text: a chunk of the file's exact bytes.
    enum Kind {
        Line,
        Text
    }

    /// @notice What is known of a task before its body; frozen from the start.
    /// @param prereq name of the task that must have been run before. @param outcome image or volume that it makes.
    struct Header {
        TaskType taskType;
        string name;
        string author;
        string prereq;
        string outcome;
    }

    /// @notice Items of one append, as parts of `write`.
    struct Batch {
        Kind kind;
        uint32 first;
        bytes[] items;
    }

    /// @param version 0 while it is a draft. @param removed a draft that was taken back; its key is used up.
    /// @param lines of a draft: one above the highest that was appended; then: how many it has. @param chunks as lines.
    /// @param created block of the event TaskCreated; the last TaskAppended of a final task is in block `finalised` or below.
    /// @param headerHash keccak256(abi.encode(taskType, keccak256(name), keccak256(author), keccak256(prereq),
    ///        keccak256(outcome))).
    /// @param root 0 while it is a draft that was not written as a whole, else keccak256 of the words headerHash, lines, chunks, each line's hash, each
    ///        chunk's hash.
    struct Info {
        Header header;
        address creator;
        bool removed;
        uint32 version;
        uint32 lines;
        uint32 chunks;
        uint64 created;
        uint64 createdTime;
        uint64 finalised;
        uint64 finalisedTime;
        bytes32 headerHash;
        bytes32 root;
    }

    event TaskCreated(bytes32 indexed id, address indexed creator, string name);
    event TaskAppended(bytes32 indexed id, Kind kind, uint32 first, bytes[] items);
    /// @param body the items of a whole body: each its length in 4 bytes, then its bytes; lines, then chunks.
    event TaskWritten(bytes32 indexed id, uint32 lines, uint32 chunks, bytes body);
    /// @param r and `vs`: the creator's compact EIP-712 signature of the task; no contract looks at it, every SWOP does.
    event TaskFinalised(bytes32 indexed id, string name, uint32 version, bytes32 root, bytes32 r, bytes32 vs);
    event TaskRemoved(bytes32 indexed id);

    /// @notice No such task, or it was removed.
    error TaskUnknown(bytes32 id);
    error TaskNotCreator(address caller, address creator);
    error TaskBadText(
        string field, uint256 characters, uint256 charactersMax, uint256 bytesLength, uint256 bytesMax
    );
    error TaskBadType(TaskType taskType);
    /// @notice The name belongs to a task that exists from deployment.
    error TaskReserved(string name);
    /// @notice The creator used this key for another header, or for a draft that it removed.
    error TaskKeyReused(bytes32 id);
    error TaskFrozen(bytes32 id, uint32 version);
    /// @notice The draft was written as a whole: it is replaced as a whole.
    error TaskWhole(bytes32 id);
    /// @notice The draft was begun item by item: it goes on so.
    error TaskByItems(bytes32 id);
    /// @notice The items do not fill the bytes of the body, which has at most `bytesMax`.
    error TaskBadBody(uint256 bytesLength, uint256 bytesMax);
    error TaskBadCount(uint256 items, uint256 itemsMax);
    error TaskBadItem(uint256 index, uint256 bytesLength, uint256 bytesMax);
    error TaskTooLong(Kind kind, uint256 items, uint256 itemsMax);
    error TaskItemMissing(Kind kind, uint256 index);
    error TaskTextDiffers(bytes32 stored, bytes32 given);
    error TaskUnknownPrereq(string name);
    error TaskDraftsFull(uint256 drafts, uint256 draftsMax);
    /// @notice Of the caller's final tasks, its names, or all names.
    error TaskTooMany(uint256 tasks, uint256 tasksMax);

    /// @notice Begins a draft with id keccak256(abi.encode(creator, key)). Members of role SN or SWCI only; at most 16 open
    ///         drafts of one creator. The same key and header again changes nothing. Texts: 1-160 characters, 640 bytes.
    function create(bytes32 key, Header calldata header) external returns (bytes32 id);

    /// @notice Puts 1 to 4 items of the caller's draft at `first` and after it, in any order of calls; the same item
    ///         again changes nothing, another one replaces it. A line has at most 640 bytes, a chunk of text 1-4,096.
    function append(bytes32 id, Kind kind, uint32 first, bytes[] calldata items) external;

    /// @notice `create` and any number of `append` in one transaction: all of it or nothing.
    function write(bytes32 key, Header calldata header, Batch[] calldata batches) external returns (bytes32 id);

    /// @notice `create`, and the whole body in one piece: all of it or nothing, and no item is stored. The same again
    ///         changes nothing, another body replaces the one before. At most 96 KiB.
    /// @param body each item as its length in 4 bytes, then its bytes; lines, then chunks.
    function put(bytes32 key, Header calldata header, uint32 lines, uint32 chunks, bytes calldata body)
        external
        returns (bytes32 id);

    /// @notice Another whole body of the caller's draft, as `put` has it.
    function replace(bytes32 id, uint32 lines, uint32 chunks, bytes calldata body) external;

    /// @notice Freezes the caller's draft and gives it the next version under its name. Needs `lines` lines (1-1,024) and
    ///         `chunks` chunks (1-16) without a gap, the root that they have, and a final task of the prereq's name.
    ///         Finalised so before: nothing.
    function finalise(bytes32 id, uint32 lines, uint32 chunks, bytes32 root, bytes32 r, bytes32 vs) external;

    /// @notice Takes the caller's draft back. Its key stays used up, so that a late append finds nothing.
    function remove(bytes32 id) external;

    function info(bytes32 id) external view returns (Info memory);

    /// @notice What Taskrunners asks: type and number of the version (0: no final task), and the hashes of its name and its prereq's.
    function typeOf(bytes32 id)
        external
        view
        returns (TaskType taskType, uint32 number, bytes32 name, bytes32 prereq);

    /// @notice The newest final task of that name and the number of its version; (0, 0) if there is none.
    function latest(string calldata name) external view returns (bytes32 id, uint32 number);

    /// @notice The final task of that name and version, counted from 1; 0 if there is none.
    function version(string calldata name, uint32 number) external view returns (bytes32 id);

    /// @notice Names of final tasks in order of their first version, and how many versions each has; pages of at most 100.
    function names(uint256 from, uint256 count) external view returns (string[] memory found, uint32[] memory counts);

    /// @notice Ids of the versions of one name, version 1 first; pages of at most 100.
    function versions(string calldata name, uint256 from, uint256 count) external view returns (bytes32[] memory ids);

    /// @notice Open drafts of a creator; pages of at most 100.
    function draftsOf(address creator, uint256 from, uint256 count) external view returns (bytes32[] memory ids);

    /// @notice Hashes of a task's items as stored, 0 where none was appended (all, of a whole body); pages of at most 100.
    function hashes(bytes32 id, Kind kind, uint256 from, uint256 count) external view returns (bytes32[] memory found);

    /// @notice The Membership contract this one asks.
    function membership() external view returns (address);
}
