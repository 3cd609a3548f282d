"""Mutated grid files: each is refused in a whole message, or is a grid that goes through everything
that a plan does with it.

As a script it goes on for a while and prints what failed: `python tests/grid/grid_fuzz.py --minutes
20 --seed 1`.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import SpecError
from ablate.grid.expand import expand, study_trials
from ablate.grid.grid_file import Grid
from ablate.grid.parse import parse_grid
from ablate.grid.pilot_arms import candidates, probe_arms, space_words
from ablate.study.trial import Trial

ROOT = Path(__file__).parents[2]
GRIDS = sorted((ROOT / "experiments").glob("*.yaml"))
ODD = ROOT / "tests" / "grid" / "golden_grids" / "odd_but_valid.yaml"
TEXTS = [path.read_text() for path in [*GRIDS, ODD]]
CHARACTERS = [
    *"[]{}:,-#&*!|>'\"%@`?~ \t\n0123456789.eE_+axyn<=",
    "\x00",
    "\x07",
    "\x1b",
    "\x85",
    "\xa0",
    "\u2028",
    "\ufeff",
    "\ud800",
    "\U0001f338",
    "ü",
    "\r\n",
    "\n\n",
    "  ",
    "---\n",
    "...\n",
    "%YAML 2.0\n",
]
_WORDS = """
null ~ yes no on off true false 0 -0 0.0 -0.0 1 -1 08 010 0o17 0x1F 0b_ 0b101 1_000 1__0 _1 1e3
1e-3 1E+3 1.e-2 .5 5. 1e999 1e-999 -1e999 .inf -.inf .nan NaN inf 1:30 1:30.5 190:20:30 2001-01-01
2001-12-14t21:59:43.10-05:00 = << <<: *a &a &a[*a] !!str !!int !!float !!null !!set !!binary
!!timestamp !!omap !!python/name:os !x '' "" '0.1' "1" [] {} [[]] [{}] {{}} [a,b] {a:1} ? - -- ---
... | > |- >+2 @x `x` %x all none light auto "*" * ** ../x /etc/passwd C:\\x a/b x.y
9223372036854775807 9223372036854775808 18446744073709551616 -9223372036854775809 1e308 4.9e-324
0.30000000000000004 when why levels low high log search random phases epochs seeds name question
axes base exclude baseline design tune data classes sizes fractions train val test freeze_depth
head_lr lora_rank adapter_targets class_weights full one_factor leave_one_out classification
multilabel val/macro_f1 test/macro_f1 cost/n_trainable tpe cma-es
"""
WORDS = [
    *_WORDS.split(),
    "9" * 5000,
    "1" * 120,
    "x" * 5000,
    "[" * 400,
    "{a: " * 400,
    "- " * 400,
    '"\\ud800"',
    '"\\0"',
    '"\\e[31m"',
    "!!binary aGk=",
    "? [a]",
    "a b",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    0.0,
    -0.0,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    10**30,
    10**5000 // 10**4900,
    1e308,
    -1e308,
    5e-324,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    " ",
    "0",
    "1",
    "0.1",
    "1e-3",
    "yes",
    "null",
    "all",
    "none",
    "auto",
    "light",
    "*",
    "x" * 3000,
    "a\x00b",
    "a\nb",
    "\ud800",
    "é",
    "2001-01-01",
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    [None],
    [1, "1", 1.0, True],
    [0, 0.0],
    ["a", "a"],
    list(range(1200)),
    {str(i): i for i in range(40)},
    {1: 2},
    {None: None},
    {True: 1},
    {1.5: []},
    {"low": 0, "high": 1},
    {"low": 1e-3, "high": 1, "log": True},
    {"levels": [1, 2], "when": {"lora_rank": 4}},
    {"random": 3},
    {"random": 10**9},
    {"search": {"sampler": "tpe", "n_trials": 3, "confirm": 1}},
    {"search": {}},
    [{"epochs": 1}],
    [[{"epochs": 2, "head_lr": 1}]],
    {"train": 1, "val": 1, "test": 1},
    {"train": 0.5, "val": 0.25, "test": 0.25},
    {"good": ["a"], "bad": ["*"]},
    b"bytes",
    {"a", "b"},
]
_TOKEN = re.compile(r"\w+(?:[./-]\w+)*|\s+|.", re.DOTALL)
_LISTED = re.compile(r"  (line \d+: |and \d+ more$)")
_FATAL = re.compile(r"x\.yaml: (line \d+(, column \d+)?: |a grid file must )")


def mutant(rng: random.Random) -> str:
    """A grid file with one to four changes, in its characters, its tokens or its values."""
    text = rng.choice(TEXTS)
    change: Callable[[str, random.Random], str] = rng.choice(
        [_in_characters, _in_tokens, _in_values, _in_lines]
    )
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])):
        text = change(text, rng)
    return text


def _in_characters(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    width = rng.choice([0, 0, 1, 1, 2, 5, 40])
    put = "".join(rng.choices(CHARACTERS, k=rng.choice([0, 1, 1, 2, 3])))
    return text[:at] + put + text[at + width :]


def _in_tokens(text: str, rng: random.Random) -> str:
    tokens = _TOKEN.findall(text)
    places = [number for number, token in enumerate(tokens) if not token.isspace()] or [0]
    at = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        tokens[at : at + 1] = [rng.choice(WORDS)]
    elif kind == 1:
        tokens[at : at + 1] = [rng.choice(tokens or [""])]
    elif kind == 2:
        tokens[at : at + 1] = [rng.choice(WORDS), " ", *tokens[at : at + 1]]
    else:
        del tokens[at : at + 1]
    return "".join(tokens)


def _in_lines(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at = rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines[at] = rng.choice(["  ", "\t", " ", "- ", "? ", "<<: "]) + lines[at]
    elif kind == 3:
        lines[at] = rng.choice(rng.choice(TEXTS).splitlines(keepends=True))
    else:
        lines[at] = lines[at].lstrip()
    return "".join(lines)


def _in_values(text: str, rng: random.Random) -> str:
    try:
        values = yaml.safe_load(text)
        _change_one(values, rng)
        return (
            text.split("\n", 1)[0]
            + "\n"
            + yaml.safe_dump(
                values,
                sort_keys=False,
                allow_unicode=rng.random() < 0.5,
                width=rng.choice([60, 1000]),
            )
        )
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return _in_tokens(text, rng)


def _change_one(values: Any, rng: random.Random) -> None:
    """Change one place of nested values: another value, another key, one less, one more."""
    spots = list(_spots(values))
    if not spots:
        return
    inside, key = rng.choice(spots)
    kind = rng.randrange(5)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[rng.choice([*WORDS[:40], 1, None, True, 1.5, "epochs", "freeze_depth", "name"])] = (
            inside.pop(key)
        )
    elif kind == 2:
        inside[key] = rng.choice(list(_spots(values)))[0]
    elif kind == 3 and isinstance(inside, list):
        inside.insert(key, rng.choice(VALUES))
    else:
        inside[key] = rng.choice(VALUES)


def _spots(values: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value below."""
    found: list[tuple[Any, Any]] = []
    left, seen = [values], set()
    while left:
        inside = left.pop()
        if id(inside) in seen or not isinstance(inside, dict | list):
            continue
        seen.add(id(inside))
        for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
            found.append((inside, key))
            left.append(value)
    return found


