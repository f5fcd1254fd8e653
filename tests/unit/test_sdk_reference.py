"""The SDK's pages tell what the SDK is: the reference is current, and every keyword has its line in the table."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from swarmlearning.client.arguments import COMMON_ARGUMENTS

ROOT = Path(__file__).resolve().parents[2]
SDK = ROOT / "sdk" / "src" / "swarmlearning"
PAGE = ROOT / "docs" / "sdk.md"
OPTIONS_OF = {"sklearn": {"classes", "initData", "weight_attrs", "weight_attrs_is_list"}}
"""Keywords of one module alone that the reference tells, not the table."""


def own_arguments(module: str) -> set[str]:
    """The keywords that a module's callback reads by itself, as written in its source."""
    tree = ast.parse((SDK / f"{module}.py").read_text())
    for node in ast.walk(tree):
        names = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(one, ast.Name) and one.id == "_own_arguments" for one in names):
            return {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
    return set()


def test_the_reference_is_current() -> None:
    """docs/sdk-reference.md is what tools/sdk_reference.py writes from the docstrings as they are."""
    command = [sys.executable, str(ROOT / "tools" / "sdk_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run: python tools/sdk_reference.py" + done.stderr


def test_the_reference_tells_every_public_class_and_its_hooks() -> None:
    """Nothing that programs call is left out because a docstring is missing."""
    text = (ROOT / "docs" / "sdk-reference.md").read_text()
    for module in ("pyt", "tf", "hf_transformers", "lightning", "sklearn", "plain"):
        assert f"## swarmlearning.{module}\n" in text
    for name in ("SwarmCallbackBase", "SwarmSklearnTrainer.fit", "LoopCallback.on_batch_end", "SwarmError"):
        assert re.search(rf"^####? {re.escape(name)}$", text, re.MULTILINE), name


@pytest.mark.parametrize("module", ["client", "pyt", "tf", "hf_transformers", "lightning", "sklearn", "plain"])
def test_every_keyword_is_explained_in_the_table(module: str) -> None:
    """Each keyword that a callback reads stands in docs/sdk.md, as an original one or among the new ones."""
    known = set(COMMON_ARGUMENTS) if module == "client" else own_arguments(module) - OPTIONS_OF.get(module, set())
    assert known or module in ("hf_transformers", "lightning", "plain")
    section = PAGE.read_text().split("## Original keywords", 1)[1].split("\n## ", 1)[0]
    assert known - set(re.findall(r"`(\w+)`", section)) == set()
