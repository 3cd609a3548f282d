"""`report.json`: written beside README.md, read back as it was, checked like everything else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ablate.errors import SpecError
from ablate.reporting.compute import compute_results
from ablate.reporting.pages.folder import MARK, digest_of, read_mark, write_mark
from ablate.reporting.pages.write import write_report
from ablate.reporting.report_record import (
    NAME,
    SCHEMA_VERSION,
    ReportRecord,
    read_report_record,
    report_json,
    report_schema_text,
)
from ablate.reporting.text.note import study_note
from ablate.reporting.verify_report import report_source, verify_report

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


@pytest.fixture(scope="module")
def made(build: Any) -> Any:
    """Small; its store is at an address with a password and a folder."""
    built = build(axes={"augment": ("none", "light"), "freeze_depth": (-1,)}, n_images=40)
    uri = "postgresql://me:secret@host/db"
    return replace(built, study=replace(built.study, tracking_uri=uri))


@pytest.fixture(scope="module")
def folder(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("report")
    write_report(made.study, predictions=made.predictions, out=out)
    return out


@pytest.fixture
def record(folder: Path) -> ReportRecord:
    read = read_report_record(folder)
    assert read is not None
    return read


@pytest.mark.slow
def test_it_says_what_the_tables_say(made: Any, record: ReportRecord) -> None:
    results = compute_results(made.study, made.predictions)
    assert [arm.arm_id for arm in record.arms] == results.arms["arm_id"].tolist()
    assert results.champion is not None
    assert record.champion_arm_id == results.champion.arm_id
    assert record.champion is not None
    score = record.champion.scores["test/macro_f1"]
    arm_id = record.champion.arm_id
    assert score.mean == results.number(arm_id, "test/macro_f1/mean")
    assert score.low == results.number(arm_id, "test/macro_f1/low")
    for effect, other in zip(record.effects, results.effects.all, strict=True):
        assert effect.estimate == other.estimate
        assert effect.verdict == other.verdict.value
    assert {trial.run_id for trial in record.trials} == {run.run_id for run in made.study.runs}
    assert record.provenance == (made.study.runs[0].provenance,)


def test_neither_passwords_nor_folders_of_the_machine_stand_in_it(folder: Path) -> None:
    whole = (folder / NAME).read_text()
    assert "secret" not in whole
    assert str(folder) not in whole


def test_it_lists_every_other_file_with_its_digest(folder: Path, record: ReportRecord) -> None:
    written = {
        path.relative_to(folder).as_posix(): digest_of(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (NAME, MARK)
    }
    assert len(written) > 10
    assert record.files == written


@pytest.mark.slow
def test_it_satisfies_the_schema_that_is_kept_in_the_documents(folder: Path) -> None:
    assert SCHEMA.read_text() == report_schema_text()
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validate(json.loads((folder / NAME).read_text()), schema)


def test_what_was_written_comes_back(folder: Path, record: ReportRecord) -> None:
    assert report_json(record) == (folder / NAME).read_text()


def test_a_changed_value_and_a_changed_figure_are_named(
    made: Any, folder: Path, record: ReportRecord
) -> None:
    figure = next(name for name in record.files if name.endswith(".png"))
    kept = {name: (folder / name).read_bytes() for name in (NAME, figure)}
    values = json.loads(kept[NAME])
    values["arms"][0]["name"] = "another"
    (folder / NAME).write_text(json.dumps(values))
    (folder / figure).write_bytes(b"another")
    findings = verify_report(made.study, predictions=made.predictions, folder=folder)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert list(map(str, findings)) == [
        f'{NAME} arms.0.name: says "another", the store gives "{record.arms[0].name}"',
        f"{figure}: says another picture, the store gives "
        f"the one of digest {record.files[figure][:12]}",
    ]


@pytest.mark.slow
def test_a_folder_of_before_there_was_one_is_read_from_its_readme(
    made: Any, folder: Path, tmp_path: Path
) -> None:
    source = report_source(folder)
    old = tmp_path / "report"
    shutil.copytree(folder, old)
    (old / NAME).unlink()
    mark = read_mark(old)
    assert mark is not None
    files = {name: digest for name, digest in mark.files.items() if name != NAME}
    write_mark(old, mark.model_copy(update={"files": files}))
    assert read_report_record(old) is None
    assert report_source(old) == source
    assert verify_report(made.study, predictions=made.predictions, folder=old) == []


def test_a_newer_and_a_damaged_one_are_refused_in_a_line(
    tmp_path: Path, record: ReportRecord
) -> None:
    path = tmp_path / NAME
    path.write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(SpecError) as newer:
        read_report_record(tmp_path)
    assert str(newer.value) == (
        f"{path} must be of schema version 1 at most, got 2; a newer ablate wrote it: update ablate"
    )
    for damaged in ("", "[]", report_json(record)[:-30]):
        path.write_text(damaged)
        with pytest.raises(SpecError, match="must be as a report wrote it, it is damaged"):
            read_report_record(tmp_path)


def test_the_note_for_mlflow_is_made_of_it(record: ReportRecord) -> None:
    note = study_note(record)
    assert note.startswith("# Which way of transferring works?\n\n- **Fallback data**")
    assert record.champion is not None
    assert f"Best arm on val: **`{record.champion.short_name}`**" in note
    assert "report/report.json" in note
