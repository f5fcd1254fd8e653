"""Owns what contract tests need of the compiler: contracts/build.py as a module, and contracts of contracts/test/."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from swarm.chain.contract import Artifact

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def build() -> ModuleType:
    """The build script; its `build()` fails with a clear text when node_modules are missing."""
    spec = importlib.util.spec_from_file_location("contracts_build", ROOT / "contracts" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def harness(name: str) -> Artifact:
    """A contract of contracts/test/, compiled now."""
    tool = build()
    file = f"test/{name}.sol"
    texts = {k: v for k, v in tool.sources().items() if "/lib/" in k or "/interfaces/" in k}
    texts[file] = (ROOT / "contracts" / file).read_text("utf-8")
    built = tool.artefact(tool.compile_sources(texts), file, name, "")
    return Artifact.from_json(name, built["abi"], bytes.fromhex(built["bytecode"][2:]), built["links"])
