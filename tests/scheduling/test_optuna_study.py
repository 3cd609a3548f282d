from __future__ import annotations

import contextlib
import random
import re
import sqlite3

import optuna
import pytest
from support.toy_study import toy_events, toy_study

from ablate.errors import CheckFailed, StoreError
from ablate.scheduling.optuna_study import OptunaStudy, default_url, study_in_folder
from ablate.tracking.events import TrialEnded, TrialState


def by_id(trials):
    return {trial.trial_id: trial for trial in trials}


@pytest.mark.slow
def test_an_attempt_is_one_optuna_trial_with_the_levels_of_its_arm(tmp_path):
    record, trials = toy_study()
    study = OptunaStudy(record, by_id(trials), url=default_url(tmp_path))
    study.begin()
    ends = [toy_events(trial, folder=tmp_path / "files")[-1] for trial in trials[:3]]
    ends += [
        TrialEnded(trials[3].trial_id, 1, TrialState.FAILED, at=0.0),
        TrialEnded(trials[3].trial_id, 2, TrialState.KILLED, at=0.0),
    ]
    for event in [*toy_events(trials[0], folder=tmp_path / "files")[:-1], *ends, *ends]:
        study.tell(event)
    found = study.trials
    assert [trial.params for trial in found] == [
        {"freeze_depth": "all", "lr_ratio": 0.1},
        {"freeze_depth": "all", "lr_ratio": 0.1},
        {"freeze_depth": -1, "lr_ratio": 0.1},
        {"freeze_depth": -1, "lr_ratio": 0.1},
        {"freeze_depth": -1, "lr_ratio": 0.1},
    ]
    assert [(trial.state.name, trial.value) for trial in found] == [("COMPLETE", 0.6)] * 3 + [
        ("FAIL", None)
    ] * 2
    assert found[1].user_attrs == {
        "trial_id": trials[1].trial_id,
        "attempt": 1,
        "seed": 1,
        "arm": "freeze_depth=all lr_ratio=0.1",
    }


def test_a_second_opening_adds_nothing_and_ends_what_was_left_running(tmp_path):
    record, trials = toy_study()
    study = OptunaStudy(record, by_id(trials), url=default_url(tmp_path))
    study.begin()
    end = toy_events(trials[0], folder=tmp_path / "files")[-1]
    study.tell(end)
    (name,) = optuna.get_all_study_names(default_url(tmp_path))
    optuna.load_study(study_name=name, storage=default_url(tmp_path)).ask()
    again = OptunaStudy(record, by_id(trials), url=default_url(tmp_path))
    again.begin()
    again.tell(end)
    assert [trial.state.name for trial in again.trials] == ["COMPLETE", "FAIL"]


@pytest.mark.parametrize(
    ("select_by", "direction"), [("val/macro_f1", "MAXIMIZE"), ("val/nll", "MINIMIZE")]
)
def test_the_direction_follows_the_metric(select_by, direction, tmp_path):
    record, _ = toy_study()
    OptunaStudy(record.model_copy(update={"select_by": select_by}), {}, url=default_url(tmp_path))
    (summary,) = optuna.get_all_study_summaries(default_url(tmp_path))
    assert summary.direction.name == direction


def test_levels_that_optuna_has_no_word_for_are_told_as_json(tmp_path):
    record, trials = toy_study(axes={"adapter_targets": ("auto", ("a", "b")), "lora_rank": (4,)})
    study = OptunaStudy(
        type(record).model_validate_json(record.model_dump_json()),
        by_id(trials),
        url=default_url(tmp_path),
    )
    study.tell(toy_events(trials[-1], folder=tmp_path / "files")[-1])
    assert study.trials[0].params == {"adapter_targets": '["a", "b"]', "lora_rank": 4}


