"""Sources of other packages: found by name, imported when asked for, held to what sources keep."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.data.dataset import DataSet, load_data
from ablate.data.sources import source_of
from ablate.errors import DataError
from ablate.study.trial import DataSpec, Fractions

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
HALVES = Fractions(train=0.5, val=0.25, test=0.25)
HEAD = "from ablate.data.sources import Collection, Item\n"

Install = Callable[..., None]


def blocks() -> dict[str, str]:
    """The code of the page: file -> its text, by the comment on its first line."""
    found = {}
    for text in re.findall(r"```[a-z]+\n(# .+?\n.*?)```", DOCS.read_text(), re.DOTALL):
        found[text.splitlines()[0].removeprefix("# ").split()[0]] = text
    assert set(found) == {"shells.py", "pyproject.toml", "test_shells.py"}
    return found


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module with an entry point, as pip would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def one(name: str, code: str, *, package: str = "seaside", target: str = "collect") -> None:
        module = f"{package}_{name}".replace("-", "_")
        (site / f"{module}.py").write_text(code)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        points = info / "entry_points.txt"
        text = points.read_text() if points.exists() else "[ablate.sources]\n"
        points.write_text(f"{text}{name} = {module}:{target}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return one


def load(name: str, data_dir: Path, *, task: str = "classification") -> DataSet:
    """The images that the source gives, split."""
    spec = DataSpec(source=name, split_seed=0, fractions=HALVES)
    return load_data(spec, data_dir=data_dir, allow_fallback=False, task=task)[1]


def message(name: str, data_dir: Path, *, task: str = "classification") -> str:
    with pytest.raises(DataError) as error:
        load(name, data_dir, task=task)
    return str(error.value)


@pytest.mark.slow
def test_the_page_shows_a_source_that_keeps_the_contract(tmp_path: Path) -> None:
    shown = blocks()
    for name in ("shells.py", "test_shells.py"):
        (tmp_path / name).write_text(shown[name])
    n_code = len([line for line in shown["shells.py"].splitlines() if line and line[0] != "#"])
    assert n_code <= 12
    (tmp_path / "shells-1.0.dist-info").mkdir()
    (tmp_path / "shells-1.0.dist-info" / "METADATA").write_text("Name: shells\nVersion: 1.0\n")
    points = "[ablate.sources]\n" + shown["pyproject.toml"].splitlines()[2].replace('"', "")
    (tmp_path / "shells-1.0.dist-info" / "entry_points.txt").write_text(points)
    # A folder of its own, as the package's author would have: nothing of this repository's tests.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shells.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "OMP_NUM_THREADS": "1"},
    )
    assert re.search(r"\d+ passed", done.stdout) and "failed" not in done.stdout, done.stdout


def test_the_suite_is_imported_without_pytest() -> None:
    code = "import sys, ablate.testing; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "False\n"


GOOD = (
    HEAD
    + """
from PIL import Image
import hashlib

def collect(spec, *, data_dir):
    items = []
    for i in range(16):
        def read(i=i):
            return Image.new("RGB", (4, 4), (i, 0, 0))
        def digest(i=i):
            return hashlib.sha256(bytes([i])).hexdigest()
        items.append(Item(f"{i}", i % 2, None, read, digest))
    return Collection("Shells", "1", "CC0", "a beach", False, ("mussel", "snail"), tuple(items))
