"""Join bundles: what a site gets from the inventory, and that nothing of it is a secret or another site's affair."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML
from swarm.cli.main import main
from swarm.core.errors import OperatorFault
from swarm.core.limits import SN_API_PORT, SWCI_WEB_PORT, SWOP_LOGS_PORT
from swarm.core.sites.compose import nodes_of
from swarm.core.sites.inventory import PAIRS_MAX, SITES_MAX, Inventory, inventory_of
from swarm.core.tasktext.profile import read_profile
from swarm.sites.writing import MANIFEST, add, inventory_in, write
from swarm.swop.files import policy_in

INVENTORY: dict[str, Any] = {
    "swarm": "biopsies",
    "tag": "1.0",
    "sites": [
        {"name": "north", "host": "north.example.org", "sn": {}, "sls": {"data": ["/srv/north"]}, "swci": True},
        {"name": "south", "host": "10.0.0.2", "swop": {"data": ["/srv/a", "/srv/b"]}},
        {
            "name": "west",
            "host": "west",
            "sn": {"api_port": 8443, "p2p_port": 3000},
            "sls": {"data": ["/d"], "port": 443},
        },
    ],
}


def inventory(**changes: Any) -> Inventory:
    return inventory_of({**INVENTORY, **changes}, "inventory.yaml")


def loaded(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def test_the_same_inventory_gives_the_same_bytes_and_no_secret(tmp_path: Path) -> None:
    """Twice alike; scripts may be run; no key, password or path of this host is in any file."""
    for name in ("one", "two"):
        write(inventory(), tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) > 20
    for path in files:
        text = (tmp_path / "one" / path).read_text()
        assert text == (tmp_path / "two" / path).read_text(), path
        assert "PRIVATE" not in text
        assert str(tmp_path) not in text
        runs = stat.S_IMODE((tmp_path / "one" / path).stat().st_mode)
        assert runs == (0o755 if path.suffix == ".sh" else 0o644), path


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose")
@pytest.mark.parametrize("site", ["north", "south", "west"])
def test_docker_compose_reads_each_file(site: str, tmp_path: Path) -> None:
    """Version 1.29 with no engine; images by the tag of .env; only published ports lead out."""
    write(inventory(), tmp_path)
    done = subprocess.run(
        ["docker-compose", "config"], cwd=tmp_path / site, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for service in YAML(typ="safe", pure=True).load(done.stdout)["services"].values():
        assert re.fullmatch(r"swarm-learning/(sn|sl|swop|swci):1\.0", service["image"])
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"]
        assert service.get("privileged") is None


def test_nodes_say_what_others_see_and_listen_on_their_own(tmp_path: Path) -> None:
    """Ports of the inventory outside, an image's own inside; each node asks its site's SN, else the sentinel."""
    write(inventory(), tmp_path)
    north, south, west = (loaded(tmp_path / s / "docker-compose.yml")["services"] for s in ("north", "south", "west"))
    assert north["sn"]["environment"]["SN_I_AM_SENTINEL"] == "true"
    assert north["sl1"]["environment"]["SN_NODE_IP"] == "sn"
    assert north["swci"]["ports"] == [f"127.0.0.1:{SWCI_WEB_PORT}:{SWCI_WEB_PORT}"]
    assert west["sn"]["ports"] == ["8443:8443", "3000:30303"]
    said = west["sn"]["environment"]
    assert (said["SENTINEL_NODE_IP"], said["SENTINEL_API_SERVER_PORT"]) == ("north.example.org", str(SN_API_PORT))
    assert (said["SN_ETH_PORT_EXT"], said["THIS_NODE_IP"]) == ("3000", "west")
    assert west["sl1"]["ports"] == ["443:30305"]
    assert west["sl1"]["environment"]["SL_FS_PORT"] == "443"
    assert west["sl1"]["environment"]["SN_API_SERVER_PORT"] == "8443"
    assert south["swop"]["environment"]["SN_NODE_IP"] == "north.example.org"
    assert south["swop"]["ports"] == [f"{SWOP_LOGS_PORT}:{SWOP_LOGS_PORT}"]
    profile = read_profile((tmp_path / "south/usr/swop-profile.yaml.in").read_text().replace("<BUNDLE>", "/opt/south"))
    assert profile.findings == ()
    assert profile.value is not None
    assert [(n.host_ip, n.port) for n in profile.value.nodes] == [("10.0.0.2", 30305), ("10.0.0.2", 30306)]
    assert [n.private.source for n in profile.value.nodes if n.private] == ["/srv/a", "/srv/b"]
    assert profile.value.nodes[1].identity[0].source == "/opt/south/certs/pair2"
    assert policy_in(tmp_path / "south/usr/policy.yaml").rules == ()


def test_a_further_site_touches_no_other_one(tmp_path: Path) -> None:
    """Its bundle alone is written; where the inventory changes another one's, nothing is, and it is named."""
    write(inventory(), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    east = {"name": "east", "host": "east.example.org", "sn": {}, "sls": {"data": ["/srv/east"]}}
    made = add(inventory(sites=[*INVENTORY["sites"], east]), "east", tmp_path)
    assert made.folder == tmp_path / "east"
    assert {p: p.read_bytes() for p in before} == before
    moved = [{**INVENTORY["sites"][0], "host": "new.example.org"}, *INVENTORY["sites"][1:], {**east, "name": "far"}]
    with pytest.raises(OperatorFault, match=r"changes more than the site far: north/docker-compose.yml would be"):
        add(inventory(sites=[{**one, "host": one["host"]} for one in moved]), "far", tmp_path)
    assert not (tmp_path / "far").exists()


def test_what_somebody_changed_is_not_written_over(tmp_path: Path) -> None:
    """Named, and nothing at all is written; the site's own files stay as they are; a new image changes one of them."""
    write(inventory(), tmp_path)
    (tmp_path / "south/usr/policy.yaml").write_text("rules: [{}]\n")
    (tmp_path / "west/.env").write_text("SWARM_IMAGE_TAG=2.0\n")
    script = tmp_path / "north/start.sh"
    script.write_text(script.read_text() + "# mine\n")
    changed = inventory(trust_domain="other.org")
    with pytest.raises(OperatorFault, match=r"north/start\.sh was changed by hand"):
        write(changed, tmp_path)
    assert "other.org" not in (tmp_path / "south/make-requests.sh").read_text()
    write(changed, tmp_path, ["south", "west"])
    assert "other.org" in (tmp_path / "south/make-requests.sh").read_text()
    assert (tmp_path / "south/usr/policy.yaml").read_text() == "rules: [{}]\n"
    assert (tmp_path / "west/.env").read_text() == "SWARM_IMAGE_TAG=2.0\n"
    write(changed, tmp_path, force=True)
    assert not script.read_text().endswith("# mine\n")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sites": []}, "sites: "),
        ({"swarm": "A swarm"}, "swarm: "),
        ({"extra": 1}, "extra: "),
        ({"sites": [{"name": "a", "host": "a"}]}, "a site has an sn, sls or a swop"),
        ({"sites": [{"name": "a", "host": "a", "sls": {"data": ["/x"]}}]}, "no site has an sn"),
        ({"sites": [{"name": "a", "host": "localhost", "sn": {}}]}, "localhost is this host itself on every host"),
        ({"sites": [{"name": "a", "host": "127.1.2.3", "sn": {}}]}, "is this host itself"),
        ({"sites": [{"name": "a", "host": "a:30304", "sn": {}}]}, "without a port"),
        ({"sites": [{"name": "a", "host": "$(id)", "sn": {}}]}, "neither an address nor a host's name"),
        ({"sites": [{"name": "a", "host": "fe80::1%$(id)", "sn": {}}]}, "neither an address nor a host's name"),
        ({"sites": [{"name": "a", "host": "fe80::1%a\nid", "sn": {}}]}, "neither an address nor a host's name"),
        ({"sites": [{"name": "a", "host": "0.0.0.0", "sn": {}}]}, "is this host itself"),
        ({"sites": [{"name": "a;b", "host": "a", "sn": {}}]}, "sites.0.name"),
        ({"sites": [{"name": "a", "host": "a", "sn": {}, "sls": {"data": ["/x'; rm -rf /"]}}]}, "sites.0.sls.data.0"),
        ({"sites": [{"name": "a", "host": "a", "sn": {}, "sls": {"data": ["x"]}}]}, "sites.0.sls.data.0"),
        ({"sites": [{"name": "a", "host": "a", "sn": {"api_port": 22}}]}, "sites.0.sn.api_port"),
        (
            {"sites": [{"name": "a", "host": "a", "sn": {"api_port": 30303}}]},
            "port 30303 is for sn's chain and for sn's API",
        ),
        ({"sites": [{"name": "a", "host": "a", "sn": {}, "sls": {"data": ["/x", "/y"], "port": 65535}}]}, "ports end"),
        ({"sites": [{"name": n, "host": n, "sn": {"sentinel": True}} for n in "ab"]}, "two SNs are sentinel"),
        ({"sites": [{"name": "a", "host": h, "sn": {}} for h in "ab"]}, "two sites have the name a"),
        ({"sites": [{"name": n, "host": "h", "sn": {}} for n in "ab"]}, "two sites have the host h"),
        ({"sites": [{"name": f"a{n}", "host": f"a{n}", "sn": {}} for n in range(SITES_MAX + 1)]}, "sites: "),
        ({"sites": [{"name": "a", "host": "a", "sn": {}, "sls": {"data": ["/x"] * (PAIRS_MAX + 1)}}]}, "sls.data"),
        ({"images": "a b"}, "images: "),
        ({"images": "-v/:/host"}, "images: "),
        ({"trust_domain": "--force"}, "trust_domain: "),
        ({"tag": "1.0; id"}, "tag: "),
    ],
)
def test_attack_an_inventory_that_does_not_fit_is_refused_by_place(change: dict[str, Any], why: str) -> None:
    """Nothing that a shell or a compose file would read as more than a name comes through."""
    with pytest.raises(OperatorFault, match=re.escape(why)):
        inventory(**change)


