"""Strike the first command in an empty home, twenty times, and two first commands at once; afterwards the home must be usable.

    python scripts/strike_first_seconds.py [--strikes 20] [--seed 0]

Each strike starts `ablate run` on a tiny grid in a home of its own and sends SIGINT, SIGTERM or kill -9 at a random moment: half of them while the tracking
store is made, half anywhere in its first seconds. Usable: the same command then ends with 0 and `ablate verify` finds nothing. About half a minute a strike.
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
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MLFLOW_TRACKING_URI", "ABLATE_OPTUNA")
    }
    environment |= {
        "ABLATE_HOME": str(home),
        "ABLATE_DATA": str(desk),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "ablate", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(  # noqa: S603
        command, cwd=desk, env=environment, text=True, start_new_session=True, **pipes
    )


def strike(desk: Path, home: Path, moments: random.Random) -> str:
    """Start the first command and end it at a random moment; return what was done."""
    number = moments.choice(SIGNALS)
    command = ablate(desk, home, "run", "tiny.yaml", "--workers", "1", "--threads", "1")
    began = time.monotonic()
    in_the_making = moments.random() < 0.5
    while in_the_making and not list(home.glob("mlflow.db*")) and command.poll() is None:
        time.sleep(0.005)
    time.sleep(moments.uniform(0.0, 3.0) if in_the_making else moments.uniform(0.0, 12.0))
    if command.poll() is None:
        os.kill(command.pid, number)
    said, _ = command.communicate(timeout=WAIT_S)
    trace = ", with a traceback" if "Traceback" in said else ""
    return f"{number.name} after {time.monotonic() - began:.1f} s, exit {command.returncode}{trace}"


def is_usable(desk: Path, home: Path) -> bool:
    """Whether the same command ends well now, and its report is what the store gives."""
    for words in (
        ("run", "tiny.yaml", "--workers", "1", "--threads", "1"),
        ("verify", "reports/tiny"),
    ):
        command = ablate(desk, home, *words)
        said, _ = command.communicate(timeout=WAIT_S)
        if command.returncode != 0:
            sys.stdout.write(said)
            return False
    return True


def main() -> None:
    """Print a line a strike, and how many homes were usable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strikes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # who is started in the background ignores it, and so would the commands
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
                both = [
                    ablate(desk, home, "run", "tiny.yaml", "--workers", "1", "--threads", "1")
                    for _ in range(2)
                ]
                for command in both:
                    command.communicate(timeout=WAIT_S)
                done = f"two at once, exits {[command.returncode for command in both]}"
            usable.append(is_usable(desk, home))
            verdict = "usable" if usable[-1] else "NOT USABLE"
            sys.stdout.write(f"{turn + 1}: {done}: {verdict}\n")
            sys.stdout.flush()
            shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(f"{sum(usable)} of {len(usable)} homes usable\n")
    sys.exit(0 if all(usable) else 1)


if __name__ == "__main__":
    main()
