"""The shell in a terminal: history, completion, help as you type. Owns prompt-toolkit; nothing else knows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout

from .completion import complete
from .session import Session

HISTORY_BYTES_MAX = 1024 * 1024
"""A longer history is begun anew, the old one kept beside it."""


class TableCompleter(Completer):
    """Completion as :mod:`.completion` finds it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        for one in complete(document.text_before_cursor, self._session.names):
            yield Completion(one.text, -one.replaces, display=one.shown, display_meta=one.told)


async def typed_lines(session: Session, state: Path, refresh: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
    """What a person types, line by line, until Ctrl-D; Ctrl-C drops the line.

    Args:
        state: folder of the history file.
        refresh: brings names for completion up to date; runs while the person types.
    """
    shell: PromptSession[str] = PromptSession(
        history=_history(state / "swci_history"),
        completer=TableCompleter(session),
        complete_while_typing=True,
        enable_history_search=False,
        mouse_support=False,
    )
    while True:
        names = asyncio.ensure_future(refresh())
        try:
            with patch_stdout(raw=True):
                line = await shell.prompt_async(session.prompt, handle_sigint=False)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        finally:
            names.cancel()
            await asyncio.gather(names, return_exceptions=True)
        for one in line.splitlines():  # what is pasted may be several
            yield one


def _history(path: Path) -> FileHistory | InMemoryHistory:
    """This user's alone: a line may hold a secret that should not have been typed."""
    try:
        with contextlib.suppress(FileNotFoundError):
            told = path.lstat()
            if not stat.S_ISREG(told.st_mode) or told.st_size > HISTORY_BYTES_MAX:
                path.replace(path.with_name(path.name + ".old"))
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        sys.stderr.write(f"swci: no history is kept: {path}: {error.strerror}\n")
        return InMemoryHistory()
    return FileHistory(str(path))
