"""`--json`: every command prints one document on standard output, and people's lines beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ablate.cli import app
from ablate.cli.output import plain
from ablate.workflow.after import mlflow_ui
from ablate.workflow.after.mlflow_ui import Links

GRID = """\
# Does it all hang together?
task: classification
data: {source: folder, path: pictures, image_size: 32}
base: {backbone: test_efficientnet, weights: none, epochs: 1, batch_size: 8}
axes: {freeze_depth: [all, -1]}
seeds: [0]
baseline: {freeze_depth: all}
select_by: val/macro_f1
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a small grid and its images."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("red", "green"):
            pictures = folder / "data" / "pictures" / split / name
            pictures.mkdir(parents=True)
            for number in range(8):
                pixels = rng.integers(0, 255, size=(40, 44, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(pictures / f"{number}.png")
    (folder / "tiny.yaml").write_text(GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ABLATE_HOME", str(folder / "home"))
        patch.setenv("ABLATE_DATA", str(folder / "data"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def ablate(*words: str, code: int = 0) -> Any:
    """The document that a command prints; everything else is on standard error."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == code, result.output + str(result.exception)
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def ran(desk: Path) -> Any:
    """What the run of the grid prints."""
    return ablate("run", "tiny.yaml", "--executor", "inline", "--threads", "1")


@pytest.mark.slow
def test_a_run(ran: Any) -> None:
    assert (ran["grid"], ran["is_complete"], ran["pilot"]) == ("tiny", True, None)
    assert (ran["trials"]["n_complete"], ran["trials"]["n_failed"]) == (2, 0)
    assert [arm["n_seeds"] for arm in ran["arms"]] == [1, 1]
    assert ran["arms"][0]["val/macro_f1/sd"] is None  # NaN with one seed
    assert ran["report"]["readme"] == "reports/tiny/README.md"
    assert Path(ran["report"]["readme"]).is_file()


@pytest.mark.slow
def test_what_is_read_of_a_study(ran: Any) -> None:
    (status,) = ablate("status", "tiny")
    assert status["states"] == {"COMPLETE": 2}
    assert list(ablate("sync", "tiny").values()) == [{"n_attempts": 0, "why": ""}]
    report = ablate("report", "tiny")
    assert report["arms"] == ran["arms"]
    assert ablate("verify", "reports/tiny") == {"folder": "reports/tiny", "findings": []}
    page = Path("reports/tiny/arms.csv")
    page.write_text(page.read_text().replace("true", "false", 1))
    findings = ablate("verify", "reports/tiny", code=1)["findings"]
    assert findings
    assert findings[0].keys() >= {"place"}


@pytest.mark.slow
def test_what_is_planned(desk: Path) -> None:
    plan = ablate("plan", "tiny.yaml")
    assert (plan["grid"], plan["n_trials"], plan["estimate"]) == ("tiny", 2, None)
    assert [arm["is_baseline"] for arm in plan["arms"]] == [True, False]
    prospects = plan["prospects"]
    assert [finding["kind"] for finding in prospects["findings"]] == ["main effect"]
    assert prospects["noise"]["is_guess"]
    assert plan["data"]["class_names"] == ["green", "red"]
    views = ablate("views", "tiny.yaml")
    assert Path(views["views"]["path"]).is_file()
    found = ablate("lr-find", "tiny.yaml", "--steps", "10", "--threads", "1")
    assert found["arm"] == "freeze_depth=all"
    assert len(found["range"]["rates"]) == len(found["range"]["losses"])


@pytest.mark.slow
def test_the_table(ran: Any) -> None:
    found = ablate("table", "tiny")
    assert found["grid"] == "tiny"
    assert [row["name"] for row in found["table"]["rows"]].count("baseline") == 1


@pytest.mark.slow
def test_the_cache(ran: Any) -> None:
    assert ablate("cache", "verify")["damaged"] == {}
    n_views = len(ablate("cache", "list"))
    assert ablate("cache", "clear")["n_views"] == n_views


def test_the_ui(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links("http://127.0.0.1:5000", "tiny", "trials", "compare")
    # It ends the whole process at the next interrupt, here pytest.
    monkeypatch.setattr("ablate.cli.ui.leave_at_once", lambda sentence: None)
    monkeypatch.setattr(mlflow_ui, "serve_ui", lambda folders, on_links, **named: on_links(links))
    assert ablate("ui", "tiny") == {
        "ui": "http://127.0.0.1:5000",
        "grid": "tiny",
        "trials": "trials",
        "compare": "compare",
    }


MISTAKES = {
    "init": ("nothing", "--out", "grid.txt"),
    "run": ("nothing",),
    "plan": ("nothing",),
    "advise": ("nothing",),
    "lr-find": ("nothing",),
    "views": ("nothing",),
    "report": ("nothing",),
    "status": ("nothing",),
    "sync": ("nothing",),
    "verify": ("nothing",),
    "compare": ("nothing", "nothing"),
    "table": ("nothing",),
    "ui": ("nothing",),
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_a_document_too(
    desk: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.cli.ui.leave_at_once", lambda sentence: None)
    document = ablate(command, *MISTAKES[command], code=2)
    assert document.keys() == {"error", "message", "exit_code"}
    assert document["error"] in ("SpecError", "StoreError")
    assert document["exit_code"] == 2


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("run", "tiny.yaml", "--frobnicate"), "--frobnicate"),
        (("plan",), "GRID"),
        (("views", "tiny.yaml", "--images", "0"), "--images"),
        (("cache", "list", "--workers"), "--workers"),
        (("tran", "tiny.yaml"), "'tran'"),
        (("--frobnicate",), "--frobnicate"),
    ],
    ids=str,
)
def test_a_command_line_that_cannot_be_read_is_a_document_too(
    words: tuple[str, ...], part: str
) -> None:
    document = ablate(*words, code=2)
    assert (document["error"], document["exit_code"]) == ("UsageError", 2)
    assert part in document["message"]
    without = CliRunner().invoke(app, list(words))
    assert (without.exit_code, without.stdout) == (2, "")
    assert part in without.stderr


def test_no_command_lacks_it() -> None:
    group = typer.main.get_command(app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    cache = commands.pop("cache")
    assert commands.keys() == MISTAKES.keys()
    for command in (*commands.values(), *cache.commands.values()):
        assert "--json" in [word for option in command.params for word in option.opts]


def test_what_json_does_not_know_becomes_what_it_does() -> None:
    assert plain(float("nan")) is None
    assert plain({1: (np.float32(0.5), Path("a"), np.int64(3), True)}) == {"1": [0.5, "a", 3, True]}
