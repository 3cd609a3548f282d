"""The species of the rendered flowers.

Their ranges of shape and colour overlap on purpose, so that no single trait names a species.
"""

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
    """How the blossoms of one species vary.

    A pair is the range of a uniform draw; lengths are in units of the blossom's radius.
    """

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
    Species(
        name="daisy", petals=(14, 24), whorls=(1, 1), width=(0.7, 1.05),
        base=(0.5, 0.8), tip=(0.3, 0.5), notch=(0, 0.06), wave=(0, 0.02),
        colours=("white", "white", "pink", "yellow"), vein=(0.0, 0.3),
        eye=(0, 0.2), eye_colours=("cream", "pink"),
        disc=(0.22, 0.32), disc_colours=("gold", "yellow"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="aster", petals=(20, 32), whorls=(1, 2), width=(0.5, 0.85),
        base=(0.5, 0.8), tip=(0.5, 0.8), notch=(0, 0.0), wave=(0, 0.02),
        colours=("lilac", "purple", "pink", "white"), vein=(0.0, 0.3),
        eye=(0, 0.2), eye_colours=("white", "lilac"),
        disc=(0.17, 0.27), disc_colours=("gold", "orange", "yellow"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="sunflower", petals=(16, 26), whorls=(2, 2), width=(0.8, 1.2),
        base=(0.6, 0.9), tip=(0.7, 1.1), notch=(0, 0.0), wave=(0, 0.02),
        colours=("yellow", "gold", "orange"), vein=(0.1, 0.5),
        eye=(0, 0.3), eye_colours=("orange", "brown"),
        disc=(0.3, 0.44), disc_colours=("brown", "black", "gold"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="gerbera", petals=(18, 28), whorls=(3, 3), width=(0.7, 1.1),
        base=(0.5, 0.8), tip=(0.35, 0.6), notch=(0, 0.08), wave=(0, 0.02),
        colours=("red", "orange", "pink", "yellow", "white"), vein=(0.0, 0.4),
        eye=(0.1, 0.35), eye_colours=("yellow", "crimson", "white"),
        disc=(0.17, 0.3), disc_colours=("black", "gold", "green"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="dahlia", petals=(13, 20), whorls=(3, 4), width=(0.75, 1.15),
        base=(0.6, 0.9), tip=(0.55, 1.0), notch=(0, 0.0), wave=(0, 0.03),
        colours=("red", "magenta", "orange", "purple", "white", "yellow"), vein=(0.0, 0.3),
        eye=(0.0, 0.3), eye_colours=("yellow", "crimson", "white"),
        disc=(0.08, 0.16), disc_colours=("gold", "green"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="cosmos", petals=(7, 9), whorls=(1, 1), width=(0.95, 1.25),
        base=(0.6, 0.9), tip=(0.2, 0.32), notch=(0.03, 0.12), wave=(0.01, 0.04),
        colours=("pink", "magenta", "white", "crimson"), vein=(0.2, 0.7),
        eye=(0.0, 0.3), eye_colours=("magenta", "white", "crimson"),
        disc=(0.12, 0.2), disc_colours=("gold", "yellow"), stamens=(0, 8), reach=(0.16, 0.24),
    ),
    Species(
        name="primrose", petals=(5, 6), whorls=(1, 1), width=(0.95, 1.25),
        base=(0.6, 0.9), tip=(0.25, 0.4), notch=(0.1, 0.22), wave=(0.0, 0.03),
        colours=("yellow", "cream", "pink", "purple", "white"), vein=(0.0, 0.4),
        eye=(0.25, 0.42), eye_colours=("gold", "yellow", "orange"),
        disc=(0.06, 0.1), disc_colours=("green", "yellow"), stamens=(0, 5), reach=(0.08, 0.14),
    ),
    Species(
        name="buttercup", petals=(5, 6), whorls=(1, 2), width=(1.05, 1.35),
        base=(0.5, 0.7), tip=(0.28, 0.45), notch=(0.0, 0.06), wave=(0.0, 0.02),
        colours=("yellow", "yellow", "gold", "cream", "white"), vein=(0.0, 0.4),
        eye=(0.0, 0.25), eye_colours=("gold", "green"),
        disc=(0.1, 0.16), disc_colours=("green", "gold"), stamens=(18, 34), reach=(0.2, 0.32),
    ),
    Species(
        name="poppy", petals=(4, 4), whorls=(1, 2), width=(1.25, 1.5),
        base=(0.4, 0.6), tip=(0.2, 0.35), notch=(0.0, 0.05), wave=(0.03, 0.08),
        colours=("red", "orange", "red", "pink", "white", "yellow"), vein=(0.1, 0.6),
        eye=(0.15, 0.4), eye_colours=("black", "crimson", "white"),
        disc=(0.11, 0.18), disc_colours=("green", "black"), stamens=(18, 40), reach=(0.2, 0.34),
    ),
    Species(
        name="anemone", petals=(6, 8), whorls=(1, 2), width=(1.0, 1.3),
        base=(0.45, 0.65), tip=(0.3, 0.5), notch=(0.0, 0.05), wave=(0.0, 0.03),
        colours=("white", "lilac", "blue", "purple", "pink", "red"), vein=(0.1, 0.5),
        eye=(0.1, 0.35), eye_colours=("white", "cream"),
        disc=(0.13, 0.2), disc_colours=("black", "black", "purple"),
        stamens=(18, 40), reach=(0.22, 0.36),
    ),
    Species(
        name="periwinkle", petals=(5, 5), whorls=(1, 1), width=(0.85, 1.1),
        base=(0.7, 1.1), tip=(0.22, 0.35), notch=(0.0, 0.08), wave=(0.0, 0.02),
        colours=("blue", "lilac", "purple", "pink", "white"), vein=(0.0, 0.3),
        eye=(0.12, 0.3), eye_colours=("white", "magenta", "cream"),
        disc=(0.04, 0.08), disc_colours=("cream", "white"), stamens=(0, 0), reach=(0, 0),
    ),
    Species(
        name="lily", petals=(6, 6), whorls=(1, 1), width=(0.7, 1.05),
        base=(0.6, 0.9), tip=(0.8, 1.15), notch=(0.0, 0.0), wave=(0.0, 0.04),
        colours=("white", "pink", "orange", "yellow", "magenta"), vein=(0.2, 0.8),
        eye=(0.2, 0.5), eye_colours=("yellow", "green", "white", "magenta"),
        disc=(0.05, 0.09), disc_colours=("green", "yellow"), stamens=(6, 6), reach=(0.42, 0.62),
    ),
    Species(
        name="clematis", petals=(6, 8), whorls=(1, 1), width=(0.8, 1.1),
        base=(0.55, 0.85), tip=(0.6, 0.95), notch=(0.0, 0.0), wave=(0.02, 0.06),
        colours=("purple", "blue", "lilac", "magenta", "white", "pink"), vein=(0.4, 1.0),
        eye=(0.0, 0.25), eye_colours=("white", "magenta", "lilac"),
        disc=(0.09, 0.15), disc_colours=("cream", "green", "purple"),
        stamens=(20, 32), reach=(0.22, 0.34),
    ),
    Species(
        name="carnation", petals=(8, 12), whorls=(3, 4), width=(1.1, 1.4),
        base=(0.5, 0.7), tip=(0.2, 0.32), notch=(0.0, 0.06), wave=(0.06, 0.13),
        colours=("pink", "red", "white", "magenta", "crimson", "yellow"), vein=(0.0, 0.3),
        eye=(0.0, 0.3), eye_colours=("white", "crimson"),
        disc=(0.02, 0.06), disc_colours=("cream", "pink"), stamens=(0, 0), reach=(0, 0),
    ),
)  # fmt: skip
"""At least two species share each trait.

Daisy, aster and gerbera differ in petals and disc, primrose and periwinkle in notch and eye, and
so on.
"""
