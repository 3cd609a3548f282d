"""A rule: where it holds, what it recommends, why, and who says so.

Rules are data: the table in `docs/advice.md` is made of the very objects that are applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.advice.case import Case
from ablate.advice.cost import roughly
from ablate.advice.recommendation import Recommendation

Value = Callable[[Case], object]


def always(_: Case) -> bool:
    """The condition of a field's last rule."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table. Of a field's rules, the first that holds is taken."""

    field: str
    """Dotted, as in a grid file."""
    where: str = "else"
    """The condition in words."""
    holds: Callable[[Case], bool] = always
    value: object = None
    """The value itself; with `finds`, what it is in words."""
    finds: Value | None = None
    """The value of a case, where it is computed."""
    why: str
    """One clause, without a full stop."""
    source: str
    shows: tuple[str, ...] = ()
    """Names of `NUMBERS`: those of the case that decided."""
    alternatives: tuple[object, ...] = ()

    def applied(self, case: Case) -> Recommendation:
        """What the rule recommends in a case where it holds."""
        value = self.value
        if self.finds is not None:
            value = self.finds(case)
        numbers = []
        for name in self.shows:
            number = NUMBERS[name](case)
            # Empty where nobody measured it.
            if number:
                numbers.append(number)
        why = self.why
        if numbers:
            why += f" (here: {', '.join(numbers)})"
        others = tuple(other for other in self.alternatives if other != value)
        return Recommendation(self.field, value, why, self.source, others)


def _train(case: Case) -> str:
    return f"{case.facts.n_train:,} train images"


def _a_class(case: Case) -> str:
    return f"{case.images_a_class:.3g} per class"


def _classes(case: Case) -> str:
    return f"{len(case.facts.classes)} classes"


def _imbalance(case: Case) -> str:
    if not case.facts.train_counts:
        return ""
    return f"largest class {case.imbalance:.2g} x the smallest"


def _size(case: Case) -> str:
    if case.facts.median_size is None:
        return ""
    width, height = case.facts.median_size
    return f"{width} x {height} pixels"


def _aspect(case: Case) -> str:
    if case.facts.aspect_quantiles is None:
        return ""
    low, middle, high = case.facts.aspect_quantiles
    return f"longer / shorter side {low:.2f} to {high:.2f}, {middle:.2f} in the middle"


def _probe(case: Case) -> str:
    if case.facts.probe_score is None:
        return ""
    return f"{case.facts.probe_score:.2f} of chance {1 / len(case.facts.classes):.2f}"


def _budget(case: Case) -> str:
    return f"{case.seconds / 60:g} min asked for"


def _full_cost(case: Case) -> str:
    return f"everything takes about {roughly(case.trial_s(0, epochs=MIN_EPOCHS))} per trial"


def _trial_cost(case: Case) -> str:
    epochs = int(case.number("base.epochs", MIN_EPOCHS))
    return f"about {roughly(case.trial_s(case.depth, epochs=epochs))} per trial"


def _device(case: Case) -> str:
    if case.machine.gpu_gb is not None:
        return f"GPU of {case.machine.gpu_gb:g} GB"
    return f"{case.machine.cores} CPU cores, no GPU"


MIN_EPOCHS = 6
"""Fewer do not let a learning rate rise and fall."""
NUMBERS: dict[str, Callable[[Case], str]] = {
    "train": _train,
    "a class": _a_class,
    "classes": _classes,
    "imbalance": _imbalance,
    "size": _size,
    "aspect": _aspect,
    "probe": _probe,
    "budget": _budget,
    "full cost": _full_cost,
    "trial cost": _trial_cost,
    "device": _device,
}
"""Numbers of a case that a reason may show; empty where they are not known."""
