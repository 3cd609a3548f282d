"""A model card in the Hugging Face form: metadata, then sections in their order.

Every number is of the test split unless it says val.
"""

from __future__ import annotations

from ablate.quoting import text
from ablate.reporting.pages.cards.card_lineage import (
    compute_section,
    lineage_section,
    loading_section,
)
from ablate.reporting.pages.cards.card_metadata import card_metadata
from ablate.reporting.pages.cards.card_opening import opening_text
from ablate.reporting.pages.cards.card_recipe import data_table_section, recipe_section
from ablate.reporting.pages.cards.card_scores import by_seed_section, scores_section
from ablate.reporting.pages.cards.card_use import use_sections
from ablate.reporting.results import Results
from ablate.reporting.text.markdown import join_sections
from ablate.study.record import ArmRecord


def card_text(results: Results, arm: ArmRecord) -> str:
    """The card of one arm: front matter and all sections."""
    sections = [
        f"# {text(results.record.grid_name)}: {text(results.name(arm.arm_id))}",
        opening_text(results, arm),
        scores_section(results, arm),
        by_seed_section(results, arm),
        # what the task adds follows the scores
        *results.insight.card_sections(results, arm),
        data_table_section(results),
        recipe_section(arm.recipe),
        *use_sections(results, arm),
        compute_section(results, arm),
        loading_section(results, arm),
        lineage_section(results, arm),
    ]
    # the hub reads the front matter only at the very beginning of the file
    return f"---\n{card_metadata(results, arm).to_yaml()}\n---\n\n{join_sections(sections)}"
