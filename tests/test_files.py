from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.files import inside, sealed_json, unsealed, write_text

VALUES: dict[str, Any] = {"labels": [0, 12, 7], "names": ["fern", "mäuse"], "share": 0.1, "none": None, "deep": {"2": (1, 2), "10": {}}}


def test_text_is_written_whole_with_its_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "file.txt", "all of it")
    assert (tmp_path / "deep" / "file.txt").read_text() == "all of it"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_what_stood_there_stays_where_a_write_fails_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")
    whole = Path.write_text

    def full(self: Path, text: str, **options: str) -> int:
        whole(self, text[:3], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "afterwards")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_not_utf_8_can_be_written_about(tmp_path: Path) -> None:
    write_text(tmp_path / "failure.txt", "caf\udce9.png: äöü")
    assert (tmp_path / "failure.txt").read_text(encoding="utf-8") == "caf\\udce9.png: äöü"


@pytest.mark.parametrize(
    ("relative", "is_inside"),
    [
        *((relative, True) for relative in ("a", "a/../b", ".", "", "not/there", "own link")),
        *((relative, False) for relative in ("..", "a/../..", "/etc", "link out", "link out/deeper", "to link")),
    ],
)
def test_a_path_is_inside_where_it_leads_in_the_end(relative: str, is_inside: bool, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "own link").symlink_to("a")
    (root / "link out").symlink_to(tmp_path)
    (root / "to link").symlink_to("link out/other")
    found = inside(root, relative)
    assert (found is not None) == is_inside
    assert found is None or found == (root / relative).resolve()


def test_what_was_sealed_comes_back() -> None:
    assert unsealed(sealed_json(VALUES), fields=VALUES) == json.loads(json.dumps(VALUES))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_turned_bit_is_believed(at: int, bit: int) -> None:
    whole = sealed_json(VALUES).encode()
    damaged = bytearray(whole)
    damaged[at % len(whole)] ^= 1 << bit
    with pytest.raises(ValueError):
        unsealed(bytes(damaged), fields=VALUES)


@given(start=st.integers(0, 10_000), junk=st.binary(max_size=8))
def test_no_damaged_file_is_believed(start: int, junk: bytes) -> None:
    whole = sealed_json(VALUES).encode()
    at = start % len(whole)
    damaged = whole[:at] + junk + whole[at + len(junk) + 1 :]
    with suppress(ValueError):  # but for a space between values, which means nothing
        assert unsealed(damaged, fields=VALUES) == unsealed(whole, fields=VALUES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "it holds no object"),
        ("7", "it holds no object"),
        ('{"labels": [], "lables": 3}', "it has unknown fields: lables"),
        ("[" * 200_000, "it is nested too deeply"),
        ('{"labels": [], "seal": "0"}', "its seal does not match"),
    ],
)
def test_what_is_wrong_with_a_sealed_file_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:
        unsealed(text, fields=VALUES)
    assert str(error.value) == why


def test_a_file_of_an_earlier_version_has_no_seal() -> None:
    assert unsealed('{"labels": [1]}', fields=VALUES) == {"labels": [1]}
