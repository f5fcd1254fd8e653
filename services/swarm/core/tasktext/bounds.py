"""How much a text may hold, each bound with its unit. The chain's contract has the same for slots and text."""

from __future__ import annotations

from ..limits import TASK_CHUNK_BYTES, TASK_CHUNKS_MAX, TASK_LINE_BYTES_MAX, TASK_LINES_MAX, TASK_TEXT_CHARS_MAX

FREE_CHARS_MAX = TASK_TEXT_CHARS_MAX
"""Of a free string, as in the original."""
SLOT_BYTES_MAX = TASK_LINE_BYTES_MAX
"""Of one line of a body on chain: 160 characters of UTF-8 at their longest."""
SLOTS_MAX = TASK_LINES_MAX
"""Lines of a body, ``---`` included."""
TEXT_BYTES_MAX = TASK_CHUNKS_MAX * TASK_CHUNK_BYTES
"""Of a task file, placeholders replaced."""
PROFILE_BYTES_MAX = 512 * 1024
STEPS_MAX = 80
"""Number of BuildSteps."""
SHARED_MAX = 10
OPERATIONS_MAX = 20
PROFILE_CHARS_MAX = 240
HOST_CHARS_MAX = 253
NODES_MAX = 250
"""slnodedef of a profile: members joined to one job at once."""
DEPTH_MAX = 16
"""Lists and maps within one another."""
TASK_VALUES_MAX = 6_000
"""Values in a task's YAML, those that aliases repeat included: a body of as many lines as the chain takes, thrice."""
PROFILE_VALUES_MAX = 30_000
REPLACEMENTS_MAX = 200
REPLACEMENT_BYTES_MAX = 4096
