"""Names and comments that no model file can break."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt.codegen.names import check_model_name, comment, identifier
from tflm_opt.errors import TflmOptError


@pytest.mark.parametrize(
    "name",
    [
        "",
        "int",
        "class",
        "Digits",
        "9lives",
        "a-b",
        "a__b",
        "a_",
        "_a",
        "é",
        "a b",
        "a/../b",
        "string",
        "arduino",
        "math",
        "tflm_opt_kernels",
        "arm_convolve_s8",
        "arm",
        "CMSIS_NN",
        "x" * 49,
        "a\n",
    ],
)
def test_bad_names_are_refused_with_one_that_would_do(name: str) -> None:
    with pytest.raises(TflmOptError) as caught:
        check_model_name(name)
    suggested = re.search(r"'([a-z0-9_]+)' would do", str(caught.value))
    assert suggested is not None
    assert check_model_name(suggested.group(1))


@pytest.mark.parametrize("name", ["digits", "m", "net_2", "mobilenet_v2_035", "x" * 48])
def test_good_names_pass(name: str) -> None:
    assert check_model_name(name) == name


@given(st.text())
def test_any_text_makes_a_name(text: str) -> None:
    assert check_model_name(identifier(text))


@given(st.text(alphabet=st.characters(), max_size=200))
def test_a_comment_stays_a_comment(text: str) -> None:
    line = comment(text)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 72
    for mark in ("*/", "/*", "??", "\\"):
        assert mark not in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a*/b "c"', 'a* /b "c"'),
        ("**//", "** //"),
        ("a\nb\\", "a?b/"),
        ("??/", "? ?/"),
        ("/*/", "/ * /"),
        ("\udcff", "?"),
        ("x" * 80, "x" * 69 + "..."),
    ],
)
def test_comments(text: str, line: str) -> None:
    assert comment(text) == line
