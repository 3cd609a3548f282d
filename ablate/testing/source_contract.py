"""What every source keeps, as tests: inherit, write a small set of images, run pytest.

Nothing of pytest is imported: `tmp_path` is its fixture, and it takes `unittest.SkipTest` for
a skip.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest
from unittest.mock import patch

from PIL import Image

from ablate.data.dataset import DataSet, load_data
from ablate.data.each_image import for_each
from ablate.data.images import MAX_PIXELS
from ablate.data.sources import Collection, Item, NotAvailable, source_of
from ablate.data.sources._checked import mistake_in
from ablate.data.sources._several import collect_places
from ablate.errors import DataError
from ablate.study.tasks import task_of
from ablate.study.trial import DataSpec, Fractions

_N_READ = 12
"""Images, evenly chosen, that are decoded."""
_BYTES_AN_IMAGE = 6_000
"""Bound on the memory of an image that nobody has read: its id, its label and where it lies."""
_BYTES_OF_ALL = 4_000_000
"""Bound on what a source keeps besides, such as a table's text."""


class SourceContract:
    """Inherit, set `source`, and write a set: two classes at least, and six images of each."""

    source: ClassVar[str]
    """As a grid file names it: the name of the entry point."""
    task: ClassVar[str] = "classification"
    is_drawn: ClassVar[bool] = False
    """Whether the images are made by the package itself: then nothing can be missing or damaged."""

    def write(self, data_dir: Path) -> Mapping[str, Any]:
        """Write a small set below `data_dir`; return the fields of `data` that ask for it.

        The same files whenever it is called. `split_seed` and `fractions` are added where the
        source gives no splits.
        """
        raise NotImplementedError

    def damage(self, data_dir: Path) -> None:
        """Damage one image of what `write` wrote, in whichever way; not needed where `is_drawn`."""
        raise NotImplementedError

    # What follows are the tests, and the few steps that they share.

    def test_what_it_hands_over_is_sound(self, tmp_path: Path) -> None:
        """Ids, labels, splits and texts are what `Collection` and `Item` say."""
        collection = self._collected(tmp_path)
        assert mistake_in(collection, targets=task_of(self.task).targets) is None
        assert collection.items, "a source finds at least one image"

    def test_it_finds_the_same_twice(self, tmp_path: Path) -> None:
        """The same images in the same order: what is drawn from them depends on nothing else."""
        spec = self._spec(tmp_path)
        first = self._collect(spec, tmp_path)
        again = self._collect(spec, tmp_path)
        assert _described(first) == _described(again)

    def test_a_copy_elsewhere_is_the_same_data(self, tmp_path: Path) -> None:
        """Paths of a machine, times of files and the order of a folder are no part of the data."""
        prints = set()
        for name in ("here", "a/longer way/to the data"):
            data_dir = tmp_path / name
            data_dir.mkdir(parents=True)
            prints.add(self._loaded(data_dir).facts.fingerprint)
        assert len(prints) == 1

    def test_no_fact_names_a_folder_of_this_machine(self, tmp_path: Path) -> None:
        """Records are published: they name no path above the data folder."""
        data_dir = tmp_path / "a_folder_of_mine"
        data_dir.mkdir()
        facts = self._loaded(data_dir).facts
        assert "a_folder_of_mine" not in facts.model_dump_json()

    def test_finding_images_decodes_none(self, tmp_path: Path) -> None:
        """A data set of a million images is found without opening them."""
        spec = self._spec(tmp_path)
        with patch.object(Image, "open", side_effect=_decoded_too_early):
            self._collect(spec, tmp_path)

    def test_images_that_are_not_read_need_no_memory(self, tmp_path: Path) -> None:
        """An item is where an image lies, and not the image."""
        import tracemalloc

        spec = self._spec(tmp_path)
        self._collect(spec, tmp_path)  # modules that are imported once do not count
        tracemalloc.start()
        try:
            collection = self._collect(spec, tmp_path)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept <= _BYTES_OF_ALL + _BYTES_AN_IMAGE * len(collection.items)

    def test_images_are_rgb_and_of_a_sane_size(self, tmp_path: Path) -> None:
        """As a network takes them, and the same whenever they are read."""
        for item in self._some(tmp_path):
            image = item.read()
            assert image.mode == "RGB"
            assert 0 < image.width * image.height <= MAX_PIXELS
            assert item.read().tobytes() == image.tobytes()

    def test_images_may_be_read_by_threads(self, tmp_path: Path) -> None:
        """Decoding is done in threads, in any order."""
        items = self._some(tmp_path)
        one_by_one = [_pixels(item) for item in items]
        tasks: list[Callable[[], str]] = []
        for item in reversed(items * 4):
            tasks.append(lambda item=item: _pixels(item))  # type: ignore[misc]
        assert for_each(tasks) == list(reversed(one_by_one * 4))

    def test_a_digest_tells_images_apart(self, tmp_path: Path) -> None:
        """64 hex digits that follow from the image, whatever its id and wherever it lies."""
        items = self._some(tmp_path)
        digests = [item.digest() for item in items]
        assert [item.digest() for item in items] == digests
        for digest in digests:
            assert len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        assert len(set(digests)) >= len(set(map(_pixels, items)))

    def test_a_header_is_read_as_the_image_is(self, tmp_path: Path) -> None:
        """What `look` says of an image's shape is what `read` returns."""
        for item in self._some(tmp_path):
            if item.look is not None:
                assert item.look().size == item.read().size

    def test_it_becomes_a_data_set(self, tmp_path: Path) -> None:
        """Train, val and test have images, and the record is that of the source."""
        data = self._loaded(tmp_path)
        assert data.facts.source == self.source
        assert min(data.facts.n_images.values()) > 0

    def test_what_is_not_there_is_not_available(self, tmp_path: Path) -> None:
        """The one error for which a declared fallback stands in, with a sentence that says what."""
        if self.is_drawn:
            raise SkipTest("the images are made by the package")
        with tempfile.TemporaryDirectory(dir=tmp_path) as elsewhere:
            spec = self._spec(Path(elsewhere))
        try:
            self._collect(spec, tmp_path)
        except NotAvailable as error:
            # A sentence, not a word: who reads it has nothing else to go by.
            assert len(str(error)) > 20
        else:
            raise AssertionError("must raise NotAvailable where there is nothing")

    def test_a_damaged_image_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        """DataError, and nothing else, whether it is found by finding, looking or decoding."""
        if self.is_drawn:
            raise SkipTest("the images are made by the package")
        spec = self._spec(tmp_path)
        self.damage(tmp_path)
        try:
            for item in self._collect(spec, tmp_path).items:
                item.read()
        except DataError as error:
            assert len(str(error)) > 20
        else:
            raise AssertionError("must raise DataError for a damaged image")

    def _spec(self, data_dir: Path) -> DataSpec:
        return DataSpec(source=self.source, **self.write(data_dir))

    def _collect(self, spec: DataSpec, data_dir: Path) -> Collection:
        source = source_of(self.source, field="source", task=self.task)
        return collect_places(source, spec, data_dir=data_dir)

    def _collected(self, data_dir: Path) -> Collection:
        return self._collect(self._spec(data_dir), data_dir)

    def _loaded(self, data_dir: Path) -> DataSet:
        spec = self._spec(data_dir)
        splits = {item.split for item in self._collect(spec, data_dir).items}
        if spec.fractions is None and not {"train", "val", "test"} <= splits:
            shares = Fractions(train=0.5, val=0.25, test=0.25)
            spec = spec.model_copy(update={"split_seed": 0, "fractions": shares})
        return load_data(spec, data_dir=data_dir, allow_fallback=False, task=self.task)[1]

    def _some(self, data_dir: Path) -> list[Item]:
        items = self._collected(data_dir).items
        chosen = sorted({i * len(items) // _N_READ for i in range(_N_READ)})
        return [items[i] for i in chosen]


def _described(collection: Collection) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [(collection.title, collection.version, collection.class_names)]
    for item in collection.items:
        rows.append((item.image_id, item.label, item.split, dict(item.cells)))
    return rows


def _pixels(item: Item) -> str:
    image = item.read()
    return hashlib.sha256(str(image.size).encode() + image.tobytes()).hexdigest()


def _decoded_too_early(*_: object, **__: object) -> None:
    raise AssertionError("an image was opened before anybody asked for it")
