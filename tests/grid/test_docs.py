"""The documentation of grid files says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from ablate.grid.schema import field_table
from ablate.grid.search_space import Search
from ablate.recipe.phase import Phase
from ablate.recipe.recipe import Recipe
from ablate.study.tasks.classification import CLASSIFICATION
from ablate.study.trial import DataSpec

DOCS = Path(__file__).parents[2] / "docs" / "grid-files.md"


@pytest.mark.parametrize("model", [Recipe, DataSpec, Search, Phase])
def test_the_table_of_fields_is_that_of_the_code(model: type[BaseModel]) -> None:
    assert field_table(model) in DOCS.read_text()


def test_every_field_has_a_meaning() -> None:
    assert all(
        field.description
        for model in (Recipe, DataSpec, Search, Phase)
        for field in model.model_fields.values()
    )


def test_every_metric_is_named() -> None:
    assert all(f"`{metric}`" in DOCS.read_text() for metric in CLASSIFICATION.metric_names)
