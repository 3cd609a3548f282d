"""A file whose tensors have other names than timm's, in timm's order."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.model.weights.place_file import trunk_tensors
from ablate.model.weights.read_file import read_tensors, shown
from ablate.model.weights.tensor_values import shapes_of


def read_in_order(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """Return the file's tensors by the names of the trunk of `module`.

    Raises WeightsError unless there are as many, of the same shapes.
    """
    _, state = read_tensors(path)
    trunk = trunk_tensors(module)
    if shapes_of(state.values()) != shapes_of(trunk.values()):
        raise WeightsError(
            f"weights {shown(path.name)} must hold the trunk's {len(trunk)} tensors in timm's "
            "order, it does not"
        )
    return dict(zip(trunk, state.values(), strict=True))
