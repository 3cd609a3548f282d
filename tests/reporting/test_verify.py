"""Verification: a fresh report passes, and a change anywhere is named.

Each mutation is one place of a file, a prediction or a run.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
import sklearn.metrics as sk

from ablate.errors import SpecError, StoreError
from ablate.recipe.recipe import Recipe
from ablate.reporting.pages.folder import MARK
from ablate.reporting.pages.write import write_report
from ablate.reporting.verify_report import _changed_params, report_source, verify_report
from ablate.study.trial import DataSpec, Trial
from ablate.tracking import mlflow_fields
from ablate.tracking.records import PublishedRun


@pytest.fixture(scope="module")
def study(build):
    """Small, with two axes, and with ids of runs that look like those of MLflow."""
    made = build(
        axes={"augment": ("none", "light"), "lr_ratio": (0.1, 1.0), "freeze_depth": (-1,)},
        n_images=40,
    )
    return made.with_runs(lambda run: replace(run, run_id=hex_id(run.run_id)))


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(study.study, predictions=predictions(study), out=folder)
    return folder


def hex_id(run_id: str) -> str:
    return run_id.removeprefix("run").zfill(32)


def predictions(study, change=lambda run, frame: frame):
    return lambda run: change(run, study.frames[f"run{int(run.run_id):03d}"])


def places(study, report, *, read=None) -> list[str]:
    return [
        str(finding)
        for finding in verify_report(
            study.study, predictions=read or predictions(study), folder=report
        )
    ]


@pytest.mark.slow
def test_a_fresh_report_passes(study, report) -> None:
    assert places(study, report) == []


NUMBER = re.compile(r"\d+\.\d+")


def number_places(text: str) -> list[tuple[int, int]]:
    """Spans of printed numbers with a decimal point.

    Outside code spans (names), front matter's versions and inlined pictures.
    """
    hidden = [
        match.span()
        for match in re.finditer(
            r"`[^`]*`|src=\"[^\"]*\"|<style>.*?</style>|<code>.*?</code>", text, flags=re.DOTALL
        )
    ]
    return [
        m.span() for m in NUMBER.finditer(text) if not any(a <= m.start() < b for a, b in hidden)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "cards/champion.md",
        "trials.csv",
        "arms.csv",
        "effects.csv",
        "interactions.csv",
        "report.html",
    ],
)
def test_a_changed_number_is_named_wherever_it_stands(study, report, name: str) -> None:
    """Six places of each of seven files: 42 mutations, each the last digit of one number."""
    path = report / name
    whole = path.read_text()
    spans = number_places(whole)
    chosen = spans[:: max(len(spans) // 6, 1)][:6]
    assert len(chosen) == 6
    for start, end in chosen:
        digit = "1" if whole[end - 1] != "1" else "2"
        path.write_text(whole[: end - 1] + digit + whole[end:])
        found = places(study, report)
        line = whole[:start].count("\n") + 1
        assert any(place.startswith(f"{name}:{line}: says ") for place in found), (
            name,
            whole[start:end],
            found,
        )
    path.write_text(whole)
    assert places(study, report) == []


def test_a_changed_prediction_is_named_with_its_run(study, report) -> None:
    run_id = study.study.runs[2].run_id

    def swapped(run, frame):
        if run.run_id != run_id:
            return frame
        changed = frame.copy()
        changed["p_0"], changed["p_1"] = (
            frame["p_1"].where(frame.index == 50, frame["p_0"]),
            frame["p_0"].where(frame.index == 50, frame["p_1"]),
        )
        return changed

    found = places(study, report, read=predictions(study, swapped))
    assert any(
        place.startswith(f"run {run_id} ") and place.endswith(" from its predictions")
        for place in found
    ), found[:5]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test/macro_f1", "val/macro_f1", "test/auroc_ovr_macro", "test/ece", "val/nll"]
)
def test_a_changed_score_of_a_run_is_named(study, report, name: str) -> None:
    run_id = study.study.runs[1].run_id
    changed = study.with_runs(
        lambda run: (
            replace(run, metrics={**run.metrics, name: run.metrics[name] + 1e-4})
            if run.run_id == run_id
            else run
        )
    )
    assert any(place.startswith(f"run {run_id} {name}: says ") for place in places(changed, report))


@pytest.mark.slow
def test_average_precision_of_two_classes_is_printed_and_recomputed_and_of_more_there_is_none(
    build, report, tmp_path
) -> None:
    binary = build(
        axes={"augment": ("none", "light"), "freeze_depth": (-1,)}, n_classes=2, n_images=40
    )
    binary = binary.with_runs(lambda run: replace(run, run_id=hex_id(run.run_id)))
    write_report(binary.study, predictions=predictions(binary), out=tmp_path)
    assert places(binary, tmp_path) == []
    run = binary.study.runs[1]
    frame = predictions(binary)(run)
    own = frame[frame["split"] == "test"]
    assert run.metrics["test/average_precision"] == pytest.approx(
        sk.average_precision_score(own["label"] == 1, own["p_1"])
    )
    assert "test average precision" in (tmp_path / "README.md").read_text()
    assert all(
        "| average precision |" in card.read_text() for card in (tmp_path / "cards").glob("*.md")
    )
    assert "test/average_precision" in (tmp_path / "trials.csv").read_text()
    assert "average" not in (report / "trials.csv").read_text()
    name = "test/average_precision"
    changed = binary.with_runs(
        lambda one: (
            replace(one, metrics={**one.metrics, name: one.metrics[name] + 1e-4})
            if one.run_id == run.run_id
            else one
        )
    )
    assert any(
        place.startswith(f"run {run.run_id} {name}: says ") for place in places(changed, tmp_path)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cost/n_trainable", "time/train_s", "best_epoch"])
def test_a_changed_cost_of_a_run_is_found_in_the_report(study, report, name: str) -> None:
    run_id = study.study.runs[1].run_id
    changed = study.with_runs(
        lambda run: (
            replace(run, metrics={**run.metrics, name: run.metrics[name] + 3})
            if run.run_id == run_id
            else run
        )
    )
    assert any(
        place.startswith(("README.md:", "cards/", "trials.csv:"))
        for place in places(changed, report)
    )


@pytest.mark.slow
def test_a_changed_parameter_or_fact_of_a_run_is_found(study, report) -> None:
    run_id = study.study.runs[0].run_id
    lied = study.with_runs(
        lambda run: (
            replace(run, params={**run.params, "head_lr": "0.5"}) if run.run_id == run_id else run
        )
    )
    assert (
        f"run {run_id} parameter head_lr: says 0.5, the store gives 0.001 in the study's record"
        in places(lied, report)
    )
    other = study.with_runs(lambda run: replace(run, tags={**run.tags, "device": "cuda"}))
    assert any("says cpu, the store gives cuda" in place for place in places(other, report))


LONG = [
    {"weights": "weights/" + "w" * 200 + ("/" + "w" * 200) * 3 + ".pth"},
    {"adapter_targets": tuple(f"blocks.{number}.attn.qkv" for number in range(60)), "lora_rank": 4},
    {"class_weights": tuple(1.0 + number / 7 for number in range(200))},
]


@pytest.mark.parametrize("fields", LONG, ids=lambda fields: next(iter(fields)))
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_long_parameter_is_no_difference_and_a_changed_one_is(
    fields, is_changed: bool, build
) -> None:
    """A store keeps 500 characters of it; what is compared is cut by the same function."""
    record = build(n_images=40).study.record
    recipe = Recipe(**fields)
    name = next(iter(fields))
    assert len(json.dumps(recipe.model_dump(mode="json")[name])) > mlflow_fields.PARAM_LENGTH
    trial = Trial(
        task="classification",
        data=DataSpec(source="folder"),
        data_fingerprint="f",
        recipe=recipe,
        select_by="val/macro_f1",
        seed=0,
    )
    params = mlflow_fields.trial_params(trial)
    if is_changed:
        params[name] = "another"
    arm = record.arms[0].model_copy(update={"recipe": recipe})
    run = PublishedRun("0" * 32, "t", arm.arm_id, 0, 1, "COMPLETE", {}, {}, params, {}, "")
    found = [
        str(finding) for finding in _changed_params(run, record.model_copy(update={"arms": (arm,)}))
    ]
    said = (
        f"run {'0' * 32} parameter {name}: says another, the store gives "
        f"{mlflow_fields.trial_params(trial)[name]} in the study's record"
    )
    assert found == ([said] if is_changed else [])


@pytest.mark.parametrize("units", ["2", "3"])
def test_a_parameter_under_its_former_name_is_compared(build, units: str) -> None:
    record = build(n_images=40).study.record
    recipe = Recipe(lora_rank=4, adapter_units=2)
    arm = record.arms[0].model_copy(update={"recipe": recipe})
    params = {"lora_units": units}
    run = PublishedRun("0" * 32, "t", arm.arm_id, 0, 1, "COMPLETE", {}, {}, params, {}, "")
    changed = list(_changed_params(run, record.model_copy(update={"arms": (arm,)})))
    assert [finding.reported for finding in changed] == ([] if units == "2" else ["3"])


def test_a_parameter_that_cannot_matter_may_differ(study, report) -> None:
    """`lora_alpha` without an adapter.

    A run of an equal recipe, kept from before the grid was edited, logged another.
    """
    idle = study.with_runs(lambda run: replace(run, params={**run.params, "lora_alpha": "99.0"}))
    assert places(idle, report) == []


def test_a_missing_run_is_named(study, report) -> None:
    run_id = study.study.runs[3].run_id
    gone = study.with_runs(lambda run: None if run.run_id == run_id else run)
    found = places(gone, report)
    assert f"README.md: says run {run_id}, the store gives no such run in the study" in found


def test_missing_predictions_are_named(study, report) -> None:
    def unreadable(run):
        raise StoreError("gone")

    assert sum(
        "none, for want of readable predictions (gone)" in place
        for place in places(study, report, read=unreadable)
    ) == len(study.study.runs)


def test_missing_and_foreign_files_are_named(study, report) -> None:
    (report / "cards" / "extra.md").write_text("# An arm that nobody trained")
    figure = report / "figures" / "arms.svg"
    kept = figure.read_bytes()
    figure.unlink()
    found = places(study, report)
    (report / "cards" / "extra.md").unlink()
    figure.write_bytes(kept)
    assert found == [
        "figures/arms.svg: says nothing, the store gives a figure",
        "cards/extra.md: says a file of its own, the store gives no such arm or table",
    ]


@pytest.mark.slow
def test_a_record_that_is_gone_or_holds_more_or_less_is_named(study, report, tmp_path) -> None:
    folder = tmp_path / "report"
    path = folder / "report.json"
    shutil.copytree(report, folder)
    values = json.loads(path.read_bytes())

    path.write_text(json.dumps(values | {"verdict": "all is well"}))
    assert places(study, folder) == [
        'report.json verdict: says "all is well", the store gives null'
    ]
    figures = [name for name in values["files"] if name.startswith("figures/")]
    assert len(figures) >= 4
    path.write_text(json.dumps(values | {"files": {}}))
    assert places(study, folder) == [
        f"report.json files: says nothing of {name}, the store gives its digest"
        for name in sorted(figures)
    ]
    path.unlink()
    assert places(study, folder) == ["report.json: says nothing, the store gives a file"]
    # A report from before there was such a file says so in its mark.
    mark = folder / MARK
    mark.write_text(json.dumps({"grid": values["study"]["grid"], "files": values["files"]}))
    assert places(study, folder) == []


def test_a_folder_without_a_report_is_refused(report, tmp_path) -> None:
    source = report_source(report)
    assert (source.grid_name, source.parent_run_id, source.study_id) == (
        "flowers",
        "parent0",
        "s" * 12,
    )
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SpecError) as caught:
            report_source(folder)
        assert (
            str(caught.value)
            == f"verify takes the folder of a report, e.g. reports/flowers; {folder} holds no "
            "README.md"
        )


@pytest.mark.parametrize("content", [b"", b"# My notes", b"\xff\xfe\x00#"])
def test_a_readme_of_something_else_is_refused(content: bytes, tmp_path) -> None:
    (tmp_path / "README.md").write_bytes(content)
    with pytest.raises(SpecError) as caught:
        report_source(tmp_path)
    assert str(caught.value) == (
        f"a report must name its study under `How to reproduce`, {tmp_path / 'README.md'} does "
        "not; verify takes the folder of a report, e.g. reports/flowers"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "trials.csv", "cards/champion.md", "report.html"])
def test_bytes_that_are_no_text_are_differences(report, study, name: str) -> None:
    path = report / name
    kept = path.read_bytes()
    path.write_bytes(kept + b"\xff\xfe")
    found = places(study, report)
    path.write_bytes(kept)
    assert any(finding.startswith(name) for finding in found)
