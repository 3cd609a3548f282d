"""Which images belong together: a rule for `data.group_by` that names or folders show.

A rule is tried on all images. It must put several images of one folder together, again and again,
and it must not be the class: numbers that start again in each class are counters, not parts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ablate.data.layouts._base import LabelledImage
from ablate.data.layouts.name_fields import name_candidates, simpler
from ablate.data.sources._roles import without_accents
from ablate.study.image_rule import Column, ImageRule, Level, found_in_path, rule_in_words

_FEWEST_GROUPS = 8
_LARGEST = 0.25
"""Of the images, in one group: larger ones leave nothing to deal."""
# Share of the images that have another one of their group in their folder.
_SHARE_TOGETHER = {"id": 0.1, "prefix": 0.5, "field": 0.5, "level": 0.5, "column": 0.1}
_GROUPS_A_CLASS = 2
_KINDS = 4
"""Groups of a class, at most, that may be its kinds."""
# Tables come from everywhere, too; without accents.
_WORDS = (
    "patient subject person participant part piece group slide lesion case specimen sample plant "
    "animal individual video clip scene sequence series serial lot batch session visit site plot "
    "tree identity object product board panel "
    "patienten proband probanden fall teil bauteil werkstuck stuck serie charge los gruppe probe "
    "pflanze tier sitzung paciente persona sujeto caso pieza lote grupo muestra paziente soggetto "
    "pezzo lotto gruppo campione sujet personne cas groupe echantillon seance peca "
    "amostra patientin pacjent пациент деталь партия 患者 病人"
)
_GROUP_WORDS = frozenset(_WORDS.split())
"""Words in names of columns: what is photographed several times."""
_NUMBERED = re.compile(r"(.+?)(s|en|n)?(id|ids|no|nr|nummer|num|number|code|key|name|uid)?")
"""`patientid`, `patients`: a word, its plural, and what says that it is a number or a name."""


@dataclass(frozen=True, slots=True)
class GroupProposal:
    """A rule, and what it does to the images."""

    rule: ImageRule
    n_groups: int
    smallest: int
    median: int
    largest: int
    example: str
    """One group and images of it, in words."""

    @property
    def in_words(self) -> str:
        """The rule with its evidence."""
        sizes = f"{self.smallest} to {self.largest} images (median {self.median})"
        if self.smallest == self.largest:
            sizes = f"{self.smallest} images each"
        return (
            f"{rule_in_words(self.rule)} makes {self.n_groups} groups of {sizes}, for example "
            f"{self.example}"
        )


@dataclass(frozen=True, slots=True)
class _Tried:
    """One rule on the images."""

    keys: tuple[str, ...]
    sizes: Counter[str]

    def is_sound(self, images: Sequence[LabelledImage], kind: str) -> bool:
        n = len(images)
        sizes = sorted(self.sizes.values())
        if len(sizes) < _FEWEST_GROUPS or sizes[-1] > _LARGEST * n:
            return False
        return self._share_together(images) >= _SHARE_TOGETHER[kind] and self._is_no_class(images)

    def _share_together(self, images: Sequence[LabelledImage]) -> float:
        # By folder: `cat/001.jpg` and `dog/001.jpg` have a counter in common, and no part.
        places = map(_folder_of, images)
        counts = Counter(zip(places, self.keys, strict=True))
        n_together = 0
        for n_images in counts.values():
            if n_images > 1:
                n_together += n_images
        return n_together / len(images)

    def _is_no_class(self, images: Sequence[LabelledImage]) -> bool:
        """Whether groups are something else than classes, or kinds of a class."""
        groups_of: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for image, key in zip(images, self.keys, strict=True):
            groups_of[image.labels].add(key)
        n_groups = sorted(map(len, groups_of.values()))
        # `benign/adenosis`: each kind belongs to one class, and a class has a few of them.
        if sum(n_groups) == len(self.sizes) and len(self.sizes) <= _KINDS * len(groups_of):
            return False
        return n_groups[len(n_groups) // 2] >= _GROUPS_A_CLASS


def _folder_of(image: LabelledImage) -> str:
    return image.path.rpartition("/")[0]


def propose_groups(
    images: Sequence[LabelledImage], ids: Sequence[str], *, but_levels: Sequence[int]
) -> GroupProposal | None:
    """Return the rule that groups images best; None where nothing groups them.

    `ids` are the images' paths as the grid will know them; `but_levels` are the levels of
    folders that hold splits and classes, counted from 1. Columns of a table that are called after
    what is photographed come first, then folders, then names.
    """
    for kind, rule in _candidates(images, ids, but_levels=but_levels):
        tried = _tried(images, ids, rule)
        if tried is not None and tried.is_sound(images, kind):
            return _proposal(_in_few_words(rule, ids, tried.keys), ids, tried)
    return None


def _candidates(
    images: Sequence[LabelledImage], ids: Sequence[str], *, but_levels: Sequence[int]
) -> list[tuple[str, ImageRule]]:
    candidates: list[tuple[str, ImageRule]] = []
    for column in images[0].cells:
        if _is_called_as_a_group(column):
            candidates.append(("column", Column(column=column)))
    # A level that some image does not have gives that image no group.
    n_levels = min(map(_n_folders, ids))
    for level in range(1, n_levels + 1):
        if level not in but_levels:
            candidates.append(("level", Level(level=level)))
    for candidate in name_candidates(ids):
        candidates.append((candidate.kind, candidate.rule))
    return candidates


def _is_called_as_a_group(column: str) -> bool:
    """Whether a column's name has one of the words: `Patienten-Nr`, `patientId`, `part_no`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", without_accents(column))  # patientId
    for word in re.split(r"[\W\d_]+", spaced.casefold()):
        match = _NUMBERED.fullmatch(word)
        if word in _GROUP_WORDS or (match is not None and match[1] in _GROUP_WORDS):
            return True
    return False


def _tried(images: Sequence[LabelledImage], ids: Sequence[str], rule: ImageRule) -> _Tried | None:
    """The group of each image; None where the rule finds nothing for one."""
    keys = []
    for image, path in zip(images, ids, strict=True):
        if isinstance(rule, Column):
            key = image.cells.get(rule.column)
        else:
            key = found_in_path(rule, path)
        if not key:
            return None
        keys.append(key)
    return _Tried(tuple(keys), Counter(keys))


def _in_few_words(rule: ImageRule, ids: Sequence[str], keys: tuple[str, ...]) -> ImageRule:
    """The shortest expression that finds the same in every path."""
    if not isinstance(rule, str):
        return rule
    for shorter in simpler(rule):
        found = tuple(map(partial(found_in_path, shorter), ids))
        if found == keys:
            return shorter
    return rule


def _usual_group(sizes: Mapping[str, int]) -> str:
    """The first group of two images or more, where there is one: what a reader would check."""
    fewest = min(2, max(sizes.values()))
    return next(filter(lambda key: sizes[key] >= fewest, sizes))


def _n_folders(path: str) -> int:
    return path.count("/")


def _proposal(rule: ImageRule, ids: Sequence[str], tried: _Tried) -> GroupProposal:
    sizes = sorted(tried.sizes.values())
    median = sizes[len(sizes) // 2]
    key = _usual_group(tried.sizes)
    names = []
    for path, key_of_path in zip(ids, tried.keys, strict=True):
        if key_of_path == key:
            names.append(path.rpartition("/")[2])
    example = f"{key} with {', '.join(names[:3])}"
    return GroupProposal(rule, len(sizes), sizes[0], median, sizes[-1], example)
