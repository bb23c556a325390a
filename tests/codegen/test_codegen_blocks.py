"""Which lines of generated code belong to which op, for every form that a stage can have."""

from __future__ import annotations

import re

import pytest
from small_models import residual_net

from tflm_opt import arena, codegen
from tflm_opt.codegen.blocks import REST, Owner, pieces
from tflm_opt.graph.ir import Graph
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage, layer_by_layer

FAILS = re.compile(r"!= ARM_CMSIS_NN_SUCCESS\) \{ return (\d+); \}")  # a kernel's call, by its op
SHIFTS = re.compile(r"tflm_opt_lines_shift\(&moved")


def images(g: Graph) -> int:
    """How many of the net's first ops make images."""
    return sum(len(op.output.shape) == 4 and op.output.shape[1] > 1 for op in g.ops)


def banded(g: Graph, columns: Columns | None, input: str) -> Schedule:
    """Some ops as one stage, the others whole."""
    count = images(g)
    single = layer_by_layer(g).stages
    return Schedule((Stage(g.ops[:count], 2, columns), *single[count:]), input)


SCHEDULES = {
    "whole": lambda g: layer_by_layer(g),
    "rows": lambda g: banded(g, None, "resident"),
    "streamed rows": lambda g: banded(g, None, "streamed"),
    "columns": lambda g: banded(g, Columns(2), "resident"),
    "streamed columns": lambda g: banded(g, Columns(3), "streamed"),
    "strips": lambda g: banded(g, Columns(3, kept=False), "resident"),
}


def generated(g: Graph, form: str) -> tuple[list[str], dict[int, Owner], str]:
    """Lines of a net's code, their owners by number, and the text."""
    schedule = SCHEDULES[form](g)
    plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05)
    sources = codegen.generate(g, plan, name="net")
    text = sources.files["src/net.c"]
    found = pieces(text, "net_invoke_rows" if sources.streamed else "net_invoke")
    owners = {line: piece.owner for piece in found for line in range(piece.first, piece.end)}
    assert sum(piece.end - piece.first for piece in found) == len(owners), "pieces overlap"
    return text.splitlines(), owners, text


@pytest.mark.parametrize("form", SCHEDULES)
def test_every_call_belongs_to_the_op_whose_status_it_returns(form: str) -> None:
    g = residual_net(12)
    lines, owners, _ = generated(g, form)
    calls = 0
    for number, line in enumerate(lines, 1):
        match = FAILS.search(line)
        if "tflm_opt_convolve_pixels_s8(" in line:  # returns nothing either
            calls += 1
            assert owners[number].kind == "CONV_2D", line
        if match:
            calls += 1
            owner = owners[number]
            assert (owner.what, owner.index) == ("op", int(match[1]) - 1), line
            assert owner.kind == g.ops[owner.index].kind
            assert (owner.stage == 0) == (form != "whole" and owner.index < images(g))
    assert calls >= len(g.ops) - 3  # views call nothing; sums and softmax return nothing


@pytest.mark.parametrize("form", SCHEDULES)
def test_what_no_op_does_belongs_to_the_stage_or_the_input(form: str) -> None:
    lines, owners, text = generated(residual_net(12), form)
    code = dict(enumerate(lines, 1))
    shifts = {owners[n].what for n, line in code.items() if n in owners and SHIFTS.search(line)}
    assert shifts == ({"stage"} if "tflm_opt_lines_shift(" in text else set())
    loops = {owners[n].what for n, line in code.items() if n in owners and "step++" in line}
    assert loops == (set() if form == "whole" else {"stage"})
    parts = {owners[n].what for n, line in code.items() if n in owners and "part++" in line}
    assert parts == ({"stage"} if "columns" in form or form == "strips" else set())
    rows = {owners[n].what for n, line in code.items() if n in owners and "next_rows(user" in line}
    assert rows == ({"input"} if "streamed" in form else set())
    last = max(n for n in owners if code[n].strip() == "return 0;")
    assert owners[last] == REST


def test_a_move_is_no_op_s() -> None:
    text = """\
int net_invoke(void)
{
    tflm_opt_move_bytes(arena + 16, arena + 0, 8);

    /* 0 RESHAPE: flat [1, 8] */
    tflm_opt_move_bytes((int8_t *)(arena + 0), (const int8_t *)(arena + 16), 8);
    TRACE(0, 0, (const int8_t *)(arena + 0), 8);
    return 0;
}
"""
    owners = {n: p.owner for p in pieces(text, "net_invoke") for n in range(p.first, p.end)}
    assert owners[3].what == "move"
    assert owners[4] == REST
    assert (owners[6].what, owners[6].kind) == ("op", "RESHAPE")


def test_a_function_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no function other_invoke"):
        pieces("int net_invoke(void)\n{\n}\n", "other_invoke")
