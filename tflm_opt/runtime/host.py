"""The engine on this machine: compile the generated C with the host's compiler and call it.

The C that runs here is the C that will be deployed, with the kernels' portable tier; it is
what `result.predict` runs. The idea is emlearn's.

    engine = host.Engine("build/digits")
    engine.run([[image], [other]])           # outputs[sample][output]

A second engine with the same kernels compiles only its own model (`host_build`). A compiled model
has one arena: calls of one model are serialized by a lock, engines of different models run side by
side.
"""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from tflm_opt.codegen.sources import load_record
from tflm_opt.errors import InvalidModel, TflmOptError, ToolFailed
from tflm_opt.graph.ir import NUMPY_DTYPES
from tflm_opt.runtime.host_build import build, compiler, source_of

__all__ = ["Engine", "compiler", "engines"]

Samples = Sequence[Sequence[np.ndarray]]
Trace: TypeAlias = "dict[tuple[int, int], bytes]"

_SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")

# What the traced engine calls; a shared object gets it beside the model.
_TRACE_SHIM = """
typedef void (*hook_type)(int, int, const void *, int);
static hook_type hook;
void tflm_opt_set_trace(hook_type function);
void tflm_opt_trace(int op, int output, const void *data, int size);
void tflm_opt_set_trace(hook_type function) { hook = function; }
void tflm_opt_trace(int op, int output, const void *data, int size)
{
    if (hook) { hook(op, output, data, size); }
}
"""

# The whole program of a sanitized build: samples come on stdin, outputs go to stdout.
_MAIN_SHIM = """
#include <stdio.h>
#include "{name}.h"
{feed}
void tflm_opt_trace(int op, int output, const void *data, int size);
void tflm_opt_trace(int op, int output, const void *data, int size)
{{
    (void)op; (void)output; (void)data; (void)size;
}}
int main(void)
{{
    static const int in[] = {{{inputs}0}};
    static const int out[] = {{{outputs}0}};
    int i, status = {name}_init();
    for (;;) {{
        for (i = 0; i < {name_upper}_INPUT_COUNT; i++) {{
            if (fread({target}, 1, (size_t)in[i], stdin) != (size_t)in[i]) {{
                return status;
            }}
        }}
        status = {invoke};
        if (status != 0) {{ return status > 99 ? 99 : status; }}
        for (i = 0; i < {name_upper}_OUTPUT_COUNT; i++) {{
            fwrite({name}_output(i), 1, (size_t)out[i], stdout);
        }}
    }}
}}
"""

# How that program hands over the rows of a streamed input.
_FEED = """
#include <string.h>
static unsigned char sample[{name_upper}_INPUT0_SIZE];
static int feed(void *user, int8_t *dst, int row, int count)
{{
    (void)user;
    memcpy(dst, sample + (size_t)row * {row}u, (size_t)count * {row}u);
    return 0;
}}
"""

_TRACE_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_ROWS_TYPE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int
)


@dataclass(frozen=True, slots=True)
class _Port:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    bytes: int


@dataclass(frozen=True, slots=True)
class _Library:
    """One compiled model, shared by all engines of the same content."""

    path: Path
    handle: Any
    lock: threading.Lock


