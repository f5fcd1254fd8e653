"""The Keras callback where Keras computes with PyTorch: the same tests, in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "unit"
FILES = ("test_sdk_keras.py", "test_sdk_keras_forms.py", "test_sdk_keras_kept.py", "test_sdk_proximal.py")
PASSED_MIN = 25
"""So that a set which is skipped or not found is no success."""

pytestmark = [pytest.mark.keras, pytest.mark.timeout(300)]


def test_all_that_holds_on_tensorflow_holds_on_pytorch() -> None:
    """KERAS_BACKEND is read once, when Keras is imported."""
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "keras", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [*command, *(str(UNIT / name) for name in FILES)],
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:]
    assert int(passed[1]) >= PASSED_MIN
