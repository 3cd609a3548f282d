"""A file whose tensors have other names than timm's, in timm's order."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.model.weights.place_file import trunk_tensors
from ablate.model.weights.read_file import read_tensors, shown


def read_in_order(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """Return the file's tensors by the names of the trunk of `module`.

    Raises WeightsError unless there are as many, of the same shapes.
    """
    _, state = read_tensors(path)
    trunk = trunk_tensors(module)
    shapes = [tensor.shape for tensor in state.values()]
    if shapes != [tensor.shape for tensor in trunk.values()]:
        raise WeightsError(
            f"weights {shown(path.name)} must hold the trunk's {len(trunk)} tensors in timm's "
            "order, it does not"
        )
    return dict(zip(trunk, state.values(), strict=True))
