"""Damaged and hostile files: an error of ours, quickly and in little memory, or a graph.

Whatever `read` accepts, `check`, `write` and `text.dump` must survive too.
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from graph.file_tables import fb, kitchen_sink, operator, pack, table, tensor
from graph.small_graphs import residual, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt import graph
from tflm_opt.errors import InvalidModel, UnsupportedModel
from tflm_opt.graph import preflight, schema

TINY = graph.write(tiny())
RESIDUAL = graph.write(residual())
SINK = pack(kitchen_sink())


def survive(data: bytes) -> bool:
    """Read and use a file as far as it goes; True if `read` accepted it."""
    try:
        g = graph.read(data, "fuzzed.tflite")
    except (InvalidModel, UnsupportedModel):
        return False
    for use in (graph.check, graph.write, graph.text.dump, graph.geometry.macs):
        try:
            made = use(g)
        except UnsupportedModel:
            continue
        if use is graph.write:
            graph.read(made)
    return True


def test_every_truncation_is_refused() -> None:
    for length in range(len(TINY)):
        with pytest.raises(InvalidModel):
            graph.read(TINY[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\0" * 4 + b"TFL3",
        b"\0" * 64,
        b"not a model",
        b"\xff" * 4096,
        b"PK\3\4" * 99,
    ],
)
def test_what_is_no_model_at_all(data: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"model\.tflite: .*not a \.tflite file"):
        graph.read(data, "model.tflite")


def test_an_empty_flatbuffer_has_no_graph() -> None:
    with pytest.raises(InvalidModel, match="no subgraph"):
        graph.read(pack(table("Model", version=3)))


@pytest.mark.parametrize("name", ["TINY", "RESIDUAL", "SINK"])
def test_flipped_bits(name: str) -> None:
    data, rng = globals()[name], random.Random(name)
    accepted = 0
    for _ in range(350):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        accepted += survive(bytes(broken))
    assert accepted  # else the mutations only test the first check


@pytest.mark.parametrize("value", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x00FFFFFF, 0x10000, 0, 1])
def test_inflated_words(value: int) -> None:
    """Every aligned word, be it a length, an offset or a value, in turn."""
    for at in range(0, len(TINY) - 3, 4):
        survive(TINY[:at] + struct.pack("<I", value) + TINY[at + 4 :])


@pytest.mark.parametrize("value", [0xFFFF, 0x8000, 0x7FFF, 4])
def test_inflated_halfwords(value: int) -> None:
    """Vtables are made of halfwords."""
    for at in range(0, len(TINY) - 1, 2):
        survive(TINY[:at] + struct.pack("<H", value) + TINY[at + 2 :])


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([TINY, SINK, RESIDUAL]),
    edits=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=9)), max_size=5
    ),
    cut=st.integers(0, 64),
)
def test_any_edit(base: bytes, edits: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(base[: len(base) - cut])
    for at, content in edits:
        at %= len(data)
        data[at : at + len(content)] = content
    survive(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_the_identifier(tail: bytes) -> None:
    survive(b"\x10\0\0\0TFL3" + b"\0" * 8 + tail)


def test_indices_out_of_range_are_named() -> None:
    cases = {
        "an input of subgraph 0 refers to number 99 of 15": lambda m: _set(
            m.subgraphs[0], "inputs", [99]
        ),
        "refers to number -2 of 15": lambda m: _set(m.subgraphs[0].operators[0], "inputs", [-2]),
        "an output of subgraph 0, op 1": lambda m: _set(
            m.subgraphs[0].operators[1], "outputs", [15]
        ),
        "refers to number 7 of 7": lambda m: _set(m.subgraphs[0].operators[1], "opcodeIndex", 7),
        "tensor 1 .*refers to number 77 of 9": lambda m: _set(
            m.subgraphs[0].tensors[1], "buffer", 77
        ),
        "metadata 'nothing' refers to number 9 of 9": lambda m: _set(m.metadata[1], "buffer", 9),
        "signature 'side' refers to number 2 of 2": lambda m: _set(
            m.signatureDefs[1], "subgraphIndex", 2
        ),
        "negative size": lambda m: _set(m.subgraphs[0].tensors[0], "shape", [1, -4, 4, 2]),
        "65536, 65536": lambda m: _set(m.subgraphs[0].tensors[0], "shape", [65536, 65536]),
        "9 dimensions": lambda m: _set(m.subgraphs[0].tensors[0], "shape", [1] * 9),
        "needs 6 bytes.* holds 16": lambda m: _set(m.subgraphs[0].tensors[1], "buffer", 4),
        "3 scales and 2 zero points": lambda m: _set(
            m.subgraphs[0].tensors[1].quantization, "zeroPoint", [0, 0]
        ),
        "not finite": lambda m: _set(
            m.subgraphs[0].tensors[0].quantization, "scale", [float("nan")]
        ),
        "unknown element type 99": lambda m: _set(m.subgraphs[0].tensors[0], "type", 99),
        "unknown opcode 2000": lambda m: _set(m.operatorCodes[1], "builtinCode", 2000),
        r"CONV_2D\) has options that don't match": lambda m: _set(
            m.subgraphs[0].operators[0].builtinOptions, "strideH", 0
        ),
    }
    for message, damage in cases.items():
        model = kitchen_sink()
        damage(model)
        with pytest.raises(InvalidModel, match=message):
            graph.read(pack(model))


def _set(target: object, name: str, value: object) -> None:
    assert hasattr(target, name)
    setattr(target, name, value)


def test_fields_of_a_newer_schema_are_refused_and_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the installed schema knew one field of Tensor less."""
    known = preflight._known_slots(fb.Tensor)
    monkeypatch.setattr(
        preflight, "_known_slots", lambda cls: known - 8 if cls is fb.Tensor else 14
    )
    with pytest.raises(UnsupportedModel, match=r"fields in Tensor .*Upgrade"):
        graph.read(TINY)


