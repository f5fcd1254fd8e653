// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Training: jobs, runs and rounds; accepts a round's result when a majority of its roster acknowledged it.
/// @notice design: docs/protocol.md and docs/wire-formats.md. Statements are EIP-712 structs over the domain
///         ("SwarmTraining", "1", chain id, this contract), signed compactly (EIP-2098).
interface ITraining {
    enum Phase {
        None,
        Idle,
        Open,
        Complete,
        Failed
    }

    struct JobState {
        Phase phase;
        bool started; // founders complete: round 0 was opened
        uint64 run;
        uint64 round; // the open round; after completion: the number of committed rounds
        uint32 epoch;
        uint32 minPeers;
        uint32 interval; // batches until the next sync, as the last commit said; 0 before the first
        bytes32 prev; // merged blob of the last commit, 0 before
        uint64 prevSize;
        bytes32 manifest; // of the run, 0 before the first commit
        bytes32 roster; // hash of the open round's roster
        uint64 openedBlock; // block at which this (round, epoch) opened
        uint64 openedTime;
        uint64 joinedCount;
        uint64 callId; // 0: no call open
        uint64 callBlock;
        uint64 callTime;
    }

    struct Joiner {
        address node;
        bool eligible;
        bool joined; // false: left or dropped
        uint64 joinedBlock;
        uint64 leftBlock; // 0 while joined
    }

    struct Name {
        bytes32 job;
        uint64 run;
        uint64 round;
        uint32 epoch;
        bytes32 prev;
        bytes32 roster;
    }

    struct Result {
        bytes32 merged;
        uint64 size;
        bytes32 method;
        bytes32 inputs;
        uint32 interval;
        bytes32 manifest;
    }

    struct Stats {
        uint32 weight;
        int64 loss; // multiples of 1e-6; int64 minimum: not reported
        int64 metric;
        uint32 epochsDone;
        uint32 epochsTotal;
        uint32 flags; // 1 done, 2 observer, 4 own figure; bits 8 to 15: rounds that the model is behind
    }

    struct Item {
        address node;
        uint32 version;
        bytes32 blob;
        uint64 size;
        Stats stats;
        uint64 coefficient; // IEEE-754 binary64 bits
        bytes32 r;
        bytes32 vs;
    }

    struct AckSignature {
        address node;
        bytes32 r;
        bytes32 vs;
    }

    struct Bundle {
        Name name;
        uint32 attempt;
        address leader;
        Result result;
        uint256[] roster; // eligible << 160 | address, ascending by address; hashes to name.roster
        Item[] items; // ascending by address
        AckSignature[] acks; // ascending by address
    }

    event JobCreated(bytes32 indexed job, string name, address by);
    event Joined(
        bytes32 indexed job, uint64 indexed run, address indexed node, string uri, uint32 minPeers, bool eligible
    );
    event Left(bytes32 indexed job, uint64 indexed run, address indexed node);
    event RoundOpened(
        bytes32 indexed job,
        uint64 indexed run,
        uint64 indexed round,
        uint32 epoch,
        bytes32 prev,
        uint32 minPeers,
        uint256[] roster
    );
    event Merged(
        bytes32 indexed job,
        uint64 indexed run,
        uint64 indexed round,
        uint32 epoch,
        uint32 attempt,
        address leader,
        Result result,
        uint32 contributors,
        uint32 acks
    );
    event Contributed(
        bytes32 indexed job,
        uint64 indexed run,
        address indexed node,
        uint64 round,
        uint32 version,
        bytes32 blob,
        uint64 size,
        Stats stats,
        uint64 coefficient
    );
    event RunCompleted(bytes32 indexed job, uint64 indexed run, uint64 rounds, bytes32 merged);
    event RunFailed(bytes32 indexed job, uint64 indexed run, address by, string reason);
    event RunReset(bytes32 indexed job, uint64 indexed run, address by, bool forced);
    event JobCarried(bytes32 indexed job, uint64 indexed run, bytes32 origin);
    event RoundsCarried(bytes32 indexed job, uint64 indexed run, uint64 first, uint256[] words);
    event RunCarried(
        bytes32 indexed job,
        uint64 indexed run,
        bytes32 origin,
        Phase phase,
        uint64 rounds,
        uint64 began,
        uint64 ended,
        uint256[] members
    );
    event Called(bytes32 indexed job, uint64 indexed run, uint64 indexed callId, address by);
    event Answered(bytes32 indexed job, uint64 indexed run, uint64 indexed callId, address node, bool done);
    event CallVoided(bytes32 indexed job, uint64 indexed run, uint64 indexed callId, uint32 answers);
    event CallLapsed(bytes32 indexed job, uint64 indexed run, uint64 indexed callId);
    event Reformed(bytes32 indexed job, uint64 indexed run, uint64 indexed callId, uint32 epoch, address[] dropped);
    event Closed(bytes32 indexed job, uint64 indexed run, address indexed node, int64 loss, int64 metric);

