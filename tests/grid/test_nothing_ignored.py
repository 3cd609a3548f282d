"""Nothing that stands in a grid file is ignored: it is used, or refused where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ablate.errors import SpecError
from ablate.grid.parse import load_grid, parse_grid

SEARCHED = """\
# q?
task: classification
data:
  source: folder
  path: pictures
  split_seed: 0
  fractions: {train: 0.5, val: 0.25, test: 0.25}
  sizes: {train: 10}
  classes: {good: [a], bad: [b]}
base: {freeze_depth: all, phases: [{epochs: 1}]}
design:
  search:
    {sampler: tpe, n_trials: 3, confirm: 1, objectives: [val/macro_f1, cost/n_trainable]}
axes:
  head_lr: {low: 0.1, high: 1, log: true}
  lora_rank: [0, 4]
  adapter_units: {low: 1, high: 2, when: {lora_rank: 4}}
  adapter_targets: {levels: [auto, [a, b]], when: {lora_rank: 4}}
  phases: [[{epochs: 1}], [{epochs: 2, until: plateau, patience: 1}]]
exclude: [{when: {lora_rank: 4}, why: x}]
pilot_seed: 7
seeds: [0, 1]
select_by: val/macro_f1
"""
RANDOM = """\
# q?
task: classification
data: {source: rendered_flowers}
base: {freeze_depth: -1}
design: {random: 2}
axes: {head_lr: [0.1, 0.2], weight_decay: [0, 0.1]}
tune: {batch_size: [4, 8]}
seeds: [0, 1]
baseline: {head_lr: 0.1}
select_by: val/macro_f1
"""


def _mappings(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the mappings are."""
    if isinstance(values, dict):
        yield place
    for key, value in (
        values.items()
        if isinstance(values, dict)
        else enumerate(values)
        if isinstance(values, list)
        else ()
    ):
        yield from _mappings(value, (*place, key))


def _with(text: str, place: tuple[Any, ...], key: str, value: Any) -> str:
    values = yaml.safe_load(text)
    inside = values
    for part in place:
        inside = inside[part]
    inside[key] = value
    return yaml.safe_dump(values, sort_keys=False)


def _dotted(place: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(
        "."
    )


PLACES = [(text, place) for text in (SEARCHED, RANDOM) for place in _mappings(yaml.safe_load(text))]


def test_the_texts_are_grids_and_have_a_mapping_of_every_kind() -> None:
    for text in (SEARCHED, RANDOM):
        parse_grid(text, name="g", shown_as="g.yaml")
    assert len(PLACES) == 26


@pytest.mark.parametrize(
    ("text", "place"), PLACES, ids=[_dotted(place) or "top" for _, place in PLACES]
)
@pytest.mark.parametrize("value", [1, None, [], {}])
def test_an_unknown_key_is_refused_at_every_level(
    text: str, place: tuple[Any, ...], value: Any
) -> None:
    with pytest.raises(SpecError) as caught:
        parse_grid(_with(text, place, "unheard_of", value), name="g", shown_as="g.yaml")
    assert f"{_dotted((*place, 'unheard_of'))}: " in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("name: mine", "line 11: name: is not a field here: a grid is called as its file is"),
        ("name:", "line 11: name: is not a field here: a grid is called as its file is"),
        (
            "question: Does it matter?",
            (
                "line 11: question: is not a field here: the question of a grid is the first "
                "comment of its file"
            ),
        ),
        (
            "exclude: [{when: {}, why: x}]",
            "line 11: exclude[0].when: must be a mapping of at least one, got {}",
        ),
        (
            "exclude: [{when: {head_lr: []}, why: x}]",
            "line 11: exclude[0].when.head_lr: must be a level or a list of at least one, got []",
        ),
        (
            "exclude: [{when: {head_lr: 0.1}, why: x, name: y}]",
            "line 11: exclude[0].name: is not a field here",
        ),
        ("seeds: [3]", "line 11: seeds: is given twice; keep one"),
        (
            "<<: {noise_floor: 3}",
            (
                "line 11: <<: is YAML's way to merge mappings, which a grid file does not take: "
                "write the fields out"
            ),
        ),
    ],
)
def test_what_used_to_be_ignored(line: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_grid(f"{RANDOM}{line}\n", name="g", shown_as="g.yaml")
    assert told in [one.strip() for one in str(caught.value).splitlines()]


def test_a_pilot_seed_is_for_a_pilot() -> None:
    text = RANDOM.replace("tune: {batch_size: [4, 8]}", "pilot_seed: 7")
    with pytest.raises(SpecError) as caught:
        parse_grid(text, name="g", shown_as="g.yaml")
    assert str(caught.value).splitlines() == [
        "g.yaml: 1 mistake, nothing was started",
        (
            "  line 7: pilot_seed: must be left out where nothing is searched or tuned: no trial "
            "uses it"
        ),
    ]


@pytest.mark.parametrize("key", ['"\\ud800"', '"\\0"', "1", "~", "yes"])
def test_a_key_that_is_no_text_is_refused_once_in_its_line(key: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_grid(f"{RANDOM}{key}: 1\n", name="g", shown_as="g.yaml")
    assert all(line.startswith("  line 11: ") for line in str(caught.value).splitlines()[1:])


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\n\n",
        "---\n",
        "\ufeff",
        "# yaml-language-server: $schema=x\n",
        "#\n\n",
        "%YAML 1.1\n---\n",
    ],
)
def test_the_question_is_found_whatever_stands_before_it(before: str) -> None:
    assert parse_grid(before + RANDOM, name="g", shown_as="g.yaml").question == "q?"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_of_other_editors_are_read(encoding: str, tmp_path: Any) -> None:
    path = tmp_path / "g.yaml"
    path.write_bytes(RANDOM.replace("q?", "Größe?").replace("\n", "\r\n").encode(encoding))
    assert load_grid(path).question == "Größe?"


@pytest.mark.parametrize(
    ("data", "byte", "at"),
    [("# q?\n".encode("utf-16"), "ff", 0), ("# Größe".encode("latin-1"), "f6", 4)],
)
def test_another_encoding_is_refused(data: bytes, byte: str, at: int, tmp_path: Any) -> None:
    path = tmp_path / "g.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load_grid(path)
    assert str(caught.value) == (
        f"{path}: a grid file must be readable text in UTF-8, got byte 0x{byte} at position "
        f"{at}; save it as UTF-8"
    )


def test_of_very_many_mistakes_the_first_are_listed() -> None:
    axes = ", ".join(f"no_{number}: [1]" for number in range(300))
    with pytest.raises(SpecError) as caught:
        parse_grid(RANDOM.replace("axes: {", f"axes: {{{axes}, "), name="g", shown_as="g.yaml")
    first, *listed, last = str(caught.value).splitlines()
    assert first == "g.yaml: 300 mistakes, nothing was started"
    assert (len(listed), last) == (100, "  and 200 more")
