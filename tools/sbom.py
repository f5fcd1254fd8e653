"""Prints what is installed where this runs, as SPDX 2.3 (JSON): Debian's packages and Python's. Standard library alone.

    python3 sbom.py NAME DIGEST CREATED

Runs inside an image (tools/sbom.sh): dpkg's list and Python's own metadata are what was installed, whatever a lock
says.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = Path("/var/lib/dpkg/status")
GETH = Path("/usr/local/bin/geth")


def debian(status: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and package URL of what dpkg has installed."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version, machine = fields["Package"], fields["Version"], fields.get("Architecture", "all")
            yield name, version, f"pkg:deb/debian/{name}@{quote(version)}?arch={machine}"


def python(found: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    for one in found:
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        yield name, one.version, f"pkg:pypi/{name}@{quote(one.version)}"


def document(name: str, digest: str, created: str, packages: Iterable[tuple[str, str, str]]) -> Mapping[str, Any]:
    """The same packages in the same image are the same bytes."""
    rows = sorted(set(packages))
    described = [
        {
            "SPDXID": "SPDXRef-"
            + re.sub(r"[^A-Za-z0-9.-]", "-", f"{url.split(':', 1)[1].split('/')[0]}-{name}-{version}"),
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}
            ],
        }
        for name, version, url in rows
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"swarm-learning/{name}",
        "documentNamespace": f"urn:swarm-learning:{name}:{digest}",
        "creationInfo": {"created": created, "creators": ["Tool: tools/sbom.py"]},
        "packages": described,
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": one["SPDXID"]}
            for one in described
        ],
    }


def geth(path: Path) -> Iterator[tuple[str, str, str]]:
    """The chain program of an SN: no package manager put it there."""
    if path.is_file():
        import subprocess

        said = subprocess.run([str(path), "version"], capture_output=True, text=True, timeout=60, check=True).stdout
        version = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)["Version"].split("-")[0]
        yield "go-ethereum", version, f"pkg:golang/github.com/ethereum/go-ethereum@v{version}"


def main() -> None:
    name, digest, created = sys.argv[1:4]
    packages = [*debian(DPKG.read_text(encoding="utf-8")), *python(importlib.metadata.distributions()), *geth(GETH)]
    json.dump(document(name, digest, created, packages), sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
