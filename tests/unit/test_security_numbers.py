"""The bounds in docs/security.md are the constants' values: each row, each number, and nothing written by hand."""

from __future__ import annotations

import re
from asyncio.sslproto import SSLProtocol
from pathlib import Path
from typing import Any

import pytest
import swarm
from swarm.chain import client, facade, rpc, tasks, training
from swarm.chain.embedded import answers as called
from swarm.chain.embedded import asking
from swarm.cli import building as cli_building
from swarm.core import blobid, checkinflags, dataschema, exported, limits
from swarm.core.engine import context, credit, leading, messages, state
from swarm.core.swop import containers, policy
from swarm.core.tasktext import bounds as tasktext
from swarm.core.tasktext import findings, scalars
from swarm.inspect import answers as told
from swarm.inspect import at_head, looks, source
from swarm.inspect import tasks as read_tasks
from swarm.net import answers, blobserve, lines, refusals, server, transfer
from swarm.node import joining, rated, sharing, sn_list
from swarm.obs import logfiles, recent
from swarm.sl import app as sl_app
from swarm.sl import directory, records, schemas, transfers
from swarm.sn import admission, app, approvals, fleet, gateway, gethhost, heirs, join, lifesigns, relay, starting
from swarm.swci import access, contexts, folder, grammar, streams, web
from swarm.swop import building, contents, docker, files, follower, hands, keeping, logins, runtime, texts

LIMITS, PACE = lines.Limits(), transfer.Pace()
KIB, MIB, GIB = 1024, 1024**2, 1024**3
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def solidity(contract: str, name: str) -> int:
    """The value of a constant in a contract's source."""
    source = (ROOT / "contracts" / "src" / f"{contract}.sol").read_text()
    (value,) = re.findall(rf"constant {name} = ([\d_]+);", source)
    return int(value)


