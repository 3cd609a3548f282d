"""Model cards in the Hugging Face form: metadata with `model-index`, then sections. One card an arm; every number is of the test split unless it says val."""

from __future__ import annotations

import math

from huggingface_hub import EvalResult, ModelCardData

from ablate.metrics.calibration import N_BINS
from ablate.quoting import code, one_line, text
from ablate.recipe.canonical import canonical
from ablate.recipe.recipe import Recipe
from ablate.reporting.evidence.pareto import COSTS
from ablate.reporting.evidence.tables import best_run, level_text
from ablate.reporting.pages.sections.target_section import target_sentence
from ablate.reporting.predictions.classification_insight import ArmInsight, most_confused
from ablate.reporting.predictions.multilabel_insight import LabelInsight, weakest
from ablate.reporting.results import (
    NOT_MEASURED,
    Results,
    best_epoch,
    prose,
    shown_scores,
)
from ablate.reporting.text import conclusions
from ablate.reporting.text.errors import (
    error_sentences,
    mistakes_table,
    temperature_text,
    threshold_sentence,
)
from ablate.reporting.text.errors_multilabel import (
    LOAD_CHAMPION,
    LOAD_RUN,
    NO_CALIBRATION,
    label_errors,
    label_table,
)
from ablate.reporting.text.facts import boundary_text, commit_text, shared_text
from ablate.reporting.text.markdown import (
    bullets,
    code_block,
    count,
    join_sections,
    mean_sd,
    plural,
    score,
    table,
)
from ablate.study.record import ArmRecord
from ablate.study.tasks import task_of
from ablate.study.trial import SPLITS
from ablate.tracking.records import PublishedRun

_HUB_METRICS = {
    "macro_f1": ("f1", {"average": "macro"}),
    "auroc_ovr_macro": ("roc_auc", {"average": "macro", "multi_class": "ovr"}),
    "average_precision_macro": ("average_precision", {"average": "macro"}),
    "accuracy": ("accuracy", {}),
    "subset_accuracy": ("accuracy", {}),
}
_EQUAL_IN_ALL_SEEDS = {"cost/n_trainable", "cost/n_parameters", "cost/macs"}
_N_WORST_CLASSES, _N_CONFUSED = 3, 5
_LOAD_CHAMPION = """import mlflow
import numpy as np
from PIL import Image

uri = mlflow.get_run("{run_id}").data.tags["ablate.champion"]
model = mlflow.pyfunc.load_model(uri)
image = np.asarray(Image.open("image.jpg").convert("RGB"))
probabilities = model.predict(image[np.newaxis])[0]  # in the order of the classes above
"""
_LOAD_RUN = """from pathlib import Path

import mlflow
from PIL import Image

from ablate.training.serving.export import export_complete
from ablate.training.serving.predict import load_classifier

files = mlflow.artifacts.download_artifacts(run_id="{run_id}")
classifier = load_classifier(export_complete(Path(files), Path("classifier")))
print(classifier.classify(Image.open("image.jpg")))  # class -> probability, the most probable first
"""


def card_text(results: Results, arm: ArmRecord) -> str:
    """The card of one arm: front matter and all sections."""
    runs = results.complete_runs(arm.arm_id)
    sections = [
        f"# {text(arm.name)}",
        _opening(results, arm),
        _scores(results, arm),
        _by_seed(results, runs),
        _by_class(results, arm),
        _errors(results, arm),
        _calibration(results, arm),
        _data(results),
        _recipe(arm.recipe),
        _use(results, arm),
        _compute(results, arm, runs),
        _loading(results, arm),
        _lineage(results, arm, runs),
    ]
    return f"---\n{card_data(results, arm).to_yaml()}\n---\n\n{join_sections(sections)}"


def card_data(results: Results, arm: ArmRecord) -> ModelCardData:
    """The metadata; `model-index` holds test macro F1, AUROC and accuracy where they were measured. The hub's own class checks its form."""
    data = results.record.data
    evaluated = []
    for metric, (metric_type, how) in _HUB_METRICS.items():
        mean, sd = (
            results.number(arm.arm_id, f"test/{metric}/mean"),
            results.number(arm.arm_id, f"test/{metric}/sd"),
        )
        if math.isnan(mean):
            continue
        n_seeds = int(results.number(arm.arm_id, "n_seeds"))
        low, high = (results.number(arm.arm_id, f"test/{metric}/{end}") for end in ("low", "high"))
        spread: dict[str, float | list[float]] = (
            {} if math.isnan(sd) else {"sd_over_seeds": round(sd, 4)}
        )
        spread |= {} if math.isnan(low) else {"interval_95": [round(low, 4), round(high, 4)]}
        evaluated.append(
            EvalResult(
                task_type="image-classification",
                dataset_type=data.source,
                dataset_name=one_line(data.title),
                dataset_split="test",
                dataset_revision=data.fingerprint,
                metric_type=metric_type,
                metric_name=f"{prose(metric)}, mean over {plural(n_seeds, 'seed')}",
                metric_value=round(mean, 4),
                metric_args={**how, "n_seeds": n_seeds, **spread},
            )
        )
    kinds = [
        *(["multi-label"] if results.has_several_labels else []),
        *(["synthetic-data"] if data.is_synthetic else []),
    ]
    return ModelCardData(
        model_name=results.slugs[arm.arm_id],
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["ablate", "transfer-learning", arm.recipe.backbone, *kinds],
        eval_results=evaluated or None,
    )


