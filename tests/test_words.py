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
    r"(pip|pipx|uv|uvx|conda|poetry)\b[^\n`]*?\b(install|add|run)\b[^\n`]*?"
    r"(?<![\w./-])['\"]?ablate\b(?![./])|\bablate\[|uvx\s+ablate"
)
"""The name belongs to another program on the package index: this one comes from its clone."""


def test_there_are_texts() -> None:
    assert len(TEXTS) > 200


def test_no_text_recommends_a_strangers_package() -> None:
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
    recommended = []
    for path in TEXTS:
        for match in FROM_AN_INDEX.finditer(path.read_text()):
            recommended.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert recommended == []


PRIVATE_PHRASES = {
    "not available": r"\bto be had\b|\bcan(not)? be had\b",
    "well calibrated / overconfident / underconfident": (
        r"which is even\b|too sure of itself|less sure than it could be|% sure on average"
    ),
    "not significant": r"told from no effect|told apart from (no|seed noise)",
    "undecided": r"cannot be told (apart|from)|\buncorrected\b",
    "median over the arms": r"arm of median spread",
    "detects ... points or more": r"could have (been )?shown|not even .{1,30}would show",
    "effects differ between seeds": r"fare alike",
    "the interval excludes 0": r"leaves out 0",
    "does the effect of one level depend on ...": r"does more, or less, beside",
    "as many as fit in memory": r"so many as|at most so many|bounds slots",
    "whatever it missed; safe to repeat": r"what it was not told of|again changes nothing",
    "instead of using the fallback": r"stand in the grid's fallback",
    "not running; repeat the command to resume": r"nobody runs\b",
    "perfect calibration": r"as sure as right",
    "hard images appear in it": r"what is merely hard",
    "stochastic depth rate": r"free residual branch is left out|0 = its own",
    "one point per seed; seconds per trial": (
        r"\b(point|ms|s|GB|MB|seconds?|images?|rows?|files?|lines?|trials?|threads?) an? "
        r"(seed|trial|worker|slot|image|class|split|arm|strike|side)\b"
    ),
    "receives; sends nothing": r"\bhears (what|of|`)|\bheard of\b",
    "reported": r"\baloud\b",
    "is used instead; fallback data": r"\bdata stand in for|study\s+stands in\b|\*\*Stand-in data",
    "must be in quotes; must be in exactly one list": r"stands? in (\"quotes|one list)",
    "classify ... into": r"\bto tell apart\b",
    "phases replace a strategy": r"say themselves what",
    "written again": r"\banew\b",
    "effects differ by seed": r"fare unlike",
}
"""What a field engineer says -> what the project's own dialect said, as a regular expression."""


def _user_texts(path: Path) -> Iterator[str]:
    """What a user can read of a file: all of it, of Python its texts, without docstrings."""
    if path.suffix != ".py":
        yield " ".join(path.read_text().split())
        return
    tree = ast.parse(path.read_text())
    documentation: set[int] = set()
    # The docstring of a command is its help, so it counts.
    if path.parent.name != "cli":
        documentation = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield " ".join(_filled_in(node).split())
        elif id(node) in documentation:
            continue
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


def _docstrings(tree: ast.Module) -> set[int]:
    """Ids of the nodes that are texts on their own: of modules, functions, classes and values."""
    ids = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            ids.add(id(node.value))
    return ids


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


@pytest.mark.slow
@pytest.mark.parametrize("plain", PRIVATE_PHRASES)
def test_texts_use_words_that_everybody_knows(plain: str) -> None:
    phrase = re.compile(PRIVATE_PHRASES[plain], re.IGNORECASE)
    places = []
    for path in TEXTS:
        for text in _user_texts(path):
            for match in phrase.finditer(text):
                around = text[max(0, match.start() - 40) : match.end() + 40]
                places.append(f"{path.relative_to(ROOT)}: {around}")
    assert places == []
