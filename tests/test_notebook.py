"""The notebook of the docs runs from its first cell to its last, and shows what is committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "python.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_in_a_fresh_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("ABLATE_HOME", "ABLATE_DATA", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    out = tmp_path / "out.ipynb"
    script = ROOT / "scripts" / "run_notebook.py"
    command = [
        sys.executable,
        str(script),
        str(NOTEBOOK),
        "--cwd",
        str(tmp_path),
        "--out",
        str(out),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, committed = json.loads(out.read_text()), json.loads(NOTEBOOK.read_text())
    assert _sources(written) == _sources(committed)
    # Scores differ between processors in their last digits: what is compared is what is shown.
    assert _shapes(written) == _shapes(committed)


def test_its_outputs_are_committed_and_name_no_machine() -> None:
    text = NOTEBOOK.read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert sum(bool(cell["outputs"]) for cell in cells) >= 6
    assert "/home/" not in text
    assert "/work/" not in text
    assert "/tmp/" not in text


def _sources(notebook: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def _shapes(notebook: dict[str, Any]) -> list[list[tuple[str, int]]]:
    """Of each code cell its outputs: their kinds, and how many lines they have as text."""
    shapes = []
    for cell in notebook["cells"]:
        outputs = []
        for output in cell.get("outputs", []):
            text = output.get("text") or output["data"]["text/plain"]
            outputs.append((output["output_type"], len(text)))
        shapes.append(outputs)
    return shapes
