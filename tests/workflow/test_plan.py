"""A plan looks at networks once and remembers.

Warm it needs no torch, says the same, and looks again when anything has changed.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import SpecError, WeightsError
from ablate.grid.parse import load_grid
from ablate.model.backbone_facts import ImageSize, PrefixCost, Preprocessing, RecipeFacts
from ablate.model.network import check_recipe
from ablate.recipe.recipe import Recipe
from ablate.study.record import ArmRecord
from ablate.study.trial import DataSpec, Trial
from ablate.study.weights_identity import WeightsIdentity
from ablate.workflow.folders import find_folders
from ablate.workflow.plan.plan_grid import Plan
from ablate.workflow.prepare import equal_arms, network_facts
from ablate.workflow.prepare.check_arms import check_arms
from ablate.workflow.prepare.network_facts import BuiltFacts, CachedFacts
from ablate.workflow.prepare.resolved import resolve

WriteGrid = Callable[..., Path]
ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        heavy = "torch torchvision timm peft mlflow optuna sklearn pandas"
        # scipy.special is quick to import, and what a design can show takes it
        slow = ("scipy.stats", "scipy.optimize", "scipy.linalg")
        if name.split(".")[0] in heavy.split() or name.startswith(slow):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from ablate.cli import main
main()
"""


class Counting(BuiltFacts):
    """Says what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def recipe_facts(self, recipe: Recipe, **named: Any) -> RecipeFacts:
        self.asked.append("recipe")
        return super().recipe_facts(recipe, **named)

    def check_weights(self, recipe: Recipe, *, image_size: ImageSize) -> WeightsIdentity | None:
        self.asked.append("weights")
        return super().check_weights(recipe, image_size=image_size)

    def check_source_classifier(self, recipe: Recipe) -> None:
        self.asked.append("source classifier")
        super().check_source_classifier(recipe)

    def prefix_cost(self, backbone: str, image_size: int, depth: int) -> PrefixCost:
        self.asked.append("cost")
        return super().prefix_cost(backbone, image_size, depth)


def _plan(*words: str) -> str:
    result = CliRunner().invoke(app, ["plan", *words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.mark.slow
def test_a_warm_plan_says_what_a_cold_one_says_and_imports_nothing_heavy(
    desk: Path, write_grid: WriteGrid
) -> None:
    wanted = (
        "freeze_depth: [all, -1]",
        "freeze_depth: [all, -1, 0]\n  lora_rank: [0, 64]\n  lr_ratio: [0.1, 1.0]",
    )
    grid = str(write_grid("warm", wanted, ("test_efficientnet", "test_vit")))
    cold = _plan(grid)
    assert "warning: arm " in cold
    assert "LoRA adapts the frozen units, and freeze_depth 0 leaves none" in cold
    assert "computed once, kept" in cold
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    warm = subprocess.run(
        [sys.executable, "-c", WITHOUT, "plan", grid],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert warm.stderr == ""
    assert warm.stdout == cold


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"adapter": "ssf"},
        {"lora_rank": 64, "adapter_targets": ("blocks.0.attn.proj",)},
        {"strategy": "lp_ft", "freeze_depth": -1},
    ],
    ids=str,
)
def test_remembered_facts_are_the_facts(tmp_path: Path, fields: dict[str, Any]) -> None:
    recipe = Recipe(backbone="test_vit", weights="none", **fields)
    counting = Counting()
    for _ in range(2):
        remembered = CachedFacts(tmp_path, counting)
        assert remembered.recipe_facts(recipe, n_classes=5, image_size=64) == check_recipe(
            recipe, n_classes=5, image_size=64
        )
        assert remembered.prefix_cost("test_vit", 64, 3) == BuiltFacts().prefix_cost(
            "test_vit", 64, 3
        )
        assert remembered.device() == BuiltFacts().device()
        remembered.check_weights(recipe, image_size=64)
    assert counting.asked == ["recipe", "cost", "weights"]


@pytest.mark.slow
def test_whatever_it_depends_on_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting()
    remembered = CachedFacts(tmp_path, counting)

    def looks_again(**changed: Any) -> bool:
        before = len(counting.asked)
        named = {
            "n_classes": 5,
            "image_size": 64,
            **{
                name: value
                for name, value in changed.items()
                if name in ("n_classes", "image_size")
            },
        }
        recipe = Recipe(
            backbone="test_vit",
            **{name: value for name, value in changed.items() if name not in named},
        )
        remembered.recipe_facts(recipe, **named)
        return len(counting.asked) > before

    assert looks_again()
    assert not looks_again()
    for changed in (
        {"n_classes": 6},
        {"image_size": 96},
        {"freeze_depth": 2},
        {"lora_rank": 2},
        {"classifier": "ridge"},
    ):
        assert looks_again(**changed), changed
        assert not looks_again(**changed), changed
    for name in ("_versions", "_digest_of_code"):
        with monkeypatch.context() as patched:
            patched.setattr(network_facts, name, lambda: "other")
            assert looks_again(), name
    with monkeypatch.context() as patched:
        patched.setenv("HF_HOME", "elsewhere")
        assert looks_again()
    assert not looks_again()
    for damage in ("", "{", "[1]", json.dumps({"n_units": 3})):
        for path in tmp_path.glob("*.json"):
            path.write_text(damage)
        assert looks_again(), damage
        assert not looks_again(), damage


def test_what_is_refused_is_refused_every_time(tmp_path: Path) -> None:
    messages = []
    for _ in range(2):
        with pytest.raises(SpecError) as caught:
            CachedFacts(tmp_path).recipe_facts(
                Recipe(backbone="test_vit", freeze_depth=99), n_classes=5, image_size=64
            )
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "freeze_depth" in messages[0]


def test_weights_are_looked_at_again_when_their_file_changes_or_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    from ablate.model.backbone import create_backbone

    monkeypatch.chdir(tmp_path)
    file, counting = tmp_path / "mine.safetensors", Counting()
    state = create_backbone("test_efficientnet", n_classes=2, image_size=64).state_dict()
    recipe = Recipe(backbone="test_efficientnet", weights="mine.safetensors")
    save_file(state, file)
    remembered = CachedFacts(tmp_path / "looks", counting)
    for _ in range(2):
        remembered.check_weights(recipe, image_size=64)
    assert counting.asked == ["weights"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(WeightsError):
        remembered.check_weights(recipe, image_size=64)
    monkeypatch.chdir(tmp_path)
    stat = file.stat()
    save_file({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "new")
    os.utime(tmp_path / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (tmp_path / "new").replace(file)  # of the same size and time
    assert file.stat().st_size == stat.st_size
    remembered.check_weights(recipe, image_size=64)
    file.write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        remembered.check_weights(recipe, image_size=64)
    file.unlink()
    with pytest.raises(WeightsError):
        remembered.check_weights(recipe, image_size=64)
    assert counting.asked == ["weights"] * 5


def test_a_home_that_takes_nothing_costs_time_and_not_the_plan(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    counting = Counting()
    for _ in range(2):
        CachedFacts(tmp_path / "file" / "looks", counting).recipe_facts(
            Recipe(backbone="test_vit"), n_classes=5, image_size=64
        )
    assert counting.asked == ["recipe", "recipe"]


def test_arms_of_one_form_are_looked_at_once(write_grid: WriteGrid) -> None:
    resolved = resolve(
        load_grid(write_grid("forms")), find_folders(), seeds=None, allow_fallback=False, command=""
    )
    counting = Counting()
    facts = check_arms(resolved, networks=counting).facts
    assert counting.asked == ["recipe", "recipe", "weights"]  # four arms, two head LRs
    for arm in resolved.expansion.arms:
        assert facts[arm.arm_id] == check_recipe(arm.recipe, n_classes=2, image_size=32)


@pytest.mark.slow
def test_long_tables_are_cut_and_all_prints_them(desk: Path, write_grid: WriteGrid) -> None:
    many = ", ".join(f"{number}.0e-4" for number in range(1, 26))
    exclude = (
        "seeds: [0]\nexclude:\n"
        "  - {when: {freeze_depth: 0, augment: light}, why: too dear}\n"
        "  - {when: {freeze_depth: -1, augment: light}, why: too dull}"
    )
    changes = (
        ("1.0e-3, 1.0e-2", many),
        ("[all, -1]", "[all, -1, 0]\n  augment: [none, light]"),
        ("seeds: [0]", exclude),
    )
    grid = str(write_grid("long", *changes))
    texts = [_plan(grid), _plan(grid, "--all")]
    short, whole = [text.partition("What this design can show")[0] for text in texts]
    assert (
        "grid: 150 cells = 100 arms + 0 merged with an equal one + 50 left out; 1 seed; 100 trials"
        in short
    )
    assert short.count("head_lr=0.0") == 30 + 30
    assert "... and 70 more; --all prints them" in short
    assert "... and 20 more; --all prints them" in short
    assert "left out: 25 cells: too dear\n" in short
    assert "left out: 25 cells: too dull\n" in short
    assert whole.count("head_lr=0.0") == 100 + 50
    assert "more; --all" not in whole
    assert "left out: " not in whole


def test_cells_left_out_are_spelled_as_arms_are() -> None:
    excluded = SimpleNamespace(cell={"clip_norm": None, "freeze_depth": -1}, why="too dear")
    resolved: Any = SimpleNamespace(expansion=SimpleNamespace(excluded=[excluded]))
    plan = Plan.__new__(Plan)
    object.__setattr__(plan, "resolved", resolved)
    assert plan.left_out == [{"cell": "clip_norm=null, freeze_depth=-1", "why": "too dear"}]


WORDS: dict[object, int] = {"all": 4, 4: 4, 3: 3, -1: 3, 0: 0}
ARMS = st.lists(
    st.builds(
        Recipe,
        backbone=st.sampled_from(["a", "b"]),
        freeze_depth=st.sampled_from(list(WORDS)),
        lr_ratio=st.sampled_from([0.1, 1.0]),
        batch_norm=st.sampled_from(["train", "frozen"]),
        adapter=st.sampled_from(["none", "ssf"]),
        strategy=st.sampled_from(["single", "single", "single", "lp_ft"]),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@given(ARMS)
@settings(max_examples=300)
def test_the_quick_look_at_depths_lets_nothing_through(recipes: list[Recipe]) -> None:
    """Where it says that arms differ, comparing every two says so too."""
    trials = [
        Trial(
            task="classification",
            data=DataSpec(source="textile"),
            data_fingerprint="f",
            recipe=one,
            select_by="val/nll",
            seed=0,
        )
        for one in recipes
    ]
    arms = tuple(
        ArmRecord(arm_id=one.arm_id, name=str(n), recipe=one.recipe, cells=())
        for n, one in enumerate(trials)
    )
    arms = tuple({arm.arm_id: arm for arm in arms}.values())
    facts = {arm.arm_id: _facts(arm.recipe) for arm in arms}
    equal = any(
        _same_network(one.recipe, other.recipe) for one, other in itertools.combinations(arms, 2)
    )
    assert not (equal_arms._has_a_word_for_each_depth(arms, facts) and equal)


def _same_network(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes train alike: the same depth, and what differs has nothing to act on."""
    if one.model_copy(
        update={"freeze_depth": "all", "lr_ratio": 1.0, "batch_norm": "train"}
    ) != other.model_copy(update={"freeze_depth": "all", "lr_ratio": 1.0, "batch_norm": "train"}):
        return False
    depths = WORDS[one.freeze_depth], WORDS[other.freeze_depth]
    rates_alike = one.lr_ratio == other.lr_ratio or (depths[0] == 4 and one.adapter == "none")
    return (
        depths[0] == depths[1]
        and rates_alike
        and (one.batch_norm == other.batch_norm or depths[0] == 4)
    )


def _facts(recipe: Recipe) -> RecipeFacts:
    depth = WORDS[recipe.freeze_depth]
    return RecipeFacts(
        4,
        ("a", "b", "c", "d"),
        depth,
        (depth,),
        10,
        1,
        Preprocessing((0, 0, 0), (1, 1, 1), 8, 1.0, "bicubic"),
        (),
        {},
        {},
    )
