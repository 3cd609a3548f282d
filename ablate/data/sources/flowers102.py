"""flowers102: Oxford Flowers-102, 102 kinds of garden flowers.

Official splits of 1020, 1020 and 6149 photographs. Taken from `<data_dir>/flowers102/index.csv`
where that exists, else as torchvision keeps it (`<data_dir>/flowers-102`), else fetched by
torchvision.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ablate.data.sources._base import Collection, Item, NotAvailable
from ablate.data.sources._files import file_item
from ablate.data.sources._index import read_index
from ablate.data.sources._network import is_reachable, stalls_are_errors
from ablate.errors import DataError
from ablate.study.trial import SPLITS, DataSpec

OFFICIAL = {"train": 1020, "val": 1020, "test": 6149}
# The names in setid.mat. As published, train is the small one: 10 images of each class.
_KEY_OF_SPLIT = {"train": "trnid", "val": "valid", "test": "tstid"}


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the photographs.

    Raises NotAvailable where they are not below `data_dir` and cannot be fetched.
    """
    # Nothing of the spec matters: a source with a name is always the same images.
    del spec
    index = data_dir / "flowers102" / "index.csv"
    # The folder of whoever copied the photographs by hand comes before torchvision's.
    if index.exists():
        class_names, items = read_index(index, root=index.parent)
        if any(item.split is None for item in items):
            raise DataError(
                "flowers102/index.csv must give the official split of every file in its column "
                "split."
            )
    else:
        class_names, items = _from_torchvision(data_dir)
    return Collection(
        title="Oxford Flowers-102",
        version="2008",
        licence="not stated; research use",
        origin="Nilsback and Zisserman, Automated flower classification over a large number of "
        "classes, 2008",
        is_synthetic=False,
        class_names=class_names,
        items=items,
        split_rule=_split_rule(items),
    )


def _from_torchvision(data_dir: Path) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    from torchvision.datasets import Flowers102

    try:
        Flowers102(data_dir, download=False)
    except (RuntimeError, OSError):
        _fetch(data_dir)
    return tuple(Flowers102.classes), read_mat_files(data_dir / "flowers-102")


def _fetch(data_dir: Path) -> None:
    from torchvision.datasets import Flowers102

    wanted = (
        f"source flowers102 must be in {data_dir / 'flowers102'} with an index.csv, or be fetched"
    )
    way_out = "give the folder that holds flowers102 as the data folder"
    # torchvision retries for minutes where nothing answers.
    home = Flowers102._download_url_prefix
    if not is_reachable(home):
        host = home.split("/")[2]
        raise NotAvailable(f"{wanted}, but {host} does not answer; {way_out}.")
    try:
        with stalls_are_errors():
            Flowers102(data_dir, download=True)
    except (RuntimeError, OSError) as error:
        raise NotAvailable(f"{wanted}, which failed ({error}); {way_out}.") from error


def read_mat_files(root: Path) -> tuple[Item, ...]:
    """Return the items of the official files below `root`.

    They are imagelabels.mat, setid.mat and jpg/image_00001.jpg ...
    """
    from scipy.io import loadmat

    labels = loadmat(root / "imagelabels.mat", squeeze_me=True)["labels"]
    ids_of_split = loadmat(root / "setid.mat", squeeze_me=True)
    items = []
    for split in SPLITS:
        for number in ids_of_split[_KEY_OF_SPLIT[split]].tolist():
            label = int(labels[number - 1]) - 1  # MATLAB counts from 1
            name = f"jpg/image_{number:05d}.jpg"
            items.append(file_item(root, name, label=label, split=split))
    return tuple(items)


def _split_rule(items: tuple[Item, ...]) -> str:
    """How the report describes the splits; an index may list only some of the images."""
    counts = Counter(item.split for item in items)
    incomplete = []
    for split, n in OFFICIAL.items():
        if counts[split] != n:
            incomplete.append(f"{counts[split]} of the {n} {split} images")
    if not incomplete:
        return "official"
    return f"official, with {' and '.join(incomplete)}"
