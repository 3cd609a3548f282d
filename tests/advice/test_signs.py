"""What names of classes tell."""

from __future__ import annotations

import pytest

from ablate.advice.signs import may_flip, seeks_small_signs


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["good", "scratches"], True),
        (["MT_Free", "MT_Blowhole"], True),
        (["nominal", "local", "global"], True),
        (["cracked_tile", "whole"], True),
        (["benign lesion", "healthy"], True),
        (["daisy", "rose"], False),
        (["accidental", "identity"], False),  # words that hold `dent` do not begin with it
    ],
)
def test_words_of_defects(names: list[str], expected: bool) -> None:
    assert seeks_small_signs(names) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (list("0123456789"), False),
        ([*"ABC", "space"], False),
        (["turn left", "turn right"], False),
        (["cat", "dog"], True),
        (["a cat", "x", "dog", "cow"], True),
    ],
)
def test_classes_that_a_mirror_changes(names: list[str], expected: bool) -> None:
    assert may_flip(names) is expected
