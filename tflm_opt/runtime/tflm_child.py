"""The child process of `runtime.tflm`: the only place that loads TFLM's interpreter.

TFLM checks little and may abort, or overrun memory, on a bad model; here that ends this process
and not the user's. The script is started by path, with one argument: a folder that holds
`request.json` (one record a model), `<n>.tflite`, and `request.npy` (the samples, one after
another in NumPy's own format). It leaves `reply.json` and `reply.npy` beside them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

# Started by path, so this script's folder is the first entry: its modules must shadow nothing.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

import numpy as np  # noqa: E402

MEMORY_LIMIT = 8 << 30  # bytes of address space: a hostile model cannot take the machine down
NO_WHEEL = 3  # exit status: the wheel `tflite-micro` cannot be imported
BAD_SAMPLE = 4  # exit status: a sample does not match the model's inputs
REFUSED = 5  # exit status: the model cannot be parsed, prepared or invoked

_ALLOCATION = re.compile(rb"^\[RecordingMicroAllocator\] (.+)$", re.MULTILINE)
_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(r"'(.+)' used (\d+) bytes")


class BadSample(Exception):
    """A sample that this model cannot take."""


def captured_stderr(call: Any) -> bytes:
    """What `call()` writes to file descriptor 2, from C++ too."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            call()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        return file.read()


def parse_allocations(text: bytes) -> dict[str, Any]:
    """Read the recording allocator's lines: total, head, tail, and its named parts, in bytes."""
    lines = [line.decode("ascii", "replace") for line in _ALLOCATION.findall(text)]
    totals = {m[1]: int(m[2]) for m in map(_TOTAL.match, lines) if m}
    parts = {m[1]: int(m[2]) for m in map(_PART.match, lines) if m}
    if set(totals) != {"total", "head", "tail"}:
        raise RuntimeError("TFLM did not report its allocations:\n" + "\n".join(lines))
    return {**totals, "parts": parts}


def check_sample(inputs: list[np.ndarray], details: list[dict[str, Any]], where: str) -> None:
    """Raise `BadSample` unless `inputs` has the number, dtypes and shapes that the model takes."""
    if len(inputs) != len(details):
        raise BadSample(
            f"{where} holds {len(inputs)} arrays, and the model has {len(details)} inputs"
        )
    for index, (array, detail) in enumerate(zip(inputs, details, strict=True)):
        want = (np.dtype(detail["dtype"]), tuple(int(n) for n in detail["shape"]))
        if (array.dtype, array.shape) != want:
            raise BadSample(
                f"{where}, input {index}: {array.dtype}{list(array.shape)}, "
                f"and the model takes {want[0]}{list(want[1])}"
            )


def run_model(
    model: bytes, record: dict[str, Any], request: BinaryIO, reply: BinaryIO, place: str
) -> dict[str, Any]:
    """Run one model over its samples; append the outputs to `reply`, return its record."""
    from tflite_micro.python.tflite_micro import runtime

    subgraph: Any = runtime.schema_fb.Model.GetRootAsModel(model, 0).Subgraphs(0)
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=record["arena"])
    details = [interpreter.get_input_details(i) for i in range(subgraph.InputsLength())]
    outputs = subgraph.OutputsLength()
    for number, arrays in enumerate(record["samples"]):
        inputs = [np.load(request, allow_pickle=False) for _ in range(arrays)]
        check_sample(inputs, details, f"{place}sample {number}")
        interpreter.reset()
        for index, array in enumerate(inputs):
            interpreter.set_input(array, index)
        interpreter.invoke()
        for index in range(outputs):
            np.save(reply, interpreter.get_output(index), allow_pickle=False)
    result: dict[str, Any] = {"outputs": outputs}
    if record["allocations"]:
        result["allocations"] = parse_allocations(captured_stderr(interpreter.print_allocations))
    return result


def main(folder: Path) -> int:
    """Serve the request in `folder`; return the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    try:
        import tflite_micro  # noqa: F401
    except ImportError as error:
        print(f"cannot import tflite_micro: {error}", file=sys.stderr)
        return NO_WHEEL
    records = json.loads((folder / "request.json").read_text("utf-8"))
    results = []
    with open(folder / "request.npy", "rb") as request, open(folder / "reply.npy", "wb") as reply:
        for number, record in enumerate(records):
            (folder / "at").write_text(str(number), "ascii")
            model = (folder / f"{number}.tflite").read_bytes()
            place = f"model {number}, " if len(records) > 1 else ""
            try:
                results.append(run_model(model, record, request, reply, place))
            except BadSample as error:
                print(error, file=sys.stderr)
                return BAD_SAMPLE
            except Exception as error:  # whatever a hostile file makes of the parser
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                return REFUSED
    (folder / "reply.json").write_text(json.dumps(results), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
