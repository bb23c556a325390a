"""The picture of the front: a reviewed file, and where points lie by hand."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_models import residual_tflite

import tflm_opt
from tflm_opt.cli import cli
from tflm_opt.report import front

SPACE = "{http://www.w3.org/2000/svg}"
# The plot's corners: x from 84 to 680 pixels, y from 342 (bottom) to 44.
LEFT, RIGHT, BOTTOM, TOP = 84, 680, 342, 44


def point(arena: int, work: int, stages: int = 1, extra: float = 0.0) -> dict[str, Any]:
    return {
        "arena": arena,
        "extra_macs": extra,
        "extra_calls": 12 * stages,
        "moved": 640 * stages,
        "instructions": work,
        "streamed_stages": stages,
    }


FRONT = [
    point(10_000, 0, 0),
    point(6_000, 1_000),
    point(5_000, 4_000, 2),
    point(4_000, 9_000, 3, 0.25),
]


def drawn(
    points: list[dict[str, Any]], chosen: int | None = None, name: str = ""
) -> ElementTree.Element:
    return ElementTree.fromstring(front.svg(points, chosen=chosen, name=name))


def marks(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """The middle of every mark, by its first line of facts."""
    found = {}
    for element in root.iter():
        tip = element.findtext(f"{SPACE}title", "").split("\n")[0]
        if "point" in element.get("class", "").split():
            if element.tag == f"{SPACE}circle":
                found[tip] = float(element.get("cx", "")), float(element.get("cy", ""))
            else:
                half = float(element.get("width", "")) / 2
                found[tip] = (
                    float(element.get("x", "")) + half,
                    float(element.get("y", "")) + half,
                )
    return found


def words(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SPACE}text")]


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("front.svg", front.svg(FRONT, chosen=5_000, name="a<b>"))


def test_points_lie_where_their_figures_say() -> None:
    # The axes end at 1.06 times the largest figures: 10 600 bytes and 9 540 instructions.
    places = marks(drawn(FRONT))
    assert len(places) == 4
    for p in FRONT:
        x, y = places[f"{p['arena']:,} bytes of arena"]
        assert x == pytest.approx(LEFT + 596 * p["arena"] / 10_600, abs=0.06)
        assert y == pytest.approx(BOTTOM - 298 * p["instructions"] / 9_540, abs=0.06)


def test_the_stairs_go_through_all_points() -> None:
    root = drawn(FRONT)
    (path,) = root.iter(f"{SPACE}path")
    corners, at = [], [0.0, 0.0]
    for letter, one, two in re.findall(r"([MHV])([\d.]+)(?: ([\d.]+))?", path.get("d", "")):
        if letter == "M":
            at = [float(one), float(two)]
        else:
            at["HV".index(letter)] = float(one)
        corners.append(tuple(at))
    assert corners[-1] == (RIGHT, BOTTOM)
    for x, y in marks(root).values():
        assert any(abs(x - a) < 0.1 and abs(y - b) < 0.1 for a, b in corners)
    for (a, b), (c, d) in itertools.pairwise(corners):
        assert c >= a
        assert d >= b  # never up: more memory never costs more work


def test_what_is_special_is_marked_and_named() -> None:
    root = drawn(FRONT, chosen=6_000)
    (ring,) = (c for c in root.iter(f"{SPACE}circle") if c.get("class") == "chosen")
    place = marks(root)["6,000 bytes of arena"]
    assert (float(ring.get("cx", "")), float(ring.get("cy", ""))) == place
    (square,) = (r for r in root.iter(f"{SPACE}rect") if "plain" in r.get("class", ""))
    assert square.findtext(f"{SPACE}title", "").startswith("10,000 bytes")
    assert "6,000 chosen" in words(root)
    assert "10,000 layer by layer" in words(root)
    assert "4,000 least (+25.0% MACs)" in words(root)
    assert "5,000" in words(root)


def test_labels_do_not_cover_each_other() -> None:
    crowd = [point(20_000 - 40 * i, 30 * i, i) for i in range(40)]
    root = drawn(crowd)
    assert len(marks(root)) == 40
    assert "18,440 least" in words(root)
    boxes = []
    for element in root.iter(f"{SPACE}text"):
        text = element.text or ""
        if re.match(r"1[89],\d{3}", text):
            x, y = float(element.get("x", "")), float(element.get("y", ""))
            left = x - 6.2 * len(text) * (element.get("text-anchor") == "end")
            boxes.append((left, y, left + 6.2 * len(text)))
    assert len(boxes) > 2
    for (a, y, b), (c, z, d) in itertools.combinations(boxes, 2):
        assert b <= c or d <= a or abs(y - z) >= 12


@pytest.mark.parametrize(
    "points", [[], [point(768, 0, 0)], [point(0, 0, 0)], [point(1 << 30, 1 << 40)]]
)
def test_fronts_of_one_point_or_none(points: list[dict[str, Any]]) -> None:
    assert len(marks(drawn(points))) == len(points)


@pytest.mark.parametrize("name", ["\x00\x1b[31m", "\ud800", "]]><script>", "日本", ""])
def test_hostile_names(name: str) -> None:
    text = front.svg(FRONT, name=name)
    ElementTree.fromstring(text.encode("utf-8"))
    assert "<script" not in text


def test_results_and_the_command_line_draw_it(tmp_path: Path) -> None:
    result = tflm_opt.optimize(residual_tflite(24), verify=False, verbose=0)
    root = ElementTree.fromstring(result.plot())
    arenas = {f"{p.peak:,} bytes of arena" for p in result.front}
    assert set(marks(root)) == arenas
    assert any(w.startswith(f"{result.sram.arena:,} chosen") for w in words(root))
    folder = result.save(tmp_path / "out")
    assert (folder / "front.svg").read_text("utf-8") == result.plot()
    model = folder / "model.tflite"
    model.write_bytes(result.original)
    plot = tmp_path / "plot.svg"
    done = CliRunner().invoke(cli, ["tradeoffs", str(model), "-q", "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert set(marks(ElementTree.fromstring(plot.read_text("utf-8")))) == arenas
