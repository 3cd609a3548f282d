"""Paint one blossom: petals whorl by whorl, then stamens and disc. Arrays only, no state.

A petal is an implicit outline in polar coordinates. Coordinates: `u`, `v` are in units of the
blossom's radius around its middle; `t` runs along a petal from foot (0) to tip (1); `x` across it.

The order of the random draws and of the float32 operations determines the pixels: a change of
either needs new versions of the rendered sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ablate.data.rendering.species import COLOURS, Species

Plane = NDArray[np.float32]
REACH = 1.1
"""Nothing of a blossom, its shadow included, lies farther out than this."""
COLOUR_OF_THREAD = np.array([0.86, 0.84, 0.62], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Bloom:
    """One blossom's drawn traits: what stays the same for all blossoms of a plant."""

    species: Species
    n_petals: int
    n_whorls: int
    width: float
    base: float
    tip: float
    notch: float
    wave: float
    petal: NDArray[np.float32]
    eye: float
    eye_colour: NDArray[np.float32]
    vein: float
    disc: float
    disc_colour: NDArray[np.float32]
    n_stamens: int
    reach: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a blossom stands and how it is turned. Pixels and radians."""

    x: float
    y: float
    radius: float
    roll: float
    tilt: float
    """0 faces the camera, pi / 2 is seen from the side."""
    axis: float
    """Direction in the image towards which it is tilted."""
    light: float
    """Direction in the image from which light comes."""


def draw_bloom(species: Species, rng: Generator) -> Bloom:
    """Draw one plant of a species: every trait uniformly from its range, its colours tinted."""
    return Bloom(
        species=species,
        n_petals=_whole(species.petals, rng),
        n_whorls=_whole(species.whorls, rng),
        width=rng.uniform(*species.width),
        base=rng.uniform(*species.base),
        tip=rng.uniform(*species.tip),
        notch=rng.uniform(*species.notch),
        wave=rng.uniform(*species.wave),
        petal=_tint(species.colours, rng),
        eye=rng.uniform(*species.eye),
        eye_colour=_tint(species.eye_colours, rng),
        vein=rng.uniform(*species.vein),
        disc=rng.uniform(*species.disc),
        disc_colour=_tint(species.disc_colours, rng),
        n_stamens=_whole(species.stamens, rng),
        reach=rng.uniform(*species.reach),
    )


@dataclass(frozen=True, slots=True)
class _Disk:
    """The pixels that a blossom can touch, in polar coordinates of its own plane; arrays (n,)."""

    r: Plane
    theta: Plane
    pixel: float
    """Side of a pixel in units of the blossom's radius: edges are this soft."""


def paint_blossom(canvas: Plane, bloom: Bloom, *, pose: Pose, rng: Generator) -> None:
    """Paint a blossom over `canvas` (H, W, 3), float32 in [0, 1], in place."""
    # Only where the blossom can touch: most of a canvas is far from it.
    window = _window(canvas, pose)
    if window is None:
        return
    u, v = _plane(window, pose)
    r = np.hypot(u, v)
    touched = r < REACH
    pixels = canvas[window][touched]
    theta = np.arctan2(v[touched], u[touched])
    disk = _Disk(r=r[touched], theta=theta, pixel=1.0 / pose.radius)
    # From the outermost inwards: inner whorls lie on top.
    for number in range(bloom.n_whorls):
        whorl = _Whorl.draw(bloom, number, light=pose.light - pose.roll, rng=rng)
        _paint_whorl(pixels, disk, whorl)
    _paint_middle(pixels, disk, bloom, rng=rng)
    canvas[window][touched] = pixels


