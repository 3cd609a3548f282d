"""webdataset: shards in tar files, `train-000000.tar` with `key.jpg` and its label beside it.

The label is in `key.cls`, in a field of `key.json`, or in `key.txt`. Nothing is unpacked, and other
files of a sample, pickles among them, are counted and never opened.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.data.encoded import MAX_BYTES
from ablate.data.sources._archived import archived_item
from ablate.data.sources._base import Collection, Item
from ablate.data.sources._column_names import ColumnNames, names_for
from ablate.data.sources._index import split_named
from ablate.data.sources._kinds import NAMED_IMAGES, UNREADABLE_SUFFIXES
from ablate.data.sources._label_values import checked_names, labelled
from ablate.data.sources._places import below
from ablate.data.sources._rule_columns import rule_columns
from ablate.data.sources._shards import Shard, find_shards, sharded
from ablate.data.sources._tar_index import Member, fetch_of, members_of, read_text
from ablate.data.sources.image_folder import data_path
from ablate.errors import DataError, escaped, some
from ablate.study.trial import DataSpec

USUAL = ColumnNames(image="image", label="label", split="split")
NAMES_FILES = ("classnames.txt", "classes.txt")
"""Files beside the shards that name the classes, one a line; labels are numbers of lines from 0."""
_IMAGES = frozenset(suffix.removeprefix(".") for suffix in NAMED_IMAGES | UNREADABLE_SUFFIXES)
_LABELS = ("cls", "json", "txt")
"""Where a label may be; the first that the first sample has is that of all."""
_MAX_TEXT = 65_536
_MAX_JSON = 2**20
_N_NAMED = 5


@dataclass(slots=True)
class Sample:
    """An image and what stands beside it under the same key."""

    shard: Shard
    key: str
    image: Member | None = None
    beside: dict[str, Member] = field(default_factory=dict)
    """Kind (`cls`, `json`, `txt`) -> file."""

    @property
    def where(self) -> str:
        """How errors call it."""
        return f"'{escaped(self.key)}' of {self.shard.name}"


def collect(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of shards with one label each."""
    return _collect(spec, data_dir, several=False)


def collect_several_labels(spec: DataSpec, *, data_dir: Path) -> Collection:
    """Return the images of shards with a list of labels each: `labels` of `key.json`."""
    return _collect(spec, data_dir, several=True)


def _collect(spec: DataSpec, data_dir: Path, *, several: bool) -> Collection:
    """Raises NotAvailable where there is nothing, DataError for shards that are broken or odd."""
    root = data_path(spec, data_dir=data_dir, what="a folder of .tar shards")
    unread: Counter[str] = Counter()
    samples: list[Sample] = []
    for shard in find_shards(root, suffix=".tar", data_dir=data_dir):
        samples += _samples(shard, unread)
    reader = _reader(spec, samples[0], several=several)
    rows = list(map(reader.row, samples))
    labels = [row.label for row in rows]
    found = labelled(
        labels,
        names=_names_beside(root, data_dir),
        several=several,
        where=lambda i: samples[i].where,
        data=f"data.path {escaped(spec.path or '')}",
    )
    items: list[Item] = []
    for sample, row, label in zip(samples, rows, found.labels, strict=True):
        items.append(_item(sample, row, label))
    remarks = [*found.remarks, *_unread_remarks(unread)]
    return sharded(
        root, class_names=found.class_names, items=items, remarks=remarks, data_dir=data_dir
    )


def _item(sample: Sample, row: _Row, label: Any) -> Item:
    assert sample.image is not None
    suffix = sample.image.name.rpartition(".")[2]
    return archived_item(
        f"{sample.shard.stem}/{sample.key}.{suffix}",
        fetch_of(sample.image),
        label=label,
        split=row.split or sample.shard.split,
        cells=row.cells,
    )


def _samples(shard: Shard, unread: Counter[str]) -> list[Sample]:
    """The samples of a shard; files that nobody reads are counted by kind. Raises DataError."""
    samples: dict[str, Sample] = {}
    last: Sample | None = None
    for member in members_of(shard):
        key, kind = _key_and_kind(member.name)
        if key is None:
            continue
        sample = samples.setdefault(key, Sample(shard, key))
        # Files of a sample stand together: a key that comes again is another sample.
        if sample is not last and (sample.image is not None or sample.beside):
            raise DataError(
                f"files of one key must stand together in a shard, {sample.where} comes again "
                "after others; give each sample a key of its own."
            )
        last = sample
        _put(sample, kind, member, unread)
    if not samples:
        raise DataError(f"a shard must hold images, {shard.name} holds none; remove it.")
    for sample in samples.values():
        if sample.image is None:
            raise DataError(
                f"every sample must have an image, {sample.where} has none (it has "
                f"{', '.join(sorted(sample.beside)) or 'other files'}); make the shard again."
            )
    return list(samples.values())


