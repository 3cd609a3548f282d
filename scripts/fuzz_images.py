"""Read mutated image files for a while.

Each must be read or refused by a DataError, in bounded time and memory.

    python scripts/fuzz_images.py --minutes 15 [--seed 0]

A child process reads; the parent sees it die. Every finding is kept as a file in --out and printed;
exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from ablate.data.images import look_at, read_image
from ablate.errors import DataError

LIMIT_S = 20
"""CPU seconds for one file: what a sound one of 60 megapixels takes, and room.

Six times as many of the clock, where a busy disk counts.
"""
LIMIT_BYTES = 6 * 10**9
"""Of address space, libraries among it."""


def samples() -> dict[str, bytes]:
    """Small sound files of every format and of its variants, name -> bytes."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (30, 40, 3))
    pixels = np.clip(np.mgrid[0:30, 0:40].sum(axis=0)[..., None] * 3 + noise, 0, 255).astype(
        np.uint8
    )
    rgb = Image.fromarray(pixels)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    exif[0x010F] = "maker"
    again = {"save_all": True, "append_images": [rgb.rotate(90)]}
    return {
        "a.jpg": _encoded(rgb, "JPEG", exif=exif),
        "progressive.jpg": _encoded(rgb, "JPEG", progressive=True),
        "restarts.jpg": _encoded(rgb, "JPEG", restart_marker_rows=1),
        "cmyk.jpg": _encoded(rgb.convert("CMYK"), "JPEG"),
        "grey.jpg": _encoded(rgb.convert("L"), "JPEG"),
        "a.png": _encoded(rgb, "PNG", exif=exif),
        "palette.png": _encoded(rgb.convert("P"), "PNG", transparency=3),
        "deep.png": _encoded(deep, "PNG"),
        "bits.png": _encoded(rgb.convert("1"), "PNG"),
        "alpha.png": _encoded(rgb.convert("LA"), "PNG"),
        "frames.png": _encoded(rgb, "PNG", **again),
        "a.gif": _encoded(rgb, "GIF"),
        "frames.gif": _encoded(rgb, "GIF", **again),
        "a.bmp": _encoded(rgb, "BMP"),
        "palette.bmp": _encoded(rgb.convert("P"), "BMP"),
        "bits.bmp": _encoded(rgb.convert("1"), "BMP"),
        "a.webp": _encoded(rgb, "WEBP", exif=exif),
        "lossless.webp": _encoded(rgb.convert("RGBA"), "WEBP", lossless=True),
        "frames.webp": _encoded(rgb, "WEBP", **again),
        "a.tif": _encoded(rgb, "TIFF", exif=exif),
        "lzw.tif": _encoded(rgb, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _encoded(rgb, "TIFF", compression="jpeg"),
        "deflate.tif": _encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
        "fax.tif": _encoded(rgb.convert("1"), "TIFF", compression="group4"),
        "packbits.tif": _encoded(rgb.convert("P"), "TIFF", compression="packbits"),
        "float.tif": _encoded(rgb.convert("F"), "TIFF"),
        "cmyk.tif": _encoded(rgb.convert("CMYK"), "TIFF"),
        "pages.tif": _encoded(rgb, "TIFF", **again),
        "a.ppm": _encoded(rgb, "PPM"),
        "a.pgm": _encoded(rgb.convert("L"), "PPM"),
        "plain.ppm": b"P3 4 2 99 " + b" ".join(b"%d" % value for value in range(24)) + b"\n",
    }


def mutate(whole: bytes, rng: Generator) -> bytes:
    """A damaged copy.

    Bits turned, bytes replaced, a piece cut out, repeated or set to one value, or the end cut off.
    """
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        n_head = max(1, min(len(data), 200))
        # Headers are short, and hold most of what can go wrong.
        is_in_the_head = rng.random() < 0.6
        n_bytes = n_head if is_in_the_head else max(1, len(data))
        at = int(rng.integers(n_bytes))
        length = int(rng.integers(1, 24))
        kind = int(rng.integers(7))
        if kind == 0:
            if at < len(data):
                data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"]
            )
        elif kind == 5:
            data[at : at + length] = bytes([int(rng.choice([0, 255]))]) * length
        else:
            del data[at:]
    return bytes(data)


def mutations(n: int, *, seed: int) -> list[tuple[str, bytes]]:
    """`n` mutated files, (name, bytes), the samples in turn; the same for the same seed."""
    rng = np.random.default_rng(seed)
    mutated = []
    for name, whole in islice(cycle(samples().items()), n):
        mutated.append((name, mutate(whole, rng)))
    return mutated


def outcome(path: Path) -> str:
    """What reading a file came to: `read` or `refused`. Whatever else it raises is a finding."""
    ends = []
    for read in (look_at, read_image):
        try:
            read(path, name="a")
            ends.append("read")
        except DataError as error:
            if ": a" not in str(error):
                raise AssertionError(f"the file is not named: {error}") from error
            ends.append("refused")
    return ends[-1]


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _read_many(
    folder: str, seed: int, until: float, counts: Queue[tuple[dict[str, int], float, int]]
) -> None:
    """Read files of one seed in this process, which bad ones may end; the parent reads `counts`."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    path = Path(folder, "current")
    slowest = 0.0
    outcomes = Counter[str]()
    for name, data in mutations(2000, seed=seed):
        if time.time() > until:
            break
        path.write_bytes(data)
        path.with_name("name").write_text(name)
        faulthandler.dump_traceback_later(6 * LIMIT_S, exit=True)
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # ends the process, whatever C code it is in
        started = time.perf_counter()
        outcomes[outcome(path)] += 1
        slowest = max(slowest, time.perf_counter() - started)
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    counts.put((dict(outcomes), slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def main() -> None:
    """Run children of 2,000 files each until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz_findings"))
    options = parser.parse_args()
    until = time.time() + 60 * options.minutes
    context = multiprocessing.get_context("spawn")
    total = Counter[str]()
    slowest_s = 0.0
    most_kb = 0
    n_findings = 0
    seed = options.seed
    while time.time() < until:
        with tempfile.TemporaryDirectory() as folder:
            counts = context.Queue()
            child = context.Process(target=_read_many, args=(folder, seed, until, counts))
            child.start()
            child.join()
            if child.exitcode:
                n_findings += 1
                options.out.mkdir(parents=True, exist_ok=True)
                kept = options.out / f"{seed}-{Path(folder, 'name').read_text()}"
                kept.write_bytes(Path(folder, "current").read_bytes())
                sys.stdout.write(f"finding: {kept} (exit code {child.exitcode})\n")
            else:
                outcomes, slowest, rss_kb = counts.get()
                total.update(outcomes)
                slowest_s = max(slowest_s, slowest)
                most_kb = max(most_kb, rss_kb)
        seed += 1
    sys.stdout.write(
        f"{total.total()} files: {dict(total)}; slowest {slowest_s:.2f} s; "
        f"most memory {most_kb / 1e3:.0f} MB; {n_findings} findings\n"
    )
    raise SystemExit(1 if n_findings else 0)


if __name__ == "__main__":
    main()
