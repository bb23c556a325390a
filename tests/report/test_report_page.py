"""report.html, .json and .csv without a browser: what they say, and that names stay names."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import json
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import report_data

import tflm_opt
from tflm_opt.cli import cli
from tflm_opt.graph import Quantization, Tensor
from tflm_opt.inference import output_error
from tflm_opt.report import reproduce
from tflm_opt.report.layers import layers_csv
from tflm_opt.report.memory import used_at
from tflm_opt.report.page import page
from tflm_opt.result import Accuracy, Findings, OutputError

SCHEMA = Path(tflm_opt.__file__).parent / "report" / "report.schema.json"


class Parsed(html.parser.HTMLParser):
    """A page's elements, and its text without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._code = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code = False

    def handle_data(self, data: str) -> None:
        self.words += "" if self._code else data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def validate(data: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    errors = [f"{e.json_path}: {e.message[:200]}" for e in validator(schema).iter_errors(data)]
    assert errors == []


@pytest.mark.parametrize("make", [report_data.data, report_data.full, report_data.hostile])
def test_data_follow_the_schema(make: Any) -> None:
    validate(json.loads(json.dumps(make())))


@pytest.mark.parametrize(
    ("key", "value"), [("macs", -1), ("runtime", "tvm"), ("extra", 1), ("layers", {}), ("name", "")]
)
def test_the_schema_refuses(key: str, value: object) -> None:
    with pytest.raises(AssertionError):
        validate({**report_data.data(), key: value})


def test_every_key_of_a_report_is_demanded() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    assert sorted(schema["required"]) == sorted(report_data.data())


def test_the_same_data_make_the_same_bytes() -> None:
    saved = json.loads(json.dumps(report_data.full()))
    assert page(report_data.full()) == page(saved)
    assert report_data.result().to_html() == page(report_data.data())


def test_sections() -> None:
    plain, full = Parsed(page(report_data.data())), Parsed(page(report_data.full()))
    always = ["Before and after", "Layers", "SRAM against work", "How to make it again"]
    more = [
        "Accuracy",
        "91.23%",
        "87.00% to 93.00%",
        "loses 1.20 points",
        "Quantization, layer by layer",
        "channel ranges are unequal",
        "Equalize channels",
        "Quantization errors",
        "31.2 dB",
        "Profile",
        "NO CALIBRATION",
        "4,936",
    ]
    for words in always:
        assert words in plain.words
        assert words in full.words
    for words in more:
        assert words not in plain.words
        assert words in full.words


def test_figures_are_those_of_the_data() -> None:
    data = report_data.data()
    words = Parsed(page(data)).words
    for figure in (data["sram"]["total"], data["flash"]["total"], data["macs"], data["budget"]):
        assert f"{figure:,}" in words
    assert f"fits: {data['sram']['total']:,} of 8,192 bytes" in words
    assert "not checked" in words


def test_a_result_that_does_not_fit_says_so() -> None:
    data = report_data.data()
    data.update(fits=False, budget=data["sram"]["total"] - 100)
    assert "does not fit" in Parsed(page(data)).words
    assert "100 too many" in Parsed(page(data)).words


def test_estimates_are_marked() -> None:
    data = report_data.full()
    data["sram"]["estimated"] = data["flash"]["estimated"] = ["stack"]
    words = Parsed(page(data)).words
    assert f"{data['sram']['stack']:,} est." in words
    assert f"{data['sram']['total']:,} est." in words
    assert "instructions, estimated" in words
    assert "Cycles are an estimate" in words
    assert f"{data['flash']['total']:,} est." not in words
    data["sram"]["estimated"] = data["flash"]["estimated"] = []
    assert " est." not in Parsed(page(data)).words


def test_nothing_from_outside() -> None:
    text = page(report_data.full())
    parsed = Parsed(text)
    for tag, attributes in parsed.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base")
        assert "src" not in attributes
        assert (attributes.get("href") or "data:").startswith("data:")
    assert parsed.count("link") == 1
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_stay_text() -> None:
    text = page(report_data.hostile())
    parsed = Parsed(text)
    quiet = Parsed(page(report_data.full()))
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in quiet.tags]
    assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
    assert "{{ 7 * 7 }}" in parsed.words
    assert "\x00" not in text
    text.encode("utf-8")


def test_commands_are_safe_to_paste() -> None:
    data = report_data.data()
    data["request"]["model"] = "my $(rm x) model'.tflite"
    words = shlex.split(reproduce.commands(data)[0])
    assert words[:3] == ["tflm-opt", "optimize", "my $(rm x) model'.tflite"]


def test_commands_are_those_of_the_command_line() -> None:
    """Every option that is printed is one that the command takes, and defaults are left out."""
    data = report_data.data()
    data["request"] |= {"board": "qemu_m4", "max_slowdown": None, "seed": 3, "io": "float32"}
    assert not any("measure" in command for command in reproduce.commands(data)), "no vectors"
    data["request"]["verify"] = True
    commands = [shlex.split(command) for command in reproduce.commands(data)]
    assert [command[1] for command in commands] == ["optimize", "verify", "measure", "report"]
    for command in commands:
        known = cli.commands[command[1]].params
        taken = {name for parameter in known for name in parameter.opts}
        assert {word for word in command if word.startswith("-")} <= taken
    optimize = " ".join(commands[0])
    assert "--max-slowdown inf --name small --seed 3" in optimize
    assert "--kernels" not in optimize