class Engine:
    """A generated model, compiled for this machine and callable from Python.

        engine = Engine("build/digits")
        (scores,) = engine.run([[image]])[0]

    Args:
        directory: what `codegen.write` left: `include/`, `src/`, `model.json`.
        sanitize: build with the address and undefined-behaviour sanitizers and run in a child
            process, so that a fault is a `ToolFailed` with the sanitizer's report. No traces.

    Raises:
        InvalidModel: the folder holds no generated model.
        MissingTool: no C compiler.
        ToolFailed: the C does not compile.
    """

    def __init__(self, directory: str | Path, *, sanitize: bool = False) -> None:
        self._describe(Path(directory), sanitize)
        if sanitize:
            self._program = _program(self)
        else:
            (self._library,) = _libraries([self])

    def _describe(self, directory: Path, sanitize: bool) -> None:
        self.directory = directory
        content = load_record(self.directory)
        self.name: str = _text(content, "name")
        self.inputs = _ports(content, "inputs")
        self.outputs = _ports(content, "outputs")
        self.streamed = bool(content.get("streamed", False))
        self.sanitize = sanitize

    @overload
    def run(self, samples: Samples, trace: Literal[False] = False) -> list[list[np.ndarray]]: ...
    @overload
    def run(self, samples: Samples, trace: Literal[True]) -> list[Trace]: ...
    def run(self, samples: Samples, trace: bool = False) -> list[list[np.ndarray]] | list[Trace]:
        """Outputs of each sample, `run([[x0], [x1]])[1][0]` for `x1`; new arrays.

        A sample is a list with one array for each input, of exactly its shape and dtype. With
        `trace`, each sample's traces come instead (see `trace`).

        Raises:
            TflmOptError: wrong number, shape or dtype of inputs.
            ToolFailed: a kernel refused its arguments, or a sanitizer found a fault.
        """
        checked = [self._checked(i, sample) for i, sample in enumerate(samples)]
        if trace:
            return [self._traced(sample) for sample in checked]
        if self.sanitize:
            return self._run_child(checked)
        with self._library.lock:
            return [self._invoke(sample) for sample in checked]

    def trace(self, sample: Sequence[np.ndarray]) -> Trace:
        """The bytes of every op's outputs, by (op's index in `graph.ops`, output's index)."""
        return self._traced(self._checked(0, sample))

    def _checked(self, index: int, sample: Sequence[np.ndarray]) -> list[np.ndarray]:
        if len(sample) != len(self.inputs):
            raise TflmOptError(
                f"sample {index} has {len(sample)} arrays and the model {self.name!r} has "
                f"{len(self.inputs)} inputs. Give one array for each input"
            )
        arrays = [np.asarray(value) for value in sample]
        for port, array in zip(self.inputs, arrays, strict=True):
            if array.shape != port.shape or array.dtype != port.dtype:
                raise TflmOptError(
                    f"sample {index}, input {port.name!r}: got {array.dtype} of shape "
                    f"{list(array.shape)}, need {port.dtype} of shape {list(port.shape)}"
                )
        return [np.ascontiguousarray(array) for array in arrays]

    def _invoke(self, sample: Sequence[np.ndarray]) -> list[np.ndarray]:
        handle = self._library.handle
        if self.streamed:
            status = handle.invoke(_feeder(sample[0]), None)
        else:
            for i, array in enumerate(sample):
                ctypes.memmove(handle.input(i), array.ctypes.data, array.nbytes)
            status = handle.invoke()
        if status != 0:
            raise ToolFailed(self.name, f"the kernel of op {status - 1} refused its arguments")
        return [
            np.frombuffer(ctypes.string_at(handle.output(i), port.bytes), port.dtype)
            .reshape(port.shape)
            .copy()
            for i, port in enumerate(self.outputs)
        ]

    def _traced(self, sample: Sequence[np.ndarray]) -> Trace:
        if self.sanitize:
            raise TflmOptError("a sanitized engine keeps no traces. Use Engine(directory)")
        found: Trace = {}

        def hook(op: int, output: int, data: int | None, size: int) -> None:
            found[op, output] = ctypes.string_at(data, size) if data else b""

        callback = _TRACE_TYPE(hook)
        with self._library.lock:
            self._library.handle.set_trace(callback)
            try:
                self._invoke(sample)
            finally:
                self._library.handle.set_trace(_TRACE_TYPE())
        return found

    def _run_child(self, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        if not self.inputs:
            raise TflmOptError("a model without inputs can't run sanitized")
        data = b"".join(array.tobytes() for sample in samples for array in sample)
        try:
            done = subprocess.run(
                [str(self._program)], input=data, capture_output=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ToolFailed(self.name, "still running after 600 s; it was stopped") from error
        if done.returncode != 0:
            report = done.stderr.decode(errors="replace").strip()[-3000:]
            raise ToolFailed(self.name, f"exit status {done.returncode}", output=report)
        results: list[list[np.ndarray]] = []
        offset = 0
        for _ in samples:
            row = []
            for port in self.outputs:
                chunk = done.stdout[offset : offset + port.bytes]
                row.append(np.frombuffer(chunk, port.dtype).reshape(port.shape).copy())
                offset += port.bytes
            results.append(row)
        return results


def _feeder(array: np.ndarray) -> Any:
    """The callback that hands over rows of a streamed input, as firmware would."""
    size = array.nbytes // array.shape[1]

    def next_rows(_user: int | None, target: int, row: int, count: int) -> int:
        ctypes.memmove(target, array.ctypes.data + row * size, count * size)
        return 0

    return _ROWS_TYPE(next_rows)


@dataclass(frozen=True, slots=True)
class _Handle:
    """The entry points of a loaded model, typed."""

    input: Any
    invoke: Any
    output: Any
    set_trace: Any


_LIBRARIES: dict[tuple[str, str], _Library] = {}
_BUILD_LOCK = threading.Lock()


def engines(directories: Sequence[str | Path], *, flags: Sequence[str] = ()) -> list[Engine]:
    """Several models compiled into one file, which takes less time than one by one.

        first, second = host.engines(["build/a", "build/b"], flags=["-O0"])

    They share a lock, so they run one after the other.

    Args:
        directories: as `Engine`; the names of the models must differ.
        flags: more flags for the models' own C, not for kernels.

    Raises: as `Engine`; and TflmOptError if two models have one name.
    """
    found = []
    for directory in directories:
        engine = Engine.__new__(Engine)
        engine._describe(Path(directory), sanitize=False)
        found.append(engine)
    names = [engine.name for engine in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TflmOptError(f"two of the models are called {twice!r}: generate them with own names")
    for engine, library in zip(found, _libraries(found, flags), strict=True):
        engine._library = library
    return found


def _libraries(engines: Sequence[Engine], flags: Sequence[str] = ()) -> list[_Library]:
    with _BUILD_LOCK:
        folders = [engine.directory for engine in engines]
        link = ("-shared", "-Wl,-Bsymbolic")
        path = build(folders, [source_of(_TRACE_SHIM)], ".so", own=flags, link=link)
        lock = threading.Lock()
        for engine in engines:
            if (str(path), engine.name) not in _LIBRARIES:
                handle = _open(path, engine.name, engine.streamed)
                _LIBRARIES[str(path), engine.name] = _Library(path, handle, lock)
        return [_LIBRARIES[str(path), engine.name] for engine in engines]


def _open(path: Path, name: str, streamed: bool) -> _Handle:
    library = ctypes.CDLL(str(path))
    entry = {part: getattr(library, f"{name}_{part}") for part in ("init", "input", "output")}
    invoke = getattr(library, f"{name}_invoke{'_rows' if streamed else ''}")
    if streamed:
        invoke.argtypes = [_ROWS_TYPE, ctypes.c_void_p]
    entry["input"].restype = entry["output"].restype = ctypes.c_void_p
    entry["input"].argtypes = entry["output"].argtypes = [ctypes.c_int]
    library.tflm_opt_set_trace.argtypes = [_TRACE_TYPE]
    library.tflm_opt_set_trace.restype = None
    status = entry["init"]()
    if status != 0:
        raise ToolFailed(name, f"init returned {status}")
    return _Handle(entry["input"], invoke, entry["output"], library.tflm_opt_set_trace)


def _program(engine: Engine) -> Path:
    names = {"name": engine.name, "name_upper": engine.name.upper()}
    feed, target, invoke = "", f"{engine.name}_input(i)", f"{engine.name}_invoke()"
    if engine.streamed:
        port = engine.inputs[0]
        feed = _FEED.format(**names, row=port.bytes // port.shape[1])
        target, invoke = "sample", f"{engine.name}_invoke_rows(feed, NULL)"
    text = _MAIN_SHIM.format(
        **names,
        feed=feed,
        target=target,
        invoke=invoke,
        inputs="".join(f"{port.bytes}, " for port in engine.inputs),
        outputs="".join(f"{port.bytes}, " for port in engine.outputs),
    )
    with _BUILD_LOCK:
        return build([engine.directory], [source_of(text)], ".out", flags=_SANITIZE, link=_SANITIZE)


def _text(content: dict[str, object], key: str) -> str:
    value = content[key]
    if not isinstance(value, str) or not value.isidentifier():
        raise InvalidModel(f"model.json: {key} is not a name")
    return value


def _ports(content: dict[str, object], key: str) -> tuple[_Port, ...]:
    try:
        return tuple(
            _Port(
                str(row["name"]),
                tuple(int(size) for size in row["shape"]),
                np.dtype(NUMPY_DTYPES[row["dtype"]]),
                int(row["bytes"]),
            )
            for row in content[key]  # type: ignore[attr-defined]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidModel(f"model.json: {key} can't be read ({error})") from error
