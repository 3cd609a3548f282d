"""Numbers that a machine must be able to keep: checked before anything is started."""

from __future__ import annotations

import math
import os
import re

from ablate.errors import SpecError

MAX_THREADS = 64
"""Of a slot, on a machine with fewer cores.

Last digits of scores depend on the threads, so those of a larger machine can be asked for.
"""
# More only wait for one another; a few more than cores can hide waits for the disk.
WORKERS_PER_CORE = 4
MAX_WORKERS = 10_000
"""On a cluster, whose cores are not known here."""
# Beyond any disk: a slip of the finger, or bytes instead of GB.
MAX_CACHE_GB = 1_000_000.0
MAX_RETRIES = 100
MAX_STEPS = 100_000
MAX_TRIALS_PER_GPU = 64
# Ten years: no study lasts longer, and every clock and wait takes it.
_MAX_SECONDS = 3650 * 86400.0
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def check_threads(threads: int | None) -> None:
    """`--threads` must be something that this machine can start. Raises SpecError."""
    most = max(MAX_THREADS, n_cores())
    if threads is not None and threads > most:
        raise SpecError(
            f"--threads must be at most {most} on this machine of {n_cores()} cores, "
            f"got {threads}; leave it out for one"
        )


def check_workers(workers: int | None, *, is_local: bool = True) -> None:
    """`--workers` must not be far more processes than cores. Raises SpecError."""
    if workers is None:
        return
    if is_local:
        # At least 16, so that what holds on a workstation can be tried out on a laptop.
        most = max(16, WORKERS_PER_CORE * n_cores())
        place = f"this machine of {n_cores()} cores"
    else:
        most = MAX_WORKERS
        place = "a cluster"
    if workers > most:
        raise SpecError(
            f"--workers must be at most {most:,} on {place}, got {workers:,}; "
            "leave it out to have as many as fit"
        )


def check_cache_gb(cache_gb: float) -> None:
    """`--cache-gb` must be a number of gigabytes. Raises SpecError."""
    if not 0 <= cache_gb <= MAX_CACHE_GB:  # also False for NaN
        raise SpecError(
            f"--cache-gb must be a number of GB from 0 to {MAX_CACHE_GB:,.0f}, got {cache_gb:g}; "
            "0 shares nothing between trials"
        )


def check_retries(retries: int) -> None:
    """`--retry` must end at some time. Raises SpecError."""
    if retries > MAX_RETRIES:
        raise SpecError(
            f"--retry must be at most {MAX_RETRIES}, got {retries:,}: "
            "a worker that dies so often will die again"
        )


def check_rates(lowest: float, highest: float, *, n_steps: int) -> None:
    """`--lowest`, `--highest` and `--steps` of an LR range test. Raises SpecError."""
    if not (0 < lowest < highest and math.isfinite(highest)):
        raise SpecError(
            f"--lowest must be above 0 and below --highest, got {lowest:g} and {highest:g}"
        )
    if n_steps > MAX_STEPS:
        raise SpecError(f"--steps must be at most {MAX_STEPS:,}, got {n_steps:,}")


def read_trials_per_gpu(text: str) -> int | None:
    """`--trials-per-gpu` as a number, None for auto. Raises SpecError."""
    if text == "auto":
        return None
    # `isdecimal` alone is true for digits of other scripts; int() of a very long text is refused.
    is_number = text.isascii() and text.isdecimal() and len(text) <= 4
    if not is_number or not 1 <= int(text) <= MAX_TRIALS_PER_GPU:
        shown = text
        if len(text) > 40:
            shown = text[:37] + "..."
        raise SpecError(
            "--trials-per-gpu must be auto or a whole number from 1 to "
            f"{MAX_TRIALS_PER_GPU}, got {shown!r}"
        )
    return int(text)


def read_seconds(text: str, *, option: str) -> float:
    """`30m`, `1.5h`, `1h30m`, `90` (seconds) -> seconds. Raises SpecError naming the option."""
    must = f"{option} must be a time such as 90s, 30m, 1h30m or 2d, got "
    if len(text) > 40:
        raise SpecError(f"{must}{len(text)} characters")
    written = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", written, re.ASCII)
    seconds = 0.0
    read = ""
    for number, unit in parts:
        seconds += float(number) * _SECONDS[unit]
        read += number + unit
    # findall passes over what it does not know: "3 weeks" would be 3 seconds.
    is_all_read = read == written
    if not is_all_read or seconds <= 0:
        raise SpecError(f"{must}{text!r}")
    if seconds > _MAX_SECONDS:
        raise SpecError(f"{option} must be at most 3650d, got {text!r}; leave it out for no limit")
    return seconds


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
