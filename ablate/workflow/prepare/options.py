"""Numbers of the command line that a machine must be able to keep: checked before anything is started."""

from __future__ import annotations

import math
import os

from ablate.errors import SpecError

MAX_THREADS = 64
"""Of a slot, on a machine with fewer cores: last digits of scores depend on the threads, so those of a larger machine can be asked for."""
WORKERS_A_CORE = 4
MAX_WORKERS = 10_000
"""On a cluster, whose cores are not known here."""
MAX_CACHE_GB = 1_000_000.0
MAX_RETRIES = 100
MAX_STEPS = 100_000
MAX_TRIALS_PER_GPU = 64


def check_run(
    *,
    is_local: bool,
    threads: int | None,
    workers: int | None,
    cache_gb: float,
    retries: int,
    trials_per_gpu: str,
) -> None:
    """The options of `ablate run` that say how much of a machine it takes. Raises SpecError."""
    check_threads(threads)
    check_workers(workers, is_local=is_local)
    check_cache_gb(cache_gb)
    check_retries(retries)
    read_trials_per_gpu(trials_per_gpu)


def check_threads(threads: int | None) -> None:
    """`--threads` must be something that this machine can start. Raises SpecError."""
    most = max(MAX_THREADS, n_cores())
    if threads is not None and threads > most:
        raise SpecError(
            f"--threads must be at most {most} on this machine of {n_cores()} cores, got {threads}; leave it out to have it measured"
        )


def check_workers(workers: int | None, *, is_local: bool = True) -> None:
    """`--workers` must not be far more processes than cores. Raises SpecError."""
    if workers is None:
        return
    most = max(16, WORKERS_A_CORE * n_cores()) if is_local else MAX_WORKERS
    where = f"this machine of {n_cores()} cores" if is_local else "a cluster"
    if workers > most:
        raise SpecError(
            f"--workers must be at most {most:,} on {where}, got {workers:,}; leave it out to have as many as fit"
        )


def check_cache_gb(cache_gb: float) -> None:
    """`--cache-gb` must be a number of gigabytes. Raises SpecError."""
    if not 0 <= cache_gb <= MAX_CACHE_GB:
        raise SpecError(
            f"--cache-gb must be a number of GB from 0 to {MAX_CACHE_GB:,.0f}, got {cache_gb:g}; 0 shares nothing between trials"
        )


def check_retries(retries: int) -> None:
    """`--retry` must end at some time. Raises SpecError."""
    if retries > MAX_RETRIES:
        raise SpecError(
            f"--retry must be at most {MAX_RETRIES}, got {retries:,}: a worker that dies so often will not do otherwise"
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
    is_number = text.isascii() and text.isdecimal() and len(text) <= 4
    if not is_number or not 1 <= int(text) <= MAX_TRIALS_PER_GPU:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise SpecError(
            f"--trials-per-gpu must be auto or a whole number from 1 to {MAX_TRIALS_PER_GPU}, got {shown!r}"
        )
    return int(text)


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
