"""A tiny trunk, files of its weights, and damaged copies of them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ablate.errors import WeightsError
from ablate.model.weights.place_file import place_file, trunk_tensors

FORMATS = ("zip.pth", "legacy.pth", "plain.safetensors")
_WORDS = (
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cbuiltins\neval\n",
    b"state_dict",
    b"\xff" * 8,
    b"(K\x00K\x00t",
    b"data_offsets",
    b"PK\x03\x04",
    b"\x80\x02}q\x00",
)
"""Parts of the formats, in places where they do not belong."""


class Tiny(nn.Module):
    """A convolution, its norm, and a classifier that belongs to no trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.pretrained_cfg = {"classifier": "fc", "architecture": "tiny"}


def tiny(seed: int) -> Tiny:
    """A module with weights of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny()


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state dict in the format that the file's name says."""
    if path.name.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=not path.name.startswith("legacy"))


def damage(content: bytes, rng: random.Random) -> bytes:
    """One to three changes: bytes flipped, cut off, doubled, zeroed, put in, or words of the formats put in; early bytes, where headers are, more often."""
    for _ in range(rng.randint(1, 3)):
        at = (
            rng.randrange(min(len(content), 400))
            if rng.random() < 0.5
            else rng.randrange(len(content))
        )
        n = rng.choice((1, 2, 8, 64))
        match rng.randrange(7):
            case 0:
                content = (
                    content[:at]
                    + bytes([content[at] ^ (1 << rng.randrange(8))])
                    + content[at + 1 :]
                )
            case 1:
                content = content[: at + 1]
            case 2:
                content = content[:at] + content[at : at + n] * 2 + content[at + n :]
            case 3:
                content = content[:at] + bytes(n) + content[at + n :]
            case 4:
                content = content[:at] + rng.randbytes(n) + content[at:]
            case 5:
                content = content[:at] + content[at + n :] or b"\0"
            case _:
                content = content[:at] + rng.choice(_WORDS) + content[at:]
    return content


def outcome_of(path: Path) -> dict[str, Tensor] | str:
    """The trunk that a file places, or the sentence of its refusal. Whatever else is raised is the caller's finding."""
    module = tiny(seed=99)
    before = {name: tensor.clone() for name, tensor in trunk_tensors(module).items()}
    try:
        place_file(module, path, backbone="tiny")
    except WeightsError as error:
        assert all(
            torch.equal(tensor, before[name]) for name, tensor in trunk_tensors(module).items()
        ), "a refusal changes nothing"
        return str(error)
    return trunk_tensors(module)
