"""The stack analysis on small texts: what GCC and objdump write, by hand."""

from __future__ import annotations

import pytest

from tflm_opt.runtime.stack import parse_stack_usage, worst_case

LEAF = "00008000 <leaf>:\n    8000:\tpush\t{r4, r5, lr}\n    8002:\tpop\t{r4, r5, pc}\n"
BIG = (
    "00008010 <big>:\n"
    "    8010:\tstmdb\tsp!, {r4, r5, r6, r7, r8, lr}\n"
    "    8014:\tvpush\t{d8-d9}\n"
    "    8018:\tsub.w\tsp, sp, #400\t@ 0x190\n"
    "    801c:\tbl\t8000 <leaf>\n"
)
ENTRY = (
    "00008020 <entry>:\n"
    "    8020:\tpush\t{r3, lr}\n"
    "    8022:\tbl\t8000 <leaf>\n"
    "    8026:\tbne.n\t8022 <entry+0x2>\n"
    "    8028:\tldmia.w\tsp!, {r3, lr}\n"
    "    802c:\tb.w\t8010 <big>\n"
)


def test_deepest_path_from_pushes_alone() -> None:
    bound = worst_case("entry", ENTRY + LEAF + BIG, [])
    assert bound.size == 8 + (24 + 16 + 400) + 12
    assert bound.path == ("entry (8)", "big (440)", "leaf (12)")


def test_compiler_figures_come_first() -> None:
    usage = "a.c:1:5:entry\t16\tstatic\na.c:9:5:big\t456\tdynamic,bounded\n"
    assert worst_case("entry", ENTRY + LEAF + BIG, [usage]).size == 16 + 456 + 12


def test_functions_of_nothing_but_assembly_push_by_themselves() -> None:
    usage = "a.c:3:6:leaf\t0\tstatic\n"
    code = "00000000 <leaf>:\n   0:\tpush\t{r4, r5, lr}\n   2:\tsub\tsp, #44\t@ 0x2c\n"
    assert worst_case("leaf", code, [usage]).size == 12 + 44


def test_clones_take_their_origin_s_figure() -> None:
    code = "00008000 <f.constprop.0>:\n    8000:\tbx\tlr\n"
    assert worst_case("f.constprop.0", code, ["a.c:1:5:f\t24\tstatic\n"]).size == 24
    assert worst_case("f.constprop.0", code, ["a.c:1:5:f.constprop\t32\tstatic\n"]).size == 32


def test_frames_that_thumb_1_adds_from_a_register_have_no_bound_but_the_compilers() -> None:
    code = "00008000 <f>:\n    8000:\tpush\t{r4, lr}\n    8002:\tadd\tsp, r4\n"
    assert worst_case("f", code, []).size is None
    assert worst_case("f", code, ["a.c:1:5:f\t70024\tstatic\n"]).size == 70024


@pytest.mark.parametrize(
    ("code", "usage", "reason"),
    [
        ("00008000 <f>:\n    8000:\tblx\tr3\n", "", "f calls through a pointer"),
        ("00008000 <f>:\n    8000:\tsub\tsp, r3\n", "", "the frame of f grows"),
        ("00008000 <f>:\n    8000:\tbx\tlr\n", "a.c:1:5:f\t8\tdynamic\n", "the frame of f grows"),
        (
            "00008000 <f>:\n    8000:\tbl\t8010 <g>\n00008010 <g>:\n    8010:\tbl\t8000 <f>\n",
            "",
            "recursion: f -> g -> f",
        ),
        ("00008000 <g>:\n    8000:\tbx\tlr\n", "", "f is not in the program"),
    ],
)
def test_no_bound_says_why(code: str, usage: str, reason: str) -> None:
    bound = worst_case("f", code, [usage])
    assert bound.size is None
    assert bound.reason.startswith(reason)


def test_static_functions_of_one_name_get_the_largest() -> None:
    texts = ["a.c:1:1:f\t8\tstatic\n", "b.c:1:1:f\t32\tstatic\n", "c.c:1:1:f\t16\tstatic\n"]
    assert parse_stack_usage(texts) == {"f": 32}
    assert parse_stack_usage([*texts, "d.c:1:1:f\t8\tdynamic\n"]) == {"f": None}


RISCV = (
    "10000000 <f>:\n"
    "10000000:\taddi\tsp,sp,-32\n"
    "10000002:\tjal\t10000010 <leaf>\n"
    "10000004:\tbnez\ta0,10000002 <f+0x2>\n"
    "10000006:\taddi\tsp,sp,32\n"
    "10000008:\tj\t10000020 <big>\n"
    "10000010 <leaf>:\n"
    "10000010:\taddi\tsp,sp,-16\n"
    "10000012:\taddi\tsp,sp,16\n"
    "10000014:\tret\n"
    "10000020 <big>:\n"
    "10000020:\taddi\tsp,sp,-2032\n"
    "10000024:\tauipc\tra,0x0\n"
    "10000028:\tjalr\t-20(ra) # 10000010 <leaf>\n"
)
CYCLE = "10000000 <f>:\n10000000:\tj\t10000010 <g>\n10000010 <g>:\n10000010:\tj\t10000000 <f>\n"


def test_calls_and_frames_of_riscv() -> None:
    bound = worst_case("f", RISCV, [])
    assert bound.path == ("f (32)", "big (2032)", "leaf (16)")
    assert worst_case("f", RISCV, ["a.c:1:5:big\t2096\tstatic\n"]).size == 32 + 2096 + 16


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("10000000 <f>:\n10000000:\tjalr\ta5\n", "f calls through a pointer"),
        ("10000000 <f>:\n10000000:\tjr\ta5\n", "f calls through a pointer"),
        ("10000000 <f>:\n10000000:\tsub\tsp,sp,t0\n", "the frame of f grows"),
        (CYCLE, "recursion: f -> g -> f"),
    ],
)
def test_what_has_no_bound_on_riscv(code: str, reason: str) -> None:
    bound = worst_case("f", code, [])
    assert bound.size is None
    assert reason in bound.reason
