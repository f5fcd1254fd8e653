"""`docker compose up` before `make certs` starts nothing and names what to run; no engine is needed to say so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML
from support.tools import ROOT
from swarm.core.errors import OperatorFault
from swarm.net.tls import TlsFiles, server_context

NODES = ("sn1", "sn2", "sn3", "sl1", "sl2", "sl3", "swci1", "swop1", "pair1", "pair2")
LEFT = "run-make-certs-first.env"


def compose() -> list[str] | None:
    """The compose command of this machine, with or without an engine behind it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


def run(*command: str, certs: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SWARM_CERTS_DIR": str(certs), "SWARM_IMAGE_TAG": "a-tag-that-is-not-there"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)


def fill(folder: Path) -> None:
    """What certs.sh makes, as far as it and compose look at it."""
    for name in ("ca/ca-cert.pem", *(f"{node}/cert.pem" for node in NODES)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


@pytest.mark.skipif(compose() is None, reason="there is neither the compose plug-in nor docker-compose")
@pytest.mark.parametrize("command", [["up", "-d"], ["--profile", "several", "up", "-d"], ["config"]])
def test_compose_before_certs_names_what_to_run(tmp_path: Path, command: list[str]) -> None:
    """One line, exit code not 0; a folder that is not there and one that Docker made empty alike."""
    for folder in (tmp_path / "nowhere", tmp_path):
        done = run(*(compose() or []), *command, certs=folder)
        assert done.returncode != 0
        assert f"{folder}/{LEFT}" in done.stdout + done.stderr
        assert len((done.stdout + done.stderr).strip().splitlines()) == 1
    fill(tmp_path)
    assert run("deploy/docker/certs.sh", certs=tmp_path).returncode == 0
    assert run(*(compose() or []), "config", certs=tmp_path).returncode == 0


SCHEMAS = sorted(Path("/usr/lib/python3/dist-packages/compose/config").glob("compose_spec.json"))


@pytest.mark.skipif(not SCHEMAS, reason="Debian's docker-compose, which brings the schema, is not here")
def test_the_file_is_one_of_the_compose_specification() -> None:
    """Held to the specification's own schema, so that it is not only what docker-compose 1.29 happens to take."""
    written = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    held = jsonschema.Draft201909Validator(json.loads(SCHEMAS[0].read_text()))
    held.validate(written)
    broken = {**written, "services": {"sn1": {"helthcheck": {}}}}
    with pytest.raises(jsonschema.ValidationError):
        held.validate(broken)


def test_every_service_gives_up_its_rights() -> None:
    """No capability but what a SWOP's first process needs to become another user, a read-only root, one socket."""
    written = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in written.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        sockets = [mount for mount in service["volumes"] if "docker.sock" in mount]
        assert bool(sockets) == (name == "swop"), name
        if not name.startswith("ml"):
            assert service["read_only"] is True, name
        if name != "swop":
            assert "cap_add" not in service, name
            assert name.startswith("ml") or service["user"] == "10001:10001", name


def test_a_folder_that_docker_made_empty_is_not_taken_for_filled(tmp_path: Path) -> None:
    """certs.sh goes on to make what is missing there, and says what that needs; a filled one is left as it is."""
    fill(tmp_path)
    done = run("deploy/docker/certs.sh", certs=tmp_path)
    assert (done.returncode, "already filled" in done.stdout) == (0, True)
    assert (tmp_path / LEFT).is_file()
    (tmp_path / LEFT).unlink()
    (tmp_path / "sn2" / "cert.pem").unlink()
    done = run("deploy/docker/certs.sh", certs=tmp_path)
    assert done.returncode == 1
    assert "make images" in done.stderr
    assert not (tmp_path / LEFT).exists()


def test_a_node_without_its_certificate_names_the_commands(tmp_path: Path) -> None:
    """Where compose did not look: the node's own sentence, in its container's log."""
    with pytest.raises(OperatorFault, match=r"cert\.pem \(certificate\) cannot be read: it is not there; .*make certs"):
        server_context(TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"))
