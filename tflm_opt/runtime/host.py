"""The engine on this machine: compile the generated C with the host's compiler and call it.

The C that runs here is the C that will be deployed, with the kernels' portable tier; it is
what `result.predict` runs. The idea is emlearn's.

    engine = host.Engine("build/digits")
    engine.run([[image], [other]])           # outputs[sample][output]

Objects are cached by content in a temporary folder that goes when the process ends, so a
second engine with the same kernels compiles only its own model. A compiled model has one arena:
calls of one model are serialized by a lock, engines of different models run side by side.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from tflm_opt.codegen.sources import load_record
from tflm_opt.errors import InvalidModel, MissingTool, TflmOptError, ToolFailed
from tflm_opt.graph.ir import NUMPY_DTYPES

Samples = Sequence[Sequence[np.ndarray]]
Trace: TypeAlias = "dict[tuple[int, int], bytes]"

_FLAGS = ("-std=c99", "-O2", "-fPIC", "-ffp-contract=off", "-DTFLM_OPT_TRACE")
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
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        self.directory = Path(directory)
        content = load_record(self.directory)
        self.name: str = _text(content, "name")
        self.inputs = _ports(content, "inputs")
        self.outputs = _ports(content, "outputs")
        self.streamed = bool(content.get("streamed", False))
        self.sanitize = sanitize
        if sanitize:
            self._program = _program(self)
        else:
            self._library = _library(self.directory, self.name, self.streamed)

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


def compiler() -> str:
    """The host's C compiler. Raises MissingTool."""
    for name in ("gcc", "clang", "cc"):
        found = shutil.which(name)
        if found:
            return found
    raise MissingTool(
        "a C compiler (gcc or clang)",
        needed_for="to run the engine on this machine",
        install="apt-get install gcc",
    )


@dataclass(frozen=True, slots=True)
class _Handle:
    """The entry points of a loaded model, typed."""

    input: Any
    invoke: Any
    output: Any
    set_trace: Any


_LIBRARIES: dict[str, _Library] = {}
_BUILD_LOCK = threading.Lock()


def _library(directory: Path, name: str, streamed: bool) -> _Library:
    with _BUILD_LOCK:
        shim = _cached_text(_TRACE_SHIM)
        path = _build(directory, [shim], (), ("-shared", "-Wl,-Bsymbolic"), ".so")
        if str(path) not in _LIBRARIES:
            _LIBRARIES[str(path)] = _Library(path, _open(path, name, streamed))
        return _LIBRARIES[str(path)]


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
        return _build(engine.directory, [_cached_text(text)], _SANITIZE, _SANITIZE, ".out")


def _build(
    directory: Path, extra: list[Path], flags: Sequence[str], link: Sequence[str], suffix: str
) -> Path:
    """Compile each source once, link them: the product's path in the cache."""
    sources = sorted((directory / "src").glob("*.c")) + extra
    headers = sorted((directory / "include").glob("*.h"))
    if len(sources) == len(extra) or not headers:
        raise InvalidModel("no C sources in src/ and include/", source=str(directory))
    shared = _digest(*(p.name.encode() + p.read_bytes() for p in headers if _is_library(p)))
    own = _digest(*(p.name.encode() + p.read_bytes() for p in headers))
    objects = [
        _object(source, directory / "include", shared if _is_kernel(source) else own, flags)
        for source in sources
    ]
    product = _cache() / (
        _digest(*(p.name.encode() for p in objects), repr(link).encode()) + suffix
    )
    if not product.exists():
        partial = product.with_suffix(f".tmp{suffix}")
        _compile([*link, *map(str, objects), "-o", str(partial)])
        partial.rename(product)
    return product


def _is_library(path: Path) -> bool:
    return path.name.startswith("tflm_opt_")


def _is_kernel(path: Path) -> bool:
    return path.name.startswith(("tflm_opt_", "arm_"))


def _object(source: Path, include: Path, headers: str, flags: Sequence[str]) -> Path:
    key = _digest(source.read_bytes(), headers.encode(), repr(flags).encode())
    path = _cache() / f"{key}.o"
    if not path.exists():
        partial = path.with_suffix(".tmp.o")
        _compile([*_FLAGS, *flags, f"-I{include}", "-c", str(source), "-o", str(partial)])
        partial.rename(path)
    return path


def _compile(arguments: Sequence[str]) -> None:
    tool = compiler()
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[:30])
        raise ToolFailed(tool, "the generated C does not compile", output=tail)


def _digest(*parts: bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()[:32]


def _cached_text(text: str) -> Path:
    path = _cache() / f"{_digest(text.encode())}.c"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    return path


@cache
def _cache() -> Path:
    path = Path(tempfile.mkdtemp(prefix="tflm_opt_host_"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


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
