"""The ablation report, `README.md`: its sections in their order, each a function of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ablate.reporting.figures.picture import Picture
from ablate.reporting.pages.sections.adapters import adapters_section
from ablate.reporting.pages.sections.added_arms_section import added_arms_section
from ablate.reporting.pages.sections.arms_section import arms_section
from ablate.reporting.pages.sections.axes_section import axes_section
from ablate.reporting.pages.sections.backbone_families import families_text
from ablate.reporting.pages.sections.cells_section import excluded_section, merged_section
from ablate.reporting.pages.sections.choices_section import choices_section
from ablate.reporting.pages.sections.confirmation_section import confirmation_section
from ablate.reporting.pages.sections.costs_section import costs_section
from ablate.reporting.pages.sections.data_section import data_section
from ablate.reporting.pages.sections.design_section import design_section
from ablate.reporting.pages.sections.errors_section import curves_section, errors_section
from ablate.reporting.pages.sections.failures_section import failures_section
from ablate.reporting.pages.sections.first_screen import first_screen
from ablate.reporting.pages.sections.interactions_section import interactions_section
from ablate.reporting.pages.sections.opening_section import opening, title
from ablate.reporting.pages.sections.pilot_section import pilot_section
from ablate.reporting.pages.sections.questions_section import questions_section
from ablate.reporting.pages.sections.reproduce_section import reproduce_section
from ablate.reporting.pages.sections.review import review_section
from ablate.reporting.pages.sections.summary_section import summary_section
from ablate.reporting.results import Results, ShowFigure
from ablate.reporting.text.layout import folded
from ablate.reporting.text.markdown import join_sections, picture

Section = Callable[[Results, ShowFigure], str]


def _task_sections(results: Results, _show: ShowFigure) -> str:
    return join_sections(results.insight.report_sections(results)).rstrip()


# every section takes the same two arguments, so that moving one is moving a word
FIRST: tuple[Section, ...] = (title, first_screen)
"""What is not folded."""
FOLDED: tuple[tuple[str, tuple[Section, ...]], ...] = (
    ("What does the study conclude?", (summary_section, questions_section, pilot_section)),
    ("Does the choice hold with fresh seeds?", (confirmation_section,)),
    ("How did all arms do?", (arms_section, added_arms_section)),
    ("What is each choice of the best arm worth?", (choices_section,)),
    ("What does each axis change?", (axes_section, interactions_section, design_section)),
    ("What does it cost?", (costs_section, adapters_section, families_text)),
    ("What does the best arm get wrong?", (errors_section, _task_sections)),
    ("How did it learn?", (curves_section,)),
    ("Which images need a look?", (review_section,)),
    ("Which data were used?", (opening, data_section)),
    (
        "What was merged, left out or failed?",
        (merged_section, excluded_section, failures_section),
    ),
    ("How is it made again?", (reproduce_section,)),
)
"""What a reader asks, in that order, and the sections that answer. A section without anything to
say is an empty text, and left out."""


def report_text(results: Results, pictures: Mapping[str, Picture]) -> str:
    """The whole README.md. `pictures` are those that were drawn, see `figures.choose`."""

    def show(name: str) -> str:
        if name not in pictures:
            return ""
        # Links are relative, so that the folder can be moved and sent.
        return picture(name, pictures[name].alt, folder="figures")

    def written(sections: Iterable[Section]) -> list[str]:
        return [section(results, show) for section in sections]

    parts = written(FIRST)
    for question, sections in FOLDED:
        answers = written(sections)
        # a question that nothing answers is not asked
        parts.append(folded(question, join_sections(answers).strip()))
    return join_sections(parts)
