"""torchvision:<Name>: a data set that torchvision fetches and checks.

Where it has no val split, val is a seeded part of train.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ablate.data.sources._base import Collection, Item, NotAvailable
from ablate.data.sources._network import is_reachable, stalls_are_errors
from ablate.errors import DataError
from ablate.study.trial import DataSpec

PREFIX = "torchvision:"


@dataclass(frozen=True, slots=True)
class Download:
    """How torchvision calls the splits of one data set, and where it fetches it from."""

    home: str
    """Page or file of the data set, asked whether it answers before torchvision downloads."""
    argument: str
    """How the data set's class calls the parameter that chooses a split."""
    splits: Mapping[str, Any]
    """split -> value of `argument`."""


_BY_FLAG: Mapping[str, Any] = {"train": True, "test": False}
_TWO: Mapping[str, Any] = {"train": "train", "test": "test"}
_THREE: Mapping[str, Any] = {"train": "train", "val": "val", "test": "test"}

DOWNLOADS: dict[str, Download] = {
    # CIFAR's files are pickles: torchvision loads them only after their checksums were right.
    "CIFAR10": Download("https://www.cs.toronto.edu/~kriz/cifar.html", "train", _BY_FLAG),
    "CIFAR100": Download("https://www.cs.toronto.edu/~kriz/cifar.html", "train", _BY_FLAG),
    "MNIST": Download(
        "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        "train",
        _BY_FLAG,
    ),
    "FashionMNIST": Download(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
        "train",
        _BY_FLAG,
    ),
    "KMNIST": Download("http://codh.rois.ac.jp/kmnist/", "train", _BY_FLAG),
    "USPS": Download("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/", "train", _BY_FLAG),
    "SVHN": Download("http://ufldl.stanford.edu/housenumbers/", "split", _TWO),
    "STL10": Download("http://ai.stanford.edu/~acoates/stl10/", "split", _TWO),
    "Food101": Download("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "split", _TWO),
    "GTSRB": Download("https://sid.erda.dk/", "split", _TWO),
    # trainval is taken whole: val is drawn from it, by the seed of the grid file.
    "OxfordIIITPet": Download(
        "https://www.robots.ox.ac.uk/~vgg/data/pets/",
        "split",
        {"train": "trainval", "test": "test"},
    ),
    "DTD": Download("https://www.robots.ox.ac.uk/~vgg/data/dtd/", "split", _THREE),
    "FGVCAircraft": Download(
        "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/", "split", _THREE
    ),
    "Country211": Download(
        "https://openaipublic.azureedge.net/clip/data/country211.tgz",
        "split",
        {"train": "train", "val": "valid", "test": "test"},
    ),
    "RenderedSST2": Download(
        "https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz", "split", _THREE
    ),
}


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of `torchvision:<Name>` below `data_dir`, fetched where needed.

    Raises NotAvailable where that cannot be done.
    """
    import torchvision

    name = spec.source.removeprefix(PREFIX)
    check_name(name)
    download = DOWNLOADS[name]
    parts: dict[str, Any] = {}
    items: list[Item] = []
    # Where there is no val, the data set's own train is cut by `data.splits`.
    for split in download.splits:
        parts[split] = _open(name, split, data_dir=data_dir)
        items += _items(parts[split], split)
    return Collection(
        title=name,
        version=f"as of torchvision {torchvision.__version__.split('+')[0]}",
        licence="see the data set's page",
        origin=f"torchvision.datasets.{name}, {download.home}",
        is_synthetic=False,
        class_names=_class_names(parts["train"]),
        items=tuple(items),
    )


def check_name(name: str) -> None:
    """Raise DataError with the nearest name where `name` is no data set that this source knows."""
    if name not in DOWNLOADS:
        near = difflib.get_close_matches(name, DOWNLOADS, n=1, cutoff=0.0)[0]
        raise DataError(
            f"torchvision:<Name> must name one of {', '.join(DOWNLOADS)}, got {name!r}; "
            f"did you mean {near}?"
        )


def _open(name: str, split: str, *, data_dir: Path) -> Any:
    """Open one split, from disk where it is there, else from the network. Raises NotAvailable."""
    import torchvision

    download = DOWNLOADS[name]
    dataset_class = getattr(torchvision.datasets, name)
    arguments = {download.argument: download.splits[split]}
    try:
        return dataset_class(data_dir, **arguments, download=False)
    except (RuntimeError, OSError):
        pass  # not there, or not whole: torchvision does not tell which
    wanted = f"source {PREFIX}{name} must be below the data folder {data_dir} or be fetched"
    # Asked first: torchvision tries for minutes where nothing answers.
    if not is_reachable(download.home):
        host = download.home.split("/")[2]
        raise NotAvailable(f"{wanted}, but {host} does not answer; copy it there by hand.")
    try:
        with stalls_are_errors():
            return dataset_class(data_dir, **arguments, download=True)
    except (RuntimeError, OSError) as error:
        raise NotAvailable(f"{wanted}, which failed ({error}).") from error


def _items(part: Any, split: str) -> Iterator[Item]:
    for i, label in enumerate(_labels(part)):
        yield Item(
            f"{split}/{i:06d}",
            int(label),
            split,
            read=partial(_read, part, i),
            digest=partial(_digest, part, i),
        )


def _labels(part: Any) -> Any:
    """The labels without decoding every image, where the data set keeps them."""
    for attribute in ("targets", "labels", "_labels"):
        labels = getattr(part, attribute, None)
        if labels is not None:
            return labels
    # Last resort: decodes every image once to see its label.
    labels = []
    for i in range(len(part)):
        labels.append(part[i][1])
    return labels


def _class_names(part: Any) -> tuple[str, ...]:
    names = getattr(part, "classes", None)
    if not names:  # SVHN, for one, has numbers alone
        # labels count from 0, and train has every class
        names = range(int(max(_labels(part))) + 1)
    return tuple(map(str, names))


def _read(part: Any, i: int) -> Image.Image:
    try:
        image: Image.Image = part[i][0]
        return image.convert("RGB")
    except Exception as error:  # decoders raise whatever they like on a damaged image
        raise DataError(
            f"an image must be whole, got a damaged one: number {i} of torchvision's "
            f"{type(part).__name__}; fetch it again."
        ) from error


def _digest(part: Any, i: int) -> str:
    # Of the pixels: some of these data sets keep all images in one file.
    return hashlib.sha256(np.ascontiguousarray(_read(part, i)).tobytes()).hexdigest()
