"""Set blossoms in a scene: background, leaves and other flowers out of focus, pose and light.

And what a cheap camera does to all that. As in `blossom`, the order of draws and of float32
operations determines the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ablate.data.rendering.blossom import Bloom, Plane, Pose, draw_bloom, paint_blossom
from ablate.data.rendering.species import SPECIES

SIDE = 160
"""Height and width of a rendered image in pixels."""

GROUNDS: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0.10, 0.20, 0.06), (0.36, 0.50, 0.18)),  # grass
    ((0.04, 0.09, 0.05), (0.17, 0.29, 0.12)),  # shade below a hedge
    ((0.20, 0.14, 0.09), (0.44, 0.34, 0.24)),  # soil
    ((0.42, 0.58, 0.78), (0.84, 0.88, 0.92)),  # sky
    ((0.45, 0.44, 0.42), (0.70, 0.68, 0.64)),  # gravel or a wall
    ((0.03, 0.03, 0.04), (0.14, 0.13, 0.13)),  # studio, dark
    ((0.30, 0.30, 0.12), (0.66, 0.62, 0.30)),  # dry meadow
)
"""Dark and light colour of each kind of background."""


def render(species_index: int, *, key: int) -> Image.Image:
    """Return one RGB image, SIDE x SIDE, of a flower of `SPECIES[species_index]`.

    Equal arguments give equal images.
    """
    rng = np.random.Generator(np.random.Philox(key))
    # One light for the whole scene, from any side.
    light = rng.uniform(0, 2 * math.pi)
    canvas = _background(rng, light=light)
    # Out of focus before the subject is painted, which stays sharp.
    canvas = _blur(canvas, rng.uniform(0.8, 3.2))
    bloom = draw_bloom(SPECIES[species_index], rng)
    _paint_plants(canvas, bloom, light=light, rng=rng)
    # Now and then a leaf hangs into the picture, in front of the blossom.
    if rng.random() < 0.35:
        _paint_leaf(canvas, rng, near_middle=False)
    return _photograph(canvas, rng)


def render_together(species: Sequence[int], *, key: int) -> Image.Image:
    """Return one RGB image, SIDE x SIDE, with a flower of each of `species` side by side.

    There may be none. Equal arguments give equal images.
    """
    rng = np.random.Generator(np.random.Philox(key))
    light = rng.uniform(0, 2 * math.pi)
    turn = rng.uniform(0, 2 * math.pi)
    canvas = _background(rng, light=light)
    canvas = _blur(canvas, rng.uniform(1.6, 3.2))
    # Shares of SIDE from the middle: near enough that a crop of the middle keeps most of each.
    apart = 0.0 if len(species) == 1 else 0.2
    for position, index in enumerate(rng.permutation(len(species)).tolist()):
        angle = turn + 2 * math.pi * position / len(species)
        pose = _pose(rng, radius=rng.uniform(0.17, 0.27) * SIDE, spread=0.03, light=light)
        pose = replace(
            pose,
            x=pose.x + apart * math.cos(angle) * SIDE,
            y=pose.y + apart * math.sin(angle) * SIDE,
        )
        bloom = draw_bloom(SPECIES[species[index]], rng)
        paint_blossom(canvas, bloom, pose=pose, rng=rng)
    return _photograph(canvas, rng)


def _background(rng: Generator, *, light: float) -> Plane:
    """Mottled ground, leaves, and blossoms of any species, all to be blurred: (SIDE, SIDE, 3)."""
    dark_colour, pale_colour = GROUNDS[int(rng.integers(len(GROUNDS)))]
    dark = np.array(dark_colour, dtype=np.float32)
    pale = np.array(pale_colour, dtype=np.float32)
    # Two sizes of mottles, as ground has.
    coarse = _noise(rng, int(rng.integers(2, 6)))
    fine = _noise(rng, int(rng.integers(12, 40)))
    mottle = 0.6 * coarse + 0.4 * fine
    canvas = np.ascontiguousarray(dark + (pale - dark) * mottle[..., None])
    for _ in range(int(rng.integers(0, 7))):
        _paint_leaf(canvas, rng, near_middle=True)
    for _ in range(int(rng.integers(0, 3))):
        # Of any species: what stands behind must not tell the class.
        other = draw_bloom(SPECIES[int(rng.integers(len(SPECIES)))], rng)
        pose = _pose(rng, radius=rng.uniform(0.08, 0.22) * SIDE, spread=0.5, light=light)
        paint_blossom(canvas, other, pose=pose, rng=rng)
    return canvas


def _paint_plants(canvas: Plane, bloom: Bloom, *, light: float, rng: Generator) -> None:
    """Paint one to three blossoms of the same plant; the last and largest is the subject."""
    # None in three of five pictures.
    n_more = int(rng.choice([0, 0, 0, 1, 2]))
    subject = _pose(rng, radius=rng.uniform(0.24, 0.50) * SIDE, spread=0.14, light=light)
    for _ in range(n_more):
        pose = _pose(rng, radius=subject.radius * rng.uniform(0.5, 0.85), spread=0.42, light=light)
        paint_blossom(canvas, bloom, pose=pose, rng=rng)
    if rng.random() < 0.6:
        _paint_stem(canvas, subject, rng)
    paint_blossom(canvas, bloom, pose=subject, rng=rng)


def _pose(rng: Generator, *, radius: float, spread: float, light: float) -> Pose:
    """A pose near the middle; `radius` in pixels, `spread` in shares of SIDE."""
    x, y = rng.uniform(-spread, spread, 2)
    return Pose(
        x=(0.5 + x) * SIDE,
        y=(0.5 + y) * SIDE,
        radius=radius,
        roll=rng.uniform(0, 2 * math.pi),
        tilt=min(abs(rng.normal(0, 0.48)), 1.1),
        axis=rng.uniform(0, math.pi),
        light=light,
    )


def _paint_leaf(canvas: Plane, rng: Generator, *, near_middle: bool) -> None:
    """Paint one leaf with a midrib: anywhere, or from a border towards the middle."""
    # In pixels; `slim` is the half width in half lengths.
    length = rng.uniform(0.25, 0.75) * SIDE
    slim = rng.uniform(0.10, 0.32)
    x0, y0 = _leaf_place(rng, near_middle=near_middle)
    turn = rng.uniform(0, 2 * math.pi)
    window = _window(x0, y0, length / 2)
    u, v = _turned(x0, y0, turn, window=window, scale=length / 2)
    # The blade between two parabolas, u along and v across it in half lengths; 0 at the margin.
    depth = slim * (1 - u * u) - np.abs(v)
    alpha = np.clip(depth * length / 2, 0, 1)
    green = np.array([0.20, 0.38, 0.12], dtype=np.float32) * rng.uniform(0.5, 1.6)
    green = green + rng.normal(0, 0.04, 3).astype(np.float32)
    # The two halves catch the light differently, with a bright midrib and side veins.
    halves = np.sign(v) * np.float32(rng.uniform(-0.15, 0.15))
    midrib = 0.35 * np.exp(-((v * 30) ** 2))
    side_veins = 0.08 * np.cos(u * 26 + np.abs(v) * 30)
    lit = 0.85 + halves + midrib + side_veins
    patch = canvas[window]
    patch += (np.clip(green, 0.02, 1) * lit[..., None] - patch) * alpha[..., None]


def _leaf_place(rng: Generator, *, near_middle: bool) -> tuple[float, float]:
    """The middle of a leaf in pixels: anywhere in the picture, or just beyond its border."""
    angle = rng.uniform(0, 2 * math.pi)
    # Drawn in either case: both kinds of leaf take the same numbers from the generator.
    nearer_x = rng.uniform(0.3, 1)
    nearer_y = rng.uniform(0.3, 1)
    if near_middle:
        x0 = (0.5 + 0.5 * math.cos(angle) * nearer_x) * SIDE
        y0 = (0.5 + 0.5 * math.sin(angle) * nearer_y) * SIDE
    else:
        x0 = (0.5 + 0.62 * math.cos(angle)) * SIDE
        y0 = (0.5 + 0.62 * math.sin(angle)) * SIDE
    return x0, y0


def _paint_stem(canvas: Plane, pose: Pose, rng: Generator) -> None:
    """Paint a stem from below the blossom to the lower border."""
    y = np.arange(SIDE, dtype=np.float32)[:, None]
    x = np.arange(SIDE, dtype=np.float32)[None, :]
    # 0 at the blossom, 1 a picture's height below it: the stem bends more the farther down.
    down = np.clip((y - pose.y) / SIDE, 0, 1)
    bend = pose.x + down * rng.uniform(-0.6, 0.6) * SIDE * (0.3 + down)
    width = rng.uniform(0.012, 0.03) * SIDE
    # In half widths from the middle of the stem, whose edge is one pixel soft.
    distance = np.abs(x - bend) / width
    alpha = np.clip((1 - distance) * width, 0, 1) * (y > pose.y)
    green = np.array([0.26, 0.42, 0.14], dtype=np.float32) * rng.uniform(0.6, 1.3)
    round_shade = 1.1 - 0.5 * np.minimum(distance, 1)
    canvas += (green * round_shade[..., None] - canvas) * alpha[..., None]


def _photograph(canvas: Plane, rng: Generator) -> Image.Image:
    """Uneven light, exposure, colour cast, contrast, blur, sensor noise; quantised to 8 bits."""
    # In the order of a camera: light, exposure and colour, contrast, lens, sensor.
    shade = 1 - rng.uniform(0, 0.55) * _noise(rng, int(rng.integers(2, 6)))
    exposure = math.exp(rng.normal(0, 0.22))
    cast = np.exp(rng.normal(0, 0.10, 3)).astype(np.float32)
    image = np.clip(canvas, 0, 4) * shade[..., None] * (exposure * cast)
    # Saturation: nearer to grey or farther from it.
    grey = image.mean(axis=-1, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.6, 1.15)
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.75, 1.35))
    image = _blur(image, max(rng.normal(0.5, 0.6), 0.0))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image += noise * np.float32(rng.uniform(0.004, 0.03))
    return Image.fromarray(_as_bytes(image))


def _noise(rng: Generator, cells: int) -> Plane:
    """Smooth noise in [0, 1] with about `cells` bumps along a side: (SIDE, SIDE)."""
    grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)


def _blur(canvas: Plane, sigma: float) -> Plane:
    """Gaussian blur of `sigma` pixels; below a quarter of a pixel nothing is done."""
    if sigma < 0.25:
        return canvas
    image = Image.fromarray(_as_bytes(canvas))
    blurred = image.filter(ImageFilter.GaussianBlur(sigma))
    return np.asarray(blurred, dtype=np.float32) * np.float32(1 / 255)


def _as_bytes(canvas: Plane) -> NDArray[np.uint8]:
    """Values in [0, 1] as 0 to 255, rounded."""
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def _window(x0: float, y0: float, reach: float) -> tuple[slice, slice]:
    """The rows and columns of the canvas within `reach` pixels of a point; perhaps none."""
    return _span(y0, reach), _span(x0, reach)


def _span(middle: float, reach: float) -> slice:
    """The pixels of one side of the canvas within `reach` of `middle`."""
    start = min(max(int(middle - reach), 0), SIDE)
    stop = max(min(math.ceil(middle + reach), SIDE), 0)
    return slice(start, stop)


def _turned(
    x0: float, y0: float, turn: float, *, window: tuple[slice, slice], scale: float
) -> tuple[Plane, Plane]:
    """Coordinates of the window's pixels along and across `turn`, in units of `scale` pixels."""
    # float32 throughout: float64 in between would round to other pixels.
    rows, columns = window
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y0)
    y = y / np.float32(scale)
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x0)
    x = x / np.float32(scale)
    cos = np.float32(math.cos(turn))
    sin = np.float32(math.sin(turn))
    return x * cos + y * sin, y * cos - x * sin
