"""From labels as archives hold them, numbers or texts, one or several, to positions in classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from ablate.data.sources._class_names import check_class_names, in_label_order, positions_of
from ablate.errors import DataError, escaped, is_printable, some
from ablate.in_order import places
from ablate.targets import Label

Where = Callable[[int], str]
"""Position of an image -> how an error calls it, e.g. `row 3 of train.parquet`."""
_N_NAMED = 5


@dataclass(frozen=True, slots=True)
class Labelled:
    """What images are labelled with."""

    class_names: tuple[str, ...]
    labels: tuple[Label, ...]
    remarks: tuple[str, ...] = ()


def labelled(
    values: Sequence[Any],
    *,
    names: Sequence[str] | None,
    several: bool,
    where: Where,
    data: str,
) -> Labelled:
    """Return classes and labels of images.

    `values` are texts or whole numbers, lists of them where `several`. Numbers are positions in
    `names` where there are some, and names themselves where not. Classes without an image are left
    out, so that what remains can be trained. `data` is how errors call the data set. Raises
    DataError for a value that is no label, a number that names no class, or classes that differ in
    spelling alone.
    """
    words: list[list[str]] = []
    for position, value in enumerate(values):
        listed = _listed(value, position, several, where)
        of_image = list(map(partial(_word, names=names, where=where, position=position), listed))
        if len(set(of_image)) < len(of_image):
            raise DataError(f"labels of an image must differ, {where(position)} has {value!r}.")
        words.append(of_image)
    used = set(chain.from_iterable(words))
    check_class_names(used, where=data)
    # In the order of their numbers, where these have names.
    order = in_label_order(used)
    if names is not None:
        order = [name for name in names if name in used]
    position_of = places(order)
    labels: list[Label] = []
    for of_image in words:
        if several:
            labels.append(positions_of(of_image, position_of))
        else:
            labels.append(position_of[of_image[0]])
    return Labelled(tuple(order), tuple(labels), _absent(names, used))


def _absent(names: Sequence[str] | None, used: set[str]) -> tuple[str, ...]:
    absent = []
    for name in names or ():
        if name not in used:
            absent.append(escaped(name))
    if not absent:
        return ()
    return (f"left out: classes without any image: {some(absent, most=_N_NAMED)}",)


def _listed(value: Any, position: int, several: bool, where: Where) -> Sequence[Any]:
    if not several:
        return [value]
    if not isinstance(value, list):
        raise DataError(
            f"for task multilabel an image must have a list of labels, {where(position)} has "
            f"{_shown(value)}."
        )
    return value


def _word(value: Any, *, names: Sequence[str] | None, where: Where, position: int) -> str:
    """The name of the class that a value stands for. Raises DataError."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return _name_of_number(value, names, where, position)
    text = value.strip() if isinstance(value, str) else ""
    if not text or not is_printable(text):
        raise DataError(
            f"a label must be a whole number or a printable text, {where(position)} has "
            f"{_shown(value)}; give every image its label, or leave it out."
        )
    # A text may be a number that a file of text holds.
    if names is not None and text.isascii() and text.isdigit():
        return _name_of_number(int(text), names, where, position)
    if names is not None and text not in names:
        raise DataError(
            f"a label must be one of the {len(names)} classes that the data name, "
            f"{where(position)} has {text!r}; correct it."
        )
    return text


def _name_of_number(value: int, names: Sequence[str] | None, where: Where, position: int) -> str:
    if value < 0:
        raise DataError(
            f"a label must not be negative, {where(position)} has {value}, which stands for an "
            "image without a label; leave such images out."
        )
    if names is None:
        return str(value)
    if value >= len(names):
        raise DataError(
            f"a label must be a position in the {len(names)} class names, 0 to {len(names) - 1}, "
            f"{where(position)} has {value}; correct the label or the names."
        )
    return names[value]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return escaped(repr(value), most=60)


def checked_names(names: Sequence[Any], *, where: str) -> tuple[str, ...]:
    """Return names of classes as they were written. Raises DataError where two are the same."""
    texts = tuple(map(str, names))
    if not all(map(is_printable, texts)) or "" in texts or len(set(texts)) < len(texts):
        raise DataError(
            f"names of classes must be different printable texts, those of {where} are not: "
            f"{some(list(map(escaped, texts)), most=_N_NAMED)}."
        )
    check_class_names(texts, where=where)
    return texts