"""
)


def test_a_source_of_a_package_is_used_by_its_name(install: Install, tmp_path: Path) -> None:
    install("shells", GOOD)
    data = load("shells", tmp_path)
    assert (data.facts.source, data.facts.title) == ("shells", "Shells")
    assert data.facts.class_names == ("mussel", "snail")


def test_a_broken_package_stops_nobody_else(install: Install, tmp_path: Path) -> None:
    install("shells", GOOD)
    install("stones", "import nothing_of_that_name")
    install("sand", "raise SystemExit(3)")
    load("shells", tmp_path)
    assert source_of("textile", field="source", task="classification") is not None
    assert message("stones", tmp_path) == (
        "source stones must be importable, its package seaside is not (ModuleNotFoundError: No "
        "module named 'nothing_of_that_name'); mend or uninstall it, other sources work without "
        "it."
    )
    assert message("sand", tmp_path) == (
        "source sand must be importable, its package seaside is not (SystemExit: 3); mend or "
        "uninstall it, other sources work without it."
    )


def test_a_wrong_name_lists_what_packages_bring_and_imports_none(
    install: Install, tmp_path: Path
) -> None:
    install("stones", "import nothing_of_that_name")
    assert message("stone", tmp_path).endswith(
        "stones, torchvision:<Name> for task classification, got 'stone'; did you mean stones?"
    )


def test_a_package_does_not_change_what_a_built_in_name_means(
    install: Install, tmp_path: Path
) -> None:
    install("rendered_flowers", "import nothing_of_that_name")
    spec = DataSpec(source="rendered_flowers")
    load_data(spec, data_dir=tmp_path, allow_fallback=False)


def test_two_packages_of_one_name(install: Install, tmp_path: Path) -> None:
    install("shells", GOOD)
    install("shells", GOOD, package="dunes")
    assert message("shells", tmp_path) == (
        "a source must come from one package, shells comes from dunes and seaside; uninstall one "
        "of them."
    )


def test_what_is_no_function(install: Install, tmp_path: Path) -> None:
    install("shells", "collect = 3")
    assert message("shells", tmp_path) == (
        "source shells must be a function of a data spec and data_dir, package seaside brings int "
        "(seaside_shells:collect); mend or uninstall it, other sources work without it."
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def collect(spec, *, data_dir): raise KeyError('reef')", "must find its images, it "
         "failed (KeyError: 'reef'); tell its author."),
        ("def collect(spec): return 1", "must find its images, it failed (TypeError: collect() got "
         "an unexpected keyword argument 'data_dir'); tell its author."),
        ("def collect(spec, *, data_dir): return 1", "must return an ablate Collection, returned "
         "int; tell its author."),
        (GOOD.replace("tuple(items)", "items"), "must give items as a tuple, gave list; tell its "
         "author."),
        (GOOD.replace('f"{i}"', '"a"'), "must give each image an id of its own, 'a' stands twice; "
         "tell its author."),
        (GOOD.replace('f"{i}"', 'f"../{i}"'), "must give each image an id that is a relative POSIX "
         "path or a key, printable and without '..', gave '../0'; tell its author."),
        (GOOD.replace("i % 2", "i % 3"), "must label images with positions in class_names, 0 to 1, "
         "gave 2 for '2'; tell its author."),
        (GOOD.replace("i % 2", "'snail'"), "must label images with an int for this task, gave "
         "'snail' for '0'; tell its author."),
        (GOOD.replace("i % 2, None", "i % 2, 'dev'"), "must give splits as train, val, test or "
         "None, gave 'dev' for '0'; tell its author."),
        (GOOD.replace('"snail")', '"mussel")'), "must give each class a name of its own, some of "
         "class_names stand twice; tell its author."),
        (GOOD.replace('"a beach"', "None"), "must give its origin as printable text, gave None; "
         "tell its author."),
        (GOOD.replace("hashlib.sha256(bytes([i])).hexdigest()", "i"), "must read '1' and give a "
         "sha256 of 64 hex digits, got 1; tell its author."),
        (GOOD.replace("hashlib.sha256(bytes([i])).hexdigest()", "{}[i]") , "must read '1', it "
         "failed (KeyError: 1); tell its author."),
    ],
)  # fmt: skip
def test_what_no_source_may_hand_over(
    install: Install, tmp_path: Path, code: str, said: str
) -> None:
    install("shells", code)
    text = message("shells", tmp_path)
    if text.startswith("16 images"):  # all of them are alike
        text = text.splitlines()[1]
    assert text == f"source shells of package seaside {said}"


@pytest.mark.parametrize("wrong", ['"L", (4, 4), i', '"RGB", (0, 4)'])
def test_an_image_that_is_none(install: Install, tmp_path: Path, wrong: str) -> None:
    install("shells", GOOD.replace('"RGB", (4, 4), (i, 0, 0)', wrong))
    data = load("shells", tmp_path)
    with pytest.raises(DataError) as error:
        data.splits["train"].read(0)
    got = "4 x 4 of mode L" if "L" in wrong else "0 x 4 of mode RGB"
    name = data.splits["train"].image_ids[0]
    assert str(error.value) == (
        f"source shells of package seaside must read '{name}' as an RGB image of at most 60000000 "
        f"pixels, got {got}; tell its author."
    )


def test_labels_of_another_kind_than_the_task(install: Install, tmp_path: Path) -> None:
    install("shells", GOOD)
    assert message("shells", tmp_path, task="multilabel") == (
        "source shells of package seaside must label images with a tuple of different ints in "
        "order for this task, gave 0 for '0'; tell its author."
    )
    install("many", GOOD.replace("i % 2", "(i % 2,)"))
    load("many", tmp_path, task="multilabel")
