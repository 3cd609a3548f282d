"""What commands say of the data, before anything is trained."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ablate.console.before_run import classes_line, show_data
from ablate.data.dataset import DataSet, load_data
from ablate.study.trial import DataSpec
from ablate.workflow.prepare.resolved import Resolved


@pytest.fixture
def flowers(tmp_path: Path) -> DataSet:
    return load_data(DataSpec(source="rendered_flowers"), data_dir=tmp_path, allow_fallback=False)[
        1
    ]


def _said(data_set: DataSet) -> str:
    console = Console(file=io.StringIO(), width=400, markup=False, highlight=False)
    resolved: Any = SimpleNamespace(
        data=DataSpec(source="rendered_flowers"),
        data_set=data_set,
        expansion=SimpleNamespace(arms=()),
        pilot=None,
    )
    show_data(console, cast("Resolved", resolved))
    return cast("io.StringIO", console.file).getvalue()


def test_classes_are_named_with_their_images(flowers: DataSet) -> None:
    names = flowers.facts.class_names[:10]
    line = classes_line(flowers.facts)
    assert (
        line == "classes (images in train/val/test): "
        f"{', '.join(f'{name} 30/20/30' for name in names)} and 4 more"
    )
    assert line in _said(flowers)


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/x]", "a\x1b[31m", "caf\udce9", "<b>"])
def test_names_are_said_as_they_are_written(flowers: DataSet, name: str) -> None:
    facts = flowers.facts.model_copy(
        update={"class_names": (name, *flowers.facts.class_names[1:]), "title": "[/pets]"}
    )
    said = _said(replace(flowers, facts=facts))
    assert said.startswith(
        "data: [/pets] (synthetic; 14 classes; train 420, val 280, test 420 images; splits: "
        "official)\n"
    )
    shown = {"a\x1b[31m": r"a\x1b[31m", "caf\udce9": r"caf\xe9"}.get(name, name)
    assert f"classes (images in train/val/test): {shown} 30/20/30, " in said


def test_what_was_left_out_is_said(flowers: DataSet) -> None:
    said = _said(replace(flowers, remarks=("left out: 3 entries", "warning: val has [no] images")))
    assert said.endswith("and 4 more\nleft out: 3 entries\nwarning: val has [no] images\n")
