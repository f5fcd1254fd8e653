"""House rules that a machine can hold: what is in the tree, how long, and how it speaks."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 500
LONGER = {
    "docs/": "a page may be long",
    "requirements/": "generated locks",
    "services/swarm/chain/abi/": "generated",
    "contracts/package-lock.json": "generated",
    "tests/vectors/": "golden data",
    "LICENSE": "not ours to shorten",
}
"""Paths (or their beginnings) that may be longer, and why."""
# In halves, or this file would find itself.
LATER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# /home/swarm is the user inside our images.
HOME_PATH = re.compile(
    r"/(?:ho" + r"me|Us" + r"ers)/(?!swarm\b)[a-z][\w.-]*/|/roo" + r"t/\.|/wor" + r"k/(?:main|shared)\b"
)
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "files.python" + "hosted.org",
    "registry.npm" + "js.org",
    "proxy.golang" + ".org",
    "registry-1.docker" + ".io",
    "deb.debian" + ".org",
    "artifact" + "ory",
)
KEY_BLOCK = re.compile("-----BEGIN (?:[A-Z]+ )?PRIV" + r"ATE KEY-----\s*[A-Za-z0-9+/=\s]{60,}")
TEXT = {".py", ".sol", ".md", ".toml", ".yml", ".yaml", ".sh", ".in", ".txt", ".json", ".cfg", ".npmrc", ""}


@cache
def tracked() -> tuple[str, ...]:
    """Files under version control and new ones that are not ignored, as they lie in the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(name for name in sorted(listed.stdout.splitlines()) if (ROOT / name).is_file())


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def texts() -> Iterator[tuple[str, str]]:
    for name in tracked():
        if Path(name).suffix in TEXT:
            yield name, text_of(name)


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(text_of(name))


def python(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for name in tracked():
        if name.endswith(".py") and name.startswith(folders):
            yield name, tree_of(name)


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later_in_comments():
    """No marker of unfinished work: it is done, or it is an issue."""
    assert lines_with(LATER) == []


def test_no_path_of_one_machine():
    """Nothing names a folder that only one machine has."""
    assert lines_with(HOME_PATH) == []


def test_no_package_registry_is_named():
    """Where packages come from is the user's setting; locks hold hashes, not hosts."""
    assert lines_with(re.compile("|".join(map(re.escape, REGISTRY_HOSTS)))) == []


def test_no_private_key_is_kept_in_the_tree():
    """V10: no PEM or key file, and no private key inside another file."""
    assert [name for name in tracked() if name.endswith((".pem", ".key", ".p12", ".pfx"))] == []
    assert [name for name, text in texts() if KEY_BLOCK.search(text)] == []


def test_every_module_says_what_it_owns():
    """Modules of the services and the SDK open with a docstring; empty package files need none."""
    silent = [name for name, tree in python("services/", "sdk/") if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_every_test_states_its_claim():
    """A docstring a test: what would be untrue if it failed."""
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in python("tests/")
        if Path(name).name.startswith("test_")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_files_stay_short_enough_to_read():
    """A file above the limit has two subjects; exceptions are named with their reason."""
    long = [
        f"{name}: {len(text.splitlines())} lines"
        for name, text in texts()
        if len(text.splitlines()) > LINES_MAX and not name.startswith(tuple(LONGER))
    ]
    assert long == []
    assert [beginning for beginning in LONGER if not any(name.startswith(beginning) for name in tracked())] == []


def test_no_error_is_dropped_without_a_word():
    """No ``except`` whose body does nothing: contextlib.suppress names what may happen, a comment says why."""
    dropped = [
        f"{name}:{handler.lineno}"
        for name, tree in python("services/", "sdk/", "tests/", "tools/", "contracts/", "examples/")
        for handler in ast.walk(tree)
        if isinstance(handler, ast.ExceptHandler)
        and all(isinstance(part, ast.Pass) or is_ellipsis(part) for part in handler.body)
    ]
    assert dropped == []


def is_ellipsis(part: ast.stmt) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and part.value.value is Ellipsis


def test_the_documents_name_files_and_tests_that_exist():
    """A test, source file or link that a page names is there: renaming one thing renames the other."""
    files = {Path(name).name for name in tracked()}
    tests = {
        node.name
        for _, tree in python("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    gone = []
    for name in (n for n in tracked() if n.endswith(".md") and n.startswith(("docs/", "README", "contracts/"))):
        page = text_of(name)
        for quoted in re.findall(r"`([^`\n]+)`", page):
            named = re.findall(r"[\w/-]+\.(?:py|sol|toml|sh)\b", quoted)
            gone += [f"{name}: {one}" for one in named if Path(one).name not in files]
            claims = re.findall(r"(?<!\w)test_\w+(?!\w|\.)", quoted)
            gone += [f"{name}: {one}" for one in claims if one not in tests and f"{one}.py" not in files]
        links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", page) if "://" not in link]
        gone += [f"{name}: link {link}" for link in links if not (ROOT / name).parent.joinpath(link).exists()]
    assert gone == []


def test_the_tables_name_tests_of_the_file_they_name():
    """In a table's cell, what stands in quotes after a test file is a test of that file without its ``test_``."""
    tests = {
        Path(name).stem: {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for name, tree in python("tests/")
    }
    gone, claims = [], 0
    for name in (n for n in tracked() if n.endswith(".md") and n.startswith("docs/")):
        for cell in (c for line in text_of(name).splitlines() if line.startswith("|") for c in line.split("|")):
            file = ""
            for quoted in re.findall(r"`([^`]+)`", cell):
                if Path(quoted).name.removesuffix(".py") in tests:
                    file = Path(quoted).name.removesuffix(".py")
                elif file.startswith("test_") and re.fullmatch(r"[a-z0-9]*(?:_[a-z0-9]+)+", quoted):
                    claims += 1
                    gone += [] if f"test_{quoted}" in tests[file] else [f"{name}: {file}: {quoted}"]
    assert gone == []
    assert claims > 20


def test_the_sources_point_to_documents_that_are_here():
    """Comments refer to pages under docs/, not to texts that readers do not have."""
    pages = {name for name in tracked() if name.endswith(".md")}
    asked = [
        f"{name}: {page}"
        for name, text in texts()
        if name.startswith(("services/", "sdk/", "contracts/", "tests/")) and name.endswith((".py", ".sol"))
        for page in re.findall(r"\b(?:docs|design|spec)/[\w-]+\.md\b", text)
        if page not in pages
    ]
    assert asked == []