def _opening(results: Results, arm: ArmRecord) -> str:
    is_champion = results.champion is not None and results.champion.arm_id == arm.arm_id
    role = "the best arm on val" if is_champion else "one arm"
    if arm.arm_id == results.record.baseline_arm_id:
        role += " and the baseline" if is_champion else ", the baseline,"
    n_seeds = int(results.number(arm.arm_id, "n_seeds"))
    told = [
        f"{code(arm.recipe.backbone)}, fine-tuned for image classification: {role} of the study {code(results.record.grid_name)} "
        f"({text(results.record.question) or 'no question was written down'}). {plural(n_seeds, 'seed')} of {len(results.record.seeds)} completed.",
        conclusions.data_sentence(results),
        bullets(conclusions.absent_sentences(results)),
        _gap(results, arm),
    ]
    return join_sections(told).rstrip()


def _gap(results: Results, arm: ArmRecord) -> str:
    baseline = results.baseline
    if baseline is None or baseline.arm_id == arm.arm_id:
        return ""
    gap = conclusions.gap_to_baseline(results, arm)
    if gap is None:
        return f"Test macro F1 against the baseline {code(baseline.name)}: {NOT_MEASURED}."
    return f"Against the baseline {code(baseline.name)}: {conclusions.gap_text(gap)}. {conclusions.noise_sentence(results)}"


def _scores(results: Results, arm: ArmRecord) -> str:
    rows = [
        [
            prose(metric),
            *(
                conclusions.metric_cell(results, arm.arm_id, f"{split}/{metric}")
                for split in ("val", "test")
            ),
            _interval(results, arm, metric),
        ]
        for metric in task_of(results.record.task).metrics_of(len(results.record.data.class_names))
    ]
    chosen = (
        f"Mean ± SD over seeds. The epoch was chosen by {prose(results.record.select_by)}; test was scored once a trial. "
        "The interval is of the mean on test, over test images and seeds (whose spread is that of the middle arm of the study, or its own where larger)."
    )
    return join_sections(
        [
            "## Results",
            chosen,
            table(["metric", "val", "test", "95 % interval, test"], rows),
            target_sentence(results, arm.arm_id),
        ]
    ).rstrip()


def _interval(results: Results, arm: ArmRecord, metric: str) -> str:
    low, high = (results.number(arm.arm_id, f"test/{metric}/{end}") for end in ("low", "high"))
    return NOT_MEASURED if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def _by_seed(results: Results, runs: list[PublishedRun]) -> str:
    if not runs:
        return f"### By seed\n\n{NOT_MEASURED.capitalize()}: no trial of this arm completed."
    columns = [
        *shown_scores(results.record),
        *(() if results.has_several_labels else ("test/nll", "test/ece")),
    ]
    rows = [
        [
            str(run.seed),
            *(score(run.metrics.get(name, math.nan)) for name in columns),
            _epoch(run, results),
            code(run.run_id),
        ]
        for run in runs
    ]
    return join_sections(
        ["### By seed", table(["seed", *map(prose, columns), "best epoch", "MLflow run"], rows)]
    ).rstrip()


def _epoch(run: PublishedRun, results: Results) -> str:
    epoch = best_epoch(run, results.record.select_by)
    return NOT_MEASURED if epoch is None else str(epoch)


def _by_class(results: Results, arm: ArmRecord) -> str:
    of_labels = results.label_insights.get(arm.arm_id)
    if of_labels is not None:
        note = f"On test, each class by itself, mean over {plural(of_labels.n_seeds, 'seed')}, from the stored predictions.{_absent_note(of_labels)}"
        return join_sections(["### By class", note, label_table(of_labels)]).rstrip()
    insight = results.insights.get(arm.arm_id)
    if insight is None:
        return f"### By class\n\n{NOT_MEASURED.capitalize()}: no predictions of this arm could be read."
    names = ["precision", "recall", "f1", "auroc"]
    rows = []
    for row in insight.classes.to_dict("records"):
        rows.append(
            [
                code(str(row["class"])),
                *("undefined" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in names),
                str(row["support"]),
            ]
        )
    note = f"On test, one class against the rest, mean over {plural(insight.n_seeds, 'seed')}, from the stored predictions.{_absent_note(insight)}"
    return join_sections(
        [
            "### By class",
            note,
            table(["class", "precision", "recall", "F1", "AUROC", "images"], rows),
        ]
    ).rstrip()


