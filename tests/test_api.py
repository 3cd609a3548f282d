"""The library's face: names, cost of importing it, and a study from a dict to predictions."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import ablate
import ablate.api
from ablate.errors import AblateError, DataError, SpecError, StoreError
from ablate.tracking.events import Event, TrialEnded, TrialStarted
from ablate.training.serving import predict
from ablate.workflow.columns import FRAMES, Column, columns_text

ROOT = Path(__file__).parents[1]
AXES = {"freeze_depth": ["all", -1], "head_lr": [1e-3, 1e-2]}
GRID: dict[str, Any] = {
    "question": "Does it <all> hang together?",
    "task": "classification",
    "data": {"source": "folder", "path": "pictures", "image_size": 32},
    "base": {"backbone": "test_efficientnet", "weights": "none", "epochs": 1, "batch_size": 8},
    "axes": AXES,
    "seeds": (0, 1),
    "baseline": {"freeze_depth": "all"},
    "select_by": "val/macro_f1",
}
DTYPES = {"text": "O", "whole number": "i", "number": "f", "yes or no": "b"}
COUNTS = {"train": 8, "val": 4, "test": 5}


@pytest.fixture(scope="module")
def study_and_events(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study that was run once, in this process, and what was heard of it."""
    desk = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for channel, name in enumerate(("red", "green")):
            for number in range(count):
                pixels = rng.integers(0, 100, size=(40, 44, 3))
                pixels[..., channel] += 90
                folder = desk / "data" / "pictures" / split / name
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    folders = ablate.folders(home=desk / "home", data_dir=desk / "data")
    options = ablate.RunOptions(executor="inline", report_dir=str(desk / "report"), threads=1)
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        grid = ablate.load_grid(GRID, name="tiny")
        study = ablate.run(grid, options, on_event=events.append, folders=folders)
        yield study, events, folders, desk


def test_the_names_are_in_one_place() -> None:
    assert ablate.__all__ == ablate.api.__all__
    for name in ablate.__all__:
        assert getattr(ablate, name) is getattr(ablate.api, name)
    assert {*ablate.__all__, "__version__"} <= set(dir(ablate))
    with pytest.raises(AttributeError, match="module 'ablate' has no attribute 'tune'"):
        ablate.tune  # noqa: B018


