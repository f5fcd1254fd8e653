"""`swarm site check`: the inventory beside the nodes that live, and beside the sites' own reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from swarm.cli.main import main
from swarm.core.doctor.across import Living, Report, beside_nodes, beside_reports, report_of
from swarm.core.doctor.facts import Finding, Level
from swarm.core.errors import OperatorFault
from swarm.core.sites.inventory import inventory_of

SWARM = inventory_of(
    {
        "swarm": "biopsies",
        "sites": [
            {
                "name": "north",
                "host": "north.example.org",
                "sn": {},
                "sls": {"data": ["/a", "/b"], "port": 31000},
                "swci": True,
            },
            {"name": "south", "host": "10.0.0.2", "swop": {"data": ["/c"]}},
        ],
    },
    "inventory.yaml",
)
ID = "spiffe://swarm.local/{site}/{role}/{site}-{name}"


def living(site: str, name: str, role: str, host: str = "-", port: str = "-") -> Living:
    return Living(role=role, name=ID.format(site=site, role=role, name=name), host=host, port=port)


ALL = [
    living("north", "sn", "sn", "north.example.org", "30304"),
    living("north", "sl1", "sl", "north.example.org", "31000"),
    living("north", "sl2", "sl"),
    living("south", "swop", "swop", "10.0.0.2", "30307"),
]


def report(of: str, **changes: Any) -> Report:
    other = "10.0.0.2" if of == "north" else "north.example.org"
    told = {
        "site": of,
        "version": "1.0",
        "contracts": 6,
        "images": {"sl": "sha256:aa"},
        "reached": [{"host": other, "port": 30304, "reach": "answers"}],
        "faults": 0,
    }
    return Report.model_validate({**told, **changes})


def code_of(*argv: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return ended.value.code


def wrong(found: list[Finding]) -> list[tuple[str, str]]:
    bad = [one for one in found if one.level is not Level.OK]
    assert all(one.fix for one in bad)
    return [(one.level.value, one.text) for one in bad]


def test_a_swarm_that_runs_as_the_inventory_says_has_no_finding() -> None:
    """A SWOP's pairs may live or not; a shell's certificate is nobody that has to live."""
    assert wrong(beside_nodes(SWARM, ALL)) == []
    assert wrong(beside_nodes(SWARM, [*ALL, living("south", "pair1", "sl", "10.0.0.2", "30305")])) == []
    assert wrong(beside_nodes(SWARM, [Living(role="sn", name="CN=north-sn", host="-", port="-"), *ALL[1:]])) == []


@pytest.mark.parametrize("missing", range(len(ALL)))
def test_a_node_that_is_not_heard_of_is_named_with_its_site(missing: int) -> None:
    """Each of the four, and where to look."""
    found = wrong(beside_nodes(SWARM, [*ALL[:missing], *ALL[missing + 1 :]]))
    name = ALL[missing].name.rpartition("/")[2]
    assert [(level, text.split(" ")[0]) for level, text in found] == [("fault", name)]


def test_a_node_at_another_place_or_of_nobodys_site_is_told() -> None:
    """An old bundle, and a stranger: what a name says does not steer the terminal."""
    moved = living("north", "sl1", "sl", "old.example.org", "31000")
    stranger = living("east\x1b[2J", "sl1", "sl")
    found = wrong(beside_nodes(SWARM, [ALL[0], moved, *ALL[2:], stranger]))
    assert [level for level, _ in found] == ["fault", "warn"]
    assert "old.example.org:31000" in found[0][1]
    assert "\x1b" not in found[1][1]


def test_reports_that_agree_and_reach_each_other_have_no_finding() -> None:
    """A port where nobody listens yet counts as reached: the host answered."""
    assert wrong(beside_reports(SWARM, [report("north"), report("south")])) == []
    refused = report("south", reached=[{"host": "north.example.org", "port": 30304, "reach": "refused"}])
    assert wrong(beside_reports(SWARM, [report("north"), refused])) == []


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"version": "1.1"}, "fault", "version of swarm differs: 1.0 at north; 1.1 at south"),
        ({"contracts": 5}, "fault", "version of the contracts differs"),
        ({"images": {"sl": "sha256:bb"}}, "fault", "sl image differs"),
        ({"images": {"sl": None}}, "fault", "sl image differs: none at south"),
        ({"faults": 3}, "fault", "site south has 3 faults"),
        ({"reached": []}, "warn", "from south to north: not tried"),
        (
            {"reached": [{"host": "north.example.org", "port": 30304, "reach": "silent"}]},
            "fault",
            "from south to north: 30304 (silent)",
        ),
        ({"site": "east"}, "warn", "which the inventory has not"),
    ],
)
def test_what_differs_between_sites_is_named(changes: dict[str, Any], level: str, says: str) -> None:
    """Versions, images, a way that is closed in one direction, a site that is unknown."""
    found = wrong(beside_reports(SWARM, [report("north"), report("south", **changes)]))
    assert any(one[0] == level and says in one[1] for one in found), found


def test_a_site_without_a_report_and_one_with_two_are_told() -> None:
    """The first of two counts."""
    assert any("no report of site south" in text for _, text in wrong(beside_reports(SWARM, [report("north")])))
    twice = wrong(beside_reports(SWARM, [report("north"), report("south"), report("south", version="9")]))
    assert [text for _, text in twice] == ["two reports are of site south"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"data": {}}', b"\xff", b"[" * 100_000, b'{"data": {"site": "a", "reached": "b"}}'],
)
def test_attack_what_is_no_report_is_refused_by_its_place(data: bytes) -> None:
    """A report comes from another site: nothing of it is believed before it has its form."""
    with pytest.raises(OperatorFault, match=r"other\.json: .*swarm doctor --output json"):
        report_of(data, "other.json")


def test_attack_a_report_of_more_paths_or_longer_texts_than_any_site_has_is_refused() -> None:
    """Bounds are those of the model; one below passes."""
    path = {"host": "h", "port": 1, "reach": "answers"}

    def enveloped(count: int, name: str = "a") -> bytes:
        told = {"site": name, "version": "1", "contracts": 6, "images": {}, "reached": [path] * count, "faults": 0}
        return json.dumps({"data": told}).encode()

    assert len(report_of(enveloped(1024), "r").reached) == 1024
    for data in (enveloped(1025), enveloped(1, "a" * 513)):
        with pytest.raises(OperatorFault):
            report_of(data, "r")


def test_the_command_compares_reports_without_an_sn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 at a fault, 0 where there is none; a file that is not there is named."""
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(json.dumps({"swarm": "s", "sites": [{"name": "a", "host": "a", "sn": {}}]}))
    told = {"site": "a", "version": "1", "contracts": 6, "images": {}, "reached": [], "faults": 0}
    for faults, code in ((0, 0), (1, 1)):
        (tmp_path / "a.json").write_text(json.dumps({"data": {**told, "faults": faults}}))
        assert code_of("site", "check", str(inventory), "--report", str(tmp_path / "a.json")) == code
    assert "swarm doctor names each with its fix there" in capsys.readouterr().out
    assert code_of("site", "check", str(inventory), "--report", str(tmp_path / "none.json")) == 2
    assert "none.json: No such file" in capsys.readouterr().err
