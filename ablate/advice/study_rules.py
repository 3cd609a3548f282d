"""Rules on the study: what chooses, what is compared, and how often."""

from __future__ import annotations

from ablate.advice.case import N_COSTLY_ARMS, USUAL_SEEDS, Case
from ablate.advice.rule import MIN_EPOCHS, Rule
from ablate.advice.sources import (
    BOUQUETS,
    BOUTHILLIER,
    CONVENTION,
    FLOWERS,
    HANLEY,
    KUMAR,
    PROBE_MINI,
    STATISTICS,
    TEXTILE,
)

_MOST_SEEDS = 8
_LEAST_SEEDS = 3


def _trial_s(case: Case) -> float:
    return case.trial_s(case.depth, epochs=int(case.number("base.epochs", 6)))


def _can_seed(case: Case, n_seeds: int) -> bool:
    return N_COSTLY_ARMS * n_seeds * _trial_s(case) <= case.seconds


def _depths(case: Case) -> list[object]:
    """A probe, which is nearly free, what is recommended, and one step further."""
    if _is_divided(case):
        return ["all", 0]  # the other way of freeing everything takes the third place
    further: dict[object, object] = {"all": -1, -1: -3, -3: 0, 0: -3}
    nearer: dict[object, object] = {-3: -1}
    levels: list[object] = ["all"]
    if case.depth != "all":
        levels.append(case.depth)
    step = further.get(case.depth)
    epochs = int(case.number("base.epochs", MIN_EPOCHS))
    # Where a step further takes too long, one back may tell as much.
    if step is not None and not case.can_afford(step, epochs=epochs):
        step = nearer.get(case.depth)
    if step is not None:
        levels.append(step)
    return levels


def _baseline(case: Case) -> dict[str, object]:
    """The simplest arm: a probe, without augmentation or weights."""
    simplest = {
        "freeze_depth": "all",
        "strategy": "single",
        "classifier": "linear",
        "class_weights": "none",
        "augment": "none",
    }
    levels: dict[str, object] = {}
    for name, level in simplest.items():
        # The baseline must be an arm, so it names levels of the axes and nothing else.
        if f"axes.{name}" in case.settled:
            levels[name] = level
    return levels


def _is_divided(case: Case) -> bool:
    return case.word("base.strategy") == "lp_ft"


def _is_fitted(case: Case) -> bool:
    return case.word("base.classifier") == "logistic"


def _is_weighted(case: Case) -> bool:
    return case.word("base.class_weights") != "none"


def _is_augmented(case: Case) -> bool:
    return case.word("base.augment") != "none" and not _is_weighted(case)


STUDY_RULES: tuple[Rule, ...] = (
    Rule(
        field="axes.freeze_depth",
        value="a probe, the recommended depth, and a step further where time allows, else back",
        finds=_depths,
        why="how much must learn is what differs most from one set to the next",
        source=f"{FLOWERS}; {TEXTILE}",
        shows=("train",),
    ),
    Rule(
        field="axes.strategy",
        where="a probe first is recommended",
        holds=_is_divided,
        value="one phase, and the probe first",
        finds=lambda _: ["single", "lp_ft"],
        why="whether the probe's epochs are worth it is not the same on all sets",
        source=KUMAR,
    ),
    Rule(
        field="axes.classifier",
        where="a fitted classifier is recommended",
        holds=_is_fitted,
        value="a trained head, and the fitted one",
        finds=lambda _: ["linear", "logistic"],
        why="the same features, once with a learning rate and once without",
        source=PROBE_MINI,
    ),
    Rule(
        field="axes.class_weights",
        where="weights are recommended",
        holds=_is_weighted,
        value="none and the recommended rule",
        finds=lambda case: ["none", case.word("base.class_weights")],
        why="weights change which mistakes are made, and must earn their place",
        source=BOUQUETS,
        shows=("imbalance",),
    ),
    Rule(
        field="axes.augment",
        where="augmentation is recommended, and no weights",
        holds=_is_augmented,
        value="none and the recommended level",
        finds=lambda case: ["none", case.word("base.augment")],
        why="it helps where much learns, and may cut away what matters",
        source=FLOWERS,
    ),
    Rule(
        field="seeds",
        where="three costly arms with eight seeds fit the time",
        holds=lambda case: _can_seed(case, _MOST_SEEDS),
        value="0 to 7",
        finds=lambda _: list(range(_MOST_SEEDS)),
        why="trials are cheap here, and more seeds tell smaller differences",
        source=f"{BOUTHILLIER}; {STATISTICS}",
        shows=("trial cost", "budget"),
        alternatives=(list(range(USUAL_SEEDS)),),
    ),
    Rule(
        field="seeds",
        where="with five",
        holds=lambda case: _can_seed(case, USUAL_SEEDS),
        value="0 to 4",
        finds=lambda _: list(range(USUAL_SEEDS)),
        why="five tell a point or two from chance where seeds differ by one",
        source=f"{BOUTHILLIER}; {STATISTICS}",
        shows=("trial cost", "budget"),
        alternatives=(list(range(_LEAST_SEEDS)), list(range(_MOST_SEEDS))),
    ),
    Rule(
        field="seeds",
        value="0 to 2",
        finds=lambda _: list(range(_LEAST_SEEDS)),
        why="the least that gives an idea of chance; the time allows no more",
        source=f"{BOUTHILLIER}; {STATISTICS}",
        shows=("trial cost", "budget"),
        alternatives=(list(range(USUAL_SEEDS)),),
    ),
    Rule(
        field="baseline",
        value="a probe without augmentation or weights",
        finds=_baseline,
        why="every gain is told against the simplest thing that could do",
        source=CONVENTION,
    ),
    Rule(
        field="select_by",
        where="two classes",
        holds=lambda case: len(case.facts.classes) == 2 and not case.facts.has_several_labels,
        value="val/auroc_ovr_macro",
        why="it depends on no threshold and on no share of the classes",
        source=HANLEY,
        shows=("classes",),
        alternatives=("val/macro_f1",),
    ),
    Rule(
        field="select_by",
        where="classes are uneven, or images have several labels",
        holds=lambda case: case.is_uneven or case.facts.has_several_labels,
        value="val/macro_f1",
        why="every class counts alike, however few its images",
        source=CONVENTION,
        shows=("imbalance",),
        alternatives=("val/balanced_accuracy",),
    ),
    Rule(
        field="select_by",
        value="val/accuracy",
        why="classes are of about one size: the share of images that are right",
        source=CONVENTION,
        shows=("imbalance",),
        alternatives=("val/macro_f1",),
    ),
)
