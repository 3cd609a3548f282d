"""The species of the rendered flowers: ranges of shape and colour that overlap on purpose, so that no single trait names a species."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]

COLOURS: dict[str, tuple[float, float, float]] = {
    "white": (0.95, 0.94, 0.90),
    "cream": (0.95, 0.89, 0.70),
    "yellow": (0.96, 0.82, 0.15),
    "gold": (0.90, 0.62, 0.08),
    "orange": (0.93, 0.45, 0.10),
    "red": (0.78, 0.09, 0.12),
    "crimson": (0.58, 0.05, 0.20),
    "pink": (0.93, 0.55, 0.70),
    "magenta": (0.80, 0.20, 0.55),
    "lilac": (0.72, 0.58, 0.86),
    "purple": (0.47, 0.22, 0.66),
    "blue": (0.34, 0.42, 0.85),
    "green": (0.50, 0.62, 0.22),
    "brown": (0.33, 0.19, 0.09),
    "black": (0.12, 0.08, 0.10),
}
"""Red, green, blue in [0, 1], as in daylight."""


@dataclass(frozen=True, slots=True)
class Species:
    """How the blossoms of one species vary. A pair is the range of a uniform draw; lengths are in units of the blossom's radius."""

    name: str
    petals: tuple[int, int]
    """Petals of one whorl."""
    whorls: tuple[int, int]
    width: Range
    """Petal width / room that it has in its whorl; above 1 petals overlap."""
    base: Range
    """Exponent of the outline at the foot: 0.4 broad, 1.5 a narrow claw."""
    tip: Range
    """Exponent of the outline at the tip: 0.3 blunt, 1.2 pointed."""
    notch: Range
    """Depth of the cut in the tip."""
    wave: Range
    """Amplitude of a ruffled margin."""
    colours: tuple[str, ...]
    eye: Range
    """Radius of the petals' differently coloured foot."""
    eye_colours: tuple[str, ...]
    vein: Range
    """Strength of the veins, 0 to 1."""
    disc: Range
    """Radius of the flower's middle."""
    disc_colours: tuple[str, ...]
    stamens: tuple[int, int]
    reach: Range
    """Length of the stamens."""


