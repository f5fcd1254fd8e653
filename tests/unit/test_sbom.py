"""The bill of materials: what dpkg and Python say is installed, in SPDX, the same bytes for the same image."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from types import ModuleType

import pytest
from support.tools import ROOT

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: 0 is in the text

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "tools" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_installed_is_listed_and_what_was_removed_is_not(sbom: ModuleType) -> None:
    """With a package URL that a scanner understands."""
    purl = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"
    assert list(sbom.debian(STATUS)) == [("libc6", "2.36-9+deb12u10", purl)]
    here = {name: url for name, _, url in sbom.python(importlib.metadata.distributions())}
    assert here["ruamel-yaml"].startswith("pkg:pypi/ruamel-yaml@")


def test_the_document_is_one_of_spdx_and_does_not_depend_on_order(sbom: ModuleType) -> None:
    """Each package has an id of its own and is described; the order in which they were found does not show."""
    rows = [("b", "1", "pkg:pypi/b@1"), ("a", "2", "pkg:deb/debian/a@2?arch=all"), ("a", "2", "pkg:pypi/a@2")]
    made = sbom.document("sn:1", "sha256:0", "2026-01-01T00:00:00Z", rows)
    assert json.dumps(made) == json.dumps(sbom.document("sn:1", "sha256:0", "2026-01-01T00:00:00Z", rows[::-1] + rows))
    assert made["spdxVersion"] == "SPDX-2.3"
    ids = [one["SPDXID"] for one in made["packages"]]
    assert len(set(ids)) == 3
    assert [one["relatedSpdxElement"] for one in made["relationships"]] == ids
