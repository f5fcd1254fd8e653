"""Strangers, members and their lies at the peer server of SLs in mid-run; the run ends as if nobody had tried."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import patience, warm
from support.certs import Authority
from support.lab import Lab, Site, lab
from support.snprocess import MemberClient, clean_environ
from swarm.chain.keys import LocalSigner
from swarm.core.ids import from_hex, job_id, to_hex
from swarm.core.statements import TRAINING_DOMAIN, CheckIn, Statement, domain_separator, name_from_json
from swarm.net.server import Limits
from swarm.net.tls import TlsFiles, client_context
from swarm.store.keystore import load_or_create

pytestmark = pytest.mark.timeout(300)

JOB = "defaultbb.cqdb.sml.hpe"
UNKNOWN = "/v1/blobs/" + "ab" * 32
SOON = 10.0
DEEP = b"[" * 100_000

Answer = tuple[int, bytes]


def ask(
    site: Site, context: ssl.SSLContext, path: str, body: bytes | None = None, told_bytes: int | None = None
) -> Answer:
    """One request on a connection of its own, path as it stands; within 10 s. told_bytes: a false length."""
    line = http.client.HTTPSConnection("127.0.0.1", site.fs_port, context=context, timeout=SOON)
    try:
        headers = {} if told_bytes is None else {"content-length": str(told_bytes)}
        line.request("GET" if body is None else "POST", path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def said(node: str, **changed: Any) -> dict[str, Any]:
    """A pulse of this node about nothing."""
    numbers = dict.fromkeys(("run", "round", "epoch", "attempt", "progress"), 0)
    empty: dict[str, Any] = {"statements": [], "proposal": None, "certificate": None}
    return {"job": to_hex(job_id(JOB)), "node": node, "phase": "training", **numbers, **empty, **changed}


class Member:
    """Whoever holds a site's certificate, and its chain key where it is needed."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.context = client_context(site.files)
        self.node: str = site.status()["node"]

    def signer(self) -> LocalSigner:
        return LocalSigner(bytes(load_or_create(self.site.folder / "state" / "key", None).key))

    def tell(self, to: Site, node: str | None = None, **changed: Any) -> Answer:
        return ask(to, self.context, "/v1/pulse", json.dumps(said(node or self.node, **changed)).encode())

    def hear(self, of: Site) -> dict[str, Any]:
        """The other's pulse."""
        status, body = self.tell(of)
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found


def check_in_of(pulse: dict[str, Any]) -> dict[str, Any] | None:
    """The statement of its sender's own check-in, once it has one."""
    statements = [s["statement"] for s in pulse["statements"]]
    return next((s for s in statements if s["kind"] == "check_in" and s["node"] == pulse["node"]), None)


def until(what: Callable[[], bool], seconds: float, say: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s: {say}"
        time.sleep(0.02)


def strangers_are_refused(target: Site, ca: Authority, folder: Path) -> None:
    """No certificate and a foreign CA end at TLS, and the SL's log has the field; a CA's child is nobody yet."""
    nameless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nameless.check_hostname, nameless.verify_mode = False, ssl.CERT_NONE
    foreign = Authority("another CA").node(folder / "foreign", "foreign", trusts=ca)
    for context in (nameless, client_context(foreign)):
        with pytest.raises(OSError, match=r"ALERT|alert|reset|closed|EOF"):
            ask(target, context, "/v1/pulse", b"{}")
    until(lambda: "sent no certificate" in target.log("sl"), SOON, "the SL logs the missing certificate")
    until(lambda: "field issuer" in target.log("sl"), SOON, "the SL logs the foreign CA")
    nobody = client_context(ca.node(folder / "nobody", "nobody", uri="spiffe://test/site-9/sl/nobody"))
    assert ask(target, nobody, "/is_up")[0] == 200
    assert ask(target, nobody, "/v1/pulse", json.dumps(said("0x" + "11" * 20)).encode())[0] == 404
    assert ask(target, nobody, UNKNOWN)[0] == 404


def a_member_of_the_swarm_is_not_one_of_the_job(target: Site, member: ssl.SSLContext, node: str, merged: str) -> None:
    """Admitted by the SN, not joined: hears nothing, reads nothing, and cannot tell what exists."""
    nothing = ask(target, member, UNKNOWN)
    assert nothing[0] == 404
    for path in (f"/v1/blobs/{merged}", f"/v1/blobs/{merged}/chunks"):
        assert ask(target, member, path) == nothing
    assert ask(target, member, "/v1/pulse", json.dumps(said(node)).encode())[0] == 404


def bad_words_are_refused(target: Site, by: Member, other: str) -> None:
    """What is no pulse is a 400, one about somebody else a 403, one about another job a 404, 5 MB a 413."""
    garbage = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"1" * 5000,
        DEEP,
        b'{"job":' + DEEP,
        json.dumps(
            said(by.node, statements=[{"statement": {"kind": "edict"}, "signature": "0x" + "00" * 64}])
        ).encode(),
        json.dumps(said(by.node, statements=[{}] * 5000)).encode(),
        json.dumps(said(by.node, statements={"a": 1})).encode(),
        json.dumps(said(by.node, round=-1)).encode(),
        json.dumps(said(by.node, round=2**64)).encode(),
        json.dumps(said(by.node, round=True)).encode(),
        json.dumps(said(by.node, progress=float("nan"))).encode(),
        json.dumps(said(by.node, phase="x" * 33)).encode(),
        json.dumps(said(by.node, phase=None)).encode(),
        json.dumps(said(by.node, proposal=[])).encode(),
        json.dumps(said(by.node, certificate={"name": 1})).encode(),
        json.dumps(said(by.node, more=1)).encode(),
    ]
    for body in garbage:
        status, answer = ask(target, by.context, "/v1/pulse", body)
        assert (status, json.loads(answer)["error"]["code"]) == (400, "bad_pulse"), body[:80]
    status, answer = ask(target, by.context, "/v1/pulse", b" ", told_bytes=5_000_000)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "too_large")
    assert ask(target, by.context, "/v1/pulse", b" " * 5_000_000)[0] == 413
    status, answer = by.tell(target, node=other)
    assert (status, json.loads(answer)["error"]["code"]) == (403, "not_you")
    assert "node" in json.loads(answer)["error"]["message"]
    assert by.tell(target, job="0x" + "22" * 32)[0] == 404