@pytest.mark.parametrize("text", ["", "a", "- 1", "a: [", "swarm: x\nsites: &a [*a]\n", "swarm: x\nswarm: y\n", "\0"])
def test_attack_a_file_that_is_no_inventory(text: str, tmp_path: Path) -> None:
    """Named, whatever it holds; and one that is missing."""
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    with pytest.raises(OperatorFault, match=r"inventory\.yaml"):
        inventory_in(path)
    with pytest.raises(OperatorFault, match="No such file"):
        inventory_in(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OperatorFault, match="no plain file"):
            inventory_in(odd)
    with pytest.raises(OperatorFault, match="is no plain file"):
        policy_in(tmp_path / "pipe")


def test_attack_a_bundle_folder_that_holds_something_else(tmp_path: Path) -> None:
    """A folder where a file belongs, and a list of hashes that no reader takes: named, or made anew."""
    (tmp_path / "south").mkdir()
    (tmp_path / "south" / MANIFEST).write_text("[" * 100_000)
    assert write(inventory(), tmp_path, ["south"])[0].written
    (tmp_path / "north" / "README.md").mkdir(parents=True)
    for force in (False, True):
        with pytest.raises(OperatorFault, match=r"north/README\.md.* Is a directory"):
            write(inventory(), tmp_path, ["north"], force=force)


