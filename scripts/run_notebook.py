"""Run the code cells of a notebook in order, in this process, and write their outputs into it.

    python scripts/run_notebook.py docs/python.ipynb --cwd SCRATCH [--out OTHER.ipynb]

Needs neither Jupyter nor a kernel. Of each cell the printed text is kept, and the value of its last
expression as text and, where it has one, as HTML. Stops at the first cell that raises.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any


def run_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with the outputs of running it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell["execution_count"] = number
            cell["outputs"] = _run("".join(cell["source"]), names, number=number)
    return notebook


def _run(source: str, names: dict[str, Any], *, number: int) -> list[dict[str, Any]]:
    tree = ast.parse(source, filename=f"cell {number}")
    # As in Jupyter, a last expression is shown; a last statement (an assignment) is not.
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body.pop()
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)  # noqa: S102  the notebook is ours
        if isinstance(last, ast.Expr):
            code = compile(ast.Expression(last.value), f"cell {number}", "eval")
            value = eval(code, names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}
        )
    if value is not None:
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": _shown(value),
            }
        )
    return outputs


def _shown(value: object) -> dict[str, list[str]]:
    data = {"text/plain": _lines(repr(value))}
    to_html = getattr(value, "_repr_html_", None)
    if to_html is not None:
        data["text/html"] = _lines(to_html())
    return data


def _lines(text: str) -> list[str]:
    """As nbformat keeps text, so that a change of one line is one line of a diff."""
    return text.splitlines(keepends=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--cwd", type=Path, required=True, help="working folder of the cells")
    parser.add_argument("--out", type=Path, help="default: the notebook itself")
    options = parser.parse_args()
    # Absolute before the working folder changes.
    path = options.notebook.absolute()
    out = (options.out or path).absolute()
    notebook = json.loads(path.read_text())
    os.chdir(options.cwd)
    run_notebook(notebook)
    out.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
