"""What this operator wrote of its drafts, kept in its own journal: only that is ever signed.

The chain's answers come through an SN, which can lie. A signature over hashes that an SN showed would be the operator's
word for any text; so what is signed is compared with what was written here.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarm.core.errors import OperatorFault
from swarm.core.ids import Digest
from swarm.core.shown import shown
from swarm.core.taskstatements import header_hash, item_hash, root_of
from swarm.core.taskview import TaskBody, TaskHeader
from swarm.store.journal import Journal

WHOLE, TYPED = "swci/wrote/", "swci/typed/"


def whole(journal: Journal, task: Digest, header: TaskHeader, body: TaskBody) -> None:
    """A draft with all of its body."""
    hashes = [list(map(item_hash, items)) for items in (body.lines, body.chunks)]
    journal.put(WHOLE + task.hex(), root_of(header_hash(header), *hashes))


def line(journal: Journal, task: Digest, index: int, data: bytes) -> None:
    """One line of a draft that is typed."""
    journal.put(f"{TYPED}{task.hex()}/{index}", item_hash(data))


def forget(journal: Journal, task: Digest) -> None:
    """The draft is final, or gone."""
    journal.batch({}, [WHOLE + task.hex(), *(key for key, _ in journal.items(f"{TYPED}{task.hex()}/"))])


def require_whole(journal: Journal, task: Digest, name: str, root: Digest) -> None:
    """Raises OperatorFault: this is not the draft that was written here."""
    mine = journal.get(WHOLE + task.hex())
    if mine is None:
        raise OperatorFault(
            f"the draft of task {shown(name)} was not written with this state folder, and only what was is signed: "
            "CREATE TASK FROM it here"
        )
    if mine != root:
        raise OperatorFault(
            f"the SN shows another draft of task {shown(name)} than was written here (root {root.hex()[:16]}, written "
            f"was {mine.hex()[:16]}): do not trust this SN; nothing was signed"
        )


def require_lines(journal: Journal, task: Digest, name: str, hashes: Sequence[Digest]) -> None:
    """As :func:`require_whole`, of lines that were typed; line 0 is the same in every task.

    Raises:
        OperatorFault: a line is not the one that was typed here.
    """
    for index, found in enumerate(hashes[1:], 1):
        mine = journal.get(f"{TYPED}{task.hex()}/{index}")
        if mine is None:
            raise OperatorFault(
                f"line {index} of task {shown(name)} was not typed with this state folder, and only what was is "
                f"signed: APPEND TASK BODY it again"
            )
        if mine != found:
            raise OperatorFault(
                f"the SN shows another line {index} of task {shown(name)} than was typed here: do not trust this SN; "
                "nothing was signed"
            )
