"""Compiles the contracts and writes services/swarm/chain/abi/<Name>.json; `--check` only compares.

Owns the compiler settings. The compiler is npm's solc behind bin/solc-v0.8.37: run `npm ci` in
contracts/ first.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import SolcError

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
TARGET = HERE.parent / "services" / "swarm" / "chain" / "abi"
SOLC = HERE / "bin" / "solc-v0.8.37"
FILES = {
    "Directory": "src/Directory.sol",
    "Membership": "src/Membership.sol",
    "TrainingCalls": "src/training/TrainingCalls.sol",
    "TrainingCarried": "src/training/TrainingCarried.sol",
    "Training": "src/Training.sol",
    "JobOptions": "src/JobOptions.sol",
    "Tasks": "src/Tasks.sol",
    "TaskrunnersPeers": "src/tasks/TaskrunnersPeers.sol",
    "Taskrunners": "src/Taskrunners.sol",
}
CODE_BYTES_MAX = 24_576
"""EIP-170: a larger contract cannot be deployed."""
CODE_BYTES_LEFT_MIN = 512
"""Room that every contract keeps for the next mend."""
FUTURE_KEYWORD = "6335"
"""Warning that some later Solidity may reserve a name of ours (`leave`); the compiler is pinned."""

SETTINGS: dict[str, Any] = {
    "evmVersion": "london",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode.object"]}},
}


class BuildError(Exception):
    """The contracts cannot be built; the text says why and what to do."""


def sources(folder: Path = SOURCES) -> dict[str, str]:
    """Our own Solidity files, by path relative to contracts/."""
    return {str(p.relative_to(HERE)): p.read_text("utf-8") for p in sorted(folder.rglob("*.sol"))}


def compile_sources(texts: dict[str, str]) -> dict[str, Any]:
    """Standard-JSON compilation of `texts`; OpenZeppelin comes from node_modules.

    Raises:
        BuildError: node_modules are missing, or the compiler reports an error or a warning about our sources.
    """
    if not (HERE / "node_modules" / "solc").is_dir():
        raise BuildError("contracts/node_modules is missing: run `npm ci` in contracts/ (or `make setup-dev`)")
    asked = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": SETTINGS,
    }
    try:
        output: dict[str, Any] = solcx.compile_standard(asked, solc_binary=SOLC)
    except SolcError as fault:
        raise BuildError(fault.message) from fault
    ours = [e for e in output.get("errors", []) if e["sourceLocation"]["file"] in texts]
    warnings = [e["formattedMessage"] for e in ours if e["errorCode"] != FUTURE_KEYWORD]
    if warnings:
        raise BuildError("\n".join(warnings))
    return output


def require_room(name: str, size: int) -> None:
    """Raises BuildError: `name` has fewer than CODE_BYTES_LEFT_MIN bytes of EIP-170's limit left."""
    if size > CODE_BYTES_MAX - CODE_BYTES_LEFT_MIN:
        raise BuildError(
            f"{name} has {size} bytes of code; {CODE_BYTES_MAX} are allowed (EIP-170), of which {CODE_BYTES_LEFT_MIN} "
            "stay free: move a concern to a linked library, as TrainingCalls"
        )


def artefact(output: dict[str, Any], file: str, name: str, source_hash: str) -> dict[str, Any]:
    """What the chain package needs of one contract."""
    built = output["contracts"][file][name]
    size = len(built["evm"]["deployedBytecode"]["object"]) // 2
    require_room(name, size)
    return {
        "contract": name,
        "compiler": {
            "solc": "0.8.37",
            "evmVersion": SETTINGS["evmVersion"],
            "optimizer": SETTINGS["optimizer"],
        },
        "sourceHash": source_hash,
        "deployedBytes": size,
        "abi": built["abi"],
        "links": {
            library: [place["start"] for place in places]
            for found in built["evm"]["bytecode"].get("linkReferences", {}).values()
            for library, places in sorted(found.items())
        },
        "bytecode": "0x" + built["evm"]["bytecode"]["object"],
    }


def build() -> dict[str, str]:
    """Text of every artefact file, by file name."""
    texts = sources()
    output = compile_sources(texts)
    digest = hashlib.sha256("".join(f"{n}\0{t}\0" for n, t in texts.items()).encode()).hexdigest()
    return {
        f"{name}.json": json.dumps(artefact(output, file, name, digest), indent=1) + "\n"
        for name, file in FILES.items()
    }


def main(argv: list[str]) -> int:
    try:
        files = build()
    except BuildError as fault:
        print(fault, file=sys.stderr)
        return 1
    stale = [n for n, text in files.items() if not (TARGET / n).is_file() or (TARGET / n).read_text("utf-8") != text]
    if "--check" in argv:
        for name in stale:
            print(f"{name} does not match the sources: run `python contracts/build.py`", file=sys.stderr)
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (TARGET / name).write_text(files[name], "utf-8")
    for name, text in files.items():
        print(f"{name:16} {json.loads(text)['deployedBytes']:6} bytes{'  written' if name in stale else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