def _errors(results: Results, arm: ArmRecord) -> str:
    of_labels = results.label_insights.get(arm.arm_id)
    if of_labels is not None:
        return join_sections(
            ["## What it gets wrong", label_errors(of_labels, results.record.data.class_names)]
        ).rstrip()
    insight = results.insights.get(arm.arm_id)
    if insight is None:
        return ""
    names = results.record.data.class_names
    pairs = most_confused(insight, names, n_pairs=_N_CONFUSED)
    confused = (
        table(
            ["label", "taken for", "predictions"],
            [[code(label), code(taken), str(n)] for label, taken, n in pairs],
            n_text_columns=2,
        )
        if pairs
        else ""
    )
    wrong = mistakes_table(insight, names)
    confident = (
        f"The most confident mistakes, those that most seeds made first:\n\n{wrong}"
        if wrong
        else ""
    )
    return join_sections(
        ["## What it gets wrong", bullets(error_sentences(insight, names)), confused, confident]
    ).rstrip()


def _calibration(results: Results, arm: ArmRecord) -> str:
    if results.has_several_labels:
        return f"## Calibration\n\n{NO_CALIBRATION}"
    insight = results.insights.get(arm.arm_id)
    if insight is None:
        return f"## Calibration\n\n{NOT_MEASURED.capitalize()}: no predictions of this arm could be read."
    told = (
        f"Expected calibration error on test (15 bins, top class): {conclusions.metric_cell(results, arm.arm_id, 'test/ece')}; "
        f"{temperature_text(insight)} (means over seeds)."
    )
    bins = insight.reliability
    rows = [
        [
            f"{place / N_BINS:.2f} to {(place + 1) / N_BINS:.2f}",
            str(bins.count[place]),
            f"{bins.confidence[place]:.3f}",
            f"{bins.accuracy[place]:.3f}",
        ]
        for place in range(N_BINS)
        if bins.count[place]
    ]
    threshold = threshold_sentence(insight, results.record.data.class_names)
    return join_sections(
        [
            "## Calibration",
            told,
            table(["confidence", "predictions", "mean confidence", "share right"], rows),
            threshold,
        ]
    ).rstrip()


def _loading(results: Results, arm: ArmRecord) -> str:
    """Code that loads the arm's best run by val and classifies an image."""
    run = best_run(results.study, arm.arm_id)
    if run is None:
        return f"## How to load it\n\n{NOT_MEASURED.capitalize()}: no trial of this arm completed."
    is_champion = results.champion is not None and results.champion.arm_id == arm.arm_id
    of_champion, of_run = (
        (LOAD_CHAMPION, LOAD_RUN) if results.has_several_labels else (_LOAD_CHAMPION, _LOAD_RUN)
    )
    told = f"Seed {run.seed}, its best by {prose(results.record.select_by)}. `MLFLOW_TRACKING_URI` names the store that holds the study."
    return join_sections(
        [
            "## How to load it",
            told,
            _code_block(of_champion if is_champion else "", run, results),
            _code_block(of_run, run, results),
        ]
    ).rstrip()


def _code_block(template: str, run: PublishedRun, results: Results) -> str:
    filled = template.format(run_id=run.run_id, class_names=list(results.record.data.class_names))
    return code_block(filled, language="python") if template else ""


def _absent_note(insight: ArmInsight | LabelInsight) -> str:
    absent = insight.classes.loc[insight.classes["support"] == 0, "class"].tolist()
    if not absent:
        return ""
    n_classes = "1 class is" if len(absent) == 1 else f"{len(absent)} classes are"
    return f" {n_classes} absent from test and left out of macro means: {', '.join(map(code, absent))}."


def _data(results: Results) -> str:
    data = results.record.data
    rows = []
    for split in (name for name in SPLITS if name in data.class_counts):
        counts = data.class_counts[split]
        rows.append(
            [
                split,
                f"{data.n_images[split]:,}",
                f"{sum(n > 0 for n in counts)} of {len(counts)}",
                str(min(counts))
                if min(counts) == max(counts)
                else f"{min(counts)} to {max(counts)}",
            ]
        )
    title, version, licence, origin, rule = map(
        text, (data.title, data.version, data.licence, data.origin, data.split_rule)
    )
    facts = f"{title}, version {version}, licence: {licence}. Origin: {origin}. Splits: {rule}."
    facts += f" Classes regrouped: {conclusions.regrouped_text(data)}." if data.regrouped else ""
    return join_sections(
        ["## Data", facts, table(["split", "images", "classes present", "images a class"], rows)]
    ).rstrip()