def _put(sample: Sample, kind: str, member: Member, unread: Counter[str]) -> None:
    """Add a file to its sample. Raises DataError for a second image, or the same kind again."""
    if kind in _IMAGES:
        if sample.image is not None:
            raise DataError(
                f"a sample must have one image, {sample.where} has two, "
                f"'{escaped(sample.image.name)}' and '{escaped(member.name)}'; keep one of them, "
                "or call the other by a longer suffix (.mask.png), which is not read."
            )
        if member.n_bytes > MAX_BYTES:
            raise DataError(
                f"an image must have at most {MAX_BYTES} bytes, {member.where} has "
                f"{member.n_bytes}; scale it down."
            )
        sample.image = member
    elif kind in _LABELS:
        if kind in sample.beside:
            raise DataError(f"a sample must have one file of each kind, {member.where} is twice.")
        sample.beside[kind] = member
    else:
        unread[kind] += 1


def _key_and_kind(name: str) -> tuple[str | None, str]:
    """Key and kind of a file, parted at its first point; no key for what is no sample."""
    folder, _, file = name.rpartition("/")
    stem, _, kind = file.partition(".")
    # Hidden files, and `__meta__` and the like that tools add.
    if not stem or stem.startswith("__"):
        return None, ""
    key = f"{folder}/{stem}" if folder else stem
    return key, kind.lower()


@dataclass(frozen=True, slots=True)
class _Row:
    """What a sample says of its image."""

    label: Any
    split: str | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Where labels are, and which fields of the JSON are read besides."""

    kind: str
    label: str
    split: str | None
    columns: tuple[str, ...]

    def row(self, sample: Sample) -> _Row:
        """Read what stands beside an image. Raises DataError."""
        if self.kind not in sample.beside:
            raise DataError(
                f"every sample must have its label in .{self.kind}, as the first one has, "
                f"{sample.where} has {', '.join(sorted(sample.beside)) or 'none'}."
            )
        values: Mapping[str, Any] = {}
        if self.kind == "json" or self.columns or self.split is not None:
            values = _json_of(sample)
        if self.kind == "json":
            label = self._field(values, self.label, sample)
        else:
            label = _whole_number_or_text(read_text(sample.beside[self.kind], most=_MAX_TEXT))
        cells = {}
        for name in self.columns:
            cells[name] = str(self._field(values, name, sample))
        return _Row(label, self._split_of(values, sample), cells)

    def _split_of(self, values: Mapping[str, Any], sample: Sample) -> str | None:
        if self.split is None:
            return None
        word = str(self._field(values, self.split, sample))
        return split_named(word, f"for {sample.where}")

    def _field(self, values: Mapping[str, Any], name: str, sample: Sample) -> Any:
        if name not in values:
            shown = some(list(map(escaped, map(str, values))), most=2 * _N_NAMED)
            raise DataError(
                f"the JSON of every sample must have the field {name!r}, that of {sample.where} "
                f"has {shown or 'none'}; data.columns names others, e.g. {{label: species}}."
            )
        return values[name]


def _reader(spec: DataSpec, first: Sample, *, several: bool) -> _Reader:
    """Where the first sample has its label, which is where all must have it. Raises DataError."""
    columns = names_for(spec, USUAL)
    label = columns.label
    if several and label not in columns.given:
        label = "labels"
    kind = next((kind for kind in _LABELS if kind in first.beside), None)
    # Several labels, and those under a name of their own, are in the JSON alone.
    if several or label in columns.given:
        kind = "json"
    if kind is None:
        raise DataError(
            f"a sample must have its label in .cls, .json or .txt, {first.where} has none of them."
        )
    split = columns.split if columns.split in columns.given else None
    return _Reader(kind, label, split, tuple(rule_columns(spec)))


def _json_of(sample: Sample) -> Mapping[str, Any]:
    member = sample.beside.get("json")
    if member is None:
        raise DataError(
            f"every sample must have a .json, which holds what is asked for, {sample.where} has "
            "none."
        )
    try:
        values = json.loads(read_text(member, most=_MAX_JSON))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{member.where} must be JSON, it is not ({error}).") from error
    if not isinstance(values, dict):
        raise DataError(f"{member.where} must be a JSON object, got {type(values).__name__}.")
    return values


def _whole_number_or_text(text: str) -> int | str:
    word = text.strip()
    # A sign, too: -1 is how some write that there is no label.
    digits = word.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        return int(word)
    return word


def _names_beside(root: Path, data_dir: Path) -> Sequence[str] | None:
    folder = root if root.is_dir() else root.parent
    for name in NAMES_FILES:
        path = below(folder, name, what="a list of classes", data_dir=data_dir)
        if path.is_file():
            try:
                lines = path.read_text("utf-8-sig").splitlines()
            except (OSError, ValueError) as error:
                raise DataError(f"{name} must be a text in UTF-8, it is not.") from error
            names = list(filter(None, map(str.strip, lines)))
            return checked_names(names, where=name)
    return None


def _unread_remarks(unread: Counter[str]) -> Iterator[str]:
    if unread:
        kinds = [f"{n} .{escaped(kind)}" for kind, n in sorted(unread.items())]
        yield f"note: files in the shards that are not read: {some(kinds, most=_N_NAMED)}"
