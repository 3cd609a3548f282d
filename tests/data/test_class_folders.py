"""Whatever lies in a class folder is taken, refused or counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ablate.data.dataset import DataSet, load_data
from ablate.data.first_bytes import check_is_image, foreign_format, readable_kind
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

Draw = Callable[..., None]
DRAWN: dict[str, Any] = {"split_seed": 0, "fractions": Fractions(train=0.6, val=0.2, test=0.2)}
PPM = b"P6 1 1 255\n\1\2\3"


def _load(tmp_path: Path) -> DataSet:
    return load_data(
        DataSpec(source="folder", path="pets", **DRAWN),
        data_dir=tmp_path / "data",
        allow_fallback=False,
    )[1]


def _message(tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(tmp_path)
    return str(caught.value)


def _ids(data_set: DataSet) -> set[str]:
    return {image_id for split in data_set.splits.values() for image_id in split.image_ids}


@pytest.fixture
def pets(tmp_path: Path, draw: Draw) -> Path:
    """Two classes of six images."""
    draw("pets/cat", "pets/dog")
    return tmp_path / "data" / "pets"


def test_nothing_is_said_of_images_alone(tmp_path: Path, pets: Path) -> None:
    assert _load(tmp_path).remarks == ()


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ["Thumbs.db"],
            "left out: 1 entry not taken for images (.db 1), for example cat/Thumbs.db",
        ),
        (
            ["notes.txt", "x.json", "y.json"],
            "left out: 3 entries not taken for images (.json 2, .txt 1), for example cat/notes.txt",
        ),
        (
            [".DS_Store", "._0.ppm", "._1.ppm"],
            (
                "left out: 3 entries not taken for images (._* 2, .DS_Store 1), for example "
                "cat/.DS_Store"
            ),
        ),
        (
            [".ipynb_checkpoints/0-checkpoint.ppm"],
            (
                "left out: 1 entry not taken for images (.ipynb_checkpoints/ 1), for example "
                "cat/.ipynb_checkpoints/"
            ),
        ),
        (
            ["@eaDir/0.ppm"],
            "left out: 1 entry not taken for images (@eaDir/ 1), for example cat/@eaDir/",
        ),
        (
            ["desktop.ini", "LICENSE"],
            "left out: 2 entries not taken for images (LICENSE 1, .ini 1), for example cat/LICENSE",
        ),
        (
            ["live.MOV", "set.zip"],
            "left out: 2 entries not taken for images (.mov 1, .zip 1), for example cat/live.MOV",
        ),
    ],
)
def test_what_is_no_image_is_counted(
    tmp_path: Path, pets: Path, names: list[str], line: str
) -> None:
    before = _ids(_load(tmp_path))
    for name in names:
        (pets / "cat" / name).parent.mkdir(exist_ok=True)
        (pets / "cat" / name).write_bytes(PPM if name.endswith(".ppm") else b"words")
    data_set = _load(tmp_path)
    assert data_set.remarks == (line,)
    assert _ids(data_set) == before


def test_what_lies_beside_the_classes_is_counted(tmp_path: Path, pets: Path) -> None:
    (pets / "overview.png").write_bytes(PPM)
    (pets / "all.csv").write_text("file,label\n")
    (pets / "__MACOSX" / "cat").mkdir(parents=True)
    assert _load(tmp_path).remarks == (
        (
            "left out: 3 entries not taken for images (__MACOSX/ 1, .csv 1, .png 1), for example "
            "__MACOSX/"
        ),
        (
            "note: all.csv in pets is not read, the folders are; an index is given by its own "
            "path, data.path: pets/all.csv (labels.csv is for task multilabel)"
        ),
    )


@pytest.mark.parametrize(
    "name", ["a.jfif", "b.JPE", "c.pjpeg", "d.pbm", "IMG0001", "e.PNG", "deep/f.jif"]
)
def test_images_of_every_name_that_can_be_read_are_taken(
    tmp_path: Path, draw: Draw, pets: Path, name: str
) -> None:
    (pets / "cat" / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (3, 3), (1, 2, 3)).save(pets / "cat" / name, format="JPEG")
    data_set = _load(tmp_path)
    assert f"cat/{name}" in _ids(data_set)
    split, at = next(
        (split, split.image_ids.index(f"cat/{name}"))
        for split in data_set.splits.values()
        if f"cat/{name}" in split.image_ids
    )
    assert split.read(at).size == (3, 3)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"
LINKS = "repair or remove them (after a clone, git-annex and DVC fetch the files first)."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        *(
            (
                name,
                content,
                "an image must be JPEG, PNG, BMP, GIF, TIFF, WebP or PPM, these are of kinds "
                "that cannot be read here: "
                f"cat/{name}{said}; convert them, for example to PNG, or move them out of the "
                "class folders.",
            )
            for name, content, said in (
                ("x.HEIC", b"", ""),
                ("x.avif", b"?", ""),
                ("x.jp2", b"?", ""),
                ("x.dcm", b"?", ""),
                ("x", HEIC, " (HEIC)"),
                ("x.dat", b"\0" * 128 + b"DICM", " (DICOM)"),
            )
        ),
        *(
            (
                name,
                PPM,
                "an image must have the suffix of its kind, these are images by their first "
                "bytes but not by their names: "
                f"cat/{name} (PPM); rename them (.jpg, .png), or move them out of the class "
                "folders if they are copies.",
            )
            for name in ("0.ppm~", "0.bak", "0.jpg_large", "0.ppm.orig")
        ),
        (
            "x.png",
            b"",
            (
                "an image must have bytes, these files are empty: cat/x.png; fetch them again or "
                "remove them."
            ),
        ),
        *(
            (
                "x.png",
                content,
                (
                    "an image must be the image itself, these are pointers of Git LFS or "
                    "git-annex: cat/x.png; fetch the files (git lfs pull, git annex get)."
                ),
            )
            for content in (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                b"/annex/objects/SHA256E-s1--0.png\n",
            )
        ),
        *(
            (
                name,
                PPM,
                "a class folder must hold images alone, these look like masks or labels of "
                f"the images beside them: cat/{named}; move them out of the "
                "class folders, or name the images in a CSV (columns file, label, split).",
            )
            for name, named in (
                ("0_mask.ppm", "0_mask.ppm"),
                ("0_GT.png", "0_GT.png"),
                ("1_mask_1.png", "1_mask_1.png"),
                ("2-seg.png", "2-seg.png"),
                ("mask_3.tif", "mask_3.tif"),
                ("4 ground truth.png", "4 ground truth.png"),
                ("5_label.png", "5_label.png"),
                ("0_depth.tif", "0_depth.tif"),
                ("overlay-1.png", "overlay-1.png"),
                ("masks/0.png", "masks"),
                ("deep/annotations/0.png", "deep/annotations"),
            )
        ),
        (
            "new\nline.png",
            PPM,
            (
                r"names of files and folders must be UTF-8 without control characters, these are "
                r"not: cat/new\nline.png; rename them."
            ),
        ),
        (
            "bell\a/x.png",
            PPM,
            (
                r"names of files and folders must be UTF-8 without control characters, these are "
                r"not: cat/bell\x07; rename them."
            ),
        ),
    ],
)
def test_what_cannot_be_taken_is_refused(
    tmp_path: Path, pets: Path, name: str, content: bytes, message: str
) -> None:
    (pets / "cat" / name).parent.mkdir(parents=True, exist_ok=True)
    (pets / "cat" / name).write_bytes(content)
    assert _message(tmp_path) == message


@pytest.mark.parametrize(
    "name",
    [
        "dog_mask.ppm",
        "mask.ppm",
        "unmasked_0.ppm",
        "gt.ppm",
        "benign (1).ppm",
        "label_x.ppm",
        "x_depth.ppm",
        "label.ppm",
    ],
)
def test_words_for_masks_without_the_image_are_names(
    tmp_path: Path, draw: Draw, pets: Path, name: str
) -> None:
    draw(f"pets/cat/{name}")
    assert f"cat/{name}" in _ids(_load(tmp_path))


def test_images_that_are_called_alike_are_said(tmp_path: Path, draw: Draw, pets: Path) -> None:
    draw("pets/cat/0.pgm", "pets/dog/1.pgm")
    assert _load(tmp_path).remarks == (
        "note: 2 images have the name of another one beside them but for the suffix, as masks or "
        "copies do; each is used: "
        "cat/0.pgm = cat/0.ppm, dog/1.pgm = dog/1.ppm",
    )


def test_images_deep_in_a_class_are_said(tmp_path: Path, draw: Draw, pets: Path) -> None:
    draw("pets/cat/tabby", "pets/cat/black/left")
    assert _load(tmp_path).remarks == (
        (
            "note: images in sub-folders of a class count as images of that class: cat/black, "
            "cat/tabby"
        ),
    )


@pytest.mark.parametrize("place", ["name", "folder"])
def test_names_that_are_not_utf8(tmp_path: Path, pets: Path, place: str) -> None:
    old = pets / "cat" / "0.ppm" if place == "name" else pets / "cat"
    try:
        old.rename(old.with_name(os.fsdecode(b"fa\xe7ade.ppm" if place == "name" else b"ma\xefs")))
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    named = r"cat/fa\xe7ade.ppm" if place == "name" else r"ma\xefs"
    assert _message(tmp_path) == (
        "names of files and folders must be UTF-8 without control characters, these are not: "
        f"{named}; rename them."
    )


@pytest.mark.parametrize("name", ["cow", "cow.png"])
def test_a_dead_link_beside_the_classes_is_not_left_out(
    tmp_path: Path, pets: Path, name: str
) -> None:
    (pets / name).symlink_to("/nowhere")
    assert (
        _message(tmp_path)
        == f"a link must lead to a file, these lead nowhere or in a circle: {name}; {LINKS}"
    )


def test_every_problem_of_every_file_is_said_at_once_and_nothing_is_opened(
    tmp_path: Path, pets: Path
) -> None:
    os.mkfifo(pets / "cat" / "pipe.png")
    os.mkfifo(pets / "dog" / "pipe")
    (pets / "cat" / "zero.png").symlink_to("/dev/zero")
    (pets / "cat" / "gone.png").symlink_to("nowhere")
    (pets / "cat" / "self.png").symlink_to("self.png")
    (pets / "cat" / "up").symlink_to("..")
    (pets / "dog" / "x.heic").write_bytes(b"")
    assert _message(tmp_path) == "\n  ".join(
        [
            (
                "a link must lead to a file, these lead nowhere or in a circle: cat/up, "
                f"cat/gone.png, cat/self.png; {LINKS}"
            ),
            (
                "an image must be a regular file, these are pipes, sockets or devices: "
                "cat/pipe.png, cat/zero.png, dog/pipe; remove them."
            ),
            "an image must be JPEG, PNG, BMP, GIF, TIFF, WebP or PPM, these are of kinds that "
            "cannot be read here: dog/x.heic; convert them, for example to "
            "PNG, or move them out of the class folders.",
        ]
    )


def test_links_that_lead_into_each_other_end(tmp_path: Path, draw: Draw, pets: Path) -> None:
    draw("pets/cat/a", "pets/dog/b")
    (pets / "cat" / "a" / "x").symlink_to(pets / "dog" / "b")
    (pets / "dog" / "b" / "y").symlink_to(pets / "cat" / "a")
    message = _message(tmp_path)
    assert message.startswith("a link must lead to a file, these lead nowhere or in a circle: ")
    assert (
        "\n  an image must be there once, these are one file under two names, through a link: "
        in message
    )


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_under_two_names(
    tmp_path: Path, pets: Path, link: Callable[[Path, Path], None]
) -> None:
    link(pets / "cat" / "0.ppm", pets / "dog" / "9.ppm")
    assert _message(tmp_path) == (
        "an image must be there once, these are one file under two names, through a link: "
        "cat/0.ppm = dog/9.ppm; remove one of the two."
    )


def test_links_within_the_data_folder_are_followed(tmp_path: Path, draw: Draw, pets: Path) -> None:
    draw("elsewhere/more", "elsewhere/one.ppm", "elsewhere/cow")
    (pets / "dog" / "more").symlink_to(tmp_path / "data" / "elsewhere" / "more")
    (pets / "dog" / "one.ppm").symlink_to("../../elsewhere/one.ppm")
    (pets / "cow").symlink_to("../elsewhere/cow")
    data_set = _load(tmp_path)
    assert data_set.facts.class_names == ("cat", "cow", "dog")
    assert {"dog/more/0.ppm", "dog/one.ppm", "cow/5.ppm"} <= _ids(data_set)
    assert len(_ids(data_set)) == 25


@pytest.mark.parametrize("name", ["cow", "dog/more", "dog/one.ppm"])
def test_links_out_of_the_data_folder_say_so(
    tmp_path: Path, draw: Draw, pets: Path, name: str
) -> None:
    draw("../disk/more", "../disk/one.ppm")
    target = tmp_path / "disk" / ("one.ppm" if name.endswith(".ppm") else "more")
    (pets / name).symlink_to(target)
    assert _message(tmp_path) == (
        f"an image must stay below the data folder {tmp_path / 'data'}, but '{name}' is a "
        f"link to {target}, which lies outside; "
        f"give --data-dir {tmp_path} (make: DATA_DIR=...) with data.path from there, or copy "
        "the files."
    )
    data_set = load_data(
        DataSpec(source="folder", path="data/pets", **DRAWN),
        data_dir=tmp_path,
        allow_fallback=False,
    )[1]
    assert len(_ids(data_set)) > 12  # the way out that the message names


def test_links_out_of_the_data_folder_are_counted(tmp_path: Path, draw: Draw, pets: Path) -> None:
    draw("../disk/more")
    for number in range(3):
        (pets / "dog" / f"more{number}.ppm").symlink_to(
            tmp_path / "disk" / "more" / f"{number}.ppm"
        )
    assert _message(tmp_path) == (
        f"an image must stay below the data folder {tmp_path / 'data'}, but 'dog/more0.ppm' "
        f"is a link to {tmp_path / 'disk/more/0.ppm'}, which lies outside; "
        f"give --data-dir {tmp_path} (make: DATA_DIR=...) with data.path from there, or copy "
        "the files.\n  2 more links lead out of the data folder."
    )


def test_files_without_the_right_to_read_them(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = {str(pets / "cat" / "0.ppm"), str(pets / "dog" / "1.ppm")}
    monkeypatch.setattr(
        os, "access", lambda path, mode: str(path) not in locked
    )  # as root, chmod would forbid nothing
    assert _message(tmp_path) == (
        "files and folders must be readable, these are not: cat/0.ppm, dog/1.ppm; give "
        "yourself the right to read them (chmod -R u+rX)."
    )


@pytest.mark.parametrize(("name", "said"), [("", "pets"), ("cat", "cat"), ("dog/deep", "dog/deep")])
def test_folders_without_the_right_to_read_them(
    tmp_path: Path, draw: Draw, pets: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    draw("pets/dog/deep")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == pets / name:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # as root, chmod would forbid nothing
    assert _message(tmp_path) == (
        f"files and folders must be readable, these are not: {said}; give yourself the right "
        "to read them (chmod -R u+rX)."
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"BMW is a maker of cars", None),
        (b"P1 was the first plan", None),
        (b"II. Chapter", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
        (PPM, "PPM"),
    ],
)
def test_words_are_no_images(head: bytes, kind: str | None) -> None:
    assert (readable_kind(head), foreign_format(head)) == (kind, None)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypmsf1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftyphevx\0\0\0\0", "HEIC"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"8BPS\0\1", "a Photoshop file"),
    ],
)
def test_one_table_of_foreign_images_serves_folders_and_single_files(
    tmp_path: Path, draw: Draw, head: bytes, name: str
) -> None:
    draw("pets/cat", "pets/dog")
    (tmp_path / "data/pets/cat/scan").write_bytes(head)
    assert f"cat/scan ({name})" in _message(tmp_path)
    with pytest.raises(DataError, match=f"got {name}: scan; save it as PNG or JPEG"):
        check_is_image(head, name="scan")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WebP", "PPM"])
def test_the_kind_of_first_bytes(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "x", format=kind)
    assert readable_kind((tmp_path / "x").read_bytes()[:132]) == kind


_name = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.sets(
        st.tuples(_name, st.sampled_from(["", ".png", ".txt", ".heic", ".JPG", "~"])), max_size=5
    ),
    content=st.sampled_from([b"", PPM, b"x", HEIC]),
)
def test_every_file_is_taken_or_counted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: set[tuple[str, str]], content: bytes
) -> None:
    root = tmp_path_factory.mktemp("law")
    for i, label in enumerate("ab"):
        (root / "pets" / label).mkdir(parents=True)
        for number in range(5):
            (root / "pets" / label / f"own {number}.ppm").write_bytes(PPM + bytes([i, number]))
    written = set()
    for stem, suffix in names:
        path = root / "pets" / "a" / (stem + suffix)
        if len(os.fsencode(path.name)) < 200 and path.name not in (".", "..") and not path.exists():
            path.write_bytes(content)
            written.add(f"a/{path.name}")
    spec = DataSpec(source="folder", path="pets", **DRAWN)
    try:
        data_set = load_data(spec, data_dir=root, allow_fallback=False)[1]
    except DataError:
        assert written
    else:
        n_left_out = sum(
            int(line.split()[2]) for line in data_set.remarks if line.startswith("left out: ")
        )
        assert len(_ids(data_set)) + n_left_out == 10 + len(written)