def paths_lead_nowhere_else(target: Site, by: Member) -> None:
    """Neither dots nor escapes nor other names reach the journal, the key or anything else."""
    up = "%2e%2e%2f"
    for path in (
        "/v1/blobs/../journal.db",
        f"/v1/blobs/{up}{up}journal.db",
        "/v1/blobs/..%2f..%2fkey%2faccount.json",
        "/v1/blobs//etc/passwd",
        "/v1/blobs/" + "ab" * 31 + "..",
        "/v1/blobs/" + "AB" * 32,
        UNKNOWN + "/../../journal.db",
        UNKNOWN + "/chunks/..",
        UNKNOWN + "%00",
        "/v1/blobs",
        "/v1/pulse",
        "/metrics",
        "/",
    ):
        assert ask(target, by.context, path)[0] == 404, path


def own_updates_go_to_the_leader_alone(target: Site, others: list[Member]) -> None:
    """While the target waits with its update: 200 for the leader of the attempt, 404 as for an unknown id else."""
    seen: set[int] = set()
    end = time.monotonic() + 60
    while seen != {200, 404}:
        assert time.monotonic() < end, f"leader and non-leader not both seen: {seen}"
        before = others[0].hear(target)
        statement = check_in_of(before)
        leader = target.status().get("leader")
        if statement is None or before["certificate"] is not None:
            time.sleep(0.05)
            continue
        answers = {m.node: ask(target, m.context, f"/v1/blobs/{statement['blob'][2:]}") for m in others}
        after = others[0].hear(target)
        still = (after["round"], after["attempt"]) == (before["round"], before["attempt"])
        if not still or target.status().get("leader") != leader or after["proposal"] is not None:
            continue
        for member in others:
            status, body = answers[member.node]
            assert status == (200 if member.node == leader else 404), (member.node, leader)
            if status == 404:
                assert body == ask(target, member.context, UNKNOWN)[1]
            seen.add(status)


def forged_and_replayed_statements_do_nothing(swarm: Lab, liar: Member, domain_of: Callable[[int], bytes]) -> None:
    """Words of another chain are refused by name in the log; another's name, run, round or epoch count for nothing."""
    target, victim = swarm.sites[0], Member(swarm.sites[1])
    signer = liar.signer()
    end = time.monotonic() + 60
    line = f"a check-in is not signed by {liar.node}, whom it names: ignored"
    while line not in target.log("sl"):
        assert time.monotonic() < end, "the forgery was not refused by name"
        heard = check_in_of(liar.hear(target))
        if heard is None:
            time.sleep(0.05)
            continue
        name = name_from_json(heard["name"])
        base = CheckIn(name, signer.address, 1, b"\x07" * 32, 1000, 100, 0, 0, 1, 1, 0)  # type: ignore[arg-type]
        here, elsewhere = domain_of(0), domain_of(1)
        in_anothers_name = replace(base, node=from_hex(victim.node, 20))
        lies: list[tuple[Statement, bytes]] = [
            (in_anothers_name, here),
            (base, elsewhere),
            (replace(base, name=replace(name, run=name.run + 1)), here),
            (replace(base, name=replace(name, round=name.round + 1)), here),
            (replace(base, name=replace(name, epoch=name.epoch + 1)), here),
        ]
        signed = [
            {"statement": s.to_json(), "signature": signer.sign(s.digest(d)).to_json()}  # type: ignore[arg-type]
            for s, d in lies
        ]
        for site in swarm.sites[:2]:
            for lie in signed:  # one each: of a pulse only the last check-in is heard
                assert liar.tell(site, run=name.run, round=name.round, statements=[lie])[0] == 200