Row = tuple[Any, ...]
ROWS: dict[str, Row] = {
    "connections to a port / of one certificate key": (
        "{} / {}", LIMITS.connections_max, LIMITS.peer_connections_max,
    ),
    "TLS handshakes of one address, and their time": (
        "{}, {} s", LIMITS.address_handshakes_max, LIMITS.handshake_seconds,
    ),
    "time and bytes of headers, of a body": (
        "{} s and {} KiB; {} s and {} MiB",
        LIMITS.header_seconds, LIMITS.header_bytes_max / KIB, LIMITS.body_seconds, LIMITS.body_bytes_max / MIB,
    ),
    "chunk sizes, extensions and trailers of a request, empty lines before it": (
        "{} KiB with the headers (counted by reads of {} KiB at most)",
        LIMITS.header_bytes_max / KIB, SSLProtocol.max_size / KIB,
    ),
    "requests of one connection at a time": (
        "one; what is sent before it is answered is not heard, and the line ends with that answer",
    ),
    "an answer, pong or stream that the peer takes nothing of (on Linux)": (
        "{} s; meanwhile a WebSocket is not read", lines.UNREAD_SECONDS,
    ),
    "a connection over which nothing comes is asked for a sign of life; and again": (
        "after {} s; each {} s", lines.QUIET_SECONDS, lines.PROBE_SECONDS,
    ),
    "a WebSocket's message, its fragments; messages not taken yet": (
        "{} MiB, {}; {}", LIMITS.message_bytes_max / MIB, lines.FRAGMENTS_MAX, lines.MESSAGES_WAITING_MAX,
    ),
    "connections left when a node stops": ("cut after {} s", server.STOP_SECONDS),
    "what a refused request still sends is read and thrown away, so that the answer is not lost": (
        "{} s, {} MiB", answers.LINGER_SECONDS, answers.LINGER_BYTES_MAX / MIB,
    ),
    "pulses of one member: rate, waiting for the engine": (
        "{} a second (one more for each {} KiB), burst {}; {}",
        sl_app.PULSES_PER_SECOND, sl_app.PULSE_TOKEN_BYTES / KIB, sl_app.PULSES_BURST, sl_app.PULSES_AT_ONCE_MAX,
    ),
    "how a member says that its program ended": (
        "an exit code of at most {}, a class's name of {} ASCII letters, digits and `_`; anything else refuses the "
        "pulse",
        messages.EXIT_CODE_MAX, messages.EXCEPTION_CHARS_MAX,
    ),
    "statements of a pulse that are heard": ("the sender's own, the last of each kind",),
    "higher attempts on one member's word": (
        "{} a round, then one in {} s; each by {} at most, by {} above {}",
        credit.MOVES_BURST, credit.MOVE_SECONDS, limits.ATTEMPT_AHEAD_MAX, credit.ATTEMPT_AHEAD_LATE,
        credit.ATTEMPT_LATE,
    ),
    "rounds that a check-in may say its model is behind": (
        "the round's number, {} at most", checkinflags.BEHIND_MAX,
    ),
    "takeovers, proposals remembered for a round": (
        "{} attempts; {} that nothing refers to", context.TAKEOVER_ATTEMPTS_KEPT, context.RESULTS_KEPT,
    ),
    "looks at the chain caused by pulses from further rounds": ("{} a second", 1 / state.REFRESH_SECONDS),
    "questions to the chain about unknown certificate keys": (
        "{} a second, burst {}", directory.UNKNOWN_PER_SECOND, directory.UNKNOWN_BURST,
    ),
    "a data schema": (
        "{} KiB as a request, {} KiB from a program; {} columns, {} labels; {} at once and {} a second a member; "
        "{} s for all of them, once a session",
        sl_app.SCHEMA_BODY_BYTES_MAX / KIB, dataschema.TEXT_BYTES_MAX / KIB, dataschema.COLUMNS_MAX,
        dataschema.LABELS_MAX, sl_app.SCHEMAS_BURST, sl_app.SCHEMAS_PER_SECOND, schemas.COMPARE_SECONDS,
    ),
    "a model file": (
        "{} GiB; after the first round {} times the last merged one and {} MiB; never the last {} MiB of the disk, "
        "with all pulls under way counted as if they were there",
        blobid.BLOB_BYTES_MAX / GIB, leading.SIZE_FACTOR, leading.SIZE_SLACK_BYTES / MIB,
        transfers.DISK_RESERVE_BYTES / MIB,
    ),
    "a peer's chunk list": (
        "{} bytes a chunk of {} MiB, of {} GiB at most",
        transfer.LIST_ITEM_BYTES, blobid.CHUNK_BYTES / MIB, blobid.BLOB_BYTES_MAX / GIB,
    ),
    "a pull: silence, rate; pulls at once": (
        "{} s, {} KiB/s over {} s; {}",
        PACE.idle_seconds, PACE.rate_bytes_min / KIB, PACE.rate_seconds, transfers.PULLS_AT_ONCE_MAX,
    ),
    "what slow pulls add to the wait for a round": (
        "{} times the grace (`SL_PULL_GRACE_TIMES`), so {} s",
        limits.PULL_GRACE_TIMES_DEFAULT, limits.PULL_GRACE_TIMES_DEFAULT * limits.FULL_QUORUM_SECONDS_DEFAULT,
    ),
    "a reader of our blobs that does not read": (
        "{} s for {} MiB", blobserve.SEND_SECONDS, blobserve.PIECE_BYTES / MIB,
    ),
    "JSON-RPC at an SN: calls in a batch, rate of a member": (
        "{}; {} tokens a second, burst {}; an `eth_call` costs one token more for each {} KiB",
        gateway.RPC_BATCH_MAX, relay.RATE_PER_SECOND, relay.RATE_BURST, gateway.TOKEN_BYTES / KIB,
    ),
    "announcements of an SN on chain; SNs that are looked up for them": (
        "{} at once, then one in {} s; the newest {} at an SL, {} at an SN",
        solidity("Membership", "ANNOUNCE_BURST"), solidity("Membership", "ANNOUNCE_SECONDS"),
        sn_list.ANNOUNCED_MAX, fleet.SNS_LOOKED_UP_MAX,
    ),
    "records of members that an SL keeps": (
        "{}, or as many as its run has ({} seats); each read when it is needed, {} side by side, and again after an"
        " event and after {} s, {} a look",
        directory.RECORDS_MAX, solidity("Training", "SEATS_MAX"),
        directory.READ_AT_ONCE_MAX, directory.AGAIN_SECONDS, directory.AGAIN_MAX,
    ),
    "an export that is imported: file, members, jobs, runs a job, members a run, rounds a transaction": (
        "{} MiB, {}, {}, {}, {}, {}",
        exported.FILE_BYTES_MAX / MIB, exported.MEMBERS_MAX, exported.JOBS_MAX, exported.RUNS_MAX,
        exported.RUN_MEMBERS_MAX, training.CARRIED_ROUNDS,
    ),
    "rounds of one run in an export": ("{}", exported.RUN_ROUNDS_MAX),
    "a task file: bytes, lines and bytes a line of its body, values (aliases counted each time), depth, digits": (
        "{} KiB, {}, {}, {}, {}, {}",
        tasktext.TEXT_BYTES_MAX / KIB, tasktext.SLOTS_MAX, tasktext.SLOT_BYTES_MAX, tasktext.TASK_VALUES_MAX,
        tasktext.DEPTH_MAX, scalars.DIGITS_MAX,
    ),
    "a SWOP profile: bytes, values, nodes": (
        "{} KiB, {}, {}",
        tasktext.PROFILE_BYTES_MAX / KIB, tasktext.PROFILE_VALUES_MAX, tasktext.NODES_MAX,
    ),
    "what is found in one text: kept, the rest counted": ("{}", findings.FINDINGS_MAX),
    "one `eth_getLogs`: blocks, answer; at once at geth, each on a line of its own": (
        "{}, {} MiB; {}", gateway.LOGS_BLOCKS_MAX, rpc.LOGS_BYTES_MAX / MIB, rpc.LOGS_AT_ONCE_MAX,
    ),
    "calls whose answers the embedded chain keeps for its head; a call with its answer; accounts noted in one": (
        "{}; {} KiB; {}", called.ANSWERS_MAX, called.ANSWER_BYTES_MAX / KIB, asking.NAMED_MAX,
    ),
    "a node's or SN's answer to a chain call": (
        "checked field by field before it is read; {} MiB from geth, {} MiB from an SN",
        rpc.ANSWER_BYTES_MAX / MIB, limits.HTTP_BODY_BYTES_MAX / MIB,
    ),
    "a list on chain, as an SN gives it page by page": ("{} entries, each new", facade.LISTED_MAX),
    "what an SN says of itself and its members to an operator's command": (
        "checked field by field before it is shown; {} MiB, {} rows", source.ANSWER_BYTES_MAX / MIB, told.ROWS_MAX,
    ),
    "nodes that wait for an operator: all, of one certificate key": (
        "{}, {} (the oldest gives way)", approvals.WAITING_MAX, approvals.WAITING_PER_KEY_MAX,
    ),
    "looks of one member at nodes, status and signs of life, its own signs included": (
        "{} a second, burst {}", app.VIEWS_PER_SECOND, app.VIEWS_BURST,
    ),
    "answers about the newest block that an operator's shell gives again": (
        "{} of {} Ki characters, until the next block, {} ms at most",
        at_head.ANSWERS_MAX, at_head.ANSWER_CHARS_MAX / KIB, at_head.FRESH_SECONDS * 1000,
    ),
    "a call of this node that waits for another's rate; what an SN showed, given to all who ask so soon": (
        "{} ms in all, {} ms or more a step; {} ms",
        rated.RATE_SECONDS_MAX * 1000, rated.STEP_SECONDS_MIN * 1000, looks.LOOK_SECONDS * 1000,
    ),
    "another SN's table of signs of life": (
        "members' rows only, {}; none over what was heard here within {} s",
        lifesigns.ROWS_MAX, lifesigns.HEARD_HERE_SECONDS,
    ),
    "tasks of one operator on chain: open drafts, final ones, names; names in all": (
        "{}, {}, {}; {}", limits.TASK_DRAFTS_MAX, solidity("Tasks", "FINAL_BY_CREATOR_MAX"),
        solidity("Tasks", "NAMES_BY_CREATOR_MAX"), solidity("Tasks", "NAMES_MAX"),
    ),
    "a task: its texts; lines; exact text; items of an append; a body in one piece": (
        "{} characters and {} bytes; {} of {} bytes; {} chunks of {} bytes; {}; {} KiB",
        limits.TASK_TEXT_CHARS_MAX, limits.TASK_TEXT_BYTES_MAX, limits.TASK_LINES_MAX, limits.TASK_LINE_BYTES_MAX,
        limits.TASK_CHUNKS_MAX, limits.TASK_CHUNK_BYTES, limits.TASK_APPEND_MAX, limits.TASK_BODY_BYTES_MAX / KIB,
    ),
    "task runners of one operator, in all; followers of one": (
        "{}, {}; {}", solidity("Taskrunners", "RUNNERS_BY_CREATOR_MAX"),
        solidity("tasks/Assignments", "RUNNERS_MAX"), solidity("Taskrunners", "FOLLOWERS_MAX"),
    ),
    "an assignment: SWOPs enrolled or named, rows, pairs of one SWOP, results of a report": (
        "{}, {}, {}, {}", limits.RUNNER_SWOPS_MAX, solidity("tasks/Assignments", "PEERS_MAX"),
        limits.RUNNER_PAIRS_MAX, limits.RUNNER_REPORTS_MAX,
    ),
    "how long a silent assignment keeps its runner; enrolment": (
        "a lease ({} s), a quarter of one and graceBlocks; {} s, a day at most",
        limits.TASK_LEASE_SECONDS, limits.ENROL_SECONDS,
    ),
    "transactions of one batch in flight": ("{}, of {} KiB each", client.ABREAST_MAX, tasks.WRITE_BYTES_MAX / KIB),
    "a site's policy: rules; names in one list of a rule; characters of a refusal that names a command": (
        "{}; {}; {}", policy.RULES_MAX, policy.ITEMS_MAX, policy.SAID_CHARS_MAX,
    ),
    "a container's output in one look; a file read out of one": (
        "{} KiB; {} KiB", runtime.LOG_BYTES_MAX / KIB, runtime.FILE_BYTES_MAX / KIB,
    ),
    "calls to a container engine at once; wait for an answer; silence of a pull, of a build step": (
        "{}; {} s; {} s, {} s",
        docker.CALLS_MAX, docker.CALL_SECONDS, docker.SILENCE_SECONDS, building.BUILD_SILENCE_SECONDS,
    ),
    "a build's context; its log that is kept": (
        "{} GiB; {} lines", building.CONTEXT_BYTES_MAX / GIB, building.LOG_LINES_MAX,
    ),
    "a SWOP: texts of failures kept; assignments it has judged; pairs being stopped; an SL after its program's end; how often a pair goes on that was ended from outside": (  # noqa: E501
        "{}; {}; {}; {} s; {}",
        texts.TEXTS_MAX, follower.JUDGED_MAX, hands.STOPS_MAX, hands.FINISHING_SECONDS, hands.REVIVALS_MAX,
    ),
    "a site's file for its SWOP, a registry's config.json; its policy: bytes, values; attempts whose containers are kept": (  # noqa: E501
        "{} KiB, {} KiB; {} KiB, {}; {}",
        files.FILE_BYTES_MAX / KIB, logins.CONFIG_BYTES_MAX / KIB,
        files.POLICY_BYTES_MAX / KIB, files.POLICY_VALUES_MAX, keeping.KEPT_MAX,
    ),
    "how long a task is shown to a SWOP without its creator's signature before it declines": (
        "{} s", follower.UNSIGNED_SECONDS,
    ),
    "content of a task: bytes; entries of an archive; redirects of a download; silence of its server; disk that stays free": (  # noqa: E501
        "{} GiB; {}; {}; {} s; {} MiB",
        contents.CONTENT_BYTES_MAX / GIB, contents.ENTRIES_MAX, contents.REDIRECTS_MAX, contents.SILENCE_SECONDS,
        contents.DISK_RESERVE_BYTES / MIB,
    ),
    "an archive's own lists, before they are read: a zip's directory; what a tar says of one entry": (
        "{} MiB; {} MiB", contents.LIST_BYTES_MAX / MIB, contents.NAME_BYTES_MAX / MIB,
    ),
    "memory of a program or a build's step, without a word of the policy; time of a build": (
        "all but a {}th of the host's, {} MiB at least; {} min ({} by a policy)",
        1 / containers.MEMORY_KEPT_SHARE, containers.MEMORY_KEPT_BYTES / MIB, containers.BUILD_MINUTES,
        policy.BUILD_MINUTES_MAX,
    ),
    "processes and threads of a program": ("{}", containers.PIDS_MAX),
    "restarts of geth because another SN's chain node moves": ("one in {} s for each", gethhost.MOVE_SECONDS),
    "how long one SN's invented head holds up another's start": ("{} s", starting.DOUBT_SECONDS),
    "requests to join of one key; joins at once": (
        "{} a second, burst {}; {}", admission.JOINS_PER_SECOND, admission.JOINS_BURST, admission.JOINS_WAITING_MAX,
    ),
    "heirs of a certificate's lost keys in a day, without an operator; how long the old key must be silent; how long "
    "its node asks": (
        "{}; {} s; {} s", heirs.HEIRS_A_DAY_MAX, heirs.SILENT_SECONDS, joining.KEY_IN_USE_SECONDS_MAX,
    ),
    "nodes admitted without an operator, ever": (
        "{}, then each needs `swarm approve`", join.OPEN_MEMBERS_MAX,
    ),
    "members of a job; a joiner's address": (
        "{}; {} bytes, `https://host:port` only", limits.MEMBERS_JOINED_MAX, limits.URI_BYTES_MAX,
    ),
    "rounds, promises, commits kept on disk": (
        "{} models, {} round names, {} commits", limits.KEEP_ROUNDS, context.CONTEXTS_KEPT, records.COMMITS_REMEMBERED,
    ),
    "SWCI's REST face: shells, of one certificate, its commands that wait, an upload, lines of an answer, listeners": (
        "{}, {} (the idle one gives way), {}, {} KiB, {}, {}, {} of one",
        web.SESSIONS_MAX, web.OF_ONE_MAX, web.WAITING_MAX, folder.FILE_BYTES_MAX / KIB, web.LINES_MAX,
        streams.STREAMS_MAX, streams.STREAMS_OF_ONE_MAX,
    ),
    "SWCI's links to SNs: in all, of one REST caller; one that is unused is closed after; at a bound one gives way": (
        "{}, {}; {} min; after {} s unused",
        access.LINKS_MAX, access.LINKS_OF_ONE_MAX, access.UNUSED_SECONDS / 60, access.GIVES_WAY_SECONDS,
    ),
    "a line of the shell; a script or task definition that is read; contexts, variables of one": (
        "{} characters; {} KiB; {}, {}",
        grammar.LINE_CHARS_MAX, folder.FILE_BYTES_MAX / KIB, contexts.CONTEXTS_MAX, contexts.VARIABLES_MAX,
    ),
    "a name or text among the words of a command; assignments that a runner's history tells": (
        "{} characters that can be seen; {}", cli_building.TEXT_CHARS_MAX, read_tasks.ASSIGNMENTS_MAX,
    ),
    "log lines that a node keeps for operators, if its site shares them: lines, one line, all; looks of one "
    "certificate, of all": (
        "{}, {} KiB, {} KiB; {} a second, burst {}; {} a second, burst {}",
        recent.LINES_MAX, recent.LINE_BYTES_MAX / KIB, recent.BYTES_MAX / KIB,
        sharing.LOOKS_PER_SECOND, sharing.LOOKS_BURST, sharing.ALL_PER_SECOND, sharing.ALL_BURST,
    ),
    "log lines in a folder (LOGS_DIR): a file, of which two stay; processes of one kind that write there": (
        "{} MiB; {}", logfiles.FILE_BYTES_MAX / MIB, logfiles.PROCESSES_MAX,
    ),
    "log lines about refused connections, certificates and invalid requests": (
        "{} a second a port", refusals.REFUSALS_LOGGED_PER_SECOND,
    ),
}  # fmt: skip


