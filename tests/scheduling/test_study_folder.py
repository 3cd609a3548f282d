"""What a study is, kept in its folder: damage of it is never read, and costs nothing where its copy
is whole.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from support.toy_study import toy_study

from ablate.errors import StoreError
from ablate.scheduling.study_folder import EXHAUSTED, STUDY, STUDY_COPY, StudyFolder, StudyPlan

NUMBERS = list(map(str, range(6)))
V1 = Path(__file__).parent / "study_v1"


@pytest.fixture
def plan() -> StudyPlan:
    record, trials = toy_study(seeds=(0,))
    return StudyPlan(record, tuple(trials), {"commit": "c0ffee"})


def test_what_was_written_is_read_and_one_of_the_former_version_too(tmp_path, plan, caplog):
    folder = StudyFolder(tmp_path)
    folder.write_plan(plan)
    assert folder.read_plan() == plan
    assert "crc" not in json.loads((V1 / STUDY).read_text())
    assert StudyFolder(V1).read_plan() == plan
    assert folder.read_record() == StudyFolder(V1).read_record() == plan.record
    assert caplog.messages == []


def test_no_change_of_a_byte_is_read(tmp_path, plan):
    whole, chance = plan.to_json().encode(), random.Random(5)
    for place in [*chance.sample(range(len(whole)), 600), *range(len(whole) - 20, len(whole))]:
        changed = (
            whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
        )
        try:
            assert StudyPlan.from_json(changed) == plan  # white space at the end
            assert changed.strip() == whole
        except ValueError:
            pass
        with pytest.raises(ValueError, match=r"."):
            StudyPlan.from_json(whole[:place])


WRONG: list[Any] = [None, True, [], {}, "x", 10**30, float("nan"), [[]], {"a": {}}]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("key", ["record", "trials", "tags", "mood"])
def test_wrong_values_in_a_plan_of_the_former_version_are_no_plan(plan, key, value):
    values = json.loads((V1 / STUDY).read_text())
    text = json.dumps({**values, key: value}).encode()
    if (key, value) in [("trials", []), ("tags", {}), ("trials", {})]:
        assert StudyPlan.from_json(text).record == plan.record
    else:
        with pytest.raises(ValueError, match=r"."):
            StudyPlan.from_json(text)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"\0" * 100, b"[" * 100_000, b'{"record":' * 50_000],
    ids=map(str, range(8)),
)
def test_a_damaged_plan_is_taken_from_its_copy_and_said(tmp_path, plan, content, caplog):
    folder = StudyFolder(tmp_path)
    folder.write_plan(plan)
    (tmp_path / STUDY).write_bytes(content)
    assert folder.read_plan() == plan
    (said,) = caplog.messages
    assert folder.read_record() == plan.record
    assert caplog.messages == [said, said]
    assert re.fullmatch(
        rf"{tmp_path}/study\.json cannot be read \(.*\); its copy study\.copy\.json is taken, "
        r"and running the grid again writes both",
        said,
    )
    (tmp_path / STUDY_COPY).write_bytes(content)
    with pytest.raises(
        StoreError,
        match=rf"^{tmp_path}/study\.json must say what the study is, it cannot be read \(.*\); "
        r"running the grid again writes it\.$",
    ):
        folder.read_plan()
    folder.write_plan(plan)
    assert folder.read_plan() == plan


def test_trials_must_belong_to_arms_of_the_plan(plan):
    values = json.loads((V1 / STUDY).read_text())
    values["record"]["arms"] = values["record"]["arms"][:1]
    with pytest.raises(ValueError, match=r"^it has unknown keys or arms: [0-9a-f, ]+$"):
        StudyPlan.from_json(json.dumps(values).encode())


@pytest.mark.parametrize(
    "content", [b"", b"7", b"twelve", b"\xff\xfe", b"12\n", b"\0\0"], ids=NUMBERS
)
def test_only_the_number_that_is_asked_for_says_that_a_search_is_exhausted(tmp_path, content):
    folder = StudyFolder(tmp_path)
    assert not folder.is_exhausted(12)
    (tmp_path / EXHAUSTED).write_bytes(content)
    assert not folder.is_exhausted(12)
    folder.note_exhausted(12)
    assert folder.is_exhausted(12)
    assert not folder.is_exhausted(13)


def test_an_exhausted_search_that_cannot_be_noted_is_found_out_again(tmp_path):
    (tmp_path / EXHAUSTED).mkdir()
    StudyFolder(tmp_path).note_exhausted(12)
    assert not StudyFolder(tmp_path).is_exhausted(12)
