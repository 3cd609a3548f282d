"""docs/support.md is what `scripts/support_matrix.py` finds.

Rows of small networks are run again here.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("test_resnet", "test_nfnet", "test_efficientnet", "test_convnext", "test_vit")


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "support_matrix", ROOT / "scripts/support_matrix.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["support_matrix"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SMALL)
def test_the_documents_row_is_what_happens(matrix: ModuleType, backbone: str) -> None:
    cells = [
        matrix.try_cell(backbone, strategy, side=matrix.BACKBONES[backbone])
        for strategy in matrix.STRATEGIES
    ]
    assert len(cells) == 13
    told, found = (
        {line for line in text.splitlines() if f"`{backbone}`" in line}
        for text in (matrix.DOC.read_text(), matrix.document(cells))
    )
    assert found == told


def test_the_document_speaks_of_the_whole_table(matrix: ModuleType) -> None:
    text = matrix.DOC.read_text()
    assert len(matrix.BACKBONES) >= 20
    assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == list(matrix.BACKBONES)
    assert f"| backbone | {' | '.join(matrix.STRATEGIES)} |" in text
    rows = re.findall(r"^\| `\w+` \|(.+)\|$", text, flags=re.MULTILINE)
    n_refused = sum(cell.strip() == "-" for row in rows for cell in row.split("|"))
    refused = text.partition("## Refused, and why")[2]
    assert n_refused == len(re.findall(r"^- `\w+`, \w[\w ]*: \w", refused, flags=re.MULTILINE)) > 0
