"""LOGS: asks a node itself for its last log lines, and knows by its key on chain that it is that node.

Owns the way there and what a refusal means; whether lines are shared is the site's setting (docs/operations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swarm.core.errors import OperatorFault, PeerFault
from swarm.core.ids import Address, Digest, from_hex
from swarm.core.picking import pick
from swarm.core.shown import shown
from swarm.inspect.nodes import Node
from swarm.inspect.operator import Member
from swarm.inspect.source import View
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer, Unreachable
from swarm.net.identity import holder_of
from swarm.net.uri import bracketed
from swarm.node.sharing import NOT_SHARED, PATH
from swarm.obs.recent import LINES_MAX

CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 10.0
ANSWER_BYTES_MAX = 1024 * 1024
"""JSON writes some bytes of the 128 KiB that a node keeps as six."""
AS_SN = "an SN tells it when it is started with --host-ip"
WHEN_KNOWN = {
    "SL": "an SL tells it when its program joins a training",
    "SWOP": "a SWOP tells it when it is started with --host-ip",
}
ELSEWHERE = "read them at that site (docker logs, or its files)"


def called(nodes: Sequence[Node], typed: str) -> Node:
    """The node of that UUID, or of that name if only one has it; a beginning of either will do.

    Raises:
        OperatorFault: there is none; names the nearest.
    """
    names = [node.name for node in nodes]
    found = {node.name: node for node in nodes if names.count(node.name) == 1} | {node.node: node for node in nodes}
    return found[pick("node", typed, list(found))]


async def last_lines(member: Member, view: View, node: Node) -> tuple[list[str], int]:
    """A node's last log lines, and how many were before them.

    Raises:
        OperatorFault: its site does not share them, it is not reached, or another one answers in its place; tells
            where to read them.
        ChainFault: the chain does not tell its key.
    """
    return await lines_of(member, view, node)


async def lines_of(member: Member, view: View, node: Node, query: str = "") -> tuple[list[str], int]:
    """As :func:`last_lines`; with a query the text that it names (:mod:`swarm.core.failuretext`)."""
    name = f"{node.kind} {shown(node.name)}"
    url = _url(member, view, node)
    if url is None:
        raise OperatorFault(f"where {name} is reached is not known: {WHEN_KNOWN.get(node.kind, AS_SN)}; {ELSEWHERE}")
    record = await view.membership.member(Address(from_hex(node.node, 20)))
    try:
        async with JsonClient(
            url,
            member.who.context,
            holder_of(Digest(record.spki)),
            connect_seconds=CONNECT_SECONDS,
            total_seconds=TOTAL_SECONDS,
            answer_bytes_max=ANSWER_BYTES_MAX,
        ) as client:
            return _checked(url, await client.get(f"{PATH}?{query}" if query else PATH))
    except BadAnswer as error:
        if error.code == NOT_SHARED and query:
            raise OperatorFault(f"the site of {name} does not share it (share_logs of its policy)") from error
        if error.code == NOT_SHARED:
            raise OperatorFault(
                f"the site of {name} does not share its log lines (its setting --share-logs, SWARM_SHARE_LOGS): "
                f"{ELSEWHERE}"
            ) from error
        raise OperatorFault(f"{name} gives no log lines: {error}; {ELSEWHERE}") from error
    except Unreachable as error:
        raise OperatorFault(f"{name} does not answer: {error}; {ELSEWHERE}") from error
    except PeerFault as error:
        raise OperatorFault(f"what answers in the place of {name} is not that node: {error}; {ELSEWHERE}") from error


def _url(member: Member, view: View, node: Node) -> str | None:
    """Where a node announced itself; an SN that did not is known by whoever uses it."""
    if node.host != "-":
        return f"https://{bracketed(node.host)}:{node.port}"
    return member.link.url if node.node == view.status.get("node") else None


def _checked(url: str, answer: Any) -> tuple[list[str], int]:
    """Raises PeerFault: the answer has another form."""
    lines, gone = (answer.get("lines"), answer.get("gone")) if isinstance(answer, dict) else (None, None)
    if (
        not isinstance(lines, list)
        or len(lines) > LINES_MAX
        or not all(isinstance(line, str) for line in lines)
        or type(gone) is not int
        or not 0 <= gone < 2**63
    ):
        raise PeerFault(f"{url} answers {PATH} in another form than this version knows")
    return lines, gone