def test_importing_it_imports_nothing_of_it() -> None:
    code = (
        "import sys, ablate; "
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'ablate'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "['ablate', 'ablate._version']\n"


@pytest.mark.slow
def test_reading_a_grid_or_opening_a_study_needs_no_torch() -> None:
    code = (
        "import sys, ablate; ablate.load_grid('smoke'); ablate.Study; "
        "print([name for name in ('torch', 'timm', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_a_mapping_is_checked_as_a_file_is() -> None:
    grid = ablate.load_grid(GRID, name="tiny")
    assert (grid.name, grid.question) == ("tiny", "Does it <all> hang together?")
    assert grid.seeds == (0, 1)
    with pytest.raises(SpecError) as caught:
        ablate.load_grid({**GRID, "axes": {"freeze_deep": ["all"]}}, name="tiny")
    assert str(caught.value).startswith("grid 'tiny', written as YAML: 2 mistakes, nothing was")
    assert "did you mean 'freeze_depth'?" in str(caught.value)
    with pytest.raises(SpecError, match="must hold mappings, lists, words"):
        ablate.load_grid({**GRID, "seeds": {object()}})
    with pytest.raises(SpecError, match="the name of a grid file must be letters"):
        ablate.load_grid(GRID, name="a b")
    for name in ("../elsewhere", "a/b", "/tiny", "tiny/"):
        with pytest.raises(SpecError, match=r"^name must be a word, as the name of a grid file"):
            ablate.load_grid(GRID, name=name)
    with pytest.raises(SpecError, match=r"^GRID must be a name in experiments/"):
        ablate.load_grid("nothing.yaml")


def test_a_question_is_a_line_and_never_a_part_of_the_grid() -> None:
    grid = ablate.load_grid({**GRID, "question": "Which one?\nbase: {backbone: other}"})
    assert grid.question == "Which one? base: {backbone: other}"
    assert grid.base.backbone == "test_efficientnet"
    assert ablate.load_grid({**GRID, "question": None}).question == ""
    with pytest.raises(SpecError, match=r"^question must be text, got \['a'\]$"):
        ablate.load_grid({**GRID, "question": ["a"]})


def test_values_of_python_are_read_as_a_file_would_hold_them() -> None:
    base = {**GRID["base"], "weights": Path("mine.safetensors"), "head_lr": np.float64(0.01)}
    axes = {"freeze_depth": np.array([-1, 0])}
    grid = ablate.load_grid(
        {**GRID, "base": base, "axes": axes, "baseline": {"freeze_depth": -1}, "seeds": range(3)}
    )
    assert grid.base.weights == "mine.safetensors"
    assert grid.base.head_lr == 0.01
    assert grid.axes == {"freeze_depth": (-1, 0)}
    assert grid.seeds == (0, 1, 2)


def test_seeds_that_are_asked_for_are_checked_as_the_command_checks_them(tmp_path: Path) -> None:
    folders = ablate.folders(home=tmp_path)
    for seeds in ((0, 0), (), (-1,)):
        with pytest.raises(SpecError, match="seeds must be different whole numbers"):
            ablate.plan(GRID, seeds=seeds, folders=folders)
        with pytest.raises(SpecError, match="seeds must be different whole numbers"):
            ablate.run(GRID, ablate.RunOptions(seeds=seeds), folders=folders)
    assert not list(tmp_path.iterdir())


def _undeclared(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Columns of a frame that are declared not exactly once, or have another type."""
    wrong = []
    for name in frame:
        fitting = [column for column in columns if column.describes(str(name), axes=list(AXES))]
        exact = [column for column in fitting if column.name == name]
        fitting = exact or fitting
        if len(fitting) != 1 or DTYPES[fitting[0].type] != frame[name].dtype.kind:
            wrong.append(f"{name}: {frame[name].dtype}, {[column.name for column in fitting]}")
    return wrong


@pytest.mark.slow
def test_every_column_is_declared_with_its_type(study_and_events: Any) -> None:
    study, _, folders, desk = study_and_events
    image = desk / "data/pictures/test/red/0.png"
    frames = {
        "plan.arms": ablate.plan(ablate.load_grid(GRID, name="tiny"), folders=folders).arms,
        "study.trials": study.trials,
        "study.arms": study.arms,
        "study.effects": study.effects,
        "study.predictions(arm)": study.predictions(),
        "study.champion.predict(images)": study.champion.predict([image]),
    }
    assert frames.keys() == FRAMES.keys()
    assert {name: _undeclared(frame, FRAMES[name]) for name, frame in frames.items()} == {
        name: [] for name in FRAMES
    }


def test_the_docs_list_the_columns() -> None:
    assert columns_text() in (ROOT / "docs" / "python.md").read_text()


@pytest.mark.slow
def test_a_study_says_what_its_report_says(study_and_events: Any) -> None:
    study, events, _, desk = study_and_events
    assert len(study.trials) == 8
    assert set(study.trials["state"]) == {"COMPLETE"}
    written = pd.read_csv(desk / "report" / "effects.csv")
    mains = study.effects[study.effects["kind"] == "main effect"]
    np.testing.assert_allclose(mains["difference"], written["difference"], rtol=1e-5)
    assert list(study.arms["arm"]) == list(pd.read_csv(desk / "report" / "arms.csv")["arm"])
    assert sum(isinstance(event, TrialStarted) for event in events) == 8
    assert {event.slot for event in events if isinstance(event, TrialStarted)} == {"inline:0"}
    assert study.outcome.is_complete
    assert study.outcome.summary.n_complete == 8


@pytest.mark.slow
def test_nothing_is_trained_again_and_nothing_is_printed(
    study_and_events: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    study, _, folders, desk = study_and_events
    capfd.readouterr()
    events: list[Event] = []
    steps: list[str] = []
    options = ablate.RunOptions(executor="inline", report_dir=desk / "report", threads=1)
    again = ablate.run(
        ablate.load_grid(GRID, name="tiny"),
        options,
        on_event=events.append,
        on_progress=lambda what, done, total: steps.append(what),
        folders=folders,
    )
    assert [event for event in events if isinstance(event, TrialEnded)] == []
    assert again.outcome is not None
    assert again.outcome.summary is not None
    assert again.outcome.summary.n_reused == 8
    assert "checking arms" in steps
    pd.testing.assert_frame_equal(again.trials, study.trials)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_study_is_opened_by_the_name_of_its_grid(study_and_events: Any) -> None:
    study, _, folders, desk = study_and_events
    for opened in (
        ablate.open_study("tiny", folders=folders),
        ablate.open_study("tiny", study.record.study_id, folders=folders),
        ablate.open_study(ablate.load_grid(GRID, name="tiny"), folders=folders),
    ):
        pd.testing.assert_frame_equal(opened.trials, study.trials)
        assert opened.outcome is None
    paths = opened.report(desk / "again")
    assert paths.readme.read_bytes() == (desk / "report" / "README.md").read_bytes()
    with pytest.raises(StoreError):
        ablate.open_study("nothing", folders=folders)
    wrong: Any = GRID
    with pytest.raises(SpecError, match=r"^open_study takes a grid .*, got a dict$"):
        ablate.open_study(wrong, folders=folders)


@pytest.mark.slow
def test_what_a_call_achieved_is_shown_in_one_line(study_and_events: Any) -> None:
    study, _, _, _ = study_and_events
    assert repr(study.outcome) == "RunOutcome of tiny: 8 completed, 0 before, 0 failed, 0 left"


@pytest.mark.slow
def test_predictions_are_those_of_the_arm(study_and_events: Any) -> None:
    study, _, _, _ = study_and_events
    arm = study.record.arms[-1]
    frame = study.predictions(arm.name)
    pd.testing.assert_frame_equal(frame, study.predictions(arm.arm_id))
    assert set(frame["arm"]) == {arm.name}
    assert len(frame) == 2 * 2 * (4 + 5)
    test = frame[(frame["split"] == "test") & (frame["seed"] == 0)]
    accuracy = (test["label"] == test["top_class"]).mean()
    trial = study.trials[(study.trials["arm"] == arm.name) & (study.trials["seed"] == 0)]
    assert accuracy == pytest.approx(trial["test/accuracy"].item())
    with pytest.raises(SpecError, match="arm must be the name or the arm_id of an arm"):
        study.predictions("nothing")


@pytest.mark.slow
@pytest.mark.parametrize("is_logged", [True, False])
def test_the_champion_says_what_it_said_in_its_trial(
    study_and_events: Any, is_logged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _, folders, desk = study_and_events
    champion = ablate.open_study("tiny", folders=folders).champion
    if not is_logged:
        monkeypatch.setattr(champion._store, "fetch_champion", lambda run_id, into: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    then = study.predictions(champion.arm.name)
    then = then[(then["split"] == "test") & (then["seed"] == champion.run.seed)]
    paths = sorted((desk / "data/pictures/test").glob("*/*.png"))
    now = champion.predict(paths)
    stored = {Path(name).as_posix(): row for name, row in then.set_index("image_id").iterrows()}
    for path, (_, row) in zip(paths, now.iterrows(), strict=True):
        (name,) = [name for name in stored if path.as_posix().endswith(name)]
        assert row["top_class"] == stored[name]["top_class"]
        assert row["p/red"] == pytest.approx(stored[name]["p/red"], abs=1e-4)


@pytest.mark.slow
def test_the_champion_takes_images_in_batches(
    study_and_events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _, _, desk = study_and_events
    classifier = study.champion._classifier
    paths = sorted((desk / "data/pictures/test").glob("*/*.png"))
    alone = pd.concat([study.champion.predict(path) for path in paths], ignore_index=True)
    sizes = []

    def hear(module: Any, inputs: tuple[Any, ...]) -> None:
        sizes.append(len(inputs[0]))

    monkeypatch.setattr(predict, "MAX_BATCH", 3)
    hook = classifier.module.register_forward_pre_hook(hear)
    together = study.champion.predict(paths)
    hook.remove()
    assert max(sizes) == 3
    assert sum(sizes) == len(paths)
    assert len(sizes) == math.ceil(len(paths) / 3)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-5)


@pytest.mark.slow
def test_images_come_as_paths_pictures_or_arrays(study_and_events: Any) -> None:
    study, _, _, desk = study_and_events
    path = desk / "data/pictures/test/red/0.png"
    picture = Image.open(path)
    pixels = np.asarray(picture)
    alone = [study.champion.predict(image) for image in (path, str(path), picture, pixels)]
    for frame in alone:
        np.testing.assert_allclose(frame["p/red"], alone[0]["p/red"], atol=1e-6)
    assert list(study.champion.predict([path, picture])["image"]) == [str(path), "1"]
    assert len(study.champion.predict(np.stack([pixels, pixels]))) == 2
    assert study.champion.predict([]).empty
    assert len(study.champion.predict(iter([path, picture]))) == 2
    assert len(study.champion.predict(pd.Series([str(path), str(path)]))) == 2
    wrong_images = (
        pixels.astype(float),
        pixels[..., :2],
        pixels[:0],
        Image.new("RGB", (0, 5)),
        b"nothing.png",
        desk / "nothing.png",
    )
    for wrong in wrong_images:
        with pytest.raises(DataError):
            study.champion.predict([wrong])


@pytest.mark.slow
def test_a_picture_is_read_as_its_file_is(study_and_events: Any, tmp_path: Path) -> None:
    study, _, _, desk = study_and_events
    picture = Image.open(desk / "data/pictures/test/red/0.png").resize((60, 32))
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=turned)
    half = Image.new("L", picture.size)
    half.paste(255, (0, 0, 30, 32))
    picture.putalpha(half)
    picture.save(tmp_path / "transparent.png")
    deep = np.linspace(0, 65_000, 60 * 32).astype(np.uint16).reshape(32, 60)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for path in sorted(tmp_path.glob("*.png")):
        from_file = study.champion.predict(path)
        np.testing.assert_array_equal(
            study.champion.predict(Image.open(path))["p/red"], from_file["p/red"], err_msg=path.name
        )


@pytest.mark.slow
def test_notebooks_show_a_table_and_escape_what_users_wrote(study_and_events: Any) -> None:
    study, _, folders, _ = study_and_events
    plan = ablate.plan(ablate.load_grid(GRID, name="tiny"), folders=folders)
    for page in (plan._repr_html_(), study._repr_html_()):
        assert "<table" in page
        assert "Does it &lt;all&gt; hang together?" in page
        assert "<all>" not in page
    assert repr(plan) == "Plan of grid tiny: 4 arms, 8 trials"


def test_errors_have_one_root() -> None:
    assert issubclass(SpecError, ablate.AblateError)
    assert ablate.AblateError is AblateError