SPECIES: tuple[Species, ...] = (
    Species("daisy", (14, 24), (1, 1), (0.7, 1.05), (0.5, 0.8), (0.3, 0.5), (0, 0.06), (0, 0.02),
            ("white", "white", "pink", "yellow"), (0, 0.2), ("cream", "pink"), (0.0, 0.3), (0.22, 0.32), ("gold", "yellow"), (0, 0), (0, 0)),
    Species("aster", (20, 32), (1, 2), (0.5, 0.85), (0.5, 0.8), (0.5, 0.8), (0, 0.0), (0, 0.02),
            ("lilac", "purple", "pink", "white"), (0, 0.2), ("white", "lilac"), (0.0, 0.3), (0.17, 0.27), ("gold", "orange", "yellow"), (0, 0), (0, 0)),
    Species("sunflower", (16, 26), (2, 2), (0.8, 1.2), (0.6, 0.9), (0.7, 1.1), (0, 0.0), (0, 0.02),
            ("yellow", "gold", "orange"), (0, 0.3), ("orange", "brown"), (0.1, 0.5), (0.30, 0.44), ("brown", "black", "gold"), (0, 0), (0, 0)),
    Species("gerbera", (18, 28), (3, 3), (0.7, 1.1), (0.5, 0.8), (0.35, 0.6), (0, 0.08), (0, 0.02),
            ("red", "orange", "pink", "yellow", "white"), (0.1, 0.35), ("yellow", "crimson", "white"), (0.0, 0.4), (0.17, 0.30), ("black", "gold", "green"), (0, 0), (0, 0)),
    Species("dahlia", (13, 20), (3, 4), (0.75, 1.15), (0.6, 0.9), (0.55, 1.0), (0, 0.0), (0, 0.03),
            ("red", "magenta", "orange", "purple", "white", "yellow"), (0.0, 0.3), ("yellow", "crimson", "white"), (0.0, 0.3), (0.08, 0.16), ("gold", "green"), (0, 0), (0, 0)),
    Species("cosmos", (7, 9), (1, 1), (0.95, 1.25), (0.6, 0.9), (0.2, 0.32), (0.03, 0.12), (0.01, 0.04),
            ("pink", "magenta", "white", "crimson"), (0.0, 0.3), ("magenta", "white", "crimson"), (0.2, 0.7), (0.12, 0.20), ("gold", "yellow"), (0, 8), (0.16, 0.24)),
    Species("primrose", (5, 6), (1, 1), (0.95, 1.25), (0.6, 0.9), (0.25, 0.4), (0.10, 0.22), (0.0, 0.03),
            ("yellow", "cream", "pink", "purple", "white"), (0.25, 0.42), ("gold", "yellow", "orange"), (0.0, 0.4), (0.06, 0.10), ("green", "yellow"), (0, 5), (0.08, 0.14)),
    Species("buttercup", (5, 6), (1, 2), (1.05, 1.35), (0.5, 0.7), (0.28, 0.45), (0.0, 0.06), (0.0, 0.02),
            ("yellow", "yellow", "gold", "cream", "white"), (0.0, 0.25), ("gold", "green"), (0.0, 0.4), (0.10, 0.16), ("green", "gold"), (18, 34), (0.20, 0.32)),
    Species("poppy", (4, 4), (1, 2), (1.25, 1.5), (0.4, 0.6), (0.2, 0.35), (0.0, 0.05), (0.03, 0.08),
            ("red", "orange", "red", "pink", "white", "yellow"), (0.15, 0.4), ("black", "crimson", "white"), (0.1, 0.6), (0.11, 0.18), ("green", "black"), (18, 40), (0.20, 0.34)),
    Species("anemone", (6, 8), (1, 2), (1.0, 1.3), (0.45, 0.65), (0.3, 0.5), (0.0, 0.05), (0.0, 0.03),
            ("white", "lilac", "blue", "purple", "pink", "red"), (0.1, 0.35), ("white", "cream"), (0.1, 0.5), (0.13, 0.20), ("black", "black", "purple"), (18, 40), (0.22, 0.36)),
    Species("periwinkle", (5, 5), (1, 1), (0.85, 1.1), (0.7, 1.1), (0.22, 0.35), (0.0, 0.08), (0.0, 0.02),
            ("blue", "lilac", "purple", "pink", "white"), (0.12, 0.3), ("white", "magenta", "cream"), (0.0, 0.3), (0.04, 0.08), ("cream", "white"), (0, 0), (0, 0)),
    Species("lily", (6, 6), (1, 1), (0.7, 1.05), (0.6, 0.9), (0.8, 1.15), (0.0, 0.0), (0.0, 0.04),
            ("white", "pink", "orange", "yellow", "magenta"), (0.2, 0.5), ("yellow", "green", "white", "magenta"), (0.2, 0.8), (0.05, 0.09), ("green", "yellow"), (6, 6), (0.42, 0.62)),
    Species("clematis", (6, 8), (1, 1), (0.8, 1.1), (0.55, 0.85), (0.6, 0.95), (0.0, 0.0), (0.02, 0.06),
            ("purple", "blue", "lilac", "magenta", "white", "pink"), (0.0, 0.25), ("white", "magenta", "lilac"), (0.4, 1.0), (0.09, 0.15), ("cream", "green", "purple"), (20, 32), (0.22, 0.34)),
    Species("carnation", (8, 12), (3, 4), (1.1, 1.4), (0.5, 0.7), (0.2, 0.32), (0.0, 0.06), (0.06, 0.13),
            ("pink", "red", "white", "magenta", "crimson", "yellow"), (0.0, 0.3), ("white", "crimson"), (0.0, 0.3), (0.02, 0.06), ("cream", "pink"), (0, 0), (0, 0)),
)
"""At least two species share each trait: daisy, aster and gerbera differ in petals and disc, primrose and periwinkle in notch and eye, and so on."""
