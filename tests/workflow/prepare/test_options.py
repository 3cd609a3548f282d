"""Options of the command line that no machine can keep.

Refused in a sentence, before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli import app
from ablate.errors import SpecError
from ablate.workflow import grid_names
from ablate.workflow.grid_names import find_grid
from ablate.workflow.prepare import option_checks
from ablate.workflow.prepare.option_checks import (
    check_cache_gb,
    check_rates,
    check_retries,
    check_threads,
    check_workers,
    read_seconds,
    read_trials_per_gpu,
)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(option_checks, "n_cores", lambda: 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--threads", "999"],
            "--threads must be at most 64 on this machine of 2 cores, got 999; leave it out "
            "for one",
        ),
        (
            ["--workers", "5000"],
            "--workers must be at most 16 on this machine of 2 cores, got 5,000; leave it out "
            "to have as many as fit",
        ),
        (
            ["--cache-gb", "nan"],
            "--cache-gb must be a number of GB from 0 to 1,000,000, got nan; 0 shares nothing "
            "between trials",
        ),
        (
            ["--cache-gb", "inf"],
            "--cache-gb must be a number of GB from 0 to 1,000,000, got inf; 0 shares nothing "
            "between trials",
        ),
        (
            ["--retry", "1000000"],
            "--retry must be at most 100, got 1,000,000: a worker that dies so often will die "
            "again",
        ),
        (
            ["--trials-per-gpu", "1" * 5000],
            f"--trials-per-gpu must be auto or a whole number from 1 to 64, got '{'1' * 37}...'",
        ),
        (
            ["--trials-per-gpu", "٣"],
            "--trials-per-gpu must be auto or a whole number from 1 to 64, got '٣'",
        ),
        (
            ["--budget", "9" * 30 + "d"],
            f"--budget must be at most 3650d, got '{'9' * 30}d'; leave it out for no limit",
        ),
        (
            ["--budget", "9" * 5000],
            "--budget must be a time such as 90s, 30m, 1h30m or 2d, got 5000 characters",
        ),
        (
            ["--trial-timeout", "nan"],
            "--trial-timeout must be a time such as 90s, 30m, 1h30m or 2d, got 'nan'",
        ),
        (
            ["--trial-timeout", "٣m"],
            "--trial-timeout must be a time such as 90s, 30m, 1h30m or 2d, got '٣m'",
        ),
        (
            ["--seeds", "-1"],
            "--seeds must be different whole numbers with commas between them, e.g. 0,1,2 or "
            "0-7, got '-1'",
        ),
        (
            ["--seeds", f"0,{2**63}"],
            f"--seeds must be numbers from 0 to 10^18, got {2**63}; take a smaller one",
        ),
        (
            ["--seeds", "1000000000000000001"],
            "--seeds must be numbers from 0 to 10^18, got 1000000000000000001; take a smaller one",
        ),
    ],
)
def test_what_no_machine_can_keep_is_refused(
    words: list[str], message: str, desk: Path, write_grid: Callable[..., Path]
) -> None:
    result = CliRunner().invoke(app, ["run", str(write_grid("odd_options")), *words])
    assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")
    assert not (desk / "home" / "studies").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--workers", "99"],
        ["lr-find", "--threads", "99"],
        ["lr-find", "--highest", "inf"],
        ["lr-find", "--steps", "1000000"],
    ],
)
def test_other_commands_refuse_them_too(
    words: list[str], desk: Path, write_grid: Callable[..., Path]
) -> None:
    result = CliRunner().invoke(app, [words[0], str(write_grid("odd_options")), *words[1:]])
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"error: {words[1] if words[1] != '--highest' else '--lowest'} must be "
    )


def test_what_a_machine_can_keep_is_taken() -> None:
    check_threads(None)
    check_threads(64)
    check_workers(16)
    check_workers(5_000, is_local=False)
    check_cache_gb(0)
    check_retries(100)
    check_rates(1e-6, 1.0, n_steps=100_000)
    assert [read_trials_per_gpu(text) for text in ("auto", "1", "64")] == [None, 1, 64]
    assert read_seconds("3650d", option="--budget") == 3650 * 86400


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000, "x" * 300 + ".yaml"])
def test_a_name_that_no_file_system_takes_is_no_grid(
    name: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The grids of the package would be listed too, and their names change with the examples.
    monkeypatch.setattr(grid_names, "packaged_grids", lambda: desk / "no package")
    with pytest.raises(SpecError) as caught:
        find_grid(name)
    assert str(caught.value) == (
        "GRID must be a name in experiments/ (there are none here) or the path of a .yaml file, "
        f"got {name[:60]!r}... ({len(name)} characters)"
    )
