"""Worker processes of a search: started, watched, started again when they die, and stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import SearchFailed
from .folder import LOG, unwritable
from .ledger import full, is_full
from .worker import numerics

_GRACE = 12.0  # seconds until a worker that was told to stop is killed; its own limit is shorter
_DEATHS = 6  # workers that die without any trial being finished, until the search gives up
_TAIL = 600  # characters of a log that an error shows


class Pool:
    """Workers on one study.

    Args:
        directory: of the study.
        count: of workers.
        arguments: of the workers, besides the directory.
        threads: that one worker's numerics may use.

    Raises:
        SearchFailed: the disk is full.
    """

    def __init__(self, directory: Path, count: int, arguments: list[str], threads: int) -> None:
        self._directory = directory
        self._arguments = arguments
        self._threads = threads
        self._deaths = 0
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        try:
            (directory / LOG).mkdir(exist_ok=True)
            for i in range(count):
                self._log(i).write_bytes(b"")
        except OSError as error:
            if is_full(error):
                raise full(str(directory)) from error
            raise unwritable(directory, error) from error
        try:
            for i in range(count):
                self._start(i)
        except BaseException:
            self.stop()
            raise

    def _log(self, index: int) -> Path:
        return self._directory / LOG / f"worker{index}.txt"

    def _start(self, index: int) -> None:
        command = [sys.executable, "-m", "tflm_opt.nas.worker", str(self._directory)]
        with self._log(index).open("ab") as log:
            # A session of its own: Ctrl-C in a terminal is for us, and we stop workers in order.
            self._workers[index] = subprocess.Popen(
                [*command, "--child", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=_environment(self._threads),
            )

    @property
    def pids(self) -> list[int]:
        """Of workers that run."""
        return [worker.pid for worker in self._workers.values()]

    def check(self) -> bool:
        """Start workers again that died; False when all have come to their end.

        Raises:
            SearchFailed: workers die again and again, or one said why it can't go on.
        """
        for index, worker in list(self._workers.items()):
            code = worker.poll()
            if code is None:
                continue
            said = _message(worker)
            del self._workers[index]
            if code == 0:
                continue
            if said is not None:
                self._raise(said)
            self._deaths += 1
            if self._deaths >= _DEATHS:
                raise SearchFailed(
                    str(self._directory),
                    f"{self._deaths} workers died in a row, the last {_how(code)}; its last words "
                    f"({self._log(index)}):\n{self._tail(index)}",
                    reason="workers",
                )
            self._start(index)
        return bool(self._workers)

    def _raise(self, said: dict[str, str]) -> None:
        if said["reason"]:
            raise SearchFailed(str(self._directory), said["message"], reason=said["reason"])
        raise SearchFailed(
            str(self._directory), f"a worker can't go on: {said['message']}", reason="workers"
        )

    def progressed(self) -> None:
        """A trial was finished: deaths before it don't count any more."""
        self._deaths = 0

    def _tail(self, index: int) -> str:
        with suppress(OSError):
            text = self._log(index).read_text("utf-8", "replace").strip()
            return text[-_TAIL:] or "nothing"
        return "nothing"

    def stop(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Tell all workers to give their trials back and end; kill those that don't."""
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.terminate()
        limit = time.monotonic() + _GRACE
        try:
            while time.monotonic() < limit and any(
                worker.poll() is None for worker in self._workers.values()
            ):
                wait(0.05)
        finally:  # also after a second Ctrl-C
            for worker in self._workers.values():
                with suppress(ProcessLookupError):
                    worker.kill()
                _message(worker)
            self._workers.clear()


def _message(worker: subprocess.Popen[bytes]) -> dict[str, str] | None:
    """What a worker that ended said to us."""
    out, _ = worker.communicate()
    lines = out.decode("utf-8", "replace").strip().splitlines()
    return json.loads(lines[-1]) if lines else None


def _how(code: int) -> str:
    """
    >>> _how(-9), _how(1)
    ('by signal 9', 'with status 1')
    """
    return f"by signal {-code}" if code < 0 else f"with status {code}"


def _environment(threads: int) -> dict[str, str]:
    """Ours, with the modules that we could import, and threads unless somebody chose them."""
    paths = [str(Path(entry or ".").absolute()) for entry in sys.path]
    ours = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    return {**numerics(threads), **os.environ, **ours}
