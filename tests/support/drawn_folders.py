"""Folders of images as developers lay them out, drawn, with traps planted in them.

Every defect is drawn by this code, so that its pixels are known.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TILE = (160, 48)
"""Width and height of a tile in pixels; some stand upright."""
DEFECTS = ("Blowhole", "Crack", "Fray")
SPLITS_OF_SHOTS = ("train", "train", "train", "valid", "test")
N_PARTS = {"Blowhole": 16, "Crack": 14, "Fray": 12, "Free": 26}


def draw_tiles(root: Path) -> Path:
    """Magnetic tiles, as the public set has them: `MT_Crack/Imgs/exp3_num_10482.jpg`.

    Each has its mask under the same name with `.png`; each part is photographed 1 to 5 times; small
    defects lie anywhere, often near an end. Traps: masks among the images, one damaged file, a
    class of two images.
    """
    rng = np.random.default_rng(7)
    numbers = rng.choice(np.arange(10_000, 400_000), size=sum(N_PARTS.values()), replace=False)
    parts = iter(map(int, numbers))
    for name, n_parts in N_PARTS.items():
        for _ in range(n_parts):
            _draw_part(root / f"MT_{name}" / "Imgs", next(parts), name, rng)
    rare = root / "MT_Uneven" / "Imgs"
    for number in (1, 2):
        rare.mkdir(parents=True, exist_ok=True)
        _save(rare / f"exp{number}_num_{500_000 + number}", _surface(rng), None)
    damaged = root / "MT_Free" / "Imgs" / "exp1_num_400001.jpg"
    damaged.write_bytes(b"\xff\xd8\xff\xe0 not much of an image")
    return root


def _draw_part(folder: Path, number: int, name: str, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    surface = _surface(rng)
    mask = None
    if name in DEFECTS:
        mask = _defect(DEFECTS.index(name), surface.shape, rng)
        surface = np.where(mask, 20 + 40 * DEFECTS.index(name), surface)
    for shot in rng.choice(6, size=rng.integers(1, 6), replace=False):
        # Another exposure: the same part, brighter or darker.
        exposed = np.clip(surface * (0.7 + 0.1 * shot) + rng.normal(0, 3, surface.shape), 0, 255)
        _save(folder / f"exp{shot + 1}_num_{number}", exposed, mask)


def _surface(rng: np.random.Generator) -> NDArray[np.float64]:
    """(height, width) grey values with stripes along the tile; one in four is upright."""
    width, height = TILE
    stripes = 120 + 25 * np.sin(np.arange(height) / rng.uniform(2, 6) + rng.uniform(0, 6))
    surface = stripes[:, None] + rng.normal(0, 12, (height, width))
    return surface.T if rng.random() < 0.25 else surface


def _defect(kind: int, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(height, width) bool: a hole, a thin line or a ragged spot, anywhere."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    row, column = rng.uniform(4, height - 4), rng.uniform(4, width - 4)
    if kind == 0:
        return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= 9)
    if kind == 1:
        on_line = np.abs(rows - row - 0.5 * (columns - column)) <= 1
        return np.asarray(on_line & (np.abs(columns - column) < 12))
    near = (rows - row) ** 2 + (columns - column) ** 2 <= 40
    return np.asarray(near & (rng.random(shape) < 0.7))


def _save(stem: Path, surface: NDArray[np.float64], mask: NDArray[np.bool_] | None) -> None:
    Image.fromarray(surface.astype(np.uint8)).save(f"{stem}.jpg", quality=92)
    if mask is None:
        mask = np.zeros(surface.shape, dtype=bool)
    Image.fromarray((255 * mask).astype(np.uint8)).save(f"{stem}.png")


def draw_leaves(root: Path) -> Path:
    """Leaves in one folder, masks in another, a table with a semicolon and columns of its own.

    Traps: masks, a row without its file, an image without a row, a plant photographed five times,
    the table's own split cutting through plants, a class that is nearly everything, copies under
    other plants.
    """
    rng = np.random.default_rng(3)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = []
    for plant in range(40):
        is_ill = plant % 10 == 0
        base = rng.integers(60, 120, size=3)
        for shot in range(5):
            number = 5 * plant + shot
            _draw_leaf(root, number, base, is_ill=is_ill, rng=rng)
            split = SPLITS_OF_SHOTS[shot]
            disease = "blight" if is_ill else "healthy"
            rows.append([f"IMG_{number:04d}.jpg", f"P{plant:03d}", split, disease, "2.5"])
    rows.append(["IMG_9999.jpg", "P999", "train", "healthy", "2.5"])
    # The same file under another plant, which may lie on another side; and one that no row names.
    for plant in range(41, 47):
        copy = f"IMG_77{plant}.jpg"
        rows.append([copy, f"P{plant:03d}", "test", "healthy", "2.5"])
        original = root / "images" / f"IMG_{5 * (plant - 40):04d}.jpg"
        (root / "images" / copy).write_bytes(original.read_bytes())
    _draw_leaf(root, 8888, np.array([90, 90, 90]), is_ill=False, rng=rng)
    (root / "masks" / "IMG_8888.png").unlink()
    with (root / "leaves.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Photo", "plant_id", "Subset", "Disease", "area"])
        writer.writerows(rows)
    return root


def _draw_leaf(
    root: Path, number: int, base: NDArray[np.int64], *, is_ill: bool, rng: np.random.Generator
) -> None:
    pixels = np.clip(base + rng.normal(0, 30, size=(60, 60, 3)), 0, 255)
    mask = np.zeros((60, 60), dtype=np.uint8)
    if is_ill:
        row, column = rng.integers(5, 50, size=2)
        pixels[row : row + 6, column : column + 6] = (200, 160, 40)
        mask[row : row + 6, column : column + 6] = 255
    Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"IMG_{number:04d}.jpg")
    Image.fromarray(mask).save(root / "masks" / f"IMG_{number:04d}.png")
