"""Labels of whole images from boxes: detection is not built, but what is in an image is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ablate.data.layouts._base import EMPTY, Found, LabelledImage, Trap


class ImageIndex:
    """Finds images by what an annotation calls them: a path, the end of one, or a stem."""

    def __init__(self, images: Sequence[str]) -> None:
        self._by_path: dict[str, str | None] = {}
        for image in images:
            parts = PurePosixPath(image).parts
            # None where two images are called so: then the name says nothing.
            for start in range(len(parts)):
                self._add("/".join(parts[start:]), image)
            self._add(PurePosixPath(image).stem, image)
            self._add(PurePosixPath(image).with_suffix("").as_posix(), image)

    def _add(self, name: str, image: str) -> None:
        if self._by_path.setdefault(name, image) != image:
            self._by_path[name] = None

    def find(self, name: str, *, near: str = "") -> str | None:
        """The image called `name`; `near` is the folder of the annotation, which is tried first."""
        # Annotations may be written on Windows.
        plain = name.strip().replace("\\", "/").removeprefix("./")
        if not plain:
            return None
        beside = PurePosixPath(near, plain).as_posix()
        # Last by name or stem alone: the folders may be those of the machine of the annotator.
        for spelled in (beside, plain, PurePosixPath(plain).name, PurePosixPath(plain).stem):
            image = self._by_path.get(spelled)
            if image is not None:
                return image
        return None


def found_in_boxes(
    layout: str,
    classes_of: Mapping[str, Iterable[str]],
    *,
    split_of: Mapping[str, str | None],
    n_boxes: int,
    traps: Sequence[Trap] = (),
) -> Found | None:
    """Whole images with the classes of their boxes: one label each where no image has two.

    `classes_of`: image -> the class of each of its boxes. None where no image has a box.
    """
    labels = {}
    n_marked = 0
    most_classes = 0
    for image in sorted(classes_of):
        # An image may hold ten boxes of one class, which is one label.
        labels[image] = tuple(sorted(set(classes_of[image])))
        n_marked += bool(labels[image])
        most_classes = max(most_classes, len(labels[image]))
    if not n_marked:
        return None
    has_several = most_classes > 1
    return Found(
        layout=layout,
        evidence=f"{n_boxes} boxes in {n_marked} of {len(labels)} images",
        images=_images(labels, split_of, has_several=has_several),
        has_several_labels=has_several,
        traps=(_detection_trap(layout, has_several=has_several), *traps),
    )


def _images(
    labels: Mapping[str, tuple[str, ...]],
    split_of: Mapping[str, str | None],
    *,
    has_several: bool,
) -> tuple[LabelledImage, ...]:
    images = []
    for image, names in labels.items():
        # One label means exactly one: an image without boxes needs a class of its own. Where images
        # have several, none is an answer.
        if not names and not has_several:
            names = (EMPTY,)
        images.append(LabelledImage(image, names, split_of.get(image)))
    return tuple(images)


def _detection_trap(layout: str, *, has_several: bool) -> Trap:
    offer = f"one label each from its boxes ({EMPTY} where it has none), task classification"
    if has_several:
        offer = "every class that it has boxes of, task multilabel"
    return Trap(
        "detection",
        f"{layout} holds boxes, and detection is not built yet: each image gets {offer}",
    )