def _recipe(recipe: Recipe) -> str:
    """Every field that matters for this arm."""
    matters = canonical(recipe)
    rows = [[code(name), code(level_text(value))] for name, value in matters.items()]
    note = "Fields that cannot matter for this arm are left out. Preprocessing (size, mean, std, interpolation, crop) is the backbone's own."
    return join_sections(
        ["## Training recipe", note, table(["field", "value"], rows, n_text_columns=2)]
    ).rstrip()


def _use(results: Results, arm: ArmRecord) -> str:
    data = results.record.data
    several = results.has_several_labels
    knows = (
        "it knows no others"
        if several
        else "it gives one of these classes to any image, also to one that shows none of them"
    )
    intended = [
        f"To see how this way of transferring {code(arm.recipe.backbone)} does on {text(data.title)}, beside the other arms of the study.",
        f"To {'find' if several else 'tell apart'} these {len(data.class_names)} classes, in images like those of the data: {_listed(data.class_names)}.",
    ]
    limits = [
        f"Trained on {data.n_images.get('train', 0):,} images of {len(data.class_counts.get('train', ()))} classes; {knows}.",
        *(
            ["The images are synthetic: scores say nothing about photographs."]
            if data.is_synthetic
            else []
        ),
        *(
            [f"The data stand in for {code(data.requested_source)}, on which nothing was measured."]
            if data.is_fallback
            else []
        ),
        f"Licence of the data: {text(data.licence)}. It may limit what the weights can be used for.",
        *_weakest(results, arm),
        *(
            []
            if several
            else [
                f"Calibration on test: expected calibration error {conclusions.metric_cell(results, arm.arm_id, 'test/ece')}."
            ]
        ),
        f"Behaviour on other cameras, sites or groups: {NOT_MEASURED}.",
    ]
    return join_sections(
        ["## Intended use", bullets(intended), "## Limits", bullets(limits)]
    ).rstrip()


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(map(code, names[:20]))
    return (
        shown
        if len(names) <= 20
        else f"{shown} and {len(names) - 20} more (see the table by class)"
    )


def _weakest(results: Results, arm: ArmRecord) -> list[str]:
    of_labels = results.label_insights.get(arm.arm_id)
    if of_labels is not None:
        return [
            f"Weakest classes by F1 on test: {', '.join(f'{code(name)} {f1:.3f}' for name, f1 in weakest(of_labels, n=_N_WORST_CLASSES))}."
        ]
    insight = results.insights.get(arm.arm_id)
    if insight is None:
        return []
    worst = (
        insight.classes.dropna(subset=["f1"])
        .sort_values("f1", kind="stable")
        .head(_N_WORST_CLASSES)
    )
    return [
        f"Weakest classes by F1 on test: {', '.join(f'{code(name)} {f1:.3f}' for name, f1 in zip(worst['class'], worst['f1'], strict=True))}."
    ]


def _compute(results: Results, arm: ArmRecord, runs: list[PublishedRun]) -> str:
    def mean(name: str, digits: int) -> str:
        return mean_sd(
            results.number(arm.arm_id, f"{name}/mean"),
            results.number(arm.arm_id, f"{name}/sd"),
            digits=digits,
        )

    rows = {
        "device": text(shared_text(runs, lambda facts: facts.device)),
        "precision": text(shared_text(runs, lambda facts: facts.precision)),
        "s a trial, all in": mean("time/total_s", 1),
        **{
            cost.title: mean(cost.metric, cost.digits)
            if cost.metric not in _EQUAL_IN_ALL_SEEDS
            else count(results.number(arm.arm_id, f"{cost.metric}/mean"))
            for cost in COSTS
        },
    }
    return "## Compute\n\nMeans ± SD over seeds.\n\n" + table(
        ["what", "value"], rows.items(), n_text_columns=2
    )


def _lineage(results: Results, arm: ArmRecord, runs: list[PublishedRun]) -> str:
    rows = {
        "arm": code(arm.arm_id),
        "MLflow parent run": code(results.study.parent_run_id),
        "MLflow runs": ", ".join(f"seed {run.seed} {code(run.run_id)}" for run in runs)
        or NOT_MEASURED,
        "data fingerprint": code(results.record.data.fingerprint),
        "pretrained weights": text(shared_text(runs, lambda facts: facts.weights_source)),
        "weights digest": text(shared_text(runs, lambda facts: facts.weights_digest)),
        "freeze boundary": text(shared_text(runs, boundary_text)),
        "commit": text(commit_text(runs)),
        "torch": text(shared_text(runs, lambda facts: facts.torch)),
        "command": code(results.record.command),
    }
    return "## Lineage\n\n" + table(["what", "value"], rows.items(), n_text_columns=2)
