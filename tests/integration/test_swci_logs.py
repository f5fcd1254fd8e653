"""LOGS: a node's last lines, from the node itself, only for operators, and only where its site shares them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import swci
from support.lab import Lab, Site, lab
from support.snprocess import MemberClient
from support.swciserver import server
from swarm.core.chain_view import Role
from swarm.net.client import JsonClient
from swarm.net.faults import BadAnswer
from swarm.net.identity import anyone
from swarm.net.tls import TlsFiles, client_context, server_context
from swarm.node.sharing import LOOKS_BURST


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An SN that shares its lines; an SL that does and one that does not, both in a training."""
    with lab(tmp_path_factory.mktemp("logs"), "--share-logs", "true") as found:
        found.add_site(SWARM_SHARE_LOGS="true").start_sl()
        found.add_site().start_sl()
        for site in found.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=100_000, BATCH_SECONDS=0.2)
        found.wait(
            lambda: all(site.status().get("round") is not None for site in found.sites), seconds=60, say="they train"
        )
        yield found


@pytest.fixture(scope="module")
def here(swarm: Lab, tmp_path_factory: pytest.TempPathFactory) -> swci.Operator:
    """An operator, once the SN has heard where both SLs are reached: they say so with their next sign of life."""
    found = swci.operator(tmp_path_factory.mktemp("operator"), swarm.sn, swarm.ca)

    def reached() -> int:
        rows = [[part.strip() for part in line.split(",")] for line in ask(found, "LIST NODES")]
        return sum(row[0] == "SL" and row[2].isdigit() for row in rows if len(row) > 2)

    swarm.wait(lambda: reached() == len(swarm.sites), seconds=60, say="both SLs' addresses are known")
    return found


def ask(here: swci.Operator, *commands: str) -> list[str]:
    done = here.shell(*here.enter(), *commands)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()[3:]  # behind the lines of enter()


def uid(site: Site) -> str:
    return str(site.status()["node"])


def test_the_lines_of_an_sl_and_of_the_sn_come_from_the_nodes_themselves(swarm: Lab, here: swci.Operator) -> None:
    """What each has logged, its newest line last; by a beginning of the name as well."""
    one = swarm.sites[0]
    rows = [line.split(",") for line in ask(here, "LIST NODES")[1:]]
    sentinel = next(row[4] for row in rows if row[0].strip() == "SENTINEL")
    found = ask(here, "LOGS sl-1", f"LOGS {sentinel}")
    split = next(n for n, line in enumerate(found) if "of SENTINEL" in line)
    told, lines = found[:split], found[split:]
    assert told[0].startswith("    the last ")
    assert "of SL sl-1" in told[0]
    assert any("swarm.SL : INFO : member of the swarm" in line for line in told)
    assert all(line.strip() in one.log("sl") for line in told[1:])
    assert "of SENTINEL sn-1" in lines[0]
    assert any("Starting SWARM-API-SERVER on port" in line for line in lines)


def test_a_site_that_shares_nothing_says_where_to_read(swarm: Lab, here: swci.Operator) -> None:
    """The default; one line, with the setting that would share them."""
    told = ask(here, f"LOGS {uid(swarm.sites[1])}", "LOGS 0xffff")
    assert told[:1] == [
        "ERROR the site of SL sl-2 does not share its log lines (its setting --share-logs, SWARM_SHARE_LOGS): read "
        "them at that site (docker logs, or its files)"
    ]
    assert told[1].startswith("ERROR there is no node '0xffff'")


async def get(url: str, files: TlsFiles) -> Any:
    async with JsonClient(url, client_context(files), anyone) as client:
        return await client.get("/v1/logs")


def test_only_members_of_role_swci_are_told(swarm: Lab, here: swci.Operator, tmp_path: Path) -> None:
    """Another SL, the SN, a stranger under the same CA, and an operator that asks too often are refused."""
    sl = f"https://127.0.0.1:{swarm.sites[0].fs_port}"
    stranger = swarm.ca.node(tmp_path, "ci-9", uri="spiffe://test/operators/swci/ci-9")
    other = swarm.sites[1].files
    for url, files, status in (
        (sl, other, 404),
        (sl, swarm.sn.files, 404),
        (sl, stranger, 404),
        (swarm.sn.url, other, 403),
        (swarm.sn.url, stranger, 403),
    ):
        with pytest.raises(BadAnswer) as refused:
            asyncio.run(get(url, files))
        assert refused.value.status == status
        assert "member of the swarm" not in str(refused.value)

    async def member() -> Any:
        async with MemberClient(swarm.sn, stranger, role=Role.SWCI) as client:
            await client.join()

    asyncio.run(member())
    assert asyncio.run(get(sl, stranger))["lines"]


async def test_who_asks_too_often_is_told_to_wait(swarm: Lab, here: swci.Operator) -> None:
    """A burst is answered, one more is not."""
    url = f"https://127.0.0.1:{swarm.sites[0].fs_port}"
    found = await asyncio.gather(*(get(url, here.files) for _ in range(2 * int(LOOKS_BURST))), return_exceptions=True)
    assert {one.status for one in found if isinstance(one, BadAnswer)} == {429}
    assert any(isinstance(one, dict) for one in found)


def test_a_node_that_died_or_was_replaced_is_named(swarm: Lab, here: swci.Operator) -> None:
    """Nobody answers there; or another node does, whose lines are not taken for its."""
    one, two = swarm.sites
    known = uid(one)
    one.kill()
    (told,) = ask(here, f"LOGS {known}")
    assert told.startswith("ERROR SL sl-1 does not answer: ")
    assert told.endswith("read them at that site (docker logs, or its files)")
    with server([], server_context(two.files), one.fs_port):
        (told,) = ask(here, f"LOGS {known}")
    assert told.startswith("ERROR what answers in the place of SL sl-1 is not that node: ")