def test_commands_name_no_board_that_nothing_emulates() -> None:
    data = report_data.full()
    data["request"]["verify"] = True
    assert reproduce.commands(data)[-1].split()[4] == "nucleo_f446re"
    data["board"] = "my_own_board"
    assert not any("measure" in command for command in reproduce.commands(data))
    data["request"] = None
    assert reproduce.commands(data) == []
    page(data)


def test_defaults_that_commands_leave_out_are_the_command_lines() -> None:
    known = {parameter.name: parameter.default for parameter in cli.commands["optimize"].params}
    known["reserve"] = int(str(known["reserve"]))
    for key, usual in reproduce._DEFAULTS.items():
        assert usual == (known[key] if isinstance(known[key], (str, int, float)) else None), key


def test_csv_has_a_row_a_layer() -> None:
    data = report_data.full()
    rows = list(csv.DictReader(layers_csv(data).splitlines()))
    assert [int(row["macs"]) for row in rows] == [layer["macs"] for layer in data["layers"]]
    assert rows[0]["shape"] == "x".join(map(str, data["layers"][0]["shape"]))
    assert int(rows[1]["instructions"]) == data["profile"]["layers"][1]["instructions"]
    unmeasured = list(csv.DictReader(layers_csv(report_data.data()).splitlines()))
    assert {row["instructions"] for row in unmeasured} == {""}


@pytest.mark.parametrize("name", ["=1+1", "@x", "+1", "-1", 'a,b\n"c', "\ud800"])
def test_csv_of_hostile_names(name: str) -> None:
    data = report_data.data()
    data["layers"][0]["name"] = name
    text = layers_csv(data)
    text.encode("utf-8")
    row = next(iter(csv.DictReader(text.splitlines(keepends=True))))
    assert not row["name"].startswith(("=", "@", "+", "-"))
    assert row["kind"] == data["layers"][0]["kind"]


def test_what_a_layer_uses_of_the_arena() -> None:
    """By marking bytes one by one."""
    plan = report_data.result().plan
    layers = report_data.data()["layers"]
    for layer in layers:
        taken = bytearray(plan.peak)
        for offset, buffer in zip(plan.places, plan.problem.buffers, strict=True):
            if buffer.start <= layer["step"] < buffer.stop:
                taken[offset : offset + buffer.size] = b"\1" * buffer.size
        assert used_at(plan, layer["step"]) == layer["arena"] == sum(taken)
    assert 0 < max(layer["arena"] for layer in layers) <= plan.peak


def test_steps_of_layers_are_the_plans() -> None:
    data = report_data.data()
    for layer in data["layers"]:
        assert layer["kind"] in data["arena"]["steps"][layer["step"]]


def test_what_was_found_is_in_the_reports() -> None:
    """`evaluate` and `profile` leave what they return with the result."""
    result = dataclasses.replace(report_data.result(), findings=Findings())
    accuracy = Accuracy(float=None, int8=None, engine=0.875, samples=8)
    error = OutputError("scores", 0.5, 1.0, 0.25, None, 8)
    with mock.patch("tflm_opt.inference.evaluate", return_value=(accuracy, (error,), None)):
        assert result.evaluate([], []) is accuracy
    with mock.patch("tflm_opt.profiling.profile_result") as profile:
        profile.return_value.to_dict.return_value = report_data.full()["profile"]
        result.profile("qemu_m4")
    data = result.to_dict()
    validate(json.loads(json.dumps(data)))
    assert data["accuracy"]["engine"] == 0.875
    assert data["quantization"][0]["maximum"] == 1.0
    assert "87.50%" in Parsed(page(data)).words
    assert report_data.data()["accuracy"] is None


def test_error_of_an_output() -> None:
    """Two samples of two values, by hand: steps of 0.5 around a zero point of 2."""
    tensor = Tensor("scores", (1, 2), "int8", Quantization.per_tensor(0.5, 2))
    codes = [np.array([[2, 4]], np.int8), np.array([[6, 0]], np.int8)]  # 0, 1 and 2, -1
    floats = [np.array([0.0, 1.5]), np.array([2.0, -1.0])]  # one value is 0.5 off
    error = output_error(tensor, codes, floats)
    assert (error.step, error.maximum, error.samples) == (0.5, 0.5, 2)
    assert error.rms == pytest.approx(0.25)
    assert error.snr_db == pytest.approx(10 * np.log10((2.25 + 4 + 1) / 0.25))
    exact = output_error(tensor, codes[:1], [np.array([0.0, 1.0])])
    assert (exact.maximum, exact.rms, exact.snr_db) == (0, 0, None)
