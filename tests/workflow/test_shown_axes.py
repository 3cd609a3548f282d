"""Image size, view and interpolation as axes, from the grid file to the champion.

A study of several image sizes is that of its trials alone, and decodes each image once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import ablate
from ablate.cli import app
from ablate.data.dataset import DataSet
from ablate.errors import SpecError
from ablate.grid.parse import load_grid
from ablate.study.request import Compute
from ablate.study.trial import Trial
from ablate.tracking.mlflow_store import MlflowStore
from ablate.training.machine import precision
from ablate.training.trial_run import run_trial
from ablate.workflow.folders import find_folders
from ablate.workflow.plan.augmented_views import SheetRequest, describe, take_sheet
from ablate.workflow.prepare.prepared import Prepared, prepare
from ablate.workflow.prepare.resolved import Resolved, resolve

WriteGrid = Callable[..., Path]
AXES = "axes:\n  freeze_depth: [all, -1]\n  head_lr: [1.0e-3, 1.0e-2]\n"
BASELINE = "baseline: {freeze_depth: all}"
SHOWN = (
    (AXES, "axes:\n  image_size: [32, 48]\n  view: [crop, squash]\n"),
    (BASELINE, "baseline: {image_size: 32, view: crop}"),
    ("batch_size: 8", "batch_size: 8, precision: fp32, augment: light, head_lr: 1.0e-2"),
)


SAYS = {"crop": "", "squash": ", view: squash", "pad": ", view: pad"}
"""View -> what `data` says of it beside its image size."""
ReadImage = Callable[[int], Image.Image]


def axes(text: str) -> tuple[tuple[str, str], ...]:
    """Changes of the usual grid to these axes, with their first levels as the baseline."""
    return ((AXES, f"axes: {text}\n"), (BASELINE, "baseline: {}"))


def resolved_of(grid: Path) -> Resolved:
    return resolve(load_grid(grid), find_folders(), seeds=None, allow_fallback=True, command="")


def prepared_of(resolved: Resolved, home: Path) -> Prepared:
    """Ready to run in a home of its own."""
    return prepare(
        resolved,
        replace(find_folders(), home=home),
        report_dir=home / "report",
        threads=1,
        cache_gb=1.0,
        on_progress=lambda *_: None,
    )


def out(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


@pytest.fixture
def measured_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring the machine would take longer than all trials."""
    compute = Compute(device="cpu", precision="fp32", channels_last=True, threads=1)
    monkeypatch.setattr(precision, "choose_compute", lambda *_, **__: compute)


def counted(data_set: DataSet, counts: Counter[tuple[str, int]]) -> DataSet:
    """The same images, whose reading is counted by split and position."""
    splits = {}
    for name, split in data_set.splits.items():

        def read(i: int, *, name: str = name, read: ReadImage = split.read) -> Image.Image:
            counts[name, i] += 1
            return read(i)

        splits[name] = replace(split, read=read)
    return DataSet(data_set.facts, splits)


def scores_of(prepared: Prepared, trial: Trial, folder: Path) -> dict[str, float]:
    """What a trial scores that runs in this process."""
    folder.mkdir(parents=True)
    outcome = run_trial(prepared.request(trial, 1, folder), lambda *_: None)
    return only_scores(outcome.metrics)


def only_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(("val/", "test/"))}


@pytest.mark.slow
@pytest.mark.usefixtures("measured_machine")
def test_two_workers_make_of_each_arm_what_it_is_alone(
    desk: Path, write_grid: WriteGrid, tracking_uri: str
) -> None:
    grid = write_grid("shown", *SHOWN)
    out("run", str(grid), "--workers", "2", "--threads", "1")

    readme = (desk / "reports" / "shown" / "README.md").read_text()
    assert (
        "Image size: 32 or 48 (the middle square, or whole images, squashed to a square)." in readme
    )
    assert len(list((desk / "home" / "images").glob("*/meta.json"))) == 4
    resolved = resolved_of(grid)
    runs = {
        run.trial_id: run for run in MlflowStore(tracking_uri, "shown").read_study("shown").runs
    }
    assert len(runs) == len(resolved.trials) == 4
    for trial in resolved.trials:
        home = desk / trial.trial_id
        alone = scores_of(prepared_of(resolved, home), trial, home / "attempt")
        assert only_scores(runs[trial.trial_id].metrics) == alone
        assert runs[trial.trial_id].params["image_size"] == str(trial.recipe.image_size)

    # whoever asks the champion sees what test saw, at the champion's own size and view
    study = ablate.open_study("shown")
    stored = study.predictions()
    test = stored[stored["split"] == "test"]
    files = [desk / "data" / "pictures" / image_id for image_id in test["image_id"]]
    columns = [name for name in test.columns if name.startswith("p/")]
    found = study.champion.predict(files)[columns].to_numpy()
    np.testing.assert_allclose(found, test[columns].to_numpy(), atol=1e-4)


@pytest.mark.usefixtures("measured_machine")
def test_each_image_is_decoded_once_for_all_arms(desk: Path, write_grid: WriteGrid) -> None:
    resolved = resolved_of(write_grid("once", *axes("{image_size: [32, 48], view: [crop, pad]}")))
    counts: Counter[tuple[str, int]] = Counter()
    counting = replace(resolved, data_set=counted(resolved.data_set, counts))
    prepared = prepared_of(counting, desk / "home")
    assert len(prepared.stores) == 4
    assert len(counts) == sum(resolved.data_set.facts.n_images.values())
    assert set(counts.values()) == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("measured_machine")