    error TrainingUnknownJob(bytes32 job);
    error TrainingJobExists(bytes32 job);
    error TrainingBadName(uint256 bytesLength, uint256 bytesMax);
    error TrainingTooManyJobs(uint256 jobs, uint256 jobsMax);
    error TrainingWrongPhase(bytes32 job, Phase phase);
    error TrainingWrongRun(uint64 run, uint64 current);
    error TrainingMinPeersZero();
    error TrainingMinPeersAboveRun(uint32 asked, uint32 fixedFor);
    error TrainingFull(uint256 joined, uint256 max);
    error TrainingUriTooLong(uint256 bytesLength, uint256 bytesMax);
    error TrainingAlreadyJoined(address node);
    error TrainingNotJoined(address node);
    error TrainingWrongRound(uint64 round, uint32 epoch, uint64 openRound, uint32 openEpoch);
    error TrainingWrongPrev(bytes32 prev, bytes32 expected);
    error TrainingWrongRoster(bytes32 roster, bytes32 expected);
    error TrainingWrongLeader(uint32 attempt, address leader, address expected);
    error TrainingOrder(uint256 index);
    error TrainingItemNotMember(uint256 index, address node);
    error TrainingItemSignature(uint256 index, address node);
    error TrainingItemFlags(uint256 index, uint32 flags);
    error TrainingAckNotRoster(uint256 index, address node);
    error TrainingAckSignature(uint256 index, address node);
    error TrainingTooFewItems(uint256 items, uint256 minPeers);
    error TrainingTooFewAcks(uint256 acks, uint256 majority);
    error TrainingWrongInputs(bytes32 inputs, bytes32 expected);
    error TrainingWrongManifest(bytes32 manifest, bytes32 expected);
    error TrainingEmpty();
    error TrainingCallOpen(uint64 callId);
    error TrainingCallTooEarly(uint256 blocks, uint256 seconds_);
    error TrainingNoCall(uint64 callId, uint64 open);
    error TrainingAlreadyAnswered(address node, uint64 callId);
    error TrainingMembersLive(address[] members);
    error TrainingAlreadyClosed(address node, uint64 run);
    error TrainingBadRescueAfter(uint256 seconds_, uint256 secondsMin, uint256 secondsMax);

    /// @notice Registers a job. Members of role SN, SWCI or SWOP only (no squatting), at most
    ///         100 by one of them and 10,000 in all. Name: 1-160 bytes.
    function createJob(string calldata name) external returns (bytes32 job);

    /// @notice Goes on with a job of an earlier chain, whose genesis is `origin`: `run` is its next run here, and the runs
    ///         below are entered by carryRounds and carryRun. Only an admitter; refused for a job that has been used here.
    function carryJob(string calldata name, bytes32 origin, uint64 run) external;

    /// @notice Enters rounds of a carried run in their order, `first` being the number of those there are. Only an admitter.
    /// @param words for each round the merged blob, then its size.
    function carryRounds(bytes32 job, uint64 run, uint64 first, uint256[] calldata words) external;

