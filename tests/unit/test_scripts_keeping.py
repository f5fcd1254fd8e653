"""stop-swarm, uninstall, swarmLogCollector and gen-cert: the words they take, what they do, what they refuse."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from cryptography import x509
from support import scripts
from swarm.core.errors import OperatorFault
from swarm.net.rehearsal import rehearse
from swarm.net.tls import TlsFiles
from swarm.scripts import gencert, housekeeping
from swarm.scripts.facts import Facts

FACTS = Facts(folder="/here")


def stopped(*words: str) -> list[list[str]]:
    text = housekeeping.stop(words, FACTS)
    return [line.split() for line in text.splitlines() if line.startswith("stop_all")]


@pytest.mark.row("O09")
def test_stop_swarm_stops_what_is_named_and_all_where_nothing_is() -> None:
    """By image, each kind once; --keep leaves stopped containers; an SN gets the time that its chain needs."""
    kinds = ["sl", "sn", "swci", "swop"]
    for words in ([], ["--all"], ["--all", "--sn"]):
        assert [line[1] for line in stopped(*words)] == [f"swarm-learning/{kind}:dev" for kind in kinds]
    for kind in kinds:
        assert [line[1] for line in stopped(f"--{kind}", "--registry=hub/a", "--tag", "2")] == [
            f"hub/a/swarm-learning/{kind}:2"
        ]
    assert [line[-2:] for line in stopped("--sn", "--keep")] == [["40", "keep"]]
    assert [line[-2:] for line in stopped("--sn")] == [["40", "remove"]]
    assert "engine=(sudo docker)" in housekeeping.stop(["--sudo"], FACTS)


@pytest.mark.parametrize("words", [["--sm"], ["sl"], ["--tag"], ["--keep=x"], ["--sl; reboot"]])
def test_stop_swarm_refuses_what_it_does_not_know(words: list[str]) -> None:
    """A misspelt kind must not stop everything."""
    with pytest.raises(OperatorFault):
        housekeeping.stop(words, FACTS)


@pytest.mark.row("O10a")
def test_uninstall_stops_all_and_removes_the_four_images() -> None:
    """Containers first; no other image, no file; it has no options of the original's own."""
    text = housekeeping.uninstall([], FACTS)
    assert len([line for line in text.splitlines() if line.startswith("stop_all")]) == 4
    assert [line for line in text.splitlines() if line.startswith("remove_image")] == [
        f"remove_image swarm-learning/{kind}:dev" for kind in ("sl", "sn", "swci", "swop")
    ]
    with pytest.raises(OperatorFault, match="no flag of uninstall"):
        housekeeping.uninstall(["--all"], FACTS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["swarm-learning"], "two words"),
        (["swarm-learning", "folder"], "neither workspace="),
        (["swarm-learning", "workspace="], "neither workspace="),
        (["-x; y", "mlimage=a"], "no beginning"),
    ],
)
def test_the_log_collector_says_what_it_needs(words: list[str], said: str) -> None:
    """One sentence; nothing is collected half."""
    with pytest.raises(OperatorFault, match=said):
        housekeeping.logs(words, FACTS)
    assert "collect hub/a workspace /here/ws" in housekeeping.logs(["hub/a/", "workspace=ws"], FACTS)
    assert "collect hub/a mlimage 'x y'" in housekeeping.logs(["hub/a/", "mlimage=x y"], FACTS)