def many_connections_of_one_lock_nobody_out(target: Site, greedy: ssl.SSLContext, member: Member) -> None:
    """Of one key only so many stay open; the next are told, and another member is served meanwhile."""
    most = Limits().peer_connections_max
    with ExitStack() as stack:
        for _ in range(most):
            line = http.client.HTTPSConnection("127.0.0.1", target.fs_port, context=greedy, timeout=SOON)
            stack.callback(line.close)
            line.request("GET", "/is_up")
            answer = line.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"status": "UP"}')
        for _ in range(3):
            status, body = ask(target, greedy, "/is_up")
            assert (status, json.loads(body)["error"]["code"]) == (503, "busy")
        began = time.monotonic()
        assert member.tell(target)[0] == 200
        assert time.monotonic() - began < SOON * patience.crowd()
    until(lambda: ask(target, greedy, "/is_up")[0] == 200, SOON, "places are free again")


def audit(swarm: Lab) -> Any:
    done = warm.run(["audit", JOB, "--json", "--ops", swarm.sn.ops], clean_environ(), seconds=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def admitted(swarm: Lab, files: TlsFiles) -> tuple[str, int, str]:
    """Join the swarm (no job): the node's address, the chain id, the Training contract."""
    async with MemberClient(swarm.sn, files) as client:
        node = (await client.join())["node"]
        facts = await client.http.get("/v1/swarm")
        return node, facts["chain_id"], facts["contracts"]["Training"]


def test_nobody_gets_more_than_is_theirs_and_the_run_ends_well(tmp_path: Path) -> None:
    """Strangers, members of no job, liars and the greedy at three SLs in mid-run; then equal models, honest weights."""
    with lab(tmp_path, sites=3) as swarm:
        enough = tmp_path / "enough"
        for site, pace in zip(swarm.sites, (0.02, 0.02, 0.3), strict=True):
            site.start_ml(MIN_PEERS=3, BATCHES=10_000, EVERY=4, BATCH_SECONDS=pace, UNTIL=enough)
        target = swarm.sites[0]
        swarm.wait(lambda: int(target.status().get("round", 0)) >= 2, seconds=90, say="round 2")
        members = [Member(site) for site in swarm.sites]
        files = swarm.ca.node(tmp_path / "idle", "idle", uri="spiffe://test/site-8/sl/idle")
        node, chain_id, training = asyncio.run(admitted(swarm, files))
        idle = client_context(files)

        strangers_are_refused(target, swarm.ca, tmp_path)
        heard = members[1].hear(target)
        merged = (check_in_of(heard) or heard["statements"][0]["statement"])["name"]["prev"][2:]
        assert ask(target, members[1].context, f"/v1/blobs/{merged}/chunks")[0] == 200
        a_member_of_the_swarm_is_not_one_of_the_job(target, idle, node, merged)
        bad_words_are_refused(target, members[1], members[2].node)
        paths_lead_nowhere_else(target, members[1])
        own_updates_go_to_the_leader_alone(target, members[1:])
        forged_and_replayed_statements_do_nothing(
            swarm,
            members[2],
            lambda off: domain_separator(TRAINING_DOMAIN, chain_id + off, from_hex(training, 20)),  # type: ignore[arg-type]
        )
        many_connections_of_one_lock_nobody_out(target, idle, members[1])

        assert target.status()["complete"] is False  # else nothing above happened in mid-run
        enough.touch()
        assert swarm.run(seconds=150) == [(0, 0)] * 3
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        contributions = [c for r in audit(swarm)["rounds"] for c in r["contributions"]]
        assert {c["weight"] for c in contributions} == {1}
        assert {c["node"] for c in contributions} == {m.node for m in members}
        for site in swarm.sites:
            assert "Traceback" not in site.log("sl")
