"""httpx without its own command line, which is half of its import (rich, pygments, click) and may be absent."""

from __future__ import annotations

import sys

_ABSENT = sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402

__all__ = ["httpx"]