@dataclass(frozen=True, slots=True)
class _Petals:
    """How the petals of one whorl differ from each other; each array is (n_petals,)."""

    length: Plane
    width: Plane
    lean: Plane
    bright: Plane
    phase: Plane
    rank: Plane
    room: float

    @classmethod
    def draw(cls, n: int, size: float, rng: Generator) -> _Petals:
        # No two petals are alike, and some whorls are less regular than others.
        spread = rng.uniform(0.02, 0.12)
        noise = rng.standard_normal((4, n)).astype(np.float32)
        is_missing = rng.random(n) < 0.04
        # A petal that is "missing" is a stump: an outline of no length has no shape.
        shrink = np.where(is_missing, np.float32(0.35), np.float32(1))
        length = np.float32(size) * (1 - spread * np.abs(noise[0])) * shrink
        return cls(
            length=length.astype(np.float32),
            width=(1 + 0.08 * noise[1]).astype(np.float32),
            lean=(0.07 * noise[2]).astype(np.float32),
            bright=(1 + 0.07 * noise[3]).astype(np.float32),
            phase=rng.uniform(0, 6.28, n).astype(np.float32),
            rank=rng.permutation(n).astype(np.float32),
            # Half the pitch of a petal, a little wider; bounded for flowers of few petals.
            room=min(math.sin(math.pi / n) * 1.15, 0.62),
        )


@dataclass(frozen=True, slots=True)
class _Whorl:
    """One ring of petals, drawn."""

    bloom: Bloom
    turn: float
    """Angle of its first petal."""
    petals: _Petals
    light: float
    """Direction of the light, from its first petal on."""
    shade: float
    """Brightness: inner whorls lie higher, and are brighter."""

    @classmethod
    def draw(cls, bloom: Bloom, number: int, *, light: float, rng: Generator) -> _Whorl:
        """Draw whorl `number`, 0 the outermost and largest."""
        # inner whorls are smaller, and keep more than 0.38 of the radius
        size = 1.0 - 0.62 * number / bloom.n_whorls
        # within one petal's pitch: further turns repeat the ring
        turn = rng.uniform(0, 2 * math.pi / bloom.n_petals)
        return cls(
            bloom=bloom,
            turn=turn,
            petals=_Petals.draw(bloom.n_petals, size, rng),
            light=light - turn,
            shade=1.0 - 0.10 * (bloom.n_whorls - 1 - number),
        )


def _paint_whorl(pixels: Plane, disk: _Disk, whorl: _Whorl) -> None:
    """Paint the petals of one whorl.

    At each pixel the two nearest petals, the one of higher rank on top, with its shadow on the
    other.
    """
    n = whorl.bloom.n_petals
    pitch = 2 * math.pi / n
    # Position around the blossom in petals: petal k has its middle at k.
    position = (disk.theta - np.float32(whorl.turn)) * np.float32(1 / pitch)
    nearest = np.rint(position)
    second = nearest + np.where(position >= nearest, np.float32(1), np.float32(-1))
    rank = whorl.petals.rank
    top_is_nearest = rank[nearest.astype(np.int64) % n] > rank[second.astype(np.int64) % n]
    top = np.where(top_is_nearest, nearest, second)
    low = np.where(top_is_nearest, second, nearest)
    depth_low, colour_low = _petal(disk.r, position, low, whorl)
    depth_top, colour_top = _petal(disk.r, position, top, whorl)
    # Shadows first: of the upper petal on the lower one, then of both on what lies below.
    colour_low *= 1 - 0.5 * _ramp(depth_top, -0.09, 0.0)[..., None]
    pixels *= 1 - 0.45 * _ramp(np.maximum(depth_top, depth_low), -0.07, 0.0)[..., None]
    _blend(pixels, colour_low, _ramp(depth_low, -disk.pixel, disk.pixel))
    _blend(pixels, colour_top, _ramp(depth_top, -disk.pixel, disk.pixel))


