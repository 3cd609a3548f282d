"""Interrupt the first command in an empty home; afterwards the home must be usable.

    python scripts/strike_first_seconds.py [--strikes 20] [--seed 0]

Each strike starts `ablate run` on a tiny grid in a home of its own and sends SIGINT, SIGTERM or
kill -9 at a random moment: half of them while the tracking store is made, half anywhere in its
first seconds. A last one starts two first commands at once. Usable: the same command then ends with
0 and `ablate verify` finds nothing. About half a minute per strike.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

GRID = """\
# Is the home usable afterwards?
task: classification
data: {source: folder, path: pictures, image_size: 32}
base: {backbone: test_efficientnet, weights: none, epochs: 1, batch_size: 8}
axes: {head_lr: [1.0e-3, 1.0e-2]}
seeds: [0]
baseline: {head_lr: 1.0e-3}
select_by: val/macro_f1
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
WAIT_S = 600


def draw_pictures(root: Path) -> None:
    """Write `<root>/<split>/<class>/<n>.png`: 8 images a class and split."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for label, name in enumerate(("red", "green")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(8):
                pixels = rng.integers(0, 100, size=(40, 44, 3))
                pixels[..., label] += 90
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def ablate(desk: Path, home: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    environment = dict(os.environ)
    # Both would point the command to a store that another home uses too.
    environment.pop("MLFLOW_TRACKING_URI", None)
    environment.pop("ABLATE_OPTUNA", None)
    environment |= {
        "ABLATE_HOME": str(home),
        "ABLATE_DATA": str(desk),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "ablate", *words]
    return subprocess.Popen(  # noqa: S603
        command,
        cwd=desk,
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def strike(desk: Path, home: Path, moments: random.Random) -> str:
    """Start the first command and end it at a random moment; return what was done."""
    number = moments.choice(SIGNALS)
    command = ablate(desk, home, "run", "tiny.yaml", "--workers", "1", "--threads", "1")
    began = time.monotonic()
    is_aimed_at_the_store = moments.random() < 0.5
    if is_aimed_at_the_store:
        while not list(home.glob("mlflow.db*")) and command.poll() is None:
            time.sleep(0.005)
        # Alembic takes about three seconds to make MLflow's tables.
        time.sleep(moments.uniform(0.0, 3.0))
    else:
        time.sleep(moments.uniform(0.0, 12.0))
    if command.poll() is None:
        os.kill(command.pid, number)
    output, _ = command.communicate(timeout=WAIT_S)
    trace = ", with a traceback" if "Traceback" in output else ""
    return f"{number.name} after {time.monotonic() - began:.1f} s, exit {command.returncode}{trace}"


def is_usable(desk: Path, home: Path) -> bool:
    """Whether the same command ends well now, and its report is what the store gives."""
    for words in (
        ("run", "tiny.yaml", "--workers", "1", "--threads", "1"),
        ("verify", "reports/tiny"),
    ):
        command = ablate(desk, home, *words)
        output, _ = command.communicate(timeout=WAIT_S)
        if command.returncode != 0:
            sys.stdout.write(output)
            return False
    return True


def two_at_once(desk: Path, home: Path) -> str:
    """Start the first command twice in one home; return how both ended."""
    commands = []
    for _ in range(2):
        commands.append(ablate(desk, home, "run", "tiny.yaml", "--workers", "1", "--threads", "1"))
    for command in commands:
        command.communicate(timeout=WAIT_S)
    return f"two at once, exits {[command.returncode for command in commands]}"


def main() -> None:
    """Print a line per strike, and how many homes were usable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strikes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell lets its background jobs ignore SIGINT, and the commands would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    moments = random.Random(options.seed)  # noqa: S311  no secret
    usable = []
    with tempfile.TemporaryDirectory(prefix="ablate-strikes-") as temporary:
        desk = Path(temporary)
        draw_pictures(desk / "pictures")
        (desk / "tiny.yaml").write_text(GRID)
        for turn in range(options.strikes + 1):
            home = desk / f"home{turn}"
            shutil.rmtree(desk / "reports", ignore_errors=True)
            if turn < options.strikes:
                done = strike(desk, home, moments)
            else:
                done = two_at_once(desk, home)
            usable.append(is_usable(desk, home))
            verdict = "usable" if usable[-1] else "NOT USABLE"
            sys.stdout.write(f"{turn + 1}: {done}: {verdict}\n")
            sys.stdout.flush()
            shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(f"{sum(usable)} of {len(usable)} homes usable\n")
    sys.exit(0 if all(usable) else 1)


if __name__ == "__main__":
    main()
