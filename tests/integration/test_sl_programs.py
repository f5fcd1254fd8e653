"""Programs and settings at one SL: what it refuses to a program, settings by environment, coming back after kill -9."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.lab import ADDER, Site, lab
from support.snprocess import clean_environ
from swarm.net.tls import client_context

pytestmark = pytest.mark.timeout(300)

PROGRAM_SECONDS = 60.0


def rounds_of(site: Site) -> int:
    return int(site.status().get("round", 0))


def refused(site: Site, **settings: object) -> str:
    """Run a program that must fail; the SwarmError's sentence, which must be its last words."""
    environ = clean_environ(
        **site.channels(), OUT=str(site.out / "refused"), **{k: str(v) for k, v in settings.items()}
    )
    command = [sys.executable, str(ADDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, env=environ, check=False)
    assert done.returncode != 0, done.stdout
    assert not (site.out / "refused").exists()
    last = done.stderr.strip().splitlines()[-1]
    assert "SwarmError: " in last, done.stderr
    return last.split("SwarmError: ", 1)[1]


def test_programs_that_ask_for_nonsense_get_one_sentence_and_leave_nothing(tmp_path: Path) -> None:
    """Bad arguments, an unknown contract, a second program: one SwarmError each; then a good program trains."""
    with lab(tmp_path, sites=2) as swarm:
        site = swarm.sites[0]
        swarm.wait(lambda: all(s.healthy() for s in swarm.sites), seconds=60, say="SLs are ready")
        for name, value, words in (
            ("MIN_PEERS", "0", "minPeers is '0', it must be a positive integer"),
            ("MIN_PEERS", "-1", "minPeers is '-1', it must be a positive integer"),
            ("MIN_PEERS", "x", "minPeers is 'x', it must be a positive integer"),
            ("EVERY", "0", "syncFrequency is '0', it must be a positive integer"),
            ("WEIGHT", "0", "nodeWeightage is '0', it must be an integer from 1 to 100"),
            ("WEIGHT", "101", "nodeWeightage is '101', it must be an integer from 1 to 100"),
            ("JOB", "no.such.job", "no training contract 'no.such.job' exists in this swarm"),
        ):
            assert words in refused(site, **{name: value})
        assert site.status().get("job") is None  # none of them made this SL take part in anything
        assert list((site.folder / "state" / "program").iterdir()) == []

        for one in swarm.sites:
            one.start_ml(MIN_PEERS=2, BATCHES=20, BATCH_SECONDS=0.5)
        swarm.wait(lambda: rounds_of(site) >= 2, seconds=60, say="round 2")
        assert "another program" in refused(site, MIN_PEERS=2)
        assert swarm.run(seconds=120) == [(0, 0)] * 2
        assert len({one.result()["sha256"] for one in swarm.sites}) == 1
        assert list((site.folder / "state" / "program").iterdir()) == []


@pytest.mark.row("E04")
@pytest.mark.row("E05")
@pytest.mark.row("E10")
@pytest.mark.row("E13a")
def test_an_sl_set_up_by_environment_alone(tmp_path: Path) -> None:
    """Addresses, port, channels, log level, certificate, key and CA folder come from the variables; flags beat them.

    The other site finds it at THIS_NODE_IP, where alone it listens. The threshold of compression is one notice.
    """
    with lab(tmp_path, sites=1) as swarm:
        site = swarm.add_site()
        folder = site.folder / "authorities"
        folder.mkdir()
        shutil.copy(swarm.ca.write(tmp_path / "ca.pem"), folder / "our-ca.crt")
        (folder / "README.txt").write_text("no certificate")
        (folder / "other.key").write_text("no certificate either")
        environ = clean_environ(
            THIS_NODE_IP="127.0.0.2",
            SWARM_LISTEN="127.0.0.2",
            SN_NODE_IP="127.0.0.1",
            SN_API_SERVER_PORT=str(swarm.sn.port),
            SL_FS_PORT=str(site.fs_port),
            SL_LOG_LEVEL="DEBUG",
            SL_MODEL_PARAMS_COMPRESSION_THRESHOLD_MB="250",
            **site.channels(),  # SL_REQUEST_CHANNEL, SL_RESPONSE_CHANNEL, SWARM_EXCHANGE_DIR
            SWARM_ID_CERT=str(site.files.cert),
            SWARM_ID_KEY=str(site.files.key),
            SWARM_ID_CAPATH=str(folder),
            SWARM_STATE_DIR=str(site.folder / "state"),
            SWARM_OPS_PORT="1",  # not allowed to be used by most; the flag below wins
        )
        command = [sys.executable, "-m", "swarm.cli", "sl", "--ops-port", str(site.ops_port)]
        with (site.folder / "sl.log").open("wb") as log:
            site.sl = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        swarm.wait(site.healthy, seconds=60, say="the SL is ready")
        for name in ("SL_REQUEST_CHANNEL", "SL_RESPONSE_CHANNEL"):
            assert stat.S_ISFIFO(Path(site.channels()[name]).stat().st_mode)
        line = http.client.HTTPSConnection(
            "127.0.0.2", site.fs_port, context=client_context(swarm.sites[0].files), timeout=10
        )
        line.request("GET", "/is_up")
        assert line.getresponse().status == 200
        line.close()

        for one in swarm.sites:
            one.start_ml(MIN_PEERS=2, BATCHES=3)
        assert swarm.run(seconds=120) == [(0, 0)] * 2
        notices = [line for line in site.log("sl").splitlines() if "COMPRESSION_THRESHOLD" in line]
        assert [notice.count("is accepted and has no effect") for notice in notices] == [1]
        assert len({one.result()["sha256"] for one in swarm.sites}) == 1
        assert " : DEBUG : " in site.log("sl")
        assert " : DEBUG : " not in swarm.sites[0].log("sl")


def test_a_site_killed_in_mid_run_comes_back_from_its_journal(tmp_path: Path) -> None:
    """kill -9 of SL and program, both started again with the same folders: it loads the swarm's model and finishes."""
    with lab(tmp_path, sites=3) as swarm:
        for site in swarm.sites:
            site.start_ml(MIN_PEERS=2, BATCHES=40, BATCH_SECONDS=0.5)
        victim, others = swarm.sites[1], [swarm.sites[0], swarm.sites[2]]
        swarm.wait(lambda: rounds_of(victim) >= 3, seconds=90, say="round 3")
        node = victim.status()["node"]
        for process in (victim.ml, victim.sl):
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        at = rounds_of(others[0])
        (victim.folder / "sl.log").rename(victim.folder / "sl-before.log")
        victim.start_sl()
        victim.start_ml(MIN_PEERS=2, BATCHES=10, BATCH_SECONDS=0.1, START=1000)
        swarm.wait(victim.healthy, seconds=60, say="the SL is back")
        assert victim.status()["node"] == node
        assert swarm.run(seconds=180) == [(0, 0)] * 3
        assert len({site.result()["sha256"] for site in swarm.sites}) == 1
        assert at >= 3


def test_an_sl_whose_sn_is_gone_is_not_healthy_until_it_is_back(tmp_path: Path) -> None:
    """Health means ready: it follows the SN, also before any program came."""
    with lab(tmp_path, sites=1) as swarm:
        site = swarm.sites[0]
        swarm.wait(site.healthy, seconds=60, say="the SL is ready")
        swarm.sn.kill()
        swarm.wait(lambda: not site.healthy(), seconds=20, say="the SL says that its SN is gone")
        swarm.sn.start()
        swarm.wait(site.healthy, seconds=30, say="the SL is ready again")
