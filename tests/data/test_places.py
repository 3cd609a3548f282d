"""`data.path`: whatever was written, it stays below the data folder, or a sentence says why not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.data.dataset import load_data
from ablate.data.sources._base import NotAvailable
from ablate.data.sources._places import below
from ablate.errors import DataError, escaped, is_printable
from ablate.study.trial import DataSpec, Fractions, TaskName

Draw = Callable[..., None]
DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
FOLDER = "the data folder is set by --data-dir (make: DATA_DIR=...) or ABLATE_DATA."


def _message(data_dir: Path, path: str, task: TaskName = "classification") -> str:
    with pytest.raises(DataError) as caught:
        load_data(
            DataSpec(source="folder", path=path, **DRAWN),
            data_dir=data_dir,
            allow_fallback=False,
            task=task,
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x\0y", r"data.path must be UTF-8 without control characters, got 'x\x00y'; rename it."),
        ("x\ny", r"data.path must be UTF-8 without control characters, got 'x\ny'; rename it."),
        (
            "caf\udce9",
            r"data.path must be UTF-8 without control characters, got 'caf\xe9'; rename it.",
        ),
        (
            "..",
            (
                "data.path must stay below its folder, got '..'; move the files there, or point "
                "the data folder higher."
            ),
        ),
        (
            "a/../../x",
            (
                "data.path must stay below its folder, got 'a/../../x'; move the files there, or "
                "point the data folder higher."
            ),
        ),
        (
            "/dev/zero",
            (
                "data.path must stay below its folder, got '/dev/zero'; move the files there, or "
                "point the data folder higher."
            ),
        ),
    ],
)
def test_what_can_be_no_path(tmp_path: Path, path: str, message: str) -> None:
    assert _message(tmp_path, path) == message


@pytest.mark.parametrize("relative", ["../secret", "a/../../secret", "/etc/hostname"])
def test_no_path_leads_outside(tmp_path: Path, relative: str) -> None:
    with pytest.raises(DataError) as error:
        below(tmp_path, relative, what="data.path")
    assert str(error.value) == (
        f"data.path must stay below its folder, got {relative!r}; move the files there, or "
        "point the data folder higher."
    )


def test_no_path_leads_outside_through_a_link_in_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(DataError) as error:
        below(tmp_path, "link/passwd", what="an image")
    assert str(error.value) == (
        f"an image must stay below the data folder {tmp_path}, but 'link/passwd' is a link to "
        "/etc/passwd, which lies outside; copy the files."
    )


def test_a_path_inside_has_one_spelling(tmp_path: Path) -> None:
    assert below(tmp_path, "a/../b", what="data.path") == tmp_path.resolve() / "b"


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    spec = DataSpec(source="folder", path="pets", **DRAWN).model_copy(
        update={"path": "x" * 5000}
    )  # a grid file is refused earlier
    with pytest.raises(DataError) as caught:
        load_data(spec, data_dir=tmp_path, allow_fallback=False)
    assert str(caught.value) == (
        f"data.path must be a folder or a CSV file below the data folder {tmp_path}, got "
        f"'{'x' * 100}...{'x' * 100} (5000 characters)', "
        f"which cannot be read (File name too long); {FOLDER}"
    )


@pytest.mark.parametrize(
    ("task", "what"),
    [("classification", "a folder or a CSV file"), ("multilabel", "a folder with labels.csv")],
)
def test_a_missing_path_says_how_the_data_folder_is_set(
    tmp_path: Path, task: TaskName, what: str
) -> None:
    assert _message(tmp_path, "pets", task) == (
        f"data.path must be {what} below the data folder {tmp_path}, got 'pets', which does "
        f"not exist; {FOLDER}"
    )


def test_a_linked_data_set_says_where_it_lies(tmp_path: Path, draw: Draw) -> None:
    draw("../disk/animals/cat", "../disk/animals/dog")
    (tmp_path / "data" / "pets").symlink_to(tmp_path / "disk" / "animals")
    assert _message(tmp_path / "data", "pets") == (
        f"data.path must stay below the data folder {tmp_path / 'data'}, but 'pets' is a link "
        f"to {tmp_path / 'disk/animals'}, which lies outside; "
        f"give --data-dir {tmp_path / 'disk'} (make: DATA_DIR=...) and data.path: animals, or "
        "copy the files."
    )
    load_data(
        DataSpec(source="folder", path="animals", **DRAWN),
        data_dir=tmp_path / "disk",
        allow_fallback=False,
    )  # the way out holds


def test_a_link_to_nothing_is_broken_and_no_fallback_hides_it(tmp_path: Path) -> None:
    (tmp_path / "pets").symlink_to("gone")
    spec = DataSpec(source="folder", path="pets", fallback="rendered_flowers")
    with pytest.raises(DataError) as caught:
        load_data(spec, data_dir=tmp_path, allow_fallback=True)
    assert not isinstance(caught.value, NotAvailable)
    assert str(caught.value) == (
        f"data.path must be a folder or a CSV file below the data folder {tmp_path}, got "
        f"'pets', a link to {tmp_path / 'gone'}, where nothing is; {FOLDER}"
    )


def test_a_link_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "pets").symlink_to("pets")
    assert _message(tmp_path, "pets").startswith("data.path must ")


def test_a_data_folder_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("data")
    message = _message(
        tmp_path / "data", "pets"
    )  # Python 3.13 follows as far as it goes, and finds nothing
    assert message in (
        (
            f"the data folder must not be a link in a circle, got '{tmp_path / 'data'}'; repair "
            "it, or give another one with --data-dir."
        ),
        f"data.path must be a folder or a CSV file below the data folder {tmp_path / 'data'}, "
        "got 'pets', which cannot be read (Too many levels of "
        f"symbolic links); {FOLDER}",
    )


def test_a_pipe_is_no_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pets")
    assert (
        _message(tmp_path, "pets")
        == "data.path must be a folder or a CSV file, got the pipe, socket or device 'pets'."
    )


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("a.zip", "; unpack it and give the folder"),
        ("a.XLSX", "; save it as CSV"),
        ("a.tar", "; ask for source: webdataset if it is a shard of one, else unpack it"),
        ("a.parquet", "; ask for source: parquet"),
        ("a.png", ""),
    ],
)
def test_a_file_is_no_folder(tmp_path: Path, name: str, way_out: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert (
        _message(tmp_path, name)
        == f"data.path must be a folder or a CSV file, got the file '{name}'{way_out}."
    )


def test_a_linked_data_folder_is_that_folder(tmp_path: Path, draw: Draw) -> None:
    draw("pets/cat", "pets/dog")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    spec = DataSpec(source="folder", path="pets", **DRAWN)
    through, plain = (
        load_data(spec, data_dir=tmp_path / name, allow_fallback=False) for name in ("link", "data")
    )
    assert through[0] == plain[0]
    assert through[1].facts == plain[1].facts


def test_an_absolute_path_below_the_data_folder_is_kept_relative(
    tmp_path: Path, draw: Draw
) -> None:
    draw("pets/cat", "pets/dog")
    spec = DataSpec(source="folder", path=str(tmp_path / "data" / "pets"), **DRAWN)
    resolved, data_set = load_data(spec, data_dir=tmp_path / "data", allow_fallback=False)
    assert (resolved.path, data_set.facts.origin) == ("pets", "data.path pets")


@pytest.mark.slow
@given(
    relative=st.text(max_size=30)
    | st.lists(st.sampled_from(["..", ".", "a", "/", "//", "\udc80"]), max_size=8).map("/".join)
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_path_leaves_its_folder(tmp_path: Path, relative: str) -> None:
    try:
        path = below(tmp_path, relative, what="data.path")
    except DataError as error:
        assert is_printable(str(error))
    else:
        assert path.resolve().is_relative_to(tmp_path.resolve())


@given(name=st.text(max_size=400) | st.binary(max_size=60).map(os.fsdecode))
def test_an_escaped_name_can_be_printed_anywhere(name: str) -> None:
    assert is_printable(escaped(name))
    escaped(name).encode()
    assert len(escaped(name)) <= 230
    if is_printable(name) and len(name) <= 200:
        assert escaped(name) == name
