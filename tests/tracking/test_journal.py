from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_study import failed_events, toy_events, toy_study

from ablate.errors import StoreError
from ablate.tracking.events import EpochEnded, Failure, TrialEnded, TrialOutcome, TrialStarted, TrialState
from ablate.tracking.journal import Journal, attempts

words = st.text(max_size=12)
numbers = st.floats(allow_nan=False)
started = st.builds(TrialStarted, trial_id=words, attempt=st.integers(1, 9), slot=words, at=numbers)
epochs = st.builds(
    EpochEnded,
    trial_id=words,
    attempt=st.integers(1, 9),
    epoch=st.integers(0, 9),
    n_epochs=st.integers(1, 9),
    metrics=st.dictionaries(words, numbers),
    at=numbers,
)
outcomes = st.builds(
    TrialOutcome,
    best_epoch=st.integers(0, 9),
    metrics=st.dictionaries(words, numbers),
    facts=st.dictionaries(words, words),
    files=st.lists(words).map(tuple),
)
failures = st.builds(Failure, kind=words, message=words, traceback=words)
ended = st.builds(
    TrialEnded,
    trial_id=words,
    attempt=st.integers(1, 9),
    state=st.sampled_from(TrialState),
    at=numbers,
    outcome=st.none() | outcomes,
    failure=st.none() | failures,
)
events = st.one_of(started, epochs, ended)


@given(written=st.lists(events, max_size=5))
def test_what_was_appended_is_read_by_anybody(written, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "deep" / "journal.jsonl"
    journal = Journal(path)
    for event in written:
        journal.append(event)
    assert journal.read() == Journal(path).read() == written


@given(written=st.lists(events, min_size=1, max_size=3), later=events, data=st.data())
def test_a_journal_cut_anywhere_keeps_every_whole_line_and_goes_on(written, later, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    for event in written:
        Journal(path).append(event)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = written[: whole[:cut].count(b"\n")]
    assert Journal(path).read() == kept
    Journal(path).append(later)
    assert Journal(path).read() == [*kept, later]


def test_reading_leaves_a_torn_line_to_its_writer(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "trial_st')
    assert Journal(path).read() == []
    assert path.read_bytes() == b'{"event": "trial_st'


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(TrialStarted("a", 1, slot="cpu:0", at=1.0))
    with path.open("a") as file:
        file.write(json.dumps({"event": "trial_teleported"}) + "\n")
    message = (
        f"each line of {path} must be an event of this version of ablate, line 2 is not (KeyError: 'trial_teleported'); "
        f"move the file away to start the study anew."
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        journal.read()


def test_a_journal_that_cannot_be_written_says_where(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "journal.jsonl"
    with pytest.raises(StoreError, match=re.escape(f"the study's journal must be writable, {path} is not: ")):
        Journal(path).append(TrialStarted("a", 1, slot="cpu:0", at=1.0))


def test_attempts_fold_events_and_the_first_end_counts(tmp_path: Path):
    _, (one, two, *_) = toy_study()
    complete, failed = toy_events(one, folder=tmp_path, attempt=2), failed_events(two)
    running = TrialStarted(two.trial_id, 2, slot="cpu:1", at=9.0)
    late = TrialEnded(one.trial_id, 2, TrialState.KILLED, at=99.0)
    stray = EpochEnded("nobody", 1, epoch=0, n_epochs=1, metrics={}, at=0.0)
    found = attempts([complete[0], failed[0], stray, *complete[1:], *failed[1:], running, late])
    assert list(found) == [(one.trial_id, 2), (two.trial_id, 1), (two.trial_id, 2)]
    assert found[(one.trial_id, 2)].events == complete
    assert found[(one.trial_id, 2)].is_complete
    assert [attempt.is_running for attempt in found.values()] == [False, False, True]
