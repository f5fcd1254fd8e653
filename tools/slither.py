"""`make slither`: static analysis of the contracts; each finding is mended, or answered in contracts/slither.toml.

Exit code 1 when a finding has no answer, or an answer no finding any more. Runs with any Python; the analyser and its
own dependencies live in build/slither.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "contracts"
ANSWERS = CONTRACTS / "slither.toml"
ANALYSER = ROOT / "build" / "slither" / "bin" / "slither"
SOLC = CONTRACTS / "bin" / "solc-v0.8.37"
RUN_SECONDS_MAX = 300
NEEDED_OUTPUT = ["abi", "metadata", "devdoc", "userdoc", "evm.bytecode", "evm.deployedBytecode"]


def findings() -> list[tuple[str, str]]:
    """(detector: element, description) of each finding in our own sources; raises SystemExit if the analyser fails."""
    asked = {
        "language": "Solidity",
        "sources": {
            path: {"urls": [path]}
            for path in sorted(str(file.relative_to(CONTRACTS)) for file in (CONTRACTS / "src").rglob("*.sol"))
        },
        "settings": {
            "evmVersion": "london",
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {"*": {"*": NEEDED_OUTPUT, "": ["ast"]}},
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "input.json").write_text(json.dumps(asked))
        command = [str(ANALYSER), f"{folder}/input.json", "--compile-force-framework", "solc-json", "--solc", str(SOLC)]
        options = ["--filter-paths", "node_modules", "--json", f"{folder}/found.json", "--fail-none"]
        done = subprocess.run(
            [*command, *options], cwd=CONTRACTS, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"the analyser failed ({done.returncode}):\n{done.stderr[-2000:]}")
        report = json.loads((Path(folder) / "found.json").read_text())
    return [(_key(finding), finding["description"].strip()) for finding in report["results"].get("detectors", [])]


def _key(finding: dict) -> str:
    element = finding["elements"][0]
    owner = element.get("type_specific_fields", {}).get("parent", {})
    place = f"{owner['name']}.{element['name']}" if owner.get("type") == "contract" else element["name"]
    return f"{finding['check']}: {place}"


def main() -> int:
    answers = tomllib.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
    found = findings()
    open_findings = [(key, text) for key, text in found if key not in answers]
    stale = answers.keys() - {key for key, _ in found}
    for key, text in open_findings:
        print(f"no answer for {key!r}\n  {text}\n")
    for key in sorted(stale):
        print(f"no finding any more for the answer {key!r}: remove it from {ANSWERS.name}")
    print(f"{len(found)} findings, {len(found) - len(open_findings)} answered")
    return 1 if open_findings or stale else 0


if __name__ == "__main__":
    sys.exit(main())
