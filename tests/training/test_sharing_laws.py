"""Nothing is computed twice, and nothing shows it.

For a CNN, a ViT and a Swin, what is shared equals what is not.

| law                   | what is compared                              | how closely           |
|-----------------------|-----------------------------------------------|-----------------------|
| cached equals direct  | kept activations, and the whole network       | best epoch; macro F1  |
|                       |                                               | 0.005; loss 1e-5,     |
|                       |                                               | bf16 1e-3             |
| cold equals warm      | a trial that fills the cache, and one that    | exactly               |
|                       | finds everything there                        |                       |
| alone equals shared   | a bound of 0 GB, which keeps and shares       | exactly               |
|                       | nothing                                       |                       |
| evicted equals kept   | views that were dropped, by other trials and  | exactly               |
|                       | by the trial itself                           |                       |
| one worker equals two | one after the other, and side by side in two  | exactly               |
|                       | processes                                     |                       |
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal
from safetensors.torch import load_file, save_file
from support.tiny_swin import tiny_swin

from ablate.model.backbone import create_backbone
from ablate.scheduling.executors.local import LocalExecutor
from ablate.scheduling.executors.slots import cpu_slots
from ablate.study.request import TrialRequest
from ablate.study.trial_facts import PrefixCut
from ablate.tracking.artifacts import read_predictions
from ablate.tracking.events import Event, TrialEnded, TrialOutcome, TrialStarted
from ablate.training.trial_run import run_trial

assert (
    tiny_swin.__module__ == "support.tiny_swin"
)  # known to timm by its import, here and in workers
FAMILIES = {"CNN": "test_efficientnet", "ViT": "test_vit", "Swin": "tiny_swin"}
RECIPES: dict[str, dict[str, Any]] = {
    "probe": {"freeze_depth": "all"},
    "last unit": {"freeze_depth": -1},
    "adapters": {"freeze_depth": "all", "lora_rank": 2, "adapter_units": 1, "lr_ratio": 1.0},
}
LOSS = {"fp32": 1e-5, "bf16": 1e-3}
MakeRequest = Callable[..., TrialRequest]


@pytest.fixture
def request_of(
    make_request: MakeRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeRequest:
    """Requests on trunks with the same weights for every seed, as pretrained ones are.

    Only the views tell seeds apart.
    """
    folder = tmp_path_factory.mktemp("trunks")
    monkeypatch.chdir(folder)

    def make(family: str, **named: Any) -> TrialRequest:
        file = folder / f"{family}.safetensors"
        if not file.exists():
            save_file(
                create_backbone(FAMILIES[family], n_classes=3, image_size=64).state_dict(), file
            )
        return make_request(
            backbone=FAMILIES[family],
            weights=file.name,
            **{"augment": "light", "head_lr": 1e-2, **named},
        )

    return make


def _run(request: TrialRequest) -> tuple[TrialOutcome, list[float]]:
    losses: list[float] = []
    return run_trial(
        request, lambda _epoch, _n, metrics: losses.append(metrics["train/loss"])
    ), losses


def _assert_same(
    one: tuple[TrialRequest, TrialOutcome], other: tuple[TrialRequest, TrialOutcome]
) -> None:
    """To the last digit: scores, predictions and trained weights."""
    scores = [
        {
            name: value
            for name, value in outcome.metrics.items()
            if name.startswith(("val/", "test/", "n_"))
        }
        for _, outcome in (one, other)
    ]
    assert scores[0] == scores[1]
    assert one[1].best_epoch == other[1].best_epoch
    first, second = (
        read_predictions(request.folder / "predictions.parquet") for request, _ in (one, other)
    )
    assert_frame_equal(first, second)
    weights = [load_file(request.folder / "delta.safetensors") for request, _ in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", LOSS)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_cached_equals_direct(
    request_of: MakeRequest, tmp_path: Path, family: str, recipe: str, precision: str
) -> None:
    """Another seed, policy and precision have been there before.

    Their views are not taken for the trial's own.
    """
    fields, cache = {**RECIPES[recipe], "precision": precision}, tmp_path / "cache"
    if recipe == "probe":
        _run(request_of(family, **fields, cache=cache, seed=1))
        _run(request_of(family, **{**fields, "augment": "strong"}, cache=cache, epochs=1))
        _run(
            request_of(
                family,
                **{**fields, "precision": next(other for other in LOSS if other != precision)},
                cache=cache,
            )
        )
    direct, direct_losses = _run(request_of(family, **fields))
    cached, cached_losses = _run(request_of(family, **fields, cache=cache))
    assert direct.facts.prefix == (PrefixCut(why_uncut="not asked for"),)
    assert cached.facts.prefix is not None
    assert cached.facts.prefix[0].at is not None
    assert direct.facts.precision == cached.facts.precision == precision
    assert cached.best_epoch == direct.best_epoch
    for name in ("val/macro_f1", "test/macro_f1"):
        assert cached.metrics[name] == pytest.approx(direct.metrics[name], abs=0.005)
    for name in ("val/nll", "test/nll"):
        assert cached.metrics[name] == pytest.approx(direct.metrics[name], abs=LOSS[precision])
    assert cached_losses == pytest.approx(direct_losses, abs=LOSS[precision])


@pytest.mark.slow
@pytest.mark.parametrize("precision", LOSS)
@pytest.mark.parametrize("family", FAMILIES)
def test_cold_warm_alone_and_evicted_are_one_trial(
    request_of: MakeRequest, tmp_path: Path, family: str, precision: str
) -> None:
    fields = {**RECIPES["last unit"], "precision": precision}
    cold_request = request_of(family, **fields, cache=tmp_path / "roomy")
    cold, _ = _run(cold_request)
    assert (cold.facts.views_computed, cold.facts.views_from_cache) == (
        4,
        0,
    )  # two epochs of train, val, test
    warm_request = request_of(family, **fields, cache=tmp_path / "roomy")
    warm, _ = _run(warm_request)
    assert (warm.facts.views_computed, warm.facts.views_from_cache) == (0, 4)
    _assert_same((cold_request, cold), (warm_request, warm))

    alone_request = request_of(family, **fields, cache=tmp_path / "nothing", max_gb=0)
    alone, _ = _run(alone_request)
    assert (alone.facts.views_computed, alone.facts.views_from_cache) == (4, 0)
    assert not (tmp_path / "nothing").exists()
    _assert_same((cold_request, cold), (alone_request, alone))

    sizes = sorted(path.stat().st_size for path in (tmp_path / "roomy").glob("*/rows.bin"))
    tight = {
        "cache": tmp_path / "tight",
        "max_gb": 1.1 * sizes[-1] / 1e9,
    }  # one view of train; the next one drives it out
    for _ in range(2):
        evicted_request = request_of(family, **fields, **tight)
        evicted, _ = _run(evicted_request)
        assert evicted.facts.views_computed is not None
        assert evicted.facts.views_computed >= 3
        assert (
            sum(path.stat().st_size for path in (tmp_path / "tight").glob("*/rows.bin"))
            <= 1.1 * sizes[-1]
        )
        _assert_same((cold_request, cold), (evicted_request, evicted))

    for entry in [path.parent for path in (tmp_path / "roomy").glob("*/rows.bin")][::2]:
        shutil.rmtree(entry)
    half_request = request_of(family, **fields, cache=tmp_path / "roomy")
    half, _ = _run(half_request)
    assert (half.facts.views_computed, half.facts.views_from_cache) == (2, 2)
    _assert_same((cold_request, cold), (half_request, half))


def _run_on(
    n_slots: int, requests: list[TrialRequest], logs: Path
) -> tuple[dict[str, TrialOutcome], set[str]]:
    """trial_id -> outcome, and the slots that worked."""
    left, outcomes, slots = list(requests), {}, set()

    def on_event(event: Event) -> None:
        if isinstance(event, TrialStarted):
            slots.add(event.slot)
        elif isinstance(event, TrialEnded):
            assert event.outcome is not None, event.failure
            outcomes[event.trial_id] = event.outcome

    executor = LocalExecutor(
        "support.tiny_swin:run_tiny_trial", slots=cpu_slots(n_slots, threads=1), log_folder=logs
    )
    executor.run(lambda _: left.pop(0) if left else None, on_event)
    return outcomes, slots


@pytest.mark.slow
@pytest.mark.parametrize("precision", LOSS)
def test_one_worker_equals_two(request_of: MakeRequest, tmp_path: Path, precision: str) -> None:
    """All families in one study, two arms of each on the same views, so that two workers meet at
    one cache."""
    found = {}
    for n_slots in (1, 2):
        asked = [
            request_of(
                family, **RECIPES[recipe], precision=precision, cache=tmp_path / f"cache{n_slots}"
            )
            for family in FAMILIES
            for recipe in ("last unit", "probe")
        ]
        outcomes, slots = _run_on(n_slots, asked, tmp_path / f"logs{n_slots}")
        assert len(slots) == n_slots
        assert len(outcomes) == len(asked) == 2 * len(FAMILIES)
        assert {outcome.facts.precision for outcome in outcomes.values()} == {precision}
        found[n_slots] = [(request, outcomes[request.trial.trial_id]) for request in asked]
    for one, two in zip(found[1], found[2], strict=True):
        assert one[0].trial == two[0].trial
        _assert_same(one, two)
