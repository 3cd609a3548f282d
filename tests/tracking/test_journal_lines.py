"""Damage of every kind to a small journal: what is read is what was written, or less, and then it
is said.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_study import failed_events, toy_events, toy_study

from ablate.tracking.events import EpochEnded, Event, TrialEnded, TrialStarted, to_json
from ablate.tracking.journal import attempts
from ablate.tracking.journal_lines import Reading, encode, read_lines

PATH = Path("journal.jsonl")
V1 = Path(__file__).parents[1] / "scheduling" / "study_v1" / "journal.jsonl"


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> list[Event]:
    """Two attempts that take turns, as those of two slots do, and a third that runs."""
    _, (one, two, three, *_) = toy_study()
    first, second = (
        toy_events(one, folder=tmp_path_factory.mktemp("files"), n_epochs=2),
        failed_events(two),
    )
    running = TrialStarted(three.trial_id, 1, slot="cpu:1", at=1_700_000_009.0)
    return [first[0], second[0], first[1], second[1], *first[2:], second[2], running]


def lines_of(events: list[Event]) -> list[bytes]:
    n_lines: dict[tuple[str, int], int] = {}
    lines = []
    for event in events:
        key = (event.trial_id, event.attempt)
        lines.append(encode(event, place=n_lines.get(key, 0)))
        n_lines[key] = n_lines.get(key, 0) + 1
    return lines


def check_law(reading: Reading, written: list[Event]) -> None:
    """Nothing is read that was not written; an attempt with an end is whole; a loss is said."""
    kept = attempts(reading.events)
    for key, former in attempts(written).items():
        if key in kept:
            places = [former.events.index(event) for event in kept[key].events]
            assert places == sorted(places)
            if kept[key].ended is not None:
                assert kept[key].events == former.events
    assert kept.keys() <= attempts(written).keys()
    if attempts(reading.events) != attempts(written):
        assert reading.sentence(PATH).startswith("the journal journal.jsonl is damaged: ")
    assert reading.is_whole == (reading.sentence(PATH) == "")


def test_what_was_written_is_read_and_nothing_is_said(events):
    reading = read_lines(b"".join(lines_of(events)))
    assert reading.events == events
    assert reading.is_whole
    assert reading.sentence(PATH) == ""


@pytest.mark.slow
def test_every_change_of_one_byte_is_read_as_before_or_said(events):
    content, n_lost = b"".join(lines_of(events)), 0
    n_read = 0
    for place, byte in enumerate(content):
        changed = {byte ^ 1 << bit for bit in range(8)} | {0, 10, 13, 32, ord("0"), ord("}")}
        for other in sorted(changed - {byte}):
            reading = read_lines(content[:place] + bytes([other]) + content[place + 1 :])
            check_law(reading, events)
            assert not reading.is_whole
            n_lost += reading.events != events
            n_read += 1
    assert n_read > 20_000
    assert n_lost > 0.9 * n_read


@pytest.mark.slow
def test_every_byte_that_is_lost_or_added_is_read_as_before_or_said(events):
    content = b"".join(lines_of(events))
    # without its last newline a line is one that was never acknowledged
    for place in range(len(content) - 1):
        check_law(read_lines(content[:place] + content[place + 1 :]), events)
        for added in b"\n\0 {x":
            check_law(read_lines(content[:place] + bytes([added]) + content[place:]), events)


@pytest.mark.slow
@pytest.mark.parametrize("block", [b"\0", b"\xff", b"\n", b"}"])
@pytest.mark.parametrize("seed", range(4))
def test_blocks_that_a_power_cut_leaves_are_read_as_before_or_said(events, block, seed):
    content, chance = b"".join(lines_of(events)), random.Random(seed)
    for _ in range(200):
        begin = chance.randrange(len(content) - 1)
        end = min(len(content), begin + chance.randrange(1, 700))
        filled = content[:begin] + block * (end - begin) + content[end:]
        if end < len(content) or block == b"\n":
            check_law(read_lines(filled), events)
        else:
            kept = attempts(read_lines(filled).events)
            former = attempts(events)
            assert all(
                kept[key].events == former[key].events[: len(kept[key].events)] for key in kept
            )


@settings(deadline=None)
@given(data=st.data())
def test_lines_that_are_cut_out_doubled_or_moved_are_read_as_before_or_said(events, data):
    lines = lines_of(events)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["double", "move", "cut"])):
            case "double":
                lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
            case "move":
                lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(place))
            case "cut":
                lines[place] = (
                    lines[place][: data.draw(st.integers(1, max(1, len(lines[place]) - 2)))] + b"\n"
                )
    check_law(read_lines(b"".join(lines)), events)


def test_each_kind_of_damage_has_its_sentence(events):
    lines = lines_of(events)
    first, second = f"{events[0].trial_id}-1", f"{events[1].trial_id}-1"
    head = "the journal journal.jsonl is damaged: "
    cases = {
        f"line 3 cannot be read and is left out; attempt {first} counts as not completed": [
            *lines[:2],
            b"?\n",
            *lines[3:],
        ],
        f"lines 3, 4 cannot be read and are left out; attempts {first}, "
        f"{second} count as not completed": [
            *lines[:2],
            b"?\n",
            b"!\n",
            *lines[4:],
        ],
        "line 9 only repeats another one; no result is lost": [*lines, lines[2]],
        "lines 9, 10 only repeat another one; no result is lost": [*lines, lines[2], lines[3]],
        "line 3 is not where it was written; no result is lost": [
            lines[2],
            lines[1],
            lines[0],
            *lines[3:],
        ],
        "line 3 is damaged, the event in it is not; no result is lost": [
            *lines[:2],
            lines[2][:-1] + b"?\n",
            *lines[3:],
        ],
        "line 3 is damaged, the event in it is not; no result is lost ": [
            *lines[:2],
            lines[2][:-1] + b"?",
            *lines[3:],
        ],
    }
    for sentence, damaged in cases.items():
        reading = read_lines(b"".join(damaged))
        assert reading.sentence(PATH) == head + sentence.rstrip()
        if "no result is lost" in sentence:
            assert attempts(reading.events) == attempts(events)


def test_what_an_editor_does_to_the_ends_of_lines_is_no_damage(events):
    content = b"".join(lines_of(events))
    for edited in (
        content.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + content,
        content.replace(b"\n", b"\n\n"),
        content.replace(b"\n", b"  \t\n"),
    ):
        reading = read_lines(edited)
        assert reading.events == events
        assert reading.is_whole


def test_a_copy_that_went_another_way_is_believed_by_nobody(events):
    """Two conductors cannot have written one attempt: it is run again."""
    lines = lines_of(events)
    other = EpochEnded(
        events[0].trial_id,
        1,
        epoch=0,
        n_epochs=2,
        metrics={"val/macro_f1": 0.99},
        at=1_700_000_000.5,
    )
    reading = read_lines(b"".join([*lines, encode(other, place=1)]))
    check_law(reading, events)
    assert reading.broken == ((events[0].trial_id, 1),)


def test_a_journal_of_version_1_is_read(events):
    written = V1.read_bytes()
    reading = read_lines(written)
    assert reading.is_whole
    assert [json.loads(json.dumps(to_json(event))) for event in reading.events] == [
        json.loads(line) for line in written.splitlines()
    ]
    assert [attempt.is_complete for attempt in attempts(reading.events).values()] == [
        True,
        False,
        True,
        True,
    ]


def test_a_journal_of_version_1_goes_on_in_this_version(events):
    old = read_lines(V1.read_bytes())
    trial_id = old.events[0].trial_id
    mixed = V1.read_bytes() + encode(TrialStarted(trial_id, 9, slot="", at=1.0), place=0)
    assert read_lines(mixed).is_whole
    assert len(read_lines(mixed).events) == len(old.events) + 1
    # nobody writes version 1 after version 2
    again = read_lines(mixed + V1.read_bytes().splitlines(keepends=True)[0])
    assert again.damaged == (len(old.events) + 2,)


def test_lines_of_version_1_that_are_no_events_cost_the_attempts_around_them():
    lines = V1.read_bytes().splitlines(keepends=True)
    whole = attempts(read_lines(V1.read_bytes()).events)
    for place in range(len(lines)):
        for torn in (b"", lines[place][: len(lines[place]) // 2], b"\0" * 80):
            reading = read_lines(
                b"".join([*lines[:place], torn + b"\n" if torn else b"?\n", *lines[place + 1 :]])
            )
            assert place + 1 in reading.damaged
            kept = attempts(reading.events)
            assert all(
                kept[key].events == whole[key].events for key in kept if kept[key].ended is not None
            )
            assert sum(attempt.is_complete for attempt in kept.values()) >= 2
    doubled = read_lines(b"".join(line * 2 for line in lines))
    assert attempts(doubled.events) == whole
    assert len(doubled.repeated) == len(lines)


VALUES: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**400,
    float("nan"),
    "1",
    "",
    [],
    {},
    [[]],
    {"a": None},
    {"a": "x"},
    "x" * 10_000,
]


@pytest.mark.parametrize("value", VALUES, ids=map(str, range(len(VALUES))))
def test_wrong_values_in_a_line_of_version_1_are_damage(events, value):
    fields = {name for event in events for name in to_json(event)} - {"event"}
    assert len(fields) == 10
    for event in events:
        for name in to_json(event).keys() & fields:
            line = json.dumps({**to_json(event), name: value}).encode() + b"\n"
            reading = read_lines(line)
            # a text where a text is due, nothing where there may be nothing, no metrics
            if reading.is_whole:
                (read,) = reading.events
                assert to_json(read)[name] == value
                assert type(value) is str or value in (None, {}) or (name, value) == ("at", 1.5)
            else:
                assert reading.events == []


NO_OBJECTS = [
    b"[" * 100_000,
    b'{"event":' * 100_000,
    b"1" * 100_000,
    b"null",
    b'"event"',
    b"\xff\xfe{\0}\0",
    b'{"event":[]}',
    b"{}",
]


@pytest.mark.parametrize("line", NO_OBJECTS, ids=map(str, range(len(NO_OBJECTS))))
def test_lines_that_are_no_object_are_damage(line):
    reading = read_lines(line + b"\n")
    assert (reading.events, reading.damaged) == ([], (1,))


def test_an_end_has_the_place_behind_all_its_lines(events):
    assert [isinstance(event, TrialEnded) for event in events].count(True) == 2
    reading = read_lines(b"".join(lines_of(events)))
    assert reading.n_lines == {
        (events[0].trial_id, 1): 4,
        (events[1].trial_id, 1): 3,
        (events[-1].trial_id, 1): 1,
    }