def test_the_command_line_writes_and_adds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`swarm site init` and `swarm site add`, as envelopes too; an unknown site is named with those that are there."""
    file = tmp_path / "inventory.yaml"
    file.write_text(json.dumps(INVENTORY))
    out = str(tmp_path / "bundles")
    for words, code in (
        (["site", "init", str(file), "--out", out], 0),
        (["site", "init", str(file), "--out", out, "--site", "south", "--output", "json"], 0),
        (["site", "add", str(file), "nowhere", "--out", out], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert (ended.value.code or 0) == code
        said = capsys.readouterr()
    assert "has no site 'nowhere'; it has north, south, west" in said.err
    assert (tmp_path / "bundles" / "south" / MANIFEST).is_file()


@pytest.mark.parametrize("name", ["a&b", "a|b", "a #b", "a:b", "a\\1", "a\nb"])
def test_attack_a_folder_whose_name_would_be_read_as_more(name: str, tmp_path: Path) -> None:
    """Its path comes into the SWOP's profile and into mounts: it is refused before anything is done."""
    write(inventory(), tmp_path / name, ["south"])
    for script in ("make-requests.sh", "start.sh", "preflight.sh"):
        done = subprocess.run(
            ["bash", f"./{script}"],
            cwd=tmp_path / name / "south",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("this folder's path, ")


@pytest.mark.parametrize("site", ["north", "south", "west"])
def test_scripts_are_bash_and_preflight_names_what_lacks(site: str, tmp_path: Path) -> None:
    """Each line that fails says what to do; it ends with 1 and starts nothing."""
    write(inventory(), tmp_path)
    for script in (tmp_path / site).glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)
    environ = {"PATH": "/nonexistent:/usr/bin:/bin", "DOCKER_HOST": "unix:///nonexistent"}
    done = subprocess.run(
        ["bash", "./preflight.sh"],
        cwd=tmp_path / site,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environ,
    )
    assert done.returncode == 1
    assert "FAILED: no Docker engine answers: start it" in done.stderr
    assert re.search(r"FAILED: certs/\w+/key\.pem is missing: see README\.md", done.stderr)
    assert "FAILED: the folder of data /" in done.stderr


