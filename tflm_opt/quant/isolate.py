"""Leave no trace: the caller's global state is put back, and the converter's chatter held.

TensorFlow logs from C++ straight to file descriptor 2, past `sys.stderr`; so the descriptor
itself is turned to a temporary file for the time of a call. What is no chatter (glog lines of
level I and W, and a few known banners) is passed on afterwards, errors too.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import random
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHATTER = re.compile(
    r"^([IW]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] |INFO:|WARNING:|"
    r"fully_quantize: |To enable the following instructions|.*(cuda|cuDNN|cuInit|cuBLAS|cuFFT)|"
    r"INFO: Created TensorFlow Lite|\s*$)",
    re.IGNORECASE,
)
_ONE_AT_A_TIME = threading.RLock()
_KERAS_SEEDS = ("global_random_seed", "global_seed_generator")
_LOGGERS = ("tensorflow", "absl", "tensorflow.lite")


@dataclass(frozen=True, slots=True)
class Silence:
    """File descriptor 2 while it is held back.

    Attributes:
        passed_on: the lines that were no chatter; filled at the end.
        real: a duplicate of the real stderr, or None where the process has none.
        held: where descriptor 2 leads now.
    """

    passed_on: list[str]
    real: int | None
    held: int

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """The real stderr for a moment: for a user's callback, which may draw a progress bar."""
        if self.real is None:
            yield
            return
        _flush()
        os.dup2(self.real, 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(self.held, 2)


@contextlib.contextmanager
def quiet() -> Iterator[Silence]:
    """Hold back chatter on file descriptor 2, Python warnings, and TensorFlow's loggers.

    One thread at a time: descriptor 2 and the warning filters belong to the whole process.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with _ONE_AT_A_TIME, warnings.catch_warnings(), _held_stderr() as silence:
        warnings.simplefilter("ignore")
        try:
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield silence
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _held_stderr() -> Iterator[Silence]:
    _flush()
    try:
        real = os.dup(2)
    except OSError:  # no stderr at all, as in a daemon
        yield Silence([], None, -1)
        return
    with tempfile.TemporaryFile() as file:
        silence = Silence([], real, file.fileno())
        os.dup2(file.fileno(), 2)
        try:
            yield silence
        finally:
            _flush()
            os.dup2(real, 2)
            os.close(real)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
            silence.passed_on.extend(line for line in lines if not _CHATTER.match(line))
            for line in silence.passed_on:
                os.write(2, f"{line}\n".encode())


def _flush() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Put the process's global state back: environment, random generators, Keras's names.

    Importing TensorFlow for the first time sets a few environment variables of its own; call
    this after the import, so that those stay.
    """
    environment = dict(os.environ)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    names = dict(_keras_name_counts() or {})
    scopes = list(_keras_scopes() or ())
    seeds = {name: _keras_state(name) for name in _KERAS_SEEDS}
    drawn = _drawn(seeds)
    legacy = {graph: dict(counts) for graph, counts in _tf_keras_name_counts().items()}
    context = _tensorflow_context()
    tf_state = {key: copy.deepcopy(getattr(context, key, None)) for key in ("_seed", "_rng")}
    try:
        yield
    finally:
        _restore_environment(environment)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        counts = _keras_name_counts()
        if counts is not None:
            counts.clear()
            counts.update(names)
        _restore_tf_keras_names(legacy)
        _restore_keras_seeds(seeds, drawn)
        left = _keras_scopes()
        if left is not None:
            left[:] = scopes
        for key, value in tf_state.items():
            if hasattr(context, key):
                setattr(context, key, value)


def _restore_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _keras_name_counts() -> dict[str, int] | None:
    """How many layers of each class Keras has named: loading a model must not shift "conv2d_3"."""
    return _keras_state("object_name_uids")


def _drawn(seeds: dict[str, Any]) -> Any:
    """How far Keras's own generator has come, None where there is none yet."""
    generator = seeds["global_seed_generator"]
    return None if generator is None else np.array(generator.state)


def _restore_keras_seeds(before: dict[str, Any], drawn: Any) -> None:
    state = sys.modules.get("keras.src.backend.common.global_state")
    if state is None:
        return
    for name, value in before.items():
        if state.get_global_attribute(name) is not value:
            state.set_global_attribute(name, value)
    if drawn is not None:
        before["global_seed_generator"].state.assign(drawn)


def _tf_keras_name_counts() -> Any:
    """The same of tf_keras, which counts a graph apart."""
    backend = sys.modules.get("tf_keras.src.backend")
    return getattr(backend, "PER_GRAPH_OBJECT_NAME_UIDS", {})


def _restore_tf_keras_names(before: dict[Any, dict[Any, int]]) -> None:
    counts = _tf_keras_name_counts()
    for graph in list(counts):
        counts[graph].clear()
        counts[graph].update(before.get(graph, {}))


def _keras_scopes() -> list[Any] | None:
    """The open name scopes: Keras leaves one open whose name TensorFlow refuses."""
    return _keras_state("name_scope_stack")


def _keras_state(name: str) -> Any:
    state = sys.modules.get("keras.src.backend.common.global_state")
    return None if state is None else state.get_global_attribute(name)


def _tensorflow_context() -> Any:
    """TensorFlow's eager context, which holds the global seed and the generator behind it."""
    module = sys.modules.get("tensorflow.python.eager.context")
    return None if module is None else module.context()
