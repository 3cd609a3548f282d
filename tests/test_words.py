"""What no text of the project may say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile")),
    *(
        path
        for folder in ("ablate", "docs", "experiments", "scripts")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".yaml", ".json")
    ),
]
FROM_AN_INDEX = re.compile(
    r"(pip|pipx|uv|uvx|conda|poetry)\b[^\n`]*?\b(install|add|run)\b[^\n`]*?(?<![\w./-])['\"]?ablate\b(?![./])|\bablate\[|uvx\s+ablate"
)
"""The name belongs to another program on the package index: this one is installed from its clone."""


def test_the_texts_are_found() -> None:
    assert len(TEXTS) > 200


def test_nobody_is_told_to_install_a_strangers_package() -> None:
    for bad in (
        "pip install ablate",
        "pip install 'ablate[ray]'",
        "uv pip install -U ablate",
        "needs ablate[ray]",
        "pipx run ablate plan",
        "uv add ablate",
    ):
        assert FROM_AN_INDEX.search(bad), bad
    for good in (
        "pip install -e '.[ray]'",
        "make install EXTRAS=ray",
        "pip install 'ray>=2.50,<3'",
        "installing ablate and what it needs",
        "pip install git+https://x/ablate.git",
    ):
        assert not FROM_AN_INDEX.search(good), good
    said = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in TEXTS
        for found in FROM_AN_INDEX.finditer(path.read_text())
    ]
    assert said == []


PRIVATE_PHRASES = {
    "not available": r"not to be had",
    "well calibrated / overconfident / underconfident": (
        r"which is even\b|too sure of itself|less sure than it could be|% sure on average"
    ),
    "not significant": r"told from no effect|told apart from (no|seed noise)",
    "detects ... points or more": r"could have (been )?shown|not even .{1,30}would show",
    "effects differ between seeds": r"fare alike",
    "the interval excludes 0": r"interval leaves out 0",
    "does the effect of one level depend on ...": r"does more, or less, beside",
    "as many as fit in memory": r"so many as memory|bounds slots",
    "whatever it missed; safe to repeat": r"what it was not told of|again changes nothing",
    "instead of using the fallback": r"stand in the grid's fallback",
    "not running; repeat the command to resume": r"nobody runs it",
    "perfect calibration": r"as sure as right",
    "hard images appear in it": r"what is merely hard",
    "stochastic depth rate": r"free residual branch is left out|0 = its own",
    "one point per seed; seconds per trial": r"\ba point a seed|\bseconds a trial",
}
"""What a field engineer says -> what the project's own dialect said, as a regular expression."""


def _user_texts(path: Path) -> Iterator[str]:
    """What a user can read of a file: all of it, of Python its texts, without docstrings."""
    if path.suffix != ".py":
        yield " ".join(path.read_text().split())
        return
    tree = ast.parse(path.read_text())
    is_help = path.parent.name == "cli"
    # The docstring of a command is its help.
    documentation = (
        set()
        if is_help
        else {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield " ".join(node.value.split())
        elif isinstance(node, ast.JoinedStr):
            yield " ".join(_filled_in(node).split())


def _filled_in(text: ast.JoinedStr) -> str:
    """An f-string with `{}` for what is filled in."""
    parts = []
    for value in text.values:
        parts.append(str(value.value) if isinstance(value, ast.Constant) else "{}")
    return "".join(parts)


def test_an_f_string_is_read_as_one_text(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""Not to be had."""\nx = f"{1} was not "\\\n    "to be had"\n')
    assert "{} was not to be had" in list(_user_texts(module))
    assert not any(text.startswith("Not to be had") for text in _user_texts(module))


@pytest.mark.parametrize("plain", PRIVATE_PHRASES)
def test_texts_use_words_that_everybody_knows(plain: str) -> None:
    phrase = re.compile(PRIVATE_PHRASES[plain], re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {text[max(0, match.start() - 40) : match.end() + 40]}"
        for path in TEXTS
        for text in _user_texts(path)
        for match in phrase.finditer(text)
    ]
    assert found == []
