"""Lists of images in CSV files: every row is whole, every file is there once, or it is named."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.data.dataset import DataSet, load_data
from ablate.data.sources._table import read_table
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

Draw = Callable[..., None]
DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
ROWS = [f"{name}/{i}.ppm,{name}" for name in ("cat", "dog") for i in range(6)]
QUOTES = 'a cell with a comma must be in "quotes"'


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """Two folders of six images each, for an index beside them."""
    draw("pets/cat", "pets/dog")
    return tmp_path / "data" / "pets"


def _load(pets: Path, content: str | bytes) -> DataSet:
    (pets / "index.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_data(
        DataSpec(source="folder", path="pets/index.csv", **DRAWN),
        data_dir=pets.parent,
        allow_fallback=False,
    )[1]


def _message(pets: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        _load(pets, content)
    return str(caught.value)


def _text(*more: str, head: str = "file,label") -> str:
    return "\n".join([head, *ROWS, *more]) + "\n"


def _ids(data_set: DataSet) -> set[str]:
    return {image_id for split in data_set.splits.values() for image_id in split.image_ids}


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        _text(),
        "\ufeff" + _text(),
        _text().replace("\n", "\r\n"),
        _text().replace("\n", "\r"),
        _text().replace(",", " , "),
        _text().replace("\n", "\n\n"),
        _text().replace("cat/0.ppm", '"cat/0.ppm"'),
        _text().replace("cat/0.ppm", "./cat//0.ppm").replace("dog/1.ppm", "cat/../dog/./1.ppm"),
    ],
)
def test_one_list_in_many_spellings(pets: Path, content: str) -> None:
    plain = _load(pets, _text())
    other = _load(pets, content)
    assert other.facts.fingerprint == plain.facts.fingerprint
    assert _ids(other) == {row.partition(",")[0] for row in ROWS}


def test_absolute_paths_below_the_index_are_relative_ids(pets: Path) -> None:
    plain = _load(pets, _text())
    assert (
        _load(pets, _text().replace("cat/", f"{pets}/cat/")).facts.fingerprint
        == plain.facts.fingerprint
    )
    link = pets.parent.parent / "through a link"
    link.symlink_to(pets.parent)
    (pets / "index.csv").write_text(_text().replace("cat/", f"{link}/pets/cat/"))
    data_set = load_data(
        DataSpec(source="folder", path="pets/index.csv", **DRAWN),
        data_dir=link,
        allow_fallback=False,
    )[1]
    assert data_set.facts.fingerprint == plain.facts.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            _text().replace("dog/0.ppm,dog", "dog/0.ppm,dog, big"),
            f"every row of index.csv must have 2 cells (file, label), row 8 has 3; {QUOTES}.",
        ),
        (
            _text("cat/9.ppm"),
            f"every row of index.csv must have 2 cells (file, label), row 14 has 1; {QUOTES}.",
        ),
        (
            _text(head="file,label,split").replace("cat\n", "cat,train\n"),
            (
                "every row of index.csv must have 3 cells (file, label, split), row 8 has 2; "
                f"{QUOTES}."
            ),
        ),
        (
            "file,label,label\ncat/0.ppm,cat,odd\n",
            (
                "each column of index.csv must have a name of its own, label is given more than "
                "once; remove or rename one."
            ),
        ),
        *(
            (
                _text().replace(",", mark),
                (
                    f"columns of index.csv must be separated by commas, got 'file{shown}label'; "
                    "save it as comma-separated values (in Python: sep=',')."
                ),
            )
            for mark, shown in ((";", ";"), ("\t", r"\t"), ("|", "|"))
        ),
        (
            _text().encode("utf-16"),
            "index.csv must be in UTF-8, it is in UTF-16; save it as CSV UTF-8.",
        ),
        (
            _text("cat/9.ppm,caf\xe9").encode("latin-1"),
            "index.csv must be in UTF-8, row 14 is not (byte 0xe9); save it as CSV UTF-8.",
        ),
        (
            b"\xef\xbb\xbf" + "file,label\nä.ppm,1\n\xff,2\n".encode("latin-1"),
            "index.csv must be in UTF-8, row 2 is not (byte 0xe4); save it as CSV UTF-8.",
        ),
        (
            _text("cat/9.ppm,c\0at"),
            "index.csv must be a CSV file in UTF-8, row 14 has a zero byte; save it as CSV UTF-8.",
        ),
        (
            _text('"cat/9.ppm,cat'),
            (
                "index.csv must be a CSV file, row 14 cannot be read (unexpected end of data); a "
                'cell with a comma, a quote or a line break must be in "quotes".'
            ),
        ),
        (
            _text('"cat/\n9.ppm",cat'),
            (
                r"cells must be without control characters and line breaks, row 14 of index.csv "
                r"has 'cat/\n9.ppm'; is a quote missing?"
            ),
        ),
        (
            _text(","),
            "every row of an index must have a file and a label, row 14 of index.csv has not.",
        ),
        (
            _text("", "cat/9.ppm,"),
            "every row of an index must have a file and a label, row 15 of index.csv has not.",
        ),
        (
            _text(head="file,label,split")
            .replace("cat\n", "cat,train\n")
            .replace("dog\n", "dog,\n"),
            (
                "all rows of index.csv must name a split or none, 6 of 12 name none, the first is "
                "row 8; fill them in or leave out the column split."
            ),
        ),
        (
            _text("./cat//0.ppm,dog", "dog/../dog/1.ppm,dog"),
            "a file must be named once in index.csv, 'cat/0.ppm' and './cat//0.ppm' are one "
            "file in rows 2 and 14, with label 'cat' and 'dog'; keep one row; "
            "1 more row repeats a file.",
        ),
        (
            _text().replace("dog/0.ppm,dog", "dog/0.ppm,Cat"),
            (
                "classes must differ in more than case, blanks, Unicode form or zeros, index.csv "
                "has 'Cat' and 'cat'; give both one name, or names that differ."
            ),
        ),
        (
            "file,label\ncat/0.ppm,1\ncat/1.ppm,01\n",
            (
                "classes must differ in more than case, blanks, Unicode form or zeros, index.csv "
                "has '01' and '1'; give both one name, or names that differ."
            ),
        ),
        (
            "file,label,class_name\ncat/0.ppm,1,cat\ncat/1.ppm,1,dog\n",
            (
                "each label must have one class_name in index.csv, label '1' has 'cat' and, in "
                "row 3, 'dog'."
            ),
        ),
        (
            _text(
                *(f"cat/gone{i}.ppm,cat" for i in range(15)),
                *(f"dog\\{i}.ppm,dog" for i in range(5)),
            ),
            "every file of index.csv must exist, 20 are not there: 'cat/gone0.ppm' (row 14), "
            "'cat/gone1.ppm' (row 15), 'cat/gone2.ppm' (row 16), "
            "'cat/gone3.ppm' (row 17), 'cat/gone4.ppm' (row 18) and 15 more; 5 of them have "
            "\\ in their names: write / instead of \\; "
            "correct the names or leave out the rows.",
        ),
        (
            _text("cat/0.PPM,cat"),
            "every file of index.csv must exist, 1 is not there: 'cat/0.PPM' (row 14); "
            "'0.ppm' is there, which differs in case or in its Unicode form; "
            "correct the names or leave out the rows.",
        ),
        (
            _text("cat/0,cat"),
            "every file of index.csv must exist, 1 is not there: 'cat/0' (row 14); '0.ppm' is "
            "there: names must have their suffix; "
            "correct the names or leave out the rows.",
        ),
        *(
            (
                f"{head}\ncat/0.ppm,cat{',train' * (head.count(',') - 1)}\n",
                "columns of index.csv that are read must be called file, label, class_name, "
                f"split, letter by letter, got {got!r}; "
                f"rename it to {expected}, or to a word that is no such column.",
            )
            for head, got, expected in (
                ("File,Label", "File", "file"),
                ("file,LABEL", "LABEL", "label"),
                ("file,label,Split", "Split", "split"),
                ("file,label,SPLIT", "SPLIT", "split"),
                ("file,label,Class Name", "Class Name", "class_name"),
                ("file,label,className", "className", "class_name"),
            )
        ),
        (
            _text("cat,cat"),
            (
                "every file of index.csv must be a file that can be read, these are not: 'cat' "
                "(row 14); correct the names or leave out the rows."
            ),
        ),
        *(
            (
                _text(f"{path},cat"),
                (
                    f"an image must stay below its folder, got '{path}'; move the files there, or "
                    "point the data folder higher."
                ),
            )
            for path in ("/etc/hosts", "../secret.png", "cat/../../secret.png")
        ),
    ],
)
def test_a_wrong_list_names_the_row(pets: Path, content: str | bytes, message: str) -> None:
    assert _message(pets, content) == message


def test_one_file_through_a_link(pets: Path) -> None:
    (pets / "dog" / "same.ppm").symlink_to("../cat/0.ppm")
    os.link(pets / "cat" / "1.ppm", pets / "dog" / "hard.ppm")
    assert _message(pets, _text("dog/same.ppm,dog", "dog/hard.ppm,dog")) == (
        "a file must be named once in index.csv, 'cat/0.ppm' and 'dog/same.ppm' are one file "
        "in rows 2 and 14, with label 'cat' and 'dog'; keep one row; "
        "1 more row repeats a file."
    )


def test_a_pipe_is_not_opened(pets: Path) -> None:
    os.mkfifo(pets / "cat" / "pipe.png")
    assert _message(pets, _text("cat/pipe.png,cat")) == (
        "every file of index.csv must be a file that can be read, these are not: "
        "'cat/pipe.png' (row 14); correct the names or leave out the rows."
    )
    os.mkfifo(pets / "pipe.csv")
    with pytest.raises(DataError) as caught:
        load_data(
            DataSpec(source="folder", path="pets/pipe.csv"),
            data_dir=pets.parent,
            allow_fallback=False,
        )
    assert str(caught.value) == "pipe.csv must be a CSV file, it is not a regular file; replace it."


def test_images_beside_those_of_the_list_are_counted(pets: Path) -> None:
    assert _load(pets, _text()).remarks == ()
    short = "\n".join(["file,label", *ROWS[:5], *ROWS[6:11]])
    assert _load(pets, short).remarks == (
        (
            "left out: 2 images that lie beside those in index.csv and are not in it, for example "
            "cat/5.ppm"
        ),
    )
    nearly_all = "\n".join(["file,label", *ROWS[:5], *ROWS[6:]])
    assert _load(pets, nearly_all).remarks == (
        "left out: 1 image that lies beside those in index.csv and is not in it: cat/5.ppm",
    )


def test_columns_that_are_not_read_are_said(pets: Path) -> None:
    rows = [f"{i},{row},{('train', 'test')[i % 2]}," for i, row in enumerate(ROWS)]
    assert _load(pets, "\n".join([",file,label,set,note", *rows])).remarks == (
        "note: columns of index.csv that are not read: set, note",
    )


def test_a_note_may_have_line_breaks_but_swallows_no_row(pets: Path) -> None:
    rows = [f'{row},"seen at dusk,\n\tfrom afar"' for row in ROWS]
    assert len(_ids(_load(pets, "\n".join(["file,label,note", *rows])))) == 12
    swallowed = "\n".join(["file,label,note", 'cat/0.ppm,cat,"at dusk', 'cat/1.ppm,cat,from afar"'])
    assert _message(pets, swallowed) == (
        r"cells must be without control characters and line breaks, row 2 of index.csv has "
        r"'at dusk\ncat/1.ppm,cat,from afar'; is a quote missing?"
    )


_cell = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6
).filter(lambda text: text.strip())


@given(
    rows=st.lists(st.tuples(_cell, _cell), min_size=1, max_size=6),
    ending=st.sampled_from(["\n", "\r\n"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_a_csv_writer_writes_is_read_back(
    tmp_path: Path, rows: list[tuple[str, str]], ending: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ending).writerows([("file", "label"), *rows])
    (tmp_path / "t.csv").write_bytes(text.getvalue().encode())
    table = read_table(tmp_path / "t.csv", read=("file", "label"))
    assert [tuple(row.cells.values()) for row in table.rows] == [
        (first.strip(), second.strip()) for first, second in rows
    ]
    assert [row.line for row in table.rows] == list(range(2, 2 + len(rows)))


@given(content=st.binary(max_size=80))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_a_table_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(b"file,label\n" + content)
    try:
        table = read_table(tmp_path / "t.csv", read=("file", "label"))
    except DataError as error:
        assert "t.csv" in str(error)
    else:
        assert all(set(row.cells) == {"file", "label"} for row in table.rows)
