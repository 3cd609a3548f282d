from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from ablate.data import build_store as building
from ablate.data.build_store import build_store
from ablate.data.dataset import DataSet, Split, load_data
from ablate.data.square import square
from ablate.data.store import open_store, store_key, verify_store
from ablate.errors import DataError, StoreError
from ablate.study.trial import DataSpec

SPEC = DataSpec(source="folder", path="plants")


@pytest.fixture
def data_set(plants: Path) -> DataSet:
    return load_data(SPEC, data_dir=plants, allow_fallback=False)[1]


def test_a_store_holds_every_image_of_every_split(data_set: DataSet, tmp_path: Path) -> None:
    built = build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    assert (built.side, built.class_names) == (16, ("fern", "moss", "rose"))
    for name, split in data_set.splits.items():
        stored = built.split(name)
        assert stored.image_ids == split.image_ids
        np.testing.assert_array_equal(stored.labels, split.labels)
        images = stored.images
        assert isinstance(images, np.ndarray)
        assert (images.shape, images.dtype) == (
            (len(split.labels), 16, 16, 3),
            np.uint8,
        )
        for i in range(len(split.labels)):
            expected = square(split.read(i), side=16, resample=Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(images[i], expected)
        assert not images.flags.writeable


@pytest.mark.parametrize("size", [(24, 18), (17, 40), (30, 30), (13, 9), (160, 161), (16, 16)])
def test_resizing_equals_torchvision(size: tuple[int, int]) -> None:
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    )
    oracle = v2.Compose(
        [v2.Resize(16, interpolation=v2.InterpolationMode.BICUBIC), v2.CenterCrop(16)]
    )
    np.testing.assert_array_equal(
        square(image, side=16, resample=Image.Resampling.BICUBIC), np.asarray(oracle(image))
    )


def test_a_sliver_does_not_grow_without_bound() -> None:
    assert square(
        Image.new("RGB", (1, 50_000), "red"), side=64, resample=Image.Resampling.BICUBIC
    ).shape == (64, 64, 3)


