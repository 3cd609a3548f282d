"""What a person sees: a finished study in MLflow's UI, and its report as one page.

In a real Chromium without a network.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from ablate.cli import app

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
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
    "--disable-background-networking --disable-component-update --disable-sync"
)
PATIENCE_S = 60
ONLY_TRIALS = "tags.`ablate.kind` = 'trial'"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for argument in (
        *ARGUMENTS.split(),
        "--window-size=1600,1400",
        f"--user-data-dir={tmp_path / 'chromium'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def links(desk: Path, write_grid: Callable[..., Path]) -> Iterator[list[str]]:
    """`ablate ui` of a finished study.

    The links that it prints, of the runs and of their comparison. Rates of 10 and 9 tell numbers
    from text.
    """
    grid = write_grid(
        "seen",
        ("[1.0e-3, 1.0e-2]", "[9.0, 10.0]"),
        ("freeze_depth: [all, -1]", "freeze_depth: [all]"),
        ("seeds: [0]", "seeds: [0, 1]"),
    )
    assert CliRunner().invoke(app, ["run", str(grid)]).exit_code == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ablate", "ui", "seen", "--port", str(port)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    found = []
    assert server.stdout is not None
    for line in server.stdout:
        found += re.findall(r"(http\S+#/\S+)", line)
        if len(found) == 2:
            break
    while subprocess.run(
        [
            sys.executable,
            "-c",
            f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/health')",
        ],
        capture_output=True,
    ).returncode:
        assert server.poll() is None
    yield found
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(30)


def wait_for(browser: Any, what: Callable[[Any], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(
        browser, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException]
    ).until(what)


def names_in_order(browser: Any) -> list[str]:
    return [
        link.text
        for link in browser.find_elements("css selector", "a[href*='/runs/']")
        if link.text.startswith("head_lr")
    ]


@pytest.mark.slow
def test_the_ui_lists_sorts_and_compares_the_trials_of_a_study(
    browser: Any, links: list[str]
) -> None:
    runs, comparison = links
    browser.get(runs)
    listed = wait_for(
        browser, lambda page: names if len(names := names_in_order(page)) == 4 else None
    )
    assert set(listed) == {
        f"head_lr={rate} seed={seed}" for rate in ("9.0", "10.0") for seed in (0, 1)
    }
    titles = browser.find_element("tag name", "body").text
    assert "test/macro_f1" in titles  # a column for each score, without a click

    browser.get("about:blank")
    browser.get(
        f"{runs.partition('?')[0]}?workflowType=machine_learning&orderByKey={quote('metrics.`param/head_lr`')}&orderByAsc=true"
        f"&searchFilter={quote(ONLY_TRIALS)}"
    )
    ordered = wait_for(
        browser, lambda page: names if len(names := names_in_order(page)) == 4 else None
    )
    assert [name.partition(" ")[0] for name in ordered] == ["head_lr=9.0"] * 2 + [
        "head_lr=10.0"
    ] * 2

    browser.get("about:blank")
    browser.get(comparison)
    wait_for(browser, lambda page: page.find_elements("css selector", ".js-plotly-plot .parcoords"))
    said = browser.find_element("tag name", "body").text
    assert "Comparing 4 Runs from 1 Experiment" in said
    assert (
        "epoch/val/macro_f1" in said
    )  # what colours the plot: not the first metric of the alphabet
    assert all(f"head_lr={rate} seed=0" in said.replace("\n", " ") for rate in ("9.0", "10.0"))


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_no_network(
    browser: Any, desk: Path, write_grid: Callable[..., Path]
) -> None:
    grid = write_grid("page")
    assert CliRunner().invoke(app, ["run", str(grid)]).exit_code == 0
    browser.get((desk / "reports/page/report.html").as_uri())
    assert browser.find_element("tag name", "h1").text == "Does it all hang together?"
    images = browser.find_elements("tag name", "img")
    assert len(images) >= 3
    assert all(
        image.get_property("naturalWidth") > 0 and image.get_attribute("alt") for image in images
    )
    assert all(image.get_attribute("src").startswith("data:") for image in images)
    assert browser.get_log("browser") == []
