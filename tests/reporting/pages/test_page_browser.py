"""`report.html` in a real Chromium, 1366 x 768, without a network: what a reader sees first."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ablate.reporting.pages.write import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,  # a browser starts
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="Chromium is not installed: apt-get install chromium chromium-driver",
    ),
    pytest.mark.skipif(
        find_spec("selenium") is None, reason="selenium is not installed: pip install -e '.[test]'"
    ),
]
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars"
)
WIDTH, HEIGHT = 1366, 768
MOST_SCREENS_UNFOLDED = 12
AXES = {
    "freeze_depth": ("all", -1, 0),
    "augment": ("none", "light", "strong"),
    "lr_ratio": (0.1, 1.0),
    "lora_rank": (0, 8),
}
"""21 arms, as the grid `flowers` has."""
OVERFLOWING = """
return [...document.querySelectorAll("body *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).map(element => element.outerHTML.slice(0, 120));
"""
CLIPPED = """
return [...document.querySelectorAll("body *")].filter(element =>
  getComputedStyle(element).display !== "inline" && element.clientWidth > 0 &&
  element.scrollWidth > element.clientWidth + 1
).map(element => element.outerHTML.slice(0, 120));
"""
UNFOLD = "for (const block of document.querySelectorAll('body > details')) block.open = true;"
"""Every question; not the long lists, which are folded once more."""
UNFOLD_ALL = "for (const block of document.querySelectorAll('details')) block.open = true;"
BLIND_PICTURES = """
return [...document.images].filter(image => image.alt.length < 20 || !image.naturalWidth).length;
"""
"""Without an alt text, or without a picture."""
LEFTS_OF_CARDS = """
return [...document.querySelectorAll(".cards th, .cards td")].filter(cell => cell.offsetWidth)
  .map(cell => Math.round(cell.getBoundingClientRect().left));
"""
PHONE = 390


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert CHROMIUM is not None  # else the tests are skipped
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("chromium")
    for argument in (*ARGUMENTS.split(), f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    resize(driver, WIDTH)
    yield driver
    driver.quit()


def resize(browser: Any, width: int) -> None:
    size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture(scope="module")
def report(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = build(axes=AXES, seeds=(0, 1, 2), n_images=100)
    out = tmp_path_factory.mktemp("report")
    return write_report(study.study, predictions=study.predictions, out=out).page


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    browser.get(report.as_uri())
    return browser


@pytest.mark.parametrize("unfold", ["", UNFOLD, UNFOLD_ALL], ids=["folded", "questions", "all"])
def test_nothing_overflows_and_nothing_is_clipped(page: Any, unfold: str) -> None:
    page.execute_script(unfold)
    assert page.execute_script(OVERFLOWING) == []
    assert page.execute_script(CLIPPED) == []
    assert page.execute_script(BLIND_PICTURES) == 0
    assert page.get_log("browser") == []


def test_on_a_phone_cards_stand_one_below_the_other_and_only_tables_scroll(
    browser: Any, report: Path
) -> None:
    resize(browser, PHONE)
    try:
        browser.get(report.as_uri())
        browser.execute_script(UNFOLD_ALL)
        assert browser.execute_script("return document.documentElement.scrollWidth") == PHONE
        lefts = browser.execute_script(LEFTS_OF_CARDS)
        assert len(lefts) > 10 and len(set(lefts)) == 1
    finally:
        resize(browser, WIDTH)


def test_a_page_needs_nothing_from_elsewhere(report: Path) -> None:
    text = report.read_text()
    sources = re.findall(r"""(?:src|href)=["']?(.{0,5})""", text)
    assert len(sources) > 5 and set(sources) == {"data:"}
    assert re.findall(r"url\(|@import|<link", text) == []


def test_the_first_screen_answers_and_the_rest_is_folded(page: Any) -> None:
    top = "return document.querySelector('.columns').getBoundingClientRect().bottom"
    assert page.execute_script(top) <= HEIGHT
    height = "return document.documentElement.scrollHeight"
    assert page.execute_script(height) <= 2 * HEIGHT
    page.execute_script(UNFOLD)
    assert page.execute_script(height) <= MOST_SCREENS_UNFOLDED * HEIGHT


def test_dark_pages_are_dark(page: Any) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    assert page.execute_script(colour) == "rgb(255, 255, 255)"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    red, green, blue = map(int, page.execute_script(colour)[4:-1].split(", "))
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert max(red, green, blue) < 60


def test_arms_are_sorted_and_filtered(page: Any) -> None:
    page.execute_script(UNFOLD)
    table = page.find_elements("css selector", "table.arms")[1]
    column = "return [...arguments[0].tBodies[0].rows].filter(row => !row.hidden)"
    seconds = f"{column}.map(row => parseFloat(row.cells[row.cells.length - 1].textContent))"
    before = page.execute_script(seconds, table)
    assert len(before) == 21
    head = table.find_elements("css selector", "th")[-1]
    head.click()
    assert page.execute_script(seconds, table) == sorted(before)
    head.click()
    assert page.execute_script(seconds, table) == sorted(before, reverse=True)
    words = page.find_elements("css selector", "input.filter")[-1]
    words.send_keys("strong")
    shown = page.execute_script(f"{column}.map(row => row.textContent)", table)
    assert len(shown) == 7 and all("strong" in row for row in shown)


def test_without_javascript_all_is_there(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(report.as_uri())
        assert len(browser.find_elements("css selector", "table.arms")) == 2
        assert browser.find_elements("css selector", "input") == []
        rows = browser.find_elements("css selector", "table.arms tbody tr")
        assert len(rows) == 9 + 21
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
