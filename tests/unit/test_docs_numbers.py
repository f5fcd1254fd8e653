"""Times and sizes that the pages tell are the constants' values (security.md: test_security_numbers.py).

A sentence here has a place for each number, so none is written by hand twice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support import rows
from swarm.chain import suite
from swarm.chain.geth import peers as geth_peers
from swarm.chain.geth import watchdog
from swarm.core import alive, blobid, checkinflags, dataschema, limits
from swarm.core.control import staleness
from swarm.core.engine import peers
from swarm.core.tasktext import bounds as tasktext
from swarm.core.tasktext import scalars
from swarm.inspect import watch
from swarm.sl import app, directory, merging, schemas, transfers
from swarm.sn import gethhost, sealing, settings, starting
from swarmlearning.swci import waiting as swci_waiting

ROOT = Path(__file__).resolve().parents[2]
KIB, MIB = 1024, 1024**2

SENTENCES: dict[str, list[tuple[Any, ...]]] = {
    "docs/engine.md": [
        ("{} s of refused connections or {} s of silence", peers.REFUSED_SECONDS, limits.LIVE_SECONDS),
        ("(leader, follower; {} s again in later rounds until it is heard)", peers.REFUSED_SECONDS),
        ("{} s (call), the contract's rescueAfter, {} s", limits.CALL_AFTER_SECONDS, limits.RESCUE_AFTER_SECONDS),
        ("is waited for {} s, once, by whoever leads", limits.LIVE_SECONDS),
        ("`SL_LEFT_MEMBERS_WAIT_SECONDS` ({} s)", limits.STRANDED_SECONDS_DEFAULT),
        ("has not been heard of for {} s (`swarm status`)", alive.SILENT_SECONDS),
    ],
    "docs/protocol.md": [
        (
            "({} s to the leader and the next in line, {} s to others, at once when there is news)",
            limits.PULSE_SECONDS,
            limits.PULSE_OTHERS_SECONDS,
        ),
        ("(`SL_WAIT_FOR_FULL_QUORUM_SECONDS`, {} s)", limits.FULL_QUORUM_SECONDS_DEFAULT),
        ("Live: heard within {} s", limits.LIVE_SECONDS),
        (
            "{} s refused, {} s silent, `SL_LEADER_FAILURE_BASE_TIMEOUT` ({} s) without progress",
            peers.REFUSED_SECONDS,
            limits.LIVE_SECONDS,
            limits.LEADER_FAILURE_SECONDS_DEFAULT,
        ),
        ("{} s, once; behind a cut line {} s a round more", limits.LIVE_SECONDS, peers.REFUSED_SECONDS),
        ("| {} s, then {} s of block time |", limits.CALL_AFTER_SECONDS, limits.RESCUE_AFTER_SECONDS),
        ("`SL_LEFT_MEMBERS_WAIT_SECONDS` ({} s)", limits.STRANDED_SECONDS_DEFAULT),
        ("A member that is stuck for {} s calls.", limits.CALL_AFTER_SECONDS),
        ("After {} s of block time *and*", limits.RESCUE_AFTER_SECONDS),
    ],
    "docs/swci-python.md": [
        (
            "first answer does not come within {} s, or no later one for {} hours",
            swci_waiting.FIRST_SECONDS,
            swci_waiting.AWAY_SECONDS / 3600,
        ),
    ],
    "docs/operations.md": [
        ("draws it anew every {} s", watch.SECONDS_DEFAULT),
        ("alive every {} s, and within {} s of a change", alive.ALIVE_SECONDS, alive.ALIVE_SOONER_SECONDS),
        ("After {} minutes of silence a member is shown as `gone`", alive.GONE_SECONDS / 60),
        ("not heard of for {} s, and what it did before", alive.SILENT_SECONDS),
        ("`--left-members-wait`, {} s)", limits.STRANDED_SECONDS_DEFAULT),
        ("Other participants heard of within {} s", limits.LIVE_SECONDS),
        ("Members heard of within {} min", alive.GONE_SECONDS / 60),
        ("A pull leaves {} MiB of the disk free.", transfers.DISK_RESERVE_BYTES / MIB),
    ],
    "docs/chain.md": [
        ("keeps the contracts' version, {} at present", suite.VERSION),
        ("each once, after each event that changes it, and again after {} s", directory.AGAIN_SECONDS),
        ("(after {} s without one the node goes on by itself)", starting.ALONE_SECONDS),
        ("goes over to a period of {} s", gethhost.PERIOD_SEVERAL_SECONDS),
        ("neither answers nor seals for {} s (`--sn-dead-after`)", settings.SN_DEAD_SECONDS),
        ("waits at most {} s to be voted out", sealing.LEAVE_SECONDS_MAX),
        ("After {} s without a block the sealers compare", sealing.FORK_SECONDS),
        ("A height that stands for {} s while transactions wait", watchdog.FROZEN_SECONDS),
        ("names are resolved again every {} s", gethhost.RESOLVE_EVERY_SECONDS),
        ("several newcomers within {} s share it", gethhost.RESTART_PAUSE_SECONDS),
        ("From {} others on the limit is {}.", geth_peers.FULL_MESH_FROM, geth_peers.PEERS_MANY),
    ],
    "docs/merging.md": [
        (
            "windows of {} KiB instead of {} KiB an input",
            merging.SMALL_WINDOW_BYTES / KIB,
            merging.WINDOW_BYTES / KIB,
        ),
        ("to {} rounds, default {} |", staleness.GRACE_MAX, staleness.HINGE_B),
        ("More than {} rounds behind are told as {}.", checkinflags.BEHIND_MAX, checkinflags.BEHIND_MAX),
    ],
    "docs/task-files.md": [
        (
            "A file has {} KiB at most, a body {} lines of {} bytes each, numbers {} digits.",
            tasktext.TEXT_BYTES_MAX / KIB,
            tasktext.SLOTS_MAX,
            tasktext.SLOT_BYTES_MAX,
            scalars.DIGITS_MAX,
        ),
        ("Lists and maps lie {} deep at most", tasktext.DEPTH_MAX),
        ("to {} characters, no line breaks", tasktext.FREE_CHARS_MAX),
        ("to {} lines of one Dockerfile.", tasktext.STEPS_MAX),
        ("to {} of `Src`", tasktext.SHARED_MAX),
        ("to {} of `Operation`", tasktext.OPERATIONS_MAX),
    ],
    "docs/sdk.md": [
        ("A program waits at most {} s for sites that do not answer.", schemas.COMPARE_SECONDS),
        (
            "At most {} KiB as JSON, {} columns, {} labels.",
            dataschema.TEXT_BYTES_MAX / KIB,
            dataschema.COLUMNS_MAX,
            dataschema.LABELS_MAX,
        ),
    ],
    "docs/wire-formats.md": [
        ("chunk size u32 ({} MiB)", blobid.CHUNK_BYTES / MIB),
        ("At most {} KiB, {} at once and then", app.SCHEMA_BODY_BYTES_MAX / KIB, app.SCHEMAS_BURST),
        (
            "every {} s to the leader and the next in the ring, every {} s to others",
            limits.PULSE_SECONDS,
            limits.PULSE_OTHERS_SECONDS,
        ),
        ("every {} s and {} s after a change", alive.ALIVE_SECONDS, alive.ALIVE_SOONER_SECONDS),
        (
            "at most {} waits, times in seconds relative to the message, texts of at most {} printable",
            alive.WAITS_MAX,
            alive.TEXT_CHARS_MAX,
        ),
        ("`alive` for {} s after the last message", alive.GONE_SECONDS),
        ("JSON of at most {} KiB", dataschema.TEXT_BYTES_MAX / KIB),
    ],
}


def shown(value: float) -> str:
    assert int(value) == value
    return f"{int(value):,}"


@pytest.mark.parametrize("page", SENTENCES)
def test_a_pages_numbers_are_the_codes(page: str) -> None:
    """Each sentence stands on its page, with the constants' values in it."""
    text = (ROOT / page).read_text()
    for form, *values in SENTENCES[page]:
        assert form.count("{}") == len(values)
        assert not re.search(r"\d", form.replace("u32", "")), form
        assert form.format(*map(shown, values)) in text, form.format(*map(shown, values))


def test_the_readme_counts_the_rows_that_tests_claim() -> None:
    """So many of so many are proven at present: as if every test that carries a row had passed."""
    claimed = rows.claimed(ROOT / "tests")
    standings = rows.judge(rows.load(), [(check, "passed") for check in claimed])
    countable = [s for s in standings if s.row.not_applicable is None]
    told = re.findall(r"at present (\d+) of (\d+)", (ROOT / "README.md").read_text())
    assert told == [(str(sum(s.counts for s in countable)), str(len(countable)))]