def test_a_good_store_is_not_built_again(data_set: DataSet, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    for _ in range(2):
        build_store(
            data_set,
            home=tmp_path / "home",
            side=16,
            interpolation="bicubic",
            on_progress=lambda done, n: calls.append((done, n)),
        )
    assert calls == [(done, 24) for done in range(1, 25)]


def test_another_side_interpolation_or_content_is_another_store(
    data_set: DataSet, plants: Path, tmp_path: Path, make_image: Callable[..., Path]
) -> None:
    kinds = ((16, "bicubic"), (16, "bilinear"), (12, "bicubic"))
    paths = [
        build_store(data_set, home=tmp_path / "home", side=side, interpolation=interpolation).path
        for side, interpolation in kinds
    ]
    make_image(plants / "plants" / "train" / "rose" / "0.png", seed=5)
    changed = load_data(SPEC, data_dir=plants, allow_fallback=False)[1]
    paths.append(
        build_store(changed, home=tmp_path / "home", side=16, interpolation="bicubic").path
    )
    assert len(set(paths)) == 4


def test_one_damaged_image_is_named_and_nothing_is_left(plants: Path, tmp_path: Path) -> None:
    path = plants / "plants" / "val" / "rose" / "1.png"
    path.write_bytes(path.read_bytes()[:-40])
    damaged = load_data(SPEC, data_dir=plants, allow_fallback=False)[1]
    with pytest.raises(DataError) as error:
        build_store(damaged, home=tmp_path / "home", side=16, interpolation="bicubic")
    assert str(error.value) == (
        "an image must be a whole JPEG, PNG, BMP, GIF, TIFF, WebP or PPM file, got a damaged one: "
        "val/rose/1.png; replace or remove it."
    )
    assert [path.suffix for path in (tmp_path / "home" / "images").iterdir()] == [".lock"]


def test_all_damaged_images_are_named_at_once(plants: Path, tmp_path: Path) -> None:
    for name in ("val/rose/1.png", "train/fern/2.png"):
        path = plants / "plants" / name
        path.write_bytes(path.read_bytes()[:-40])
    damaged = load_data(SPEC, data_dir=plants, allow_fallback=False)[1]
    with pytest.raises(DataError) as error:
        build_store(damaged, home=tmp_path / "home", side=16, interpolation="bicubic")
    rule = (
        "an image must be a whole JPEG, PNG, BMP, GIF, TIFF, WebP or PPM file, got a damaged one:"
    )
    assert str(error.value) == (
        f"2 images cannot be read:\n{rule} train/fern/2.png; replace or remove it.\n{rule} "
        "val/rose/1.png; replace or remove it."
    )


def test_a_damaged_store_is_refused_and_then_built_again(data_set: DataSet, tmp_path: Path) -> None:
    built = build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    array = built.path / "val.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1])
    with pytest.raises(StoreError) as error:
        open_store(built.path)
    assert str(error.value) == (
        f"an image store must be whole, {built.path} is not (val.npy has {len(whole) - 1} bytes "
        f"instead of {len(whole)}); remove it, and it is built again."
    )
    build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    assert array.read_bytes() == whole


def test_a_flipped_bit_is_found_by_the_digest(data_set: DataSet, tmp_path: Path) -> None:
    built = build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    verify_store(built.path)
    array = built.path / "train.npy"
    flipped = bytearray(array.read_bytes())
    flipped[-1] ^= 1
    array.write_bytes(flipped)
    with pytest.raises(StoreError) as error:
        verify_store(built.path)
    assert (
        str(error.value)
        == f"an image store must hold what was written, train.npy of {built.path} does not; remove "
        "the folder, and it is built again."
    )


def test_a_pickle_in_a_store_is_not_loaded(data_set: DataSet, tmp_path: Path) -> None:
    built = build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    np.save(built.path / "val.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    meta = json.loads((built.path / "meta.json").read_text())
    meta["splits"]["val"]["n_bytes"] = (built.path / "val.npy").stat().st_size
    (built.path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match="must be whole"):
        open_store(built.path)


def test_what_a_killed_builder_left_is_in_nobodys_way(data_set: DataSet, tmp_path: Path) -> None:
    key = store_key(data_set.facts.fingerprint, side=16, interpolation="bicubic")
    for name in (key, f"{key}.partial"):
        (tmp_path / "home" / "images" / name).mkdir(parents=True)
        (tmp_path / "home" / "images" / name / "train.npy").write_bytes(b"half")
    assert (
        build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic").path.name
        == key
    )
    assert sorted(path.name for path in (tmp_path / "home" / "images").iterdir()) == [
        key,
        f"{key}.lock",
    ]


def test_builders_at_the_same_time_build_once(data_set: DataSet, tmp_path: Path) -> None:
    progress: list[int] = []
    stores = []

    def build() -> None:
        stores.append(
            build_store(
                data_set,
                home=tmp_path / "home",
                side=16,
                interpolation="bicubic",
                on_progress=lambda done, _: progress.append(done),
            )
        )

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    assert progress == list(range(1, 25))


def test_an_unknown_interpolation(data_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        build_store(data_set, home=tmp_path, side=16, interpolation="bicubical")
    assert (
        str(error.value)
        == "interpolation must be one of nearest, box, bilinear, hamming, bicubic, lanczos, got "
        "'bicubical'; did you mean bicubic?"
    )


def test_a_home_that_cannot_be_written(data_set: DataSet, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError) as error:
        build_store(data_set, home=tmp_path / "home", side=16, interpolation="bicubic")
    assert str(error.value) == (
        f"the image store must be writable, {tmp_path / 'home' / 'images'} is not (Not a "
        "directory); choose another home with ABLATE_HOME."
    )


def test_a_disk_that_is_too_small(data_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError,
        match=(
            r"^the image store needs 72000001\.8 GB in .*, where .* GB are free; make room, or "
            r"ask for fewer images\.$"
        ),
    ):
        build_store(data_set, home=tmp_path, side=31_622_777, interpolation="bicubic")


@pytest.mark.parametrize("harm", ["none", "pixels", "last line", "array"])
def test_a_build_that_was_interrupted_is_taken_up(
    data_set: DataSet, tmp_path: Path, harm: str
) -> None:
    def stop(n_done: int, n_all: int) -> None:
        if n_done == 10:
            raise KeyboardInterrupt

    home = tmp_path / "home"
    with pytest.raises(KeyboardInterrupt):
        build_store(data_set, home=home, side=16, interpolation="bicubic", on_progress=stop)
    (partial,) = (home / "images").glob("*.partial")
    lines = (partial / "done.txt").read_text().splitlines()
    name, place, _ = lines[0].split()
    n_sound = len(lines)
    assert n_sound >= 10
    if harm == "pixels":
        array = np.load(partial / f"{name}.npy", mmap_mode="r+")
        array[int(place)] ^= 1
        array.flush()
        n_sound -= 1
    elif harm == "last line":
        (partial / "done.txt").write_text("\n".join(lines)[:-3])
        n_sound -= 1
    elif harm == "array":
        (partial / f"{name}.npy").write_bytes(b"short")
        n_sound -= sum(line.startswith(f"{name} ") for line in lines)
    calls: list[tuple[int, int]] = []
    resumed = build_store(
        data_set,
        home=home,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, n: calls.append((done, n)),
    )
    assert calls == [(done, 24) for done in range(n_sound + 1, 25)]
    verify_store(resumed.path)
    whole = build_store(data_set, home=tmp_path / "other", side=16, interpolation="bicubic")
    assert {path.name for path in resumed.path.iterdir()} == {
        path.name for path in whole.path.iterdir()
    }
    for split in data_set.splits:
        np.testing.assert_array_equal(resumed.split(split).images, whole.split(split).images)


def shorter_side(data_set: DataSet) -> int:
    train = data_set.splits["train"]
    return max(min(train.read(i).size) for i in range(len(train.labels)))


def test_a_finer_train_split_holds_the_same_squares_with_more_pixels(
    data_set: DataSet, tmp_path: Path
) -> None:
    plain = build_store(data_set, home=tmp_path / "home", side=8, interpolation="bicubic")
    built = build_store(data_set, home=tmp_path / "home", side=8, interpolation="bicubic", fine=12)
    assert plain.split("train").fine is None
    assert (built.path.name, built.clean_key) == (f"{plain.path.name}-12", plain.clean_key)
    train = built.split("train")
    assert isinstance(train.fine, np.ndarray)
    assert train.fine.shape == (len(train.labels), 12, 12, 3)
    assert not train.fine.flags.writeable
    for i in range(len(train.labels)):
        np.testing.assert_array_equal(
            train.fine[i],
            square(data_set.splits["train"].read(i), side=12, resample=Image.Resampling.BICUBIC),
        )
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(built.split(name).images, plain.split(name).images)
    assert built.split("val").fine is None
    verify_store(built.path)


def test_a_finer_split_has_no_more_pixels_than_the_images(
    data_set: DataSet, tmp_path: Path
) -> None:
    most = shorter_side(data_set)
    fine = (
        build_store(data_set, home=tmp_path, side=8, interpolation="bicubic", fine=10 * most)
        .split("train")
        .fine
    )
    assert fine is not None and fine.shape[1] == most
    assert (
        build_store(data_set, home=tmp_path, side=most, interpolation="bicubic", fine=2 * most)
        .split("train")
        .fine
        is None
    )
    enlarged = (
        build_store(data_set, home=tmp_path, side=2 * most, interpolation="bicubic", fine=3 * most)
        .split("train")
        .fine
    )
    assert (
        enlarged is not None and enlarged.shape[1] == most
    )  # a crop of the enlarged squares would be resized twice


def test_a_large_data_set_is_kept_at_a_lower_resolution(
    data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_images = len(data_set.splits["train"].labels)
    monkeypatch.setattr(building, "MAX_FINE_BYTES", n_images * 3 * 100 + 5)
    fine = (
        build_store(data_set, home=tmp_path, side=8, interpolation="bicubic", fine=12)
        .split("train")
        .fine
    )
    assert fine is not None and fine.shape[1] == 10


def test_a_flipped_bit_of_the_finer_split_is_found(data_set: DataSet, tmp_path: Path) -> None:
    built = build_store(data_set, home=tmp_path, side=8, interpolation="bicubic", fine=12)
    array = built.path / "fine.npy"
    flipped = bytearray(array.read_bytes())
    flipped[-1] ^= 1
    array.write_bytes(flipped)
    with pytest.raises(
        StoreError,
        match=(
            r"^an image store must hold what was written, fine\.npy of .* does not; remove the "
            r"folder, and it is built again\.$"
        ),
    ):
        verify_store(built.path)


def test_an_interrupted_build_with_a_finer_split_decodes_the_spoilt_image_again(
    data_set: DataSet, tmp_path: Path
) -> None:
    def stop(n_done: int, n_all: int) -> None:
        if n_done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(
            data_set,
            home=tmp_path / "home",
            side=8,
            interpolation="bicubic",
            fine=12,
            on_progress=stop,
        )
    (partial,) = (tmp_path / "home" / "images").glob("*.partial")
    array = np.load(partial / "fine.npy", mmap_mode="r+")
    array[0] ^= 1
    array.flush()
    resumed = build_store(
        data_set, home=tmp_path / "home", side=8, interpolation="bicubic", fine=12
    )
    whole = build_store(data_set, home=tmp_path / "other", side=8, interpolation="bicubic", fine=12)
    np.testing.assert_array_equal(resumed.split("train").fine, whole.split("train").fine)


def test_a_full_disk_is_said_and_the_same_command_goes_on(
    data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    written = os.pwrite
    n_left = 9

    def full(*arguments: object) -> int:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError) as error:
        build_store(data_set, home=home, side=16, interpolation="bicubic")
    assert str(error.value) == (
        f"the image store needs more room in {home / 'images'} than the disk has (No space left on "
        "device); "
        "make room, and the same command goes on where it stopped."
    )
    monkeypatch.setattr(os, "pwrite", written)
    calls: list[int] = []
    resumed = build_store(
        data_set,
        home=home,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, _: calls.append(done),
    )
    assert calls[0] > 1 and calls[-1] == 24
    verify_store(resumed.path)


def test_a_meta_file_that_does_not_fit_on_the_disk_loses_no_image(
    data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(building, "_write_durably", full)
        with pytest.raises(StoreError, match=r"needs more room"):
            build_store(data_set, home=tmp_path, side=16, interpolation="bicubic")
    calls: list[int] = []
    build_store(
        data_set,
        home=tmp_path,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, _: calls.append(done),
    )
    assert calls == []


@pytest.mark.parametrize("kind", ["flip", "cut", "other"])
def test_a_damaged_meta_file_is_never_believed(
    data_set: DataSet, tmp_path: Path, kind: str
) -> None:
    built = build_store(data_set, home=tmp_path, side=16, interpolation="bicubic", fine=17)
    meta = built.path / "meta.json"
    whole = meta.read_bytes()
    rng = np.random.default_rng(0)
    others = [
        b"",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"side": "x"}',
        b'{"splits": []}',
        b"[" * 5000,
        b"\xff\xfe",
        b'{"side": 1e999}',
    ]
    for number in range(60 if kind != "other" else len(others)):
        damaged = bytearray(whole)
        if kind == "flip":
            damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del damaged[int(rng.integers(len(whole))) :]
        else:
            damaged = bytearray(others[number])
        meta.write_bytes(damaged)
        with pytest.raises(
            StoreError,
            match=(
                r"^an image store must be whole, .* is not \(.*\); remove it, and it is built "
                r"again\.$"
            ),
        ):
            open_store(built.path)
        with pytest.raises(StoreError):
            verify_store(built.path)
    again = build_store(data_set, home=tmp_path, side=16, interpolation="bicubic", fine=17)
    assert again.split("train").image_ids == data_set.splits["train"].image_ids
    assert json.loads(meta.read_text()) == json.loads(whole)


def test_a_store_of_an_earlier_version_is_opened_and_its_labels_are_compared(
    data_set: DataSet, tmp_path: Path
) -> None:
    built = build_store(data_set, home=tmp_path, side=16, interpolation="bicubic")
    meta = json.loads((built.path / "meta.json").read_text())
    del meta["crc"]
    (built.path / "meta.json").write_text(json.dumps(meta))
    calls: list[int] = []
    build_store(
        data_set,
        home=tmp_path,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, _: calls.append(done),
    )
    assert calls == []
    meta["splits"]["train"]["labels"][0] = 2
    (built.path / "meta.json").write_text(json.dumps(meta))
    mended = build_store(
        data_set,
        home=tmp_path,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, _: calls.append(done),
    )
    assert calls[-1] == 24
    np.testing.assert_array_equal(mended.split("train").labels, data_set.splits["train"].labels)


@pytest.mark.parametrize("name", ["train.npy", "val.npy", "test.npy", "fine.npy"])
def test_a_flipped_pixel_is_found_when_the_store_is_opened_again(
    data_set: DataSet, tmp_path: Path, name: str
) -> None:
    built = build_store(data_set, home=tmp_path, side=8, interpolation="bicubic", fine=12)
    whole = (built.path / name).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    (built.path / name).write_bytes(flipped)
    build_store(data_set, home=tmp_path, side=8, interpolation="bicubic", fine=12)
    assert (built.path / name).read_bytes() == whole


def test_another_order_of_the_same_images_is_the_same_store(
    data_set: DataSet, tmp_path: Path
) -> None:
    built = build_store(data_set, home=tmp_path, side=16, interpolation="bicubic")
    train = data_set.splits["train"]
    order = np.arange(len(train.labels))[::-1]
    turned = Split(
        tuple(train.image_ids[i] for i in order),
        train.labels[order],
        lambda i: train.read(int(order[i])),
    )
    calls: list[int] = []
    again = build_store(
        DataSet(data_set.facts, {**data_set.splits, "train": turned}),
        home=tmp_path,
        side=16,
        interpolation="bicubic",
        on_progress=lambda done, _: calls.append(done),
    )
    assert calls == []
    assert again.split("train").image_ids == built.split("train").image_ids
