"""report.html in headless Chromium: it opens without a complaint, and pointing and sorting work."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_data

from tflm_opt.report.page import page

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: pip install selenium")

from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="no browser: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    # A container has no sandbox to offer and little shared memory.
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER or "")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


class Page:
    """A report in the browser, and what the tests ask of it."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser, self.folder = browser, folder

    def open(self, data: dict[str, Any], *, width: int = 1280, dark: bool = False) -> None:
        path = self.folder / "report.html"
        path.write_text(page(data), "utf-8")
        self.media(dark=dark)
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.browser.get(path.as_uri())
        assert self.browser.get_log("browser") == []

    def media(self, *, dark: bool = False, kind: str = "") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": kind, "features": [scheme]}
        )

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(f"return {script}", *arguments)

    def colours(self, selector: str = "body") -> tuple[str, str]:
        style = f"getComputedStyle(document.querySelector('{selector}'))"
        return self.js(f"{style}.color"), self.js(f"{style}.backgroundColor")

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place of the window, once nothing moves any more.

        The page hears of a scroll with the next frame, and hides a tip then: rightly so, but what
        the mouse does next is not to be told of before that.
        """
        self.browser.execute_async_script(TWO_FRAMES)
        actions = ActionBuilder(self.browser)
        actions.pointer_action.move_to_location(int(x), int(y))
        actions.perform()

    def column(self, number: int) -> list[str]:
        """The texts of a column of the table of layers, as shown."""
        rows = "[...document.querySelector('section[aria-labelledby=layers] tbody').rows]"
        return self.js(f"{rows}.map(row => row.cells[{number}].textContent)")

    def head(self, number: int) -> Any:
        return self.all("section[aria-labelledby=layers] th button")[number]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Page:
    return Page(browser, tmp_path)


# A place where nothing lies over an element: smaller buffers may share a large one's memory.
UNCOVERED = """(() => {
  const box = arguments[0].getBoundingClientRect();
  for (let x = box.left + 2; x < box.right; x += 4)
    for (let y = box.top + 2; y < box.bottom; y += 4)
      if (document.elementFromPoint(x, y) === arguments[0]) return [x, y];
})()"""
TWO_FRAMES = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
MACS = 5  # the column of the layers' MACs


def test_pointing_at_a_buffer_shows_it(opened: Page) -> None:
    data = report_data.full()
    opened.open(data)
    tip = opened.find("#tip")
    assert not tip.is_displayed()
    largest = max(data["arena"]["buffers"], key=lambda b: b["size"] * (b["stop"] - b["start"]))
    drawn = opened.find(
        f"#arena .b[data-name='{largest['name']}'][data-bytes^='{largest['size']:,} ']"
    )
    opened.js("arguments[0].scrollIntoView({block: 'center'})", drawn)
    x, y = opened.js(UNCOVERED, drawn)
    opened.point(x, y)
    assert tip.is_displayed()
    assert tip.text.startswith(f"{largest['name']}\n")
    assert f"{largest['size']:,} bytes at {largest['offset']:,}" in tip.text
    assert f"{largest['start']}" in tip.text
    assert opened.find("#facts").text.startswith(largest["name"])
    opened.point(1, 1)
    assert not tip.is_displayed()


def test_buffers_by_keyboard(opened: Page) -> None:
    data = report_data.full()
    opened.open(data)
    opened.js("document.querySelector('#arena .b[tabindex=\"0\"]').focus()")
    seen = []
    for _ in data["arena"]["buffers"]:
        focused = opened.browser.switch_to.active_element
        assert focused.get_attribute("tabindex") == "0"
        assert len(opened.all("#arena .b[tabindex='0']")) == 1
        assert focused.get_attribute("data-name") in opened.find("#facts").text
        assert opened.find("#tip").is_displayed()
        seen.append(focused.get_attribute("data-name"))
        focused.send_keys(Keys.ARROW_RIGHT)
    assert sorted(seen) == sorted(b["name"] for b in data["arena"]["buffers"])
    opened.browser.switch_to.active_element.send_keys(Keys.HOME)
    assert opened.browser.switch_to.active_element.get_attribute("data-rank") == "0"
    opened.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not opened.find("#tip").is_displayed()


def test_stages_are_told(opened: Page) -> None:
    data = report_data.full()
    assert data["arena"]["stages"], "the net is to have a streamed stage"
    opened.open(data)
    told = {e.get_attribute("data-stage") for e in opened.all("#arena .b")}
    number = data["arena"]["stages"][0]["stage"]
    assert f"stage {number}, streamed" in told


def test_sorting_both_ways(opened: Page) -> None:
    data = report_data.full()
    opened.open(data)
    macs = [f"{layer['macs']:,}" if layer["macs"] else "" for layer in data["layers"]]
    assert opened.column(MACS) == macs
    opened.head(MACS).click()
    numbers = [int(text.replace(",", "") or 0) for text in opened.column(MACS)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
    opened.head(MACS).click()
    numbers = [int(text.replace(",", "") or 0) for text in opened.column(MACS)]
    assert numbers == sorted(numbers)
    sorted_by = opened.all("section[aria-labelledby=layers] th[aria-sort]")
    assert [head.get_attribute("aria-sort") for head in sorted_by] == ["ascending"]


def test_sorting_by_keyboard(opened: Page) -> None:
    opened.open(report_data.full())
    before = opened.column(1)
    opened.js("arguments[0].focus()", opened.head(1))
    opened.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert opened.column(1) == sorted(before)
    opened.browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert opened.column(1) == sorted(before, reverse=True)
    assert before not in (sorted(before), sorted(before, reverse=True))


def test_layers_by_keyboard_and_mouse(opened: Page) -> None:
    data = report_data.full()
    opened.open(data)
    layers = data["diagnosis"]["layers"]
    columns = opened.all("#sqnr .b")
    assert [c.get_attribute("data-name") for c in columns] == [one["label"] for one in layers]
    assert [c.get_attribute("data-rank") for c in opened.all("#sqnr .b.named")] == ["1"]
    opened.js("arguments[0].focus()", columns[0])
    opened.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert layers[1]["label"] in opened.find("#sqnr-facts").text
    assert "this layer alone 8.0 dB" in opened.find("#tip").text
    assert len(opened.all("#sqnr .b[tabindex='0']")) == 1
    opened.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not opened.find("#tip").is_displayed()
    box = opened.js("arguments[0].getBoundingClientRect()", columns[2])
    opened.point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert opened.find("#tip").text.startswith(layers[2]["label"])
    assert "No buffer selected" in opened.find("#facts").text, "the other picture's facts stay"


def test_light_and_dark(opened: Page) -> None:
    opened.open(report_data.full())
    light = opened.colours()
    assert contrast(*light) > 7
    opened.media(dark=True)
    dark = opened.colours()
    assert contrast(*dark) > 7
    assert luminance(light[1]) > 0.8
    assert luminance(dark[1]) < 0.05


@pytest.mark.parametrize("dark", [False, True])
def test_words_are_legible(opened: Page, dark: bool) -> None:
    """4.5 is what WCAG asks for; the picture's labels lie on all three colours of buffers."""
    opened.open(report_data.full(), dark=dark)
    paper = opened.colours()[1]
    for selector in ("p.note", ".verdict", ".target"):
        assert contrast(opened.colours(selector)[0], paper) >= 4.5, selector
    fill = "getComputedStyle(arguments[0]).fill"
    ink = opened.js(fill, opened.find("#arena text.inside"))
    for kind in ("port", "inner", "scratch"):
        for buffer in opened.all(f"#arena .b.{kind}")[:1]:
            assert contrast(ink, opened.js(fill, buffer)) >= 4.5, kind


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow(opened: Page, width: int) -> None:
    """The page never scrolls sideways: wide tables and pictures do, in their own frames."""
    for data in (report_data.full(), report_data.hostile()):
        opened.open(data, width=width)
        assert opened.js("document.documentElement.scrollWidth") <= width
        size = "parseFloat(getComputedStyle(document.querySelector('td')).fontSize)"
        assert opened.js(size) >= 12
        drawn = opened.js("document.querySelector('#arena').getBoundingClientRect().width")
        assert drawn / 960 * 12 >= 9, "labels of the picture, in pixels"


def test_hostile_names_run_nothing(opened: Page) -> None:
    opened.open(report_data.hostile())
    assert opened.js("document.querySelectorAll('script').length") == 1
    assert opened.js("document.images.length") == 0
    first = opened.find("#arena .b")
    opened.js("arguments[0].focus()", first)
    assert "<img src=x onerror=alert(2)>" in opened.find("#facts").text
    assert opened.js("document.images.length") == 0


def test_print(opened: Page) -> None:
    opened.open(report_data.full(), dark=True)
    opened.media(dark=True, kind="print")
    ink, paper = opened.colours()
    assert luminance(paper) > 0.9, "a dark page is printed on white"
    assert luminance(ink) < 0.05
    assert not opened.find("#facts").is_displayed()
    # No frame cuts off what it can't scroll to on paper.
    frames = "[...document.querySelectorAll('div.scroll')]"
    styles = opened.js(f"{frames}.map(e => getComputedStyle(e).overflowX)")
    assert set(styles) == {"visible"}
    made = opened.browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(made["data"]).startswith(b"%PDF")
    opened.media()


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(r, g, b)`."""
    parts = colour[colour.index("(") + 1 : -1].split(",")[:3]
    channels = [float(part) / 255 for part in parts]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