    /// @notice Ends the entering of a carried run: how it stood on the chain with genesis `origin`. Only an admitter.
    /// @param began block time in seconds of its first event, 0 if unknown. @param ended of its last one.
    /// @param members who joined it: the node, and bit 160 if a model of it was merged.
    function carryRun(
        bytes32 job,
        uint64 run,
        bytes32 origin,
        Phase phase,
        uint64 began,
        uint64 ended,
        uint256[] calldata members
    ) external;

    /// @notice Joins the job's current run (opening one if it is Idle). Members of role SL only; at most 250
    ///         joined at a time and 1,000 a run, those who left included.
    /// @param uri where this node's blobs are served, at most 256 bytes; only in the event.
    /// @param minPeers at least 1; see design: the founders are the first m joiners, m = largest asked so far.
    /// @param eligible false: never leader while another can lead (SL_MAKE_ME_ADMIN=False).
    function join(bytes32 job, string calldata uri, uint32 minPeers, bool eligible) external;

    /// @notice Leaves; acts on the roster at the next opening.
    function leave(bytes32 job) external;

    /// @notice Records certified rounds, in order. Anyone may submit.
    function commit(Bundle[] calldata bundles) external;

    /// @notice Asks who is still there (design section 6). Any joined, active node.
    function call(bytes32 job, uint64 run, uint64 round, uint32 epoch) external;

    /// @notice Answers an open call.
    function here(bytes32 job, uint64 callId, bool done) external;

    /// @notice Settles an open call that is due: void, reform or lapse. Anyone.
    function settle(bytes32 job, uint64 callId) external;

    /// @notice Opens run+1, joining anew. Refused while joined members are active, unless forced. Role SN, SWCI or SWOP.
    function reset(bytes32 job, bool force) external;

    /// @notice Closing report of a node after the run is complete; once a node and run.
    function close(bytes32 job, uint64 run, int64 loss, int64 metric) external;

    function state(bytes32 job) external view returns (JobState memory);

    /// @notice Roster words of the open round (eligible << 160 | address, ascending).
    function rosterOf(bytes32 job) external view returns (uint256[] memory);

    /// @notice Everybody who joined the current run, ascending by address, those who left included; a page at a time
    ///         (`count` at most 100).
    function joinersOf(bytes32 job, uint256 from, uint256 count) external view returns (Joiner[] memory);

    /// @notice Result hash input of one committed round of the current or an earlier run: (merged blob, size); 0 if none.
    function mergedOf(bytes32 job, uint64 run, uint64 round) external view returns (bytes32 merged, uint64 size);

    /// @notice How a run of the job stands or ended: Failed when it was reset before completion; None if there is no such run.
    function phaseOf(bytes32 job, uint64 run) external view returns (Phase);

    /// @notice Who leads `attempt` of the open round; 0 while there is no roster.
    function leaderOf(bytes32 job, uint32 attempt) external view returns (address);

    /// @notice The Membership contract this one asks.
    function membership() external view returns (address);

    /// @notice Seconds of block time after which a call is due (5 to 86,400; of the deployment), and between two calls of
    ///         one node. As many blocks as fit into it at one in 12 seconds must have passed as well, at least 2, at most 10.
    function rescueAfter() external view returns (uint256);

    /// @notice How many calls are open in all jobs, lapsed ones that nobody settled included.
    function openCalls() external view returns (uint64);

    /// @notice Genesis of the chain that a job was carried over from; 0 if it began here.
    function originOf(bytes32 job) external view returns (bytes32);

    /// @notice The name of a job; empty if there is no such job.
    function nameOf(bytes32 job) external view returns (string memory);

    /// @notice Jobs in order of creation, a page at a time (`count` at most 100).
    function jobs(uint256 from, uint256 count) external view returns (bytes32[] memory ids, string[] memory names);
}
