"""What names of folders and files tell of their role: a split, a fold, the images, their masks."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

_MASKS = {
    "mask",
    "masks",
    "matte",
    "mattes",
    "trimap",
    "trimaps",
    "gt",
    "groundtruth",
    "ground_truth",
}
_SEGMENTS = {"seg", "segmentation", "segmentations", "segmentationclass", "segmentationobject"}
MASK_FOLDERS = frozenset(_MASKS | _SEGMENTS | {"annotation", "annotations", "bbox", "bboxes"})
"""How folders of masks and of other labels are called, in lower case."""
IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "jpegimages", "photos", "pictures"})
_LABEL_FOLDERS = MASK_FOLDERS | {"label", "labels", "xml", "xmls", "json"}
_MASK = (
    r"(masks?|gt|ground[ _-]?truth|seg|segm|segmentation|segmented|annotations?|annotated|trimap"
    r"|matte|labels?|lbl|overlay|contours?|heat[ _-]?map|silhouette|depth|bbox)"
)
# `cat_mask.png`, `cat-gt-2.png` beside `cat.png`; group 1 is the image's own name.
_MASK_AT_THE_END = re.compile(rf"(.+?)[ _.-]{_MASK}([ _-]?\d+)?", re.IGNORECASE)
# `mask_cat.png` beside `cat.png`; group 2 is the image's own name.
_MASK_AT_THE_FRONT = re.compile(rf"{_MASK}[ _.-](.+)", re.IGNORECASE)

# Data sets come from everywhere: a tree of splits in another language must not become classes.
_SPLIT_STEMS = {
    "train": "train training tr trn learn learning trening entrenamiento entrainement treino "
    "treinamento addestramento apprentissage trainings egitim обучение обучающая тренировка "
    "训练 訓練 学習 훈련 학습",
    "val": "val valid validation dev eval evaluation validierung validierungs validacion "
    "validacao validazione validatie validace dogrulama валидация 验证 驗證 検証 검증",
    "test": "test testing tst holdout teste testen prueba pruebas prova тест тестовая 测试 測試 "
    "テスト 테스트",
}
# stem -> split
_SPLIT_OF_STEM: dict[str, str] = {}
for _split, _stems in _SPLIT_STEMS.items():
    _SPLIT_OF_STEM |= dict.fromkeys(_stems.split(), _split)
# What is glued to a split's word, or stands beside it, and means nothing: `testset`, `train data`.
_REST = "set|sets|data|daten|images?|imgs?|folder|dir|split|集"
# Longest first: of two stems that begin alike, such as val and validation, the longer is tried.
_GLUED = re.compile(rf"({'|'.join(sorted(_SPLIT_OF_STEM, key=len, reverse=True))})({_REST})?")
_GENERAL = re.compile(_REST)
# Folds are numbered: `fold` alone, or `split`, may be a class.
_FOLD = re.compile(r"(k?fold|cv|split|shard|chunk)[ _-]?\d+")


def masks_among(images: Sequence[Path]) -> list[Path]:
    """Return the images of one folder that are called as another one with a word for masks."""
    stems = {image.stem for image in images}
    masks = []
    for image in images:
        if _is_mask_of_one(image.stem, stems):
            masks.append(image)
    return masks


def _is_mask_of_one(stem: str, stems: set[str]) -> bool:
    return image_of_mask(stem, stems) is not None


def image_of_mask(stem: str, stems: Collection[str]) -> str | None:
    """Return the stem of the image whose mask is called `stem`; None where it is no mask."""
    # Only beside its image: `depth_3.png` alone in its folder is a photograph of a class.
    at_the_end = _MASK_AT_THE_END.fullmatch(stem)
    at_the_front = _MASK_AT_THE_FRONT.fullmatch(stem)
    if at_the_end is not None and at_the_end[1] in stems:
        return at_the_end[1]
    if at_the_front is not None and at_the_front[2] in stems:
        return at_the_front[2]
    return None


def called_alike(image_ids: Sequence[str]) -> list[str]:
    """Return, sorted, `cat/1.png = cat/1.jpg`: images called as another one but for the suffix."""
    # The stem has the folders in it, so `cat/1.png` and `dog/1.jpg` are not called alike.
    first: dict[str, str] = {}
    pairs = []
    for image_id in sorted(image_ids):
        stem = image_id.rpartition(".")[0]
        if stem and first.setdefault(stem, image_id) != image_id:
            pairs.append(f"{first[stem]} = {image_id}")
    return pairs


def split_and_rest(name: str) -> tuple[str, str] | None:
    """Return the split that a name begins or ends with, in several languages, and its other words.

    The other words come without `set`, `data` and the like.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainData
    bare = without_accents(spaced.casefold())
    # digits part words, too: `train2017`
    words = list(filter(None, re.split(r"[\W\d_]+", bare)))
    # At an end only: in the middle it belongs to another word.
    for word in words[:1] + words[-1:]:
        match = _GLUED.fullmatch(word)
        if match:
            words.remove(word)
            return _SPLIT_OF_STEM[match[1]], _without_general(words)
    return None


def _without_general(words: Sequence[str]) -> str:
    """What a split is of: `seg` of `seg_train_images`, nothing of `train_images`."""
    telling = []
    for word in words:
        if not _GENERAL.fullmatch(word):
            telling.append(word)
    return " ".join(telling)


def without_accents(text: str) -> str:
    """`validação` -> `validacao`, as the tables above have it."""
    decomposed = unicodedata.normalize("NFKD", text)
    letters = ""
    for letter in decomposed:
        if not unicodedata.combining(letter):
            letters += letter
    # Composed again: Hangul was taken apart too.
    return unicodedata.normalize("NFC", letters)


def are_split_names(names: Sequence[str]) -> bool:
    """Whether most of some folders' names are splits, and two are different splits of one thing.

    `seg_train` and `seg_test` are; `val d'or` and `test strip` are a place and a thing.
    """
    splits_of_rest: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        role = split_and_rest(name)
        if role is not None:
            split, rest = role
            splits_of_rest[rest].append(split)
    n_splits = sum(map(len, splits_of_rest.values()))
    # Two different splits with the same rest: `train cats` and `test dogs` would be two classes.
    has_two_of_one_thing = False
    for splits in splits_of_rest.values():
        if len(set(splits)) > 1:
            has_two_of_one_thing = True
    return has_two_of_one_thing and 2 * n_splits > len(names)


def are_fold_names(names: Sequence[str]) -> bool:
    """Whether all of several folders are called as folds of a cross-validation."""
    if len(names) < 2:
        return False
    return all(map(_FOLD.fullmatch, map(str.lower, names)))


def are_images_and_labels(names: Sequence[str]) -> bool:
    """Whether one folder is called as the images and another one as their masks or labels."""
    lower = set(map(str.lower, names))
    return bool(lower & IMAGE_FOLDERS) and bool(lower & _LABEL_FOLDERS)
