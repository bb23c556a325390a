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
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

_CHATTER = re.compile(
    r"^([IW]\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] |INFO:|WARNING:|"
    r"fully_quantize: |To enable the following instructions|.*(cuda|cuDNN|cuInit|cuBLAS|cuFFT)|"
    r"INFO: Created TensorFlow Lite|\s*$)",
    re.IGNORECASE,
)
_LOGGERS = ("tensorflow", "absl", "tensorflow.lite")


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Hold back chatter on file descriptor 2, Python warnings, and TensorFlow's loggers.

    Yields:
        A list that is filled, at the end, with the lines that were no chatter.
    """
    kept: list[str] = []
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings(), _held_stderr(kept):
        warnings.simplefilter("ignore")
        try:
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield kept
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _held_stderr(kept: list[str]) -> Iterator[None]:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as in a daemon
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            with contextlib.suppress(AttributeError, OSError, ValueError):
                sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            text = held.read().decode(errors="replace")
            kept += [line for line in text.splitlines() if not _CHATTER.match(line)]
            if kept:
                os.write(2, ("\n".join(kept) + "\n").encode())


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Put the process's global state back: environment, random generators, Keras's names.

    Importing TensorFlow for the first time sets a few environment variables of its own; call
    this after the import, so that those stay.
    """
    environment = dict(os.environ)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    names = dict(_keras_name_counts() or {})
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
    state = sys.modules.get("keras.src.backend.common.global_state")
    return None if state is None else state.get_global_attribute("object_name_uids")


def _tensorflow_context() -> Any:
    """TensorFlow's eager context, which holds the global seed and the generator behind it."""
    module = sys.modules.get("tensorflow.python.eager.context")
    return None if module is None else module.context()
