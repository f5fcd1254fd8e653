"""How a process speaks: structlog over the standard logging, human lines or JSON, secrets struck out.

Owns form only; what is said, and when, belongs to the rooms. Libraries that use ``logging`` come out alike.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars

from swarm.core.errors import OperatorFault

__all__ = ["bind_contextvars", "bound_contextvars", "formatter", "get", "one_line", "redact", "setup"]

FORMATS = ("auto", "human", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
VALUE_CHARS_MAX = 2000
"""A longer value is cut: a log line is never a way to fill a disk with a peer's bytes."""
STRUCK_OUT = "<redacted>"

_SECRET_KEY = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|private_?key|mnemonic|authorization|cookie)s?($|_)", re.I
)
_SECRET_TEXT = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    re.compile(r"(?i)\b(?:password|passphrase|secret|token|private[ _]?key)\b\s*[=:]\s*\S+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
_OWN_KEYS = ("timestamp", "level", "logger", "event")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger called ``name``; the original shows it as ``time : name : LEVEL : text``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def setup(*, level: str = "INFO", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send all of this process's log lines to ``stream`` (stderr by default). Called once, in ``__main__``.

    Args:
        level: lowest level shown.
        form: "human", "json", or "auto" (human on a terminal, JSON otherwise).

    Raises:
        OperatorFault: unknown level or form.
    """
    out = sys.stderr if stream is None else stream
    if level.upper() not in LEVELS:
        raise OperatorFault(f"log level {level!r} is none of {', '.join(LEVELS)}")
    if form not in FORMATS:
        raise OperatorFault(f"SWARM_LOG_FORMAT={form!r} is none of {', '.join(FORMATS)}")
    human = form == "human" or (form == "auto" and out.isatty())
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter(human=human))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line a request is noise at INFO, and httpx prints whole addresses.
    for chatty in (
        "httpx",
        "httpcore",
        "uvicorn.access",
        "uvicorn.error",
        "websockets",
        "web3",
        "urllib3",
        "asyncio",
    ):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def formatter(*, human: bool) -> logging.Formatter:
    """Makes a line of a record, its secrets struck out: for people or as JSON."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _human if human else _json,
        ],
    )


def redact(value: Any, key: str = "") -> Any:
    """``value`` without what may never be logged: values under secret names, keys, passwords in addresses."""
    if key and _SECRET_KEY.search(key):
        return STRUCK_OUT
    if isinstance(value, Mapping):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    if isinstance(value, bytes | bytearray):
        value = "0x" + bytes(value).hex()
    if isinstance(value, str):
        for pattern in _SECRET_TEXT:
            value = pattern.sub(STRUCK_OUT, value)
        return value if len(value) <= VALUE_CHARS_MAX else value[:VALUE_CHARS_MAX] + "... (cut)"
    return value


def _timestamp(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _redact_event(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {k: v if k.startswith("_") else redact(v, k) for k, v in event.items()}


def _human(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    """``2026-01-31 09:08:07,123 : swarm.blCnt : INFO : text key=value``: scripts look for ``INFO : text``."""
    stamp = datetime.fromisoformat(event["timestamp"]).astimezone()
    trace = event.pop("exception", None)
    rest = " ".join(f"{k}={one_line(v)}" for k, v in event.items() if k not in _OWN_KEYS)
    shown = f"{stamp:%Y-%m-%d %H:%M:%S},{stamp.microsecond // 1000:03d}"
    line = f"{shown} : {event.get('logger', '')} : {event['level'].upper()} : {one_line(event['event'])}"
    return line + (f" {rest}" if rest else "") + (f"\n{trace}" if trace else "")


def one_line(value: Any) -> str:
    """Without control characters: a peer's text cannot forge a second log line or steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    head = {k: event[k] for k in _OWN_KEYS if k in event}
    return json.dumps({**head, **{k: v for k, v in event.items() if k not in head}}, default=str)


_SHARED: list[structlog.typing.Processor] = [
    merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _timestamp,
    structlog.processors.format_exc_info,
    _redact_event,
]
