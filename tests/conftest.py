"""Shared pytest set-up: tests/support importable, tools found or skipped, rows checked, skips explained."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

from support import abreast, leftovers, order, patience, rows, tools

# A gate gives the same verdict on the same code, also on a busy machine: `--hypothesis-profile=search` looks further.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("search", settings.get_profile("steady"), derandomize=False, max_examples=1000)
settings.load_profile("steady")

NAMES_SHOWN = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows-json", help="write [row check, outcome] pairs of this run to a file")


def pytest_configure(config: pytest.Config) -> None:
    # Each program that the tests start would compile some 2,000 files, where a shell forbids to keep them.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores Ctrl-C, and so would every program that the tests start and interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    tools.required()
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(abreast.Workplace(), "workplace")
    leftovers.bound_executors()
    config.pluginmanager.register(leftovers.Leftovers(float(config.getini("timeout") or 120)), "leftovers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files; refuses markers without a row of the table; lengthens the bounds of tests that run abreast."""
    items.sort(key=lambda item: order.place(item.path))
    if patience.FACTOR > 1:
        for item in items:
            marker = item.get_closest_marker("timeout")
            alone = float(marker.args[0] if marker else item.config.getini("timeout") or 120)
            item.add_marker(pytest.mark.timeout(patience.seconds(alone)), append=False)
    table = rows.load()
    complaints = set()
    for item in items:
        for marker in item.iter_markers("row"):
            if not marker.args:
                complaints.add(f"{item.nodeid}: the row marker names no row")
            for row_id in marker.args:
                if wrong := rows.complaint(row_id, table):
                    complaints.add(f"{item.nodeid}: {wrong}")
    if complaints:
        raise pytest.UsageError("\n".join(sorted(complaints)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips or fails, before any fixture starts, a test whose tools are missing."""
    for name in tools.TOOLS:
        if item.get_closest_marker(name):
            tools.need(name)


@pytest.fixture(autouse=True)
def _programs_end_with_their_test() -> Iterator[None]:
    """A callback that a test leaves open is forgotten: else this run would end as its program, if strict with 1."""
    yield
    module = sys.modules.get("swarmlearning.client.unfinished")
    if module is not None:
        module.WATCH._open.clear()


@pytest.fixture(autouse=True)
def _lines_go_where_they_went() -> Iterator[None]:
    """Logging that a test sets up ends with it: the next one looks for lines where they are by default."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    was = _structlog_is_set_up()
    yield
    if _structlog_is_set_up() and not was:
        sys.modules["structlog"].reset_defaults()
    for handler in [one for one in root.handlers if one not in handlers]:
        if not type(handler).__module__.startswith("_pytest."):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


def _structlog_is_set_up() -> bool:
    module = sys.modules.get("structlog")
    return module is not None and module.is_configured()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Keeps in the report which rows its test carries: the report goes to the process that writes the results."""
    report = yield
    if report.when == "call" or report.outcome != "passed":
        report.row_checks = [row_id for marker in item.iter_markers("row") for row_id in marker.args]
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    target = session.config.getoption("--rows-json")
    if not target or hasattr(session.config, "workerinput"):
        return
    reporter: pytest.TerminalReporter | None = session.config.pluginmanager.getplugin("terminalreporter")
    assert reporter is not None
    reports = [report for kept in reporter.stats.values() for report in kept if isinstance(report, pytest.TestReport)]
    pairs = [(check, report.outcome) for report in reports for check in getattr(report, "row_checks", ())]
    Path(target).write_text(json.dumps(pairs))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of what was skipped and why."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not by_reason:
        return
    terminalreporter.section("skipped, and why")
    for reason, names in sorted(by_reason.items()):
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        terminalreporter.line(f"{len(names):5d}  {reason}\n       {shown}")
