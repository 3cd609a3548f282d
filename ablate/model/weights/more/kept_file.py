"""The converted weights, kept as safetensors in the home: a package's file is converted once."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import safetensors.torch
from torch import nn

from ablate.errors import WeightsError
from ablate.files import home_folder
from ablate.model.weights.more.packages import MoreWeights, check_content, more_file, more_of
from ablate.model.weights.place_file import Placed, place_file
from ablate.model.weights.read_file import read_tensors
from ablate.model.weights.tensor_values import digest_of_tensors


def place_more(module: nn.Module, backbone: str) -> tuple[str, Placed]:
    """Copy a package's weights into the trunk of `module`; return what they are.

    Raises WeightsError where the package is missing or holds another file.
    """
    path = more_file(backbone)
    more = more_of(backbone)
    assert more is not None  # or there would be no file
    check_content(more, path)
    kept = _kept_as(more, backbone)
    if not _is_whole(kept, more):
        _convert(more, path, kept, module)
    placed = place_file(module, kept, backbone=backbone)
    return more.source, placed


def _kept_as(more: MoreWeights, backbone: str) -> Path:
    # The checksum in the name: another version of a package never meets this one's file.
    return home_folder() / "weights" / f"{backbone}-{more.sha256[:12]}.safetensors"


def _is_whole(kept: Path, more: MoreWeights) -> bool:
    """Whether the file is there, with the tensors that the conversion gave when it was compared."""
    if not kept.exists():
        return False
    try:
        _, tensors = read_tensors(kept)
    except WeightsError:
        return False  # damaged: converted again
    return digest_of_tensors(tensors) == more.content


def _convert(more: MoreWeights, path: Path, kept: Path, module: nn.Module) -> None:
    tensors = dict(more.convert(path, module))
    if digest_of_tensors(tensors) != more.content:
        raise WeightsError(
            f"{path.name} of package {more.package} must give the tensors that it gave when it "
            "was compared with its network, it gives others; please report the versions of onnx "
            "and torch that `pip list` shows"
        )
    # Workers convert at the same time: each writes its own file, the last rename wins.
    half = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, half)
        half.replace(kept)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise WeightsError(
            f"converted weights must be kept in {kept.parent}, which cannot be written "
            f"({error}); make room there, or choose another home with ABLATE_HOME"
        ) from error