def test_the_walk_knows_every_field_that_leads_on() -> None:
    """Vectors by their Length accessors, tables and strings by what the accessors return."""
    data = pack(kitchen_sink())
    seen: set[str] = set()

    def follow(found: object) -> None:
        cls = type(found)
        fields = {field.name: field.kind for field in preflight._fields(cls)}
        for name in vars(cls):
            if name.endswith("Length"):
                assert name.removesuffix("Length") in fields, (cls, name)
        for name, kind in fields.items():
            if kind == "tables":
                for i in range(getattr(found, name + "Length")()):
                    follow(getattr(found, name)(i))
            elif kind == "table" and getattr(found, name)() is not None:
                follow(getattr(found, name)())
            elif kind == "union":
                assert name in preflight._UNIONS
        seen.add(cls.__name__)

    follow(fb.Model.GetRootAs(data, 0))
    assert {"Model", "SubGraph", "Tensor", "Operator", "QuantizationParameters"} <= seen


@pytest.mark.parametrize("name", sorted(n for n in schema.OPTION_NAMES.values() if n != "NONE"))
def test_the_walk_knows_every_vector_of_an_options_table(name: str) -> None:
    cls = getattr(fb, name)
    lengths = {n.removesuffix("Length") for n in vars(cls) if n.endswith("Length")}
    assert lengths <= {field.name for field in preflight._fields(cls)}


BOMBS = ("tensors", "operators", "buffers", "names", "options", "shapes", "millions", "subgraphs")

CHILD = textwrap.dedent(
    """
    import resource, sys, time
    sys.path[:0] = {path!r}
    from graph import bombs
    from tflm_opt import graph
    from tflm_opt.errors import InvalidModel, UnsupportedModel
    data = bombs.BOMBS[sys.argv[1]]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    start = time.process_time()
    try:
        made = graph.read(data)
        outcome = "accepted"
        graph.write(made)
        graph.text.dump(made)
        graph.check(made)
    except (InvalidModel, UnsupportedModel) as error:
        outcome = str(error)
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(len(data), round(seconds, 2), grown * 1024, outcome[:200])
    """
)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_defused(name: str) -> None:
    """Files that say much with little: bounded time and memory, in a child with limits."""
    root = Path(__file__).resolve().parents[2]
    code = CHILD.format(path=[str(root), str(root / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    size, seconds, grown, outcome = done.stdout.split(maxsplit=3)
    assert float(seconds) < 20, (name, outcome)
    assert int(grown) < 40 * int(size) + (200 << 20), (name, outcome)


def test_a_cycle_of_ops_is_no_trouble() -> None:
    sub = table(
        "SubGraph",
        tensors=[tensor(n, [1]) for n in "abc"],
        inputs=[0],
        outputs=[1],
        operators=[operator(0, [2], [1]), operator(0, [1], [2])],
    )
    code = table("OperatorCode", builtinCode=19, deprecatedBuiltinCode=19)
    data = pack(table("Model", operatorCodes=[code], subgraphs=[sub]))
    assert survive(data)
