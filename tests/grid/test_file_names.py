"""What a grid file may be called: its name is that of an experiment, of folders and of a report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import SpecError
from ablate.grid.file_names import check_name


@pytest.mark.parametrize(
    "name",
    ["flowers", "shoes.v2", "a..b", "2024-01-01", "x_y-z", "été", "花", "Ω1", "a" * 100, "9"],
)
def test_names_that_are_taken(name: str) -> None:
    check_name(Path(f"{name}.yaml"))


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("my flowers", "my_flowers"),
        ("a#b", "a_b"),
        ("it's", "it_s"),
        ('say "x"', "say_x"),
        ("two\nlines", "two_lines"),
        ("-flag", "flag"),
        ("..", "my_grid"),
        ("_hidden", "hidden"),
        ("a&b;c", "a_b_c"),
        ("e\u0301te\u0301", "été"),
        ("tab\tx", "tab_x"),
        ("<b>", "b"),
        ("a,b", "a_b"),
        ("$HOME", "HOME"),
        ("\U0001f338", "my_grid"),
        ("bad\udcff", "bad"),
    ],
)
def test_names_that_are_refused_with_one_that_is_taken(name: str, suggested: str) -> None:
    path = Path("folder") / f"{name}.yaml"
    shown = str(path) if str(path).isprintable() else repr(str(path))
    with pytest.raises(SpecError) as caught:
        check_name(path)
    assert str(caught.value) == (
        f"{shown}: the name of a grid file must be letters, digits, '_', '-' and '.' and "
        "begin with a letter or digit, "
        f"got {path.stem!r}; it names the experiment, folders and the report: rename the "
        f"file, e.g. to {suggested}.yaml"
    )
    check_name(Path(f"{suggested}.yaml"))


@pytest.mark.parametrize("name", ["x" * 101, "花" * 34, "x" * 5000])
def test_long_names_are_refused(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_name(Path(f"{name}.yaml"))
    assert str(caught.value) == (
        f"{(name + '.yaml')[:200]!r}: the name of a grid file must have at most 100 bytes, "
        f"got {name[:60]!r}...; "
        "it names the experiment, folders and the report: rename the file"
    )


@given(st.text(min_size=1, max_size=150).filter(lambda name: "/" not in name and "\0" not in name))
def test_a_name_that_is_taken_is_that_of_a_folder_and_fits_in_a_line(name: str) -> None:
    path = Path(f"{name}.yaml")
    try:
        check_name(path)
    except SpecError as error:
        assert str(error).encode()
        assert "\n" not in str(error)
    else:
        assert path.stem.isprintable()
        assert not set(path.stem) & set(" /\\#'\"<>&;$*?[]|")
        assert len(os.fsencode(path.stem)) <= 100
        assert path.stem not in (".", "..")