def table() -> dict[str, tuple[str, str]]:
    """The bounds of the page: what, and (bound, where)."""
    rows = TEXT[TEXT.index("## Bounds") : TEXT.index("## Known and left")].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if row.startswith("| ")]
    return {what: (bound, where) for what, bound, where in cells[2:]}


def shown(value: float) -> str:
    """A number as the page writes it; powers of two from 2^16 on as such."""
    whole = int(value)
    assert whole == value
    power = whole.bit_length() - 1
    return f"2^{power}" if power >= 16 and whole == 1 << power else f"{whole:,}"


@pytest.mark.parametrize("what", ROWS)
def test_a_documented_bound_is_the_one_in_the_code(what: str) -> None:
    """The row's bound is made of the constants' values."""
    form, *values = ROWS[what]
    assert table()[what][0] == form.format(*map(shown, values))


def test_every_bound_of_the_page_is_held_here() -> None:
    """No row stands on the page alone, no number of a bound is written here, and each module that is named is there."""
    page = table()
    assert list(page) == list(ROWS)
    for what, (form, *values) in ROWS.items():
        assert not re.search(r"\d", form), what
        assert form.count("{}") == len(values), what
        for module in re.findall(r"`([^`]+)`", page[what][1]):
            assert any((place / module).is_file() for place in (Path(swarm.__file__).parent, ROOT / "contracts/src")), (
                module
            )