def test_a_trial_of_no_arm_is_a_bug(tmp_path):
    record, _ = toy_study()
    _, (*_, stranger) = toy_study(axes={"freeze_depth": (-7,)})
    message = (
        f"every trial must belong to an arm of its study, {stranger.trial_id} with arm "
        f"{stranger.arm_id} does not."
    )
    with pytest.raises(CheckFailed, match=f"^{re.escape(message)}$"):
        OptunaStudy(record, by_id([stranger]), url=default_url(tmp_path)).tell(
            TrialEnded(stranger.trial_id, 1, TrialState.FAILED, at=0.0)
        )


def test_a_storage_that_cannot_be_used_is_named_without_its_password():
    record, _ = toy_study()
    with pytest.raises(
        StoreError, match=r"^Optuna's storage must be usable, 'nosuch://me:\*\*\*@host/db' is not: "
    ):
        OptunaStudy(record, {}, url="nosuch://me:secret@host/db")


def test_a_file_that_optuna_cannot_open_any_more_is_made_again(tmp_path):
    """As it may be left by a process that dies while Optuna makes or changes its tables."""
    record, trials = toy_study()
    study_in_folder(tmp_path, record, by_id(trials))
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('of.nobody')")
        connection.commit()
    with pytest.raises(StoreError, match=r"^Optuna's storage must be usable, "):
        OptunaStudy(record, by_id(trials), url=default_url(tmp_path))
    assert study_in_folder(tmp_path, record, by_id(trials)).trials == []
    assert OptunaStudy(record, by_id(trials), url=default_url(tmp_path)).is_up()


def damages():
    """Every 17th piece of the file lost, filled or changed; its beginning; and other files."""
    chance = random.Random(3)
    for part in range(6):
        yield (
            f"block {part}",
            lambda content, part=part: (
                content[: (at := part * len(content) // 6)] + b"\xa5" * 3000 + content[at + 3000 :]
            ),
        )
    for part in range(4):
        yield f"cut {part}", lambda content, part=part: content[: part * len(content) // 4 + 17]
    yield "zeros", lambda content: bytes(len(content))
    yield "bits", lambda content: bytes(byte ^ (chance.random() < 0.01) for byte in content)
    yield "text", lambda content: b"no database"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "damage"), list(damages()))
def test_a_damaged_file_is_made_again_from_the_journal(tmp_path, name, damage):
    record, trials = toy_study()
    ends = [toy_events(trial, folder=tmp_path / "files")[-1] for trial in trials]

    def told() -> list[tuple[str, str]]:
        study = study_in_folder(tmp_path, record, by_id(trials))
        study.begin()
        for end in ends:
            study.tell(end)
        study.check_readable()
        return [(trial.user_attrs["trial_id"], trial.state.name) for trial in study.trials]

    whole = told()
    path = tmp_path / "optuna.db"
    path.write_bytes(damage(path.read_bytes()))
    assert told() == whole


def test_what_optuna_reads_and_nobody_can_use_is_made_again(tmp_path, caplog):
    record, trials = toy_study()
    study = study_in_folder(tmp_path, record, by_id(trials))
    study.tell(toy_events(trials[0], folder=tmp_path / "files")[-1])
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = '[[1]]' WHERE key = 'trial_id'"
        )
        connection.commit()
    assert study_in_folder(tmp_path, record, by_id(trials)).trials == []
    assert caplog.messages == [
        f"Optuna's file {tmp_path}/optuna.db is made again from the journal: TypeError: "
        "unhashable type: 'list'"
    ]


def test_a_folder_may_have_any_name(tmp_path):
    """Characters that mean something in a URL: the file lies in the folder all the same, and is
    found again.
    """
    record, trials = toy_study()
    folder = tmp_path / "50% of a?b=c#d & ü"
    folder.mkdir()
    study_in_folder(folder, record, by_id(trials)).tell(
        toy_events(trials[0], folder=tmp_path / "files")[-1]
    )
    assert (folder / "optuna.db").is_file()
    assert len(study_in_folder(folder, record, by_id(trials)).trials) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] in (
        [folder.name, "files"],
        ["files", folder.name],
    )