def _petal(r: Plane, position: Plane, which: Plane, whorl: _Whorl) -> tuple[Plane, Plane]:
    """Return how deep each pixel lies inside its petal, and the petal's colour there.

    `which` is the petal's number for each pixel. Depths are negative outside the petal.
    """
    bloom = whorl.bloom
    petals = whorl.petals
    # The pixel in its petal's own coordinates, in petal lengths: t along the axis, x across it.
    k = which.astype(np.int64) % bloom.n_petals
    pitch = np.float32(2 * math.pi / bloom.n_petals)
    phi = (position - which - petals.lean[k]) * pitch
    length = petals.length[k]
    x = r * np.sin(phi) / length
    t = r * np.cos(phi) / length
    # 1 across is the widest margin. The notch shortens the petal in its middle, ruffles all along.
    half = np.float32(bloom.width * petals.room) * petals.width[k]
    across = x / half
    stretch = 1 - np.float32(bloom.notch) * np.exp(-(across * across) * 7)
    if bloom.wave > 0.004:
        ruffle = 0.5 + 0.5 * np.sin(across * 7 + petals.phase[k])
        stretch = stretch - np.float32(bloom.wave) * ruffle
    s = np.clip(t / stretch, 1e-4, 1)
    # Depth is the distance to the nearer of margin and tip, the latter weighed by 0.8.
    outline = _outline(s, half, bloom)
    inside = np.minimum(outline - np.abs(x), (stretch - t) * 0.8)
    depth = np.where(t > 0, inside, np.float32(-1)) * length
    return depth.astype(np.float32), _petal_colour(s, across, k, whorl)


def _outline(s: Plane, half: Plane, bloom: Bloom) -> Plane:
    """Half the petal's width at `s`: a beta curve whose highest point is `half`."""
    # s^base (1 - s)^tip is highest at base / (base + tip): scaled to `half` there
    peak = bloom.base / (bloom.base + bloom.tip)
    scale = 1.0 / (peak**bloom.base * (1 - peak) ** bloom.tip)
    outline: Plane = (
        half * np.float32(scale) * s ** np.float32(bloom.base) * (1 - s) ** np.float32(bloom.tip)
    )
    return outline


def _petal_colour(s: Plane, across: Plane, k: NDArray[Any], whorl: _Whorl) -> Plane:
    """Lit by its angle to the light, darker at the foot and the margins, veined, with an eye."""
    bloom = whorl.bloom
    # One brightness a petal, as each is nearly flat.
    angle = np.arange(bloom.n_petals, dtype=np.float32) * np.float32(2 * math.pi / bloom.n_petals)
    to_light = 1 + 0.13 * np.cos(angle - np.float32(whorl.light))
    lit = (whorl.petals.bright * to_light * np.float32(whorl.shade))[k]
    # The foot lies deep in the blossom, and the margins bend away.
    lit = lit * (0.62 + 0.38 * _ramp(s, 0.0, 0.55)) * (1 - 0.14 * np.minimum(across * across, 1.5))
    # Fine lines all over, and a midrib.
    veins = np.cos(across * 14) * 0.10 + np.exp(-(across * across) * 60) * 0.22
    lit = lit * (1 - np.float32(bloom.vein) * veins)
    # a smaller eye than 0.02 of the radius could not be seen
    foot: Any = np.float32(0)
    if bloom.eye > 0.02:
        foot = _ramp(s, bloom.eye + 0.10, bloom.eye - 0.10)[..., None]
    colour = bloom.petal + (bloom.eye_colour - bloom.petal) * foot
    return np.asarray(colour * lit[..., None], dtype=np.float32)


def _paint_middle(pixels: Plane, disk: _Disk, bloom: Bloom, *, rng: Generator) -> None:
    """Paint the stamens, each a thread with an anther, and the domed, grainy disc."""
    if bloom.n_stamens:
        _paint_stamens(pixels, disk, bloom, rng=rng)
    r = disk.r
    # An edge as soft as a pixel, rings of grains, and a dome that is brightest in the middle.
    radius = max(bloom.disc, 0.02)
    inside = _ramp(r, radius + disk.pixel, radius - disk.pixel)
    rings = np.sin(r * np.float32(2.2 / disk.pixel**0.5) + 3 * np.sin(disk.theta * 8))
    dome = (1.08 - 0.5 * (r / radius) ** 2) * (0.9 + 0.14 * rings)
    pixels *= 1 - 0.35 * _ramp(r, radius + 0.08, radius)[..., None]
    _blend(pixels, bloom.disc_colour * np.maximum(dome, 0.3)[..., None], inside)


