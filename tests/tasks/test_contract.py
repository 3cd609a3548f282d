"""What every task must keep, on each floor; a new task passes by being registered."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ablate.data.sources import SOURCES_OF
from ablate.errors import SpecError
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.schema import grid_schema
from ablate.metrics import SCORING
from ablate.metrics.resampling import image_weights
from ablate.recipe.recipe import Recipe
from ablate.reporting.predictions import READERS
from ablate.study.choosing import is_better
from ablate.study.tasks import TASKS, TaskSpec, is_lower_better
from ablate.targets import TARGETS, Targets, targets_of_array, targets_of_labels
from ablate.targets.codecs import CODECS, SplitPredictions, is_table_of_predictions
from ablate.training.tasks import TASKS as TRAINING
from ablate.training.tasks import Task, TrainTargets, make_task, serving_task

NAMES = ("low", "middle", "high")
N_IMAGES = 24
KINDS = sorted(TARGETS)


def _targets(spec: TaskSpec, n_images: int = N_IMAGES) -> Targets:
    """Every class has images, and none has all of them."""
    kind = TARGETS[spec.targets]
    labels = []
    for i in range(n_images):
        single: int | tuple[int, ...] = i % len(NAMES)
        several = tuple(c for c in range(len(NAMES)) if (i + c) % (c + 2) == 0)
        labels.append(single if kind.is_label(single) else several)
    return kind.of_labels(labels, n_classes=len(NAMES))


def _network() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(5, len(NAMES))


def _images(n_images: int = N_IMAGES) -> Tensor:
    return torch.randn(n_images, 5, generator=torch.Generator().manual_seed(1))


def _task(spec: TaskSpec) -> Task:
    recipe = Recipe(**spec.base_defaults)
    return make_task(spec.name, recipe, TrainTargets(_targets(spec), NAMES), device="cpu")


def _outputs(spec: TaskSpec) -> np.ndarray:
    with torch.inference_mode():
        return _task(spec).predictions(_network(), _images()).numpy()


def _grid(spec: TaskSpec, *more: str) -> Grid:
    lines = [
        f"task: {spec.name}",
        "data: {source: folder}",
        "axes: {freeze_depth: [all, -1]}",
        "seeds: [0]",
        "baseline: {}",
        f"select_by: val/{spec.primary}",
        *more,
    ]
    if not any(line.startswith("base:") for line in more):
        lines.append("base: {epochs: 2}")
    return parse_grid("\n".join(lines), name="g", shown_as="g.yaml")


def test_each_floor_knows_every_task() -> None:
    for registry in (SCORING, CODECS, TRAINING, READERS):
        assert set(registry) == set(TASKS)
    assert set(SOURCES_OF) == set(TARGETS) >= {task.targets for task in TASKS.values()}


def test_a_spec_is_complete(spec: TaskSpec) -> None:
    assert TASKS[spec.name] is spec
    names = spec.metric_names
    assert len(set(names)) == len(names)
    assert {spec.primary, spec.secondary} <= set(spec.metrics_of(2)) & set(spec.metrics_of(9))
    assert spec.primary != spec.secondary
    for metric in spec.metrics:
        assert re.fullmatch(r"[a-z0-9_]+", metric.name)
        assert metric.prose and "_" not in metric.prose
        assert is_lower_better(metric.name) == metric.is_lower_better
        assert is_better(f"val/{metric.name}", 0.1, than=0.9) == metric.is_lower_better
    for name, rule in spec.field_rules.items():
        assert name in Recipe.model_fields
        assert rule.why


def test_a_grid_of_the_task_is_read_and_stands_in_the_schema(spec: TaskSpec) -> None:
    grid = _grid(spec)
    assert grid.task == spec.name
    assert {name: getattr(grid.base, name) for name in spec.base_defaults} == spec.base_defaults
    properties = grid_schema()["properties"]
    assert spec.name in properties["task"]["enum"]
    assert {f"val/{name}" for name in spec.metric_names} <= set(properties["select_by"]["enum"])


def test_what_the_task_refuses_is_refused_with_its_reason(spec: TaskSpec) -> None:
    odd = {
        "loss": "focal",
        "logit_adjustment": 1.0,
        "sampler": "balanced",
        "shots": 5,
        "classifier": "knn",
        "class_weights": "effective",
        "co_tuning": 1.0,
    }
    for name, rule in spec.field_rules.items():
        with pytest.raises(SpecError) as caught:
            _grid(spec, f"base: {{{name}: {odd[name]}}}")
        wanted = f"{name}: must be {rule.wanted} for task {spec.name}, got {odd[name]!r}: "
        assert wanted + rule.why in str(caught.value)


def test_what_the_study_may_not_have_is_refused_with_its_reason(spec: TaskSpec) -> None:
    if spec.why_no_target_precision is not None:
        with pytest.raises(SpecError, match=re.escape(spec.why_no_target_precision)):
            _grid(spec, "target_precision: 0.9")


def test_scores_are_the_specs_and_finite(spec: TaskSpec) -> None:
    scores = SCORING[spec.name].score(_outputs(spec), _targets(spec).array)
    assert tuple(scores) == spec.metrics_of(len(NAMES))
    assert all(np.isfinite(list(scores.values())))
    assert all(value >= 0 for value in scores.values())


def test_a_draw_of_every_image_once_gives_the_score_itself(spec: TaskSpec) -> None:
    outputs = _outputs(spec)
    array = _targets(spec).array
    scores = SCORING[spec.name].score(outputs, array)
    once = np.ones((2, N_IMAGES), dtype=np.float32)
    draws = SCORING[spec.name].resampled(outputs, array, once)
    assert set(draws) == {spec.primary, spec.secondary}
    for name, values in draws.items():
        assert values == pytest.approx([scores[name]] * 2, rel=1e-5)


def test_a_draw_keeps_the_size_of_each_stratum(spec: TaskSpec) -> None:
    targets = _targets(spec)
    weights = image_weights(targets, n_draws=20, seed=0)
    rows = np.concatenate(targets.strata())
    assert sorted(rows.tolist()) == list(range(N_IMAGES))
    for stratum in targets.strata():
        np.testing.assert_allclose(weights[:, stratum].sum(axis=1), len(stratum), rtol=1e-5)


def test_predictions_come_back_as_they_were(spec: TaskSpec) -> None:
    image_ids = [f"{i}.png" for i in range(N_IMAGES)]
    written = SplitPredictions(image_ids, _targets(spec), _outputs(spec))
    codec = CODECS[spec.name]
    frame = pd.DataFrame(codec.encode(written))
    assert set(codec.needed_columns()) <= set(frame.columns)
    assert is_table_of_predictions(frame.columns)
    again = codec.decode(dict(frame.items()), n_classes=len(NAMES))
    assert list(again.image_ids) == image_ids
    np.testing.assert_array_equal(again.outputs, written.outputs)
    np.testing.assert_array_equal(again.targets.array, written.targets.array)


def test_the_loss_learns_and_the_parts_of_a_batch_sum_to_the_whole(spec: TaskSpec) -> None:
    task = _task(spec)
    network = _network()
    images = _images()
    targets = torch.from_numpy(_targets(spec).array)
    whole = task.training_loss(network, images, targets)
    assert torch.isfinite(whole) and whole.shape == ()
    total = torch.zeros(())
    for part in (slice(0, 16), slice(16, None)):
        share = task.mass(targets[part]) / task.mass(targets)
        total = total + task.training_loss(network, images[part], targets[part]) * share
    torch.testing.assert_close(total, whole)
    whole.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.05 * parameter.grad)
    assert task.training_loss(network, images, targets) < whole


def test_mixed_labels_have_the_loss_of_their_shares(spec: TaskSpec) -> None:
    task = _task(spec)
    targets = _targets(spec)
    plain = torch.from_numpy(targets.array)
    shares = torch.from_numpy(targets.membership()).float()
    network = _network()
    torch.testing.assert_close(
        task.training_loss(network, _images(), shares),
        task.training_loss(network, _images(), plain),
    )


def test_serving_predicts_what_training_stored(spec: TaskSpec) -> None:
    outputs = _network()(_images()).detach()
    served = serving_task(spec.name, Recipe(**spec.base_defaults)).predict(outputs)
    np.testing.assert_array_equal(served.numpy(), _outputs(spec))


def test_targets_come_back_from_whatever_holds_them(spec: TaskSpec) -> None:
    targets = _targets(spec)
    labels = [targets.label(row) for row in range(len(targets))]
    for again in (
        targets_of_labels(labels, n_classes=len(NAMES)),
        targets_of_array(targets.array, n_classes=len(NAMES)),
        type(targets).of_columns(targets.columns(), n_classes=len(NAMES)),
    ):
        assert type(again) is type(targets)
        np.testing.assert_array_equal(again.array, targets.array)
    assert targets.counts() == tuple(targets.membership().sum(axis=0))
    rows = np.array([5, 0, 7])
    assert [targets.take(rows).label(i) for i in range(3)] == [labels[row] for row in rows]


@pytest.mark.parametrize("total", [None, 10])
def test_a_deal_gives_each_part_its_size_whatever_the_order(
    spec: TaskSpec, total: int | None
) -> None:
    targets = _targets(spec)
    keys = [((7 * i) % N_IMAGES, str(i)) for i in range(N_IMAGES)]
    shares = [0.5, 0.25, 0.25] if total is None else [total / N_IMAGES]
    part_of = targets.deal(keys, shares, total=total)
    sizes = [int((part_of == part).sum()) for part in range(len(shares))]
    assert sizes == ([12, 6, 6] if total is None else [total])
    back = np.arange(N_IMAGES)[::-1]
    again = targets.take(back).deal([keys[row] for row in back], shares, total=total)
    np.testing.assert_array_equal(again[back], part_of)


def test_the_first_images_in_turn_show_many_classes(spec: TaskSpec) -> None:
    targets = _targets(spec)
    in_turn = targets.in_turn()
    assert sorted(in_turn.tolist()) == list(range(N_IMAGES))
    first = targets.take(in_turn[: len(NAMES)])
    assert sum(n > 0 for n in first.counts()) >= 2