def test_arms_are_those_of_studies_whose_data_say_the_same(
    desk: Path, write_grid: WriteGrid
) -> None:
    """The axis changes what `data` would, bit for bit, so `crop` is what it was."""
    of_axes = resolved_of(write_grid("of_axes", *SHOWN))
    prepared = prepared_of(of_axes, desk / "of_axes")
    for trial in of_axes.trials:
        name = f"{trial.recipe.view}{trial.recipe.image_size}"
        of_data = resolved_of(
            write_grid(
                name,
                SHOWN[2],
                (AXES, "axes: {head_lr: [1.0e-2]}\n"),
                (BASELINE, "baseline: {}"),
                (
                    "image_size: 32",
                    f"image_size: {trial.recipe.image_size}{SAYS[trial.shown.view]}",
                ),
            )
        )
        (same,) = of_data.trials
        by_itself = prepared_of(of_data, desk / name)
        ours = prepared.request(trial, 1, desk).store_path
        theirs = by_itself.request(same, 1, desk).store_path
        assert ours.name == theirs.name
        for file in ("train.npy", "val.npy", "test.npy", "fine.npy"):
            assert (ours / file).read_bytes() == (theirs / file).read_bytes()
        assert scores_of(prepared, trial, desk / f"{name}-axes") == scores_of(
            by_itself, same, desk / f"{name}-data"
        )


def test_levels_that_are_the_same_pixels_are_refused(write_grid: WriteGrid) -> None:
    grid = write_grid("same", *axes("{interpolation: [null, bicubic]}"))
    result = CliRunner().invoke(app, ["plan", str(grid)])
    assert result.exit_code == 2
    assert (
        "arms must differ, but 'interpolation=null' and 'interpolation=bicubic' both show "
        "test_efficientnet the same pixels: 32 px from squares of 34 px, view crop, resized by "
        "bicubic; name each level once (null and auto can be what another level says)"
    ) in " ".join(result.output.split())


def test_plan_shows_sizes_where_they_tell_rows_apart(write_grid: WriteGrid) -> None:
    plan = ablate.plan(write_grid("sized", *axes("{image_size: [32, 48], view: [crop, pad]}")))
    assert [row["image px"] for row in plan.shared] == [32, 48]
    # no two arms see the same pixels, so none shares a view
    assert plan.passes.together == plan.passes.alone
    single = ablate.plan(write_grid("single"))
    assert "image px" not in single.shared[0]


def test_a_contact_sheet_is_of_the_arm_that_is_asked_for(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid("sheet", *axes("{image_size: [32, 48], augment: [none, light]}"))
    resolved = resolved_of(grid)
    sides = []
    for arm in (None, "image_size=48 augment=none"):
        asked = SheetRequest(arm=arm)
        sheet = take_sheet(resolved, asked, home=desk / "home", on_progress=lambda *_: None)
        sides.append(sheet.groups[0].tiles.shape[2])
        assert f"{sides[-1]} px for test_efficientnet" in sheet.title
        words = describe(resolved, asked, sheet)
        assert f"image_size={sides[-1]} augment=none, {sides[-1]}, one of 2 ways" in words
    assert sides == [32, 48]
    with pytest.raises(SpecError, match="--arm must be an arm of the grid"):
        take_sheet(resolved, SheetRequest(arm="x"), home=desk / "home", on_progress=lambda *_: None)


@pytest.mark.slow
@pytest.mark.usefixtures("measured_machine")
def test_a_range_test_and_an_estimate_are_of_the_arms_own_size(write_grid: WriteGrid) -> None:
    grid = write_grid("ranged", *axes("{image_size: [32, 48], view: [crop, pad]}"))
    found = out("lr-find", str(grid), "--arm", "image_size=48 view=pad", "--steps", "10")
    assert "image_size=48 view=pad" in found
    estimate = out("plan", str(grid), "--probe", "--workers", "1")
    assert "32 px" in estimate
    assert "48 px" in estimate


@pytest.mark.slow
def test_a_search_may_propose_every_way(desk: Path, write_grid: WriteGrid) -> None:
    grid = write_grid(
        "searched",
        (
            AXES,
            "design: {search: {sampler: random, n_trials: 6, confirm: 1}}\n"
            "axes:\n  image_size: [32, 48]\n  view: [crop, squash, pad]\n",
        ),
        (f"{BASELINE}\n", ""),
    )
    out("run", str(grid), "--workers", "1")
    readme = (desk / "reports" / "searched" / "README.md").read_text()
    assert "Image size: 32 or 48 (" in readme


@pytest.mark.parametrize(
    ("data_view", "levels", "is_cut"),
    [
        ("", "[squash, pad]", False),
        ("", "[null, pad]", True),
        (", view: pad", "[null, crop]", True),
        (", view: pad", "[null, squash]", False),
    ],
)
def test_pixels_are_cut_away_where_an_arm_sees_the_middle_square(
    desk: Path, write_grid: WriteGrid, data_view: str, levels: str, is_cut: bool
) -> None:
    grid = write_grid(
        "cut", *axes(f"{{view: {levels}}}"), ("image_size: 32", f"image_size: 32{data_view}")
    )
    # pictures are 40 by 44
    expected = pytest.approx(1 - 40 / 44) if is_cut else 0
    assert resolved_of(grid).record.data.cut_share == expected