def _paint_stamens(pixels: Plane, disk: _Disk, bloom: Bloom, *, rng: Generator) -> None:
    n = bloom.n_stamens
    pitch = 2 * math.pi / n
    # As petals: stamen k has its middle at k, and each pixel asks the nearest.
    position = disk.theta / np.float32(pitch) + np.float32(rng.uniform(0, 1))
    nearest = np.rint(position)
    k = nearest.astype(np.int64) % n
    # reach and lean differ from stamen to stamen: drawn for each, taken by pixel
    reach = (bloom.reach * rng.uniform(0.6, 1.0, n)).astype(np.float32)[k]
    lean = rng.uniform(-0.3, 0.3, n).astype(np.float32)[k]
    r = disk.r
    pixel = disk.pixel
    distance = np.abs(position - nearest - lean) * np.float32(pitch) * r
    thread = _ramp(distance, 0.012 + pixel, 0.012 - pixel * 0.5) * (r < reach)
    to_tip = np.hypot(distance, (r - reach) * 0.8)
    anther = _ramp(to_tip, 0.032 + pixel, 0.032 - pixel)
    _blend(pixels, COLOUR_OF_THREAD, thread * np.float32(0.8))
    _blend(pixels, bloom.disc_colour * np.float32(0.85), anther)


def _window(canvas: Plane, pose: Pose) -> tuple[slice, slice] | None:
    """The part of the canvas that the blossom and its shadow can touch; None where it is empty."""
    reach = pose.radius * REACH
    top = max(int(pose.y - reach), 0)
    bottom = min(math.ceil(pose.y + reach), canvas.shape[0])
    left = max(int(pose.x - reach), 0)
    right = min(math.ceil(pose.x + reach), canvas.shape[1])
    if bottom <= top or right <= left:
        return None
    return slice(top, bottom), slice(left, right)


def _plane(window: tuple[slice, slice], pose: Pose) -> tuple[Plane, Plane]:
    """Pixel positions of the window in the blossom's own plane, two (h, w) arrays.

    Undoes the position, the tilt, then the roll.
    """
    rows, columns = window
    y = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - pose.y) / pose.radius
    x = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - pose.x) / pose.radius
    # Along and across the tilt; along it the blossom looks shorter, so pixels count for more.
    cos = math.cos(pose.axis)
    sin = math.sin(pose.axis)
    along = (x * cos + y * sin) / max(math.cos(pose.tilt), 0.2)
    across = -x * sin + y * cos
    # Perspective: what is tilted away is farther from the camera, and smaller.
    across = across / (1 + 0.25 * math.sin(pose.tilt) * along)
    # Back from the tilt's axis to the blossom's own.
    cos = math.cos(pose.axis - pose.roll)
    sin = math.sin(pose.axis - pose.roll)
    u = along * cos - across * sin
    v = along * sin + across * cos
    return u.astype(np.float32), v.astype(np.float32)


def _blend(pixels: Plane, colour: Plane, alpha: Plane) -> None:
    pixels += (colour - pixels) * alpha[..., None]


def _ramp(value: Plane, start: float, end: float) -> Plane:
    """0 where `value` is at `start` or before, 1 at `end` or beyond, smooth between.

    `end` may be below `start`.
    """
    x = np.clip((value - np.float32(start)) * np.float32(1.0 / (end - start)), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), dtype=np.float32)


def _tint(names: tuple[str, ...], rng: Generator) -> NDArray[np.float32]:
    """One of these colours, a little off."""
    name = names[int(rng.integers(len(names)))]
    colour = np.array(COLOURS[name], dtype=np.float32)
    offset = rng.normal(0, 0.055, 3).astype(np.float32)
    tinted: NDArray[np.float32] = np.clip(colour + offset, 0.02, 1).astype(np.float32)
    return tinted


def _whole(bounds: tuple[int, int], rng: Generator) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))
