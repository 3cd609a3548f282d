"""A grid of images with several labels: what it may ask for, and what is refused."""

from __future__ import annotations

import pytest

from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.recipe.canonical import canonical

GRID = """\
task: multilabel
data: {source: rendered_bouquets}
base: {epochs: 2}
axes: {freeze_depth: [all, -1]}
seeds: [0]
baseline: {}
select_by: val/average_precision_macro
"""


def _parsed(*changes: tuple[str, str]) -> Grid:
    text = GRID
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_grid(text, name="g", shown_as="g.yaml")


def _mistakes(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        _parsed(*changes)
    return str(caught.value).splitlines()[1:]


def test_the_loss_is_bce_whether_it_is_said_or_not() -> None:
    said, unsaid = _parsed(("epochs: 2", "epochs: 2, loss: bce")).base, _parsed().base
    assert said == unsaid
    assert canonical(unsaid)["loss"] == "bce"
    assert "loss" not in canonical(
        _parsed(
            ("task: multilabel", "task: classification"), ("average_precision_macro", "macro_f1")
        ).base
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (
            "loss: focal",
            "loss: must be bce for task multilabel, got 'focal': each label is a yes or a no of "
            "its own",
        ),
        (
            "logit_adjustment: 1.0",
            "logit_adjustment: must be 0 for task multilabel, got 1.0: it shifts a softmax, and "
            "bce has none",
        ),
        (
            "sampler: balanced",
            "sampler: must be shuffle for task multilabel, got 'balanced': an image with several "
            "labels has no single class to be drawn by; "
            "class_weights weigh the labels",
        ),
        (
            "shots: 5",
            "shots: must be null for task multilabel, got 5: an image with several labels counts "
            "for several classes; "
            "data.sizes draws a subset that keeps their shares",
        ),
        (
            "co_tuning: 1.0",
            "co_tuning: must be 0 for task multilabel, got 1.0: its source classes are those of "
            "one class, and here an image has several",
        ),
        (
            "classifier: knn",
            "classifier: must be linear for task multilabel, got 'knn': a fitted classifier gives "
            "an image one class",
        ),
        (
            "class_weights: effective",
            "class_weights: must be none or balanced or a list or a mapping for task multilabel, "
            "got 'effective': "
            "effective numbers weigh classes, and here a yes is weighed beside a no",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(field: str, text: str) -> None:
    assert f"  line 3: base.{text}" in _mistakes(("epochs: 2", f"epochs: 2, {field}"))
    name, _, value = field.partition(": ")
    place = text.replace(f"{name}: ", f"{name}[1]: ", 1)
    first = (
        "none"
        if name == "class_weights"
        else "null"
        if name == "shots"
        else {"loss": "bce", "sampler": "shuffle", "classifier": "linear"}.get(name, "0.0")
    )
    assert f"  line 4: axes.{place}" in _mistakes(
        ("[all, -1]", f"[all, -1], {name}: [{first}, {value}]")
    )


def test_a_score_of_the_other_task_cannot_choose() -> None:
    words = (
        "'val/macro_f1', 'val/auroc_ovr_macro', 'val/average_precision_macro', 'val/micro_f1' "
        "or 'val/subset_accuracy'"
    )
    assert _mistakes(("val/average_precision_macro", "val/accuracy")) == [
        f"  line 7: select_by: must be {words}, got 'val/accuracy'; did you mean 'val/macro_f1'?"
    ] or _mistakes(("val/average_precision_macro", "val/accuracy"))[0].startswith(
        f"  line 7: select_by: must be {words}, got 'val/accuracy'"
    )
    assert len(_mistakes(("multilabel", "classification"))) == 1


def test_a_list_or_a_mapping_of_weights_is_taken() -> None:
    assert _parsed(("epochs: 2", "class_weights: {daisy: 3.0}")).base.class_weights == (
        ("daisy", 3.0),
    )
