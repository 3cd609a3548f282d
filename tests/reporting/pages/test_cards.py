"""Model cards load with the hub's own class; their numbers are recomputed from predictions."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from sklearn import metrics as sk

from ablate.reporting.compute import compute_results
from ablate.reporting.pages.cards.card import card_text
from ablate.reporting.results import card_slugs

PLACEHOLDER = re.compile(
    r"(?i:more information needed|\[more|\btodo\b|\btbd\b|lorem)|\{\{|\bnan\b|\bNone\b"
)


def cards_of(published) -> dict[str, str]:
    results = compute_results(published.study, published.predictions)
    return {arm.arm_id: card_text(results, arm) for arm in published.study.record.arms}


def test_every_card_loads_and_its_model_index_holds_the_means(published, tmp_path) -> None:
    cards = cards_of(published)
    assert len(cards) == 10
    for arm_id, text in cards.items():
        path = tmp_path / f"{arm_id}.md"
        path.write_text(text)
        data = ModelCard.load(path).data
        found = {result.metric_type: result.metric_value for result in data.eval_results}
        runs = [run.metrics for run in published.study.runs if run.arm_id == arm_id]
        means = {"f1": "macro_f1", "roc_auc": "auroc_ovr_macro", "accuracy": "accuracy"}
        assert found == {
            kind: round(float(np.mean([m[f"test/{name}"] for m in runs])), 4)
            for kind, name in means.items()
        }
        assert (data.library_name, data.pipeline_tag) == ("timm", "image-classification")
        assert {result.dataset_type for result in data.eval_results} == {"rendered_flowers"}


def test_front_matter_is_plain_yaml_and_survives_a_round_trip(published) -> None:
    text = next(iter(cards_of(published).values()))
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == yaml.safe_load(str(ModelCard(text).data.to_yaml()))


def test_class_table_equals_scikit_learn(published) -> None:
    arm = published.study.record.arms[3]
    frames = [
        published.frames[run.run_id].query("split == 'test'")
        for run in published.study.runs
        if run.arm_id == arm.arm_id
    ]
    scored = [
        sk.precision_recall_fscore_support(
            f["label"], f.filter(like="p_").to_numpy().argmax(axis=1)
        )
        for f in frames
    ]
    precision, recall, f1 = (np.mean([one[part] for one in scored], axis=0) for part in range(3))
    text = cards_of(published)[arm.arm_id]
    for c in range(5):
        auroc = np.mean([sk.roc_auc_score(f["label"] == c, f[f"p_{c}"]) for f in frames])
        assert (
            f"| `species {c}` | {precision[c]:.3f} | {recall[c]:.3f} | {f1[c]:.3f} "
            f"| {auroc:.3f} | 12 |" in text
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", ["complete", "single_seed", "binary", "absent", "failed", "bare"])
def test_no_card_holds_placeholder_text(published, build, case: str) -> None:
    study = {
        "complete": lambda: published,
        "single_seed": lambda: build(seeds=(3,)),
        "binary": lambda: build(n_classes=2),
        "absent": lambda: build(absent=(1, 4)),
        "failed": lambda: published.with_runs(
            lambda run: (
                replace(run, status="FAILED", failure="x")
                if run.seed == 0 or run.arm_id.endswith("9")
                else run
            )
        ),
        "bare": lambda: published.with_runs(
            lambda run: replace(run, tags={}, params={}, metrics={"val/macro_f1": 0.5}, curves={})
        ),
    }[case]()
    cards = cards_of(study)
    assert len(cards) == 10
    for text in cards.values():
        assert PLACEHOLDER.search(text) is None, PLACEHOLDER.search(text)
        ModelCard(text)


def test_an_arm_without_a_complete_trial_says_not_measured(published) -> None:
    arm_id = published.study.record.arms[2].arm_id
    text = cards_of(
        published.with_runs(
            lambda run: replace(run, status="FAILED") if run.arm_id == arm_id else run
        )
    )[arm_id]
    assert "0 of 2 seeds completed." in text
    assert "Not measured: no trial of this arm completed." in text
    assert "| macro F1 | not measured | not measured |" in text
    assert ModelCard(text).data.to_dict().get("model-index") is None


@pytest.mark.slow
def test_absent_classes_are_named(build) -> None:
    text = next(iter(cards_of(build(absent=(2,))).values()))
    assert "1 class is absent from test and left out of macro means: `species 2`." in text
    assert re.search(
        r"\| `species 2` \| (0\.000|undefined) \| undefined \| undefined \| undefined \| 0 \|", text
    )
    assert "| test | 48 | 4 of 5 | 0 to 12 |" in text


def test_lineage_and_compute_come_from_the_runs(published) -> None:
    text = cards_of(published)[f"{0:012x}"]
    assert "| MLflow runs | seed 0 `run000`, seed 1 `run001` |" in text
    assert (
        f"| weights digest | {'ab' * 32} |" in text
        and f"| data fingerprint | `{'f' * 64}` |" in text
    )
    assert "| precision | fp32 |" in text  # the tag of the run, not `auto` of the recipe
    assert "| training s | 10.1 ± 0.1 |" in text
    assert "| parameters | 3,400,000 |" in text


def test_limits_come_from_the_facts_of_the_data(published) -> None:
    text = cards_of(published)[f"{0:012x}"]
    assert "- The images are synthetic: scores say nothing about photographs." in text
    assert "- Fallback data were used: nothing was measured on `flowers102`." in text
    assert (
        "- Licence of the data: Apache-2.0. It may limit what the weights can be used for." in text
    )


def test_recipe_leaves_out_what_cannot_matter(published) -> None:
    text = cards_of(published)[f"{0:012x}"]
    assert "| `augment` | `none` |" in text
    assert "`lora_alpha`" not in text and "`lr_ratio`" not in text and "`momentum`" not in text


def test_names_of_cards_are_unique_short_and_never_champion(published) -> None:
    arms = published.study.record.arms
    names = ["champion", "a=b", "a-b", "A=b", "x" * 300, *(f"n{i}" for i in range(5))]
    record = published.study.record.model_copy(
        update={
            "arms": tuple(
                arm.model_copy(update={"name": name}) for arm, name in zip(arms, names, strict=True)
            )
        }
    )
    slugs = card_slugs(record)
    assert len({slug.casefold() for slug in slugs.values()}) == 10
    assert "champion" not in slugs.values()
    assert max(map(len, slugs.values())) <= 120
    assert slugs[arms[5].arm_id] == "n0"