ENGINE = """#!/bin/bash
# An engine that has one image, and runs its program here: words before --entrypoint are the engine's own.
case "$1" in
version|info) exit 0 ;;
volume) echo "{volume}" ;;
image) [ "$3" = swarm-learning/{role}:1.0 ] ;;
run)
    while [ $# -gt 0 ] && [ "$1" != --entrypoint ]; do [ "$1" = --volume ] && folder=${{2%:/certs}}; shift; done
    [ "$2" = /opt/swarm/bin/swarm ] || exit 1
    shift 3; exec {swarm} "${{@//\\/certs/$folder}}" ;;
*) exit 1 ;;
esac
"""


def _in_bundle(folder: Path, script: str, role: str, volume: str = "") -> subprocess.CompletedProcess[str]:
    """A script of a bundle, beside an engine that has the image of one role."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(
        ENGINE.format(role=role, volume=volume, swarm=Path(sys.executable).with_name("swarm"))
    )
    (tools / "docker").chmod(0o755)
    return subprocess.run(
        ["bash", f"./{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
    )


def test_keys_are_made_once_and_a_call_that_was_cut_off_is_taken_up(tmp_path: Path) -> None:
    """Each node has its key beside nobody else's, and a request; what an interrupted call left is in nobody's way."""
    write(inventory(), tmp_path)
    south = tmp_path / "south"
    (south / "certs/.swop").mkdir(parents=True)
    (south / "certs/.swop/south-swop-key.pem").write_text("cut off")
    first = _in_bundle(south, "make-requests.sh", "swop")
    assert first.returncode == 0, first.stderr
    made = {path: path.read_bytes() for path in (south / "certs").rglob("*.pem")}
    assert {str(path.relative_to(south)) for path in made} == {f"certs/{n}/key.pem" for n in ("swop", "pair1", "pair2")}
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert {one.name for one in (south / "requests").iterdir()} == {"swop.csr", "pair1.csr", "pair2.csr"}
    again = _in_bundle(south, "make-requests.sh", "swop")
    assert again.returncode == 0
    assert again.stdout.count("has a key; left as it is") == 3
    assert {path: path.read_bytes() for path in (south / "certs").rglob("*.pem")} == made


def test_scripts_say_what_lacks_of_images_and_of_the_file_that_names_them(tmp_path: Path) -> None:
    """An image that is not to be had, and a misspelt variable: one sentence with the fix, and nothing made."""
    write(inventory(), tmp_path)
    south = tmp_path / "south"
    for script in ("make-requests.sh", "preflight.sh"):
        done = _in_bundle(south, script, "sn")
        assert done.returncode == 1
        assert "swarm-learning/swop:1.0 is neither here nor to be pulled: docker load brings it" in done.stderr
    environment = south / ".env"
    environment.write_text(environment.read_text().replace("SWARM_IMAGE_TAG", "SWARM_IMAGES_TAG"))
    for script in ("make-requests.sh", "preflight.sh", "start.sh"):
        done = _in_bundle(south, script, "swop")
        assert done.returncode != 0
        assert "SWARM_IMAGE_TAG: is not set in .env: which version of the images" in done.stderr
    assert not (south / "certs").exists()


def test_the_firewalls_table_goes_by_what_a_port_is_for(tmp_path: Path) -> None:
    """A pair's models are for all sites, also on the port that SWCI's REST face has elsewhere."""
    write(inventory(), tmp_path)
    south = (tmp_path / "south/README.md").read_text()
    assert "| 30306 | pair2's models | all sites |" in south
    assert "| 30307 | swop's shared logs | operators' hosts |" in south
    north = (tmp_path / "north/README.md").read_text()
    assert "| 30306 | swci's REST face | this host alone |" in north
    assert "| 30303 | sn's chain | hosts with an SN |" in north


def test_the_sentinel_is_asked_for_at_the_first_start_alone(tmp_path: Path) -> None:
    """A site whose volumes are there starts again without it: its nodes know other SNs."""
    away = [{"name": "north", "host": "192.0.2.1", "sn": {}}, {"name": "south", "host": "south", "sn": {}}]
    write(inventory(sites=away), tmp_path)
    script = tmp_path / "south/preflight.sh"
    script.write_text(script.read_text().replace("timeout 10", "timeout 1"))
    assert "the sentinel 192.0.2.1:30304 is not reached" in _in_bundle(tmp_path / "south", "preflight.sh", "sn").stderr
    again = _in_bundle(tmp_path / "south", "preflight.sh", "sn", volume="biopsies-south_sn-state")
    assert "the sentinel" not in again.stderr


@pytest.mark.parametrize("sn", [None, 1])
def test_a_node_has_a_certificate_where_its_site_has_the_node(sn: int | None) -> None:
    """The SN's too, and only there."""
    site: Any = SimpleNamespace(sn=sn, sls=SimpleNamespace(data=[1, 2]), swop=None, swci=False)
    assert nodes_of(site) == ([("sn", "sn")] if sn else []) + [("sl1", "sl"), ("sl2", "sl")]


def test_a_certificate_is_for_the_address_or_the_name_that_the_inventory_has(tmp_path: Path) -> None:
    """An address as an address: a TLS client looks for it there."""
    sites = [
        {"name": "four", "host": "10.0.0.2", "sn": {}},
        {"name": "six", "host": "2001:db8::1", "sn": {}},
        {"name": "name", "host": "a.example.org", "sn": {}},
    ]
    write(inventory(sites=sites), tmp_path)
    for site, words in (("four", "--ip 10.0.0.2"), ("six", "--ip 2001:db8::1"), ("name", "--dns a.example.org")):
        assert words in (tmp_path / site / "make-requests.sh").read_text()
