"""Progress of long calls, on standard error.

The library itself never prints: it reports through a `Progress`, and `optimize(verbose=0)`
hands down one that says nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What long work reports to."""

    def step(self, text: str) -> None:
        """A new step begins; `text` says what is being done."""

    def detail(self, done: int, total: int) -> None:
        """Within the step, `done` of `total` are finished."""


class Silent:
    """Reports nothing."""

    def step(self, text: str) -> None: ...

    def detail(self, done: int, total: int) -> None: ...


class Lines:
    """One line a step, with the seconds that the last one took: for logs and pipes."""

    def __init__(self) -> None:
        self._began: float | None = None

    def step(self, text: str) -> None:
        self.close()
        self._began = time.monotonic()
        sys.stderr.write(f"{text} … ")
        sys.stderr.flush()

    def detail(self, done: int, total: int) -> None: ...

    def close(self) -> None:
        if self._began is not None:
            sys.stderr.write(f"{time.monotonic() - self._began:.1f} s\n")
            self._began = None


class Terminal:
    """A live line with a spinner, through rich."""

    def __init__(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status("")
        self._text = ""
        self._status.start()

    def step(self, text: str) -> None:
        self._text = text
        self._status.update(text)

    def detail(self, done: int, total: int) -> None:
        self._status.update(f"{self._text} ({done} of {total})")

    def close(self) -> None:
        self._status.stop()


@contextmanager
def reporter(verbose: int) -> Iterator[Progress]:
    """A Progress for `verbose`: 0 silent, 1 live on a terminal, else one line a step."""
    if not verbose:
        yield Silent()
        return
    live = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "")
    progress = Terminal() if live else Lines()
    try:
        yield progress
    finally:
        progress.close()