@pytest.mark.docker
@pytest.mark.row("O10b")
def test_the_log_collector_packs_what_is_here(tmp_path: Path) -> None:
    """The real script on a real engine: facts of the host, tasks and profiles of the workspace, one archive."""
    (tmp_path / "ws" / "swci" / "taskdefs").mkdir(parents=True)
    (tmp_path / "ws" / "swop").mkdir()
    build = "Name : b\nTaskType : MAKE_USER_CONTAINER\nOutcome : no-such-image-anywhere\n"
    (tmp_path / "ws" / "swci" / "taskdefs" / "build.yaml").write_text(build)
    (tmp_path / "ws" / "swop" / "swop1_profile.yaml").write_text("groupname: a\n")
    done = scripts.run("swarmLogCollector", ["no.such.hub/at-all", "workspace=ws"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no sn container" in done.stdout
    [archive] = (tmp_path / "logs").iterdir()
    with tarfile.open(archive) as packed:
        files = {Path(name).name: packed.extractfile(name) for name in packed.getnames() if "." in Path(name).name}
        assert {"build.yaml", "swop1_profile.yaml", "host.log"} <= files.keys()
        facts = files["host.log"]
        assert facts is not None
        text = facts.read().decode()
    for heading in ("==== id", "==== cat /etc/os-release", "==== docker version", "==== docker ps --all", "nvidia-smi"):
        assert heading in text


INSPECTED = """[
    {
        "Config": {
            "Env": [
                "LOGIN=site-secret",
                "DB_PASSWORD=site-\\"secret",
                "https_proxy=http://me:site-secret@proxy:3128",
                "SWARM_LOG_LEVEL=DEBUG",
                "SWARM_KEY_TOKEN=site-secret"
            ],
            "Cmd": [
                "--db=x://h?password=site-secret&a=1",
                "--rounds=5"
            ],
            "Labels": {"my.token": "site-secret"}
        }
    }
]"""


@pytest.mark.row("O10b")
def test_attack_a_sites_secrets_are_not_collected(tmp_path: Path) -> None:
    """Neither its file of them, which lies beside the profile, nor what a program was given by any variable's name."""
    programs = tmp_path / "bin"
    programs.mkdir()
    engine = programs / "docker"
    engine.write_text(
        '#!/bin/sh\ncase "$1" in images) echo hub/sl:1 ;; ps) echo id ;;\n'
        f"inspect) cat <<'END'\n{INSPECTED}\nEND\n;; esac\n"
    )
    engine.chmod(0o755)
    (tmp_path / "ws" / "swop").mkdir(parents=True)
    (tmp_path / "ws" / "swop" / "profile.yaml").write_text("groupname: a\n")
    (tmp_path / "ws" / "swop" / "secrets.yaml").write_text("hub: site-secret\n")
    (tmp_path / "ws" / "swop" / "secrets.yaml").chmod(0o600)
    env = scripts.environ()
    env["PATH"] = f"{programs}:{env['PATH']}"
    done = scripts.run("swarmLogCollector", ["hub", "workspace=ws"], tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert "left out, as it is its owner's alone: " in done.stdout
    [archive] = (tmp_path / "logs").iterdir()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as packed:
        files = {Path(one.name).name: packed.extractfile(one) for one in packed.getmembers() if one.isfile()}
        texts = {name: file.read().decode() for name, file in files.items() if file is not None}
    assert {"profile.yaml", "sl_inspect_1.json"} <= texts.keys()
    assert not [name for name, text in texts.items() if "secret" in text and "site-" in text]
    inspected = json.loads(texts["sl_inspect_1.json"])[0]["Config"]
    assert "SWARM_LOG_LEVEL=DEBUG" in inspected["Env"]
    assert inspected["Cmd"][1] == "--rounds=5"


@pytest.mark.row("O11")
def test_gen_cert_makes_the_originals_files_and_nodes_can_use_them(tmp_path: Path) -> None:
    """Names, places, subjects and modes; two hosts trust each other once each has the other's CA in its capath."""
    for host in ("1", "2"):
        done = scripts.run("gen-cert", ["-e", "mnist", "-i", host], tmp_path)
        assert done.returncode == 0, done.stderr
    there = tmp_path / "workspace" / "mnist" / "cert"
    made = sorted(str(one.relative_to(there)) for one in there.rglob("*") if one.is_file())
    parts = [
        f"{role}-{n}-{what}.pem" for role in ("sl", "sn", "swci", "swop") for n in "12" for what in ("cert", "key")
    ]
    assert made == sorted(
        [*parts, *(f"ca/ca-{n}-key.pem" for n in "12"), *(f"ca/capath/ca-{n}-cert.pem" for n in "12")]
    )
    for path in there.rglob("*-key.pem"):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, os.getuid())
    certificate = x509.load_pem_x509_certificate((there / "sn-1-cert.pem").read_bytes())
    assert {"CN=SN-1", "OU=Swarm-Learning"} <= set(certificate.subject.rfc4514_string().split(","))
    for role in ("sl", "sn", "swci", "swop"):
        files = TlsFiles(there / f"{role}-2-cert.pem", there / f"{role}-2-key.pem", None, there / "ca" / "capath")
        assert rehearse(files) is None


def test_gen_cert_overwrites_nothing_unless_told(tmp_path: Path) -> None:
    """A CA that other hosts trust already is not lost by a second call; one file that is there stops all."""
    gencert.make(gencert.Asked("a", "1", False), tmp_path)
    there = tmp_path / "workspace" / "a" / "cert"
    before = {path: path.read_bytes() for path in there.rglob("*.pem")}
    done = scripts.run("gen-cert", ["-e", "a", "-i", "1"], tmp_path)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert {path: path.read_bytes() for path in there.rglob("*.pem")} == before
    assert scripts.run("gen-cert", ["-e", "a", "-i", "1", "--force"], tmp_path).returncode == 0
    assert all(path.read_bytes() != old for path, old in before.items())


@pytest.mark.parametrize(
    "words",
    [
        *([], ["-e", "a"], ["-i", "1"], ["-e", "../a", "-i", "1"], ["-e", "a b", "-i", "1"], ["-e", "a", "-i", "1\n"]),
        *(["-e", "a", "-i", "-1"], ["-e"], ["-x", "y"], ["-e", "a", "-i", "1;reboot"], ["-e", ".", "-i", "1"]),
    ],
)
def test_gen_cert_refuses_names_that_lead_elsewhere(words: list[str]) -> None:
    """They become parts of files' names and of certificates."""
    with pytest.raises(OperatorFault, match=r"gen-cert -e|give the"):
        gencert.read(words)


@pytest.mark.parametrize("script", ["stop-swarm", "uninstall", "swarmLogCollector", "gen-cert"])
def test_each_script_tells_how_it_is_used(script: str, tmp_path: Path) -> None:
    """--help by the real shell, without an engine or a file touched."""
    done = scripts.run(script, ["--help"], tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(script)
    assert list(tmp_path.iterdir()) == []