def outcome(text: str) -> str:
    """What becomes of a grid file: "refused", "grid" or "too large".

    Whatever else happens is an exception.
    """
    try:
        grid = parse_grid(text, name="x", shown_as="x.yaml")
    except SpecError as error:
        check_message(str(error))
        return "refused"
    try:
        plan(grid)
    except SpecError as error:
        assert str(error).encode()
        return "too large or unfit"
    return "grid"


def check_message(message: str) -> None:
    """A whole message: printable, with the file, the line and what must hold."""
    first, *rest = message.split("\n")
    assert all(line.isprintable() for line in (first, *rest)), message
    assert len(message) < 100_000, len(message)
    if rest:
        assert re.fullmatch(r"x\.yaml: (1 mistake|\d+ mistakes), nothing was started", first), (
            message
        )
        assert all(_LISTED.match(line) for line in rest), message
    else:
        assert _FATAL.match(first), message
    assert "pydantic" not in message.lower()
    assert "traceback" not in message.lower()


def plan(grid: Grid) -> None:
    """What a plan does with a grid, without its data; and trials that come back from JSON are the
    same trials.
    """
    expansion = expand(grid, data=grid.data, fingerprint="f")
    trials = study_trials(grid, expansion, data=grid.data, fingerprint="f", seeds=grid.seeds)
    if grid.search is not None:
        trials += [
            Trial.model_validate_json(_trial_text(grid, arm.recipe))
            for arm in probe_arms(grid, data=grid.data, fingerprint="f")
        ]
        space_words(grid)
    else:
        assert any(arm.arm_id == expansion.baseline_arm_id for arm in expansion.arms), (
            "the baseline is no arm"
        )
    if grid.tune:
        trials += [
            one.trial for one in candidates(grid, expansion, data=grid.data, fingerprint="f")
        ]
    for trial in trials[:20]:
        assert Trial.model_validate_json(trial.model_dump_json()).trial_id == trial.trial_id
    assert len({arm.name for arm in expansion.arms}) == len(expansion.arms), (
        "two arms have one name"
    )


def _trial_text(grid: Grid, recipe: Any) -> str:
    trial = Trial(
        task=grid.task,
        data=grid.data,
        data_fingerprint="f",
        recipe=recipe,
        select_by=grid.select_by,
        seed=0,
    )
    return trial.model_dump_json()


def main() -> None:
    """Mutate for a while; print counts, and what each kind of failure is with its first file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest = 0.0
    end, number = time.monotonic() + 60 * asked.minutes, 0
    while time.monotonic() < end:
        text = mutant(random.Random(f"{asked.seed} {number}"))
        began = time.monotonic()
        try:
            signal.alarm(60)
            counts[outcome(text)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                break
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            if not counts[kind]:
                say(
                    f"--- mutant {asked.seed} {number}: {kind}: {str(error)[:300]}\n{text[:3000]}\n"
                )
            counts[kind] += 1
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.monotonic() - began)
        number += 1
    say(f"{number} mutants, the slowest took {slowest:.1f} s: {dict(counts)}")


def say(text: str) -> None:
    """Print, whatever the text holds."""
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    sys.stdout.flush()


def _hangs(*_: object) -> None:
    raise TimeoutError("no answer within 60 s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, _hangs)
    main()
