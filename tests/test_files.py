from __future__ import annotations

from pathlib import Path

import pytest

from ablate.files import inside, write_text


def test_text_is_written_whole_with_its_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "file.txt", "all of it")
    assert (tmp_path / "deep" / "file.txt").read_text() == "all of it"
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_what_stood_there_stays_where_a_write_fails_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        *(
            (relative, False)
            for relative in ("..", "a/../..", "/etc", "link out", "link out/deeper", "to link")
        ),
    ],
)
def test_a_path_is_inside_where_it_leads_in_the_end(
    relative: str, is_inside: bool, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "own link").symlink_to("a")
    (root / "link out").symlink_to(tmp_path)
    (root / "to link").symlink_to("link out/other")
    path = inside(root, relative)
    assert (path is not None) == is_inside
    assert path is None or path == (root / relative).resolve()
