"""Bounds that several rooms share, each with its unit in the name. Room-private bounds stand in the room."""

MEMBERS_JOINED_MAX = 250
"""Members joined to one job at once: a commit of all must fit a 128 KiB transaction."""

URI_BYTES_MAX = 256

SN_API_PORT = 30304
OPS_PORT_SN, OPS_PORT_SL, OPS_PORT_SWOP = 30390, 30391, 30392
SWCI_WEB_PORT = 30306
SWOP_LOGS_PORT = 30307
"""Ports, unless a setting says otherwise: of the nodes, and of those that ask them."""

ATTEMPT_AHEAD_MAX = 2**20
"""How far above its own a node follows an attempt that a member signed."""

PULSE_SECONDS = 2.0
PULSE_OTHERS_SECONDS = 10.0
LIVE_SECONDS = 15.0
FULL_QUORUM_SECONDS_DEFAULT = 30.0
PULL_GRACE_TIMES_DEFAULT, PULL_GRACE_TIMES_MAX = 10.0, 10_000.0
"""How many times the grace pulls that move may add to it."""
LEADER_FAILURE_SECONDS_DEFAULT = 600.0
RESCUE_AFTER_SECONDS = 120
"""The default; what holds in a swarm is fixed when its contracts are deployed."""
RESCUE_AFTER_SECONDS_MIN, RESCUE_AFTER_SECONDS_MAX = 5, 86_400
CALL_AFTER_SECONDS = 30.0
STRANDED_SECONDS_DEFAULT = 600.0
"""How long a run with fewer members than minPeers waits for one that left for good, unless a setting says otherwise."""
JOIN_DEPTH_BLOCKS = 12
"""On a chain that can reorganise, a block this deep is taken to stay."""
KEEP_ROUNDS = 3
"""Committed rounds of which merged models and inputs stay on disk, by default."""
KEEP_ROUNDS_MIN, KEEP_ROUNDS_MAX = 2, 64
"""The chain's model and the one before it, should the chain take its last round back; a journal that stays small."""

FIXED_POINT = 1_000_000
"""loss and metric travel as int64 multiples of 1e-6."""
NOT_REPORTED = -(2**63)
"""int64 minimum: the loss or metric is not known (or was NaN)."""

HTTP_BODY_BYTES_MAX = 4 * 1024 * 1024
RPC_BATCH_MAX = 50

TASK_LEASE_SECONDS = 120
"""The default; what holds in a swarm is fixed when its contracts are deployed. A silent peer is suspected after it."""
TASK_LEASE_SECONDS_MIN, TASK_LEASE_SECONDS_MAX = 5, 86_400
TASK_TEXT_CHARS_MAX, TASK_TEXT_BYTES_MAX = 160, 640
"""Name, author, prereq and outcome of a task, and the name of a runner."""
TASK_LINES_MAX, TASK_LINE_BYTES_MAX = 1_024, 640
TASK_CHUNKS_MAX, TASK_CHUNK_BYTES = 16, 4_096
"""The exact text of a task on chain: 64 KiB at most, in chunks."""
TASK_BODY_BYTES_MAX = 96 * 1024
"""A body that is written in one piece; a longer one goes item by item."""
TASK_APPEND_MAX = 4
"""Items of one batch (row C14)."""
TASK_DRAFTS_MAX = 16
"""Open drafts of one creator."""
RUNNER_SWOPS_MAX = 64
"""SWOPs enrolled, or named, in one assignment."""
RUNNER_PAIRS_MAX = 250
"""Pairs that one SWOP offers, or that an assignment asks for."""
RUNNER_FOLLOWERS_MAX = 250
RUNNER_REPORTS_MAX = 16
"""Results in one report."""
ENROL_SECONDS = 300
ENROL_SECONDS_MIN, ENROL_SECONDS_MAX = 10, 86_400
EXPECT_SECONDS = 5
"""How long a start waits for SWOPs that the assigner saw and that have not answered."""
CA_DAYS_DEFAULT, NODE_DAYS_DEFAULT, DAYS_MAX = 365, 30, 3650
"""Days that a certificate of ours is valid."""
