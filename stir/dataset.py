"""Open a dataset, packed or unpacked, and select images from it by split and scale."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from stir import archive, schema
from stir.catalogue import BUILT_IN, DATASETS, slug
from stir.errors import StirError
from stir.terminal import counted, near

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset

SHUFFLE_SEED = 42  # as published: one shuffle, the same for every run
BATCH = 256  # images moved at a time


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What is known of a dataset without its images; ``instances`` are those of a class."""

    name: str
    path: Path
    fingerprint: str
    num_classes: int
    instances: int
    num_channels: int


class STIRDataset:
    """The images of one dataset, with the size and place of the object in each.

    ``path`` is an ``.npz`` file, or a folder made by ``stir.unpack``, whose arrays are mapped
    into memory and so shared between processes. Pixels stay uint8 here; ``to_numpy`` and
    ``to_torch`` are the ones that make floating-point copies.

    The methods ``to_numpy``, ``to_torch`` and ``get_latents`` and the attributes are those of
    the class published with the benchmark.
    """

    def __init__(self, path: str | Path = "data/emoji.npz", *, name: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise StirError(f"A dataset must be a file or an unpacked folder; {path} is not there.")
        is_unpacked = self.path.is_dir()
        arrays = _mapped(self.path) if is_unpacked else schema.read(self.path)
        if found := schema.form_faults(arrays):
            raise StirError(f"{path} is not a STIR file: {found[0]}")
        self.images: NDArray[np.uint8] = arrays["imgs"]
        self.labels = arrays["lbls"]
        self.scales = arrays["scls"]
        self.positions = arrays["psts"]
        self.labeldata = arrays["lbldata"]
        self.metadata: dict[str, str] = dict(arrays["metadata"].tolist())
        self.name = name or _name(self.metadata.get("title", ""), self.path)

    def __repr__(self) -> str:
        parts = (
            counted(self.num_classes, "class", "classes"),
            counted(self.images.shape[3], "instance"),
            counted(self.num_channels, "channel"),
        )
        return f"STIRDataset({self.name!r}: {', '.join(parts)})"

    @property
    def num_classes(self) -> int:
        return self.images.shape[2]

    @property
    def num_channels(self) -> int:
        return 1 if self.images.ndim == 6 else 3

    @cached_property
    def fingerprint(self) -> str:
        """What the arrays hash to; equal for equal values, however the file stores them."""
        return schema.fingerprint(
            {
                "imgs": self.images,
                "lbls": self.labels,
                "scls": self.scales,
                "psts": self.positions,
            }
        )

    def faults(self) -> list[str]:
        """What is wrong with the values, one sentence each, as ``stir check`` finds it."""
        return schema.faults(
            {
                "imgs": self.images,
                "lbls": self.labels,
                "scls": self.scales,
                "psts": self.positions,
                "lbldata": self.labeldata,
                "metadata": np.array(list(self.metadata.items())),
            }
        )

    @property
    def summary(self) -> DatasetSummary:
        return DatasetSummary(
            name=self.name,
            path=self.path,
            fingerprint=self.fingerprint,
            num_classes=self.num_classes,
            instances=self.images.shape[3],
            num_channels=self.num_channels,
        )

    def select(
        self,
        split: str = "train",
        scales: Iterable[int] = schema.SCALE_AXIS,
        shuffle: bool = True,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images (N, C, 64, 64) with grey levels 0..255 and labels (N,), as the file holds them.

        Samples are ordered by scale as given in ``scales``, then by class, then by instance;
        the shuffle is always the same one.
        """
        index = self._index(split, scales, shuffle)
        count = len(index[1])
        images = np.empty((count, self.num_channels, schema.CANVAS, schema.CANVAS), np.uint8)
        for start in range(0, count, BATCH):
            batch = self.images[index[0], *(axis[start : start + BATCH] for axis in index[1:])]
            if self.num_channels == 3:
                images[start : start + BATCH] = batch.transpose(0, 3, 1, 2)
            else:
                images[start : start + BATCH, 0] = batch
        return images, self.labels[index].astype(np.int64)

    def to_numpy(
        self,
        split: str = "train",
        scales: Iterable[int] = schema.SCALE_AXIS,
        shuffle: bool = True,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Images (N, C, 64, 64) as float32 from 0 to 1, and labels (N,)."""
        images, labels = self.select(split, scales, shuffle)
        return np.divide(images, 255, dtype=np.float32), labels

    def to_torch(
        self,
        split: str = "train",
        scales: Iterable[int] = schema.SCALE_AXIS,
        shuffle: bool = True,
    ) -> "TensorDataset":
        """What ``to_numpy`` gives, as a PyTorch dataset of float32 images and int64 labels."""
        import torch
        from torch.utils.data import TensorDataset

        images, labels = self.to_numpy(split, scales, shuffle)
        return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))

    def get_latents(
        self,
        split: str = "train",
        scales: Iterable[int] = schema.SCALE_AXIS,
        shuffle: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Object sides (N,) and box corners (N, 2) as x, y, in pixels, in the images' order."""
        index = self._index(split, scales, shuffle)
        return self.scales[index].astype(np.int64), self.positions[index].astype(np.int64)

    def _index(
        self, split: str, scales: Iterable[int], shuffle: bool
    ) -> tuple[int, NDArray, NDArray, NDArray]:
        """Split number, and scale, class and instance index of each sample."""
        if split not in schema.SPLITS:
            raise StirError(f"A split must be one of {', '.join(schema.SPLITS)}; got {split!r}.")
        rows = np.array([_row(scale) for scale in scales], np.intp)
        if not len(rows):
            raise StirError("At least one scale from 17 to 64 must be given; got none.")
        grid = (len(rows), *self.images.shape[2:4])
        order = np.arange(np.prod(grid))
        if shuffle:
            np.random.RandomState(SHUFFLE_SEED).shuffle(order)
        scale, number, instance = np.unravel_index(order, grid)
        return schema.SPLITS.index(split), rows[scale], number, instance


def unpack(path: str | Path, folder: str | Path) -> Path:
    """Write each array of a STIR file as its own ``.npy`` in a folder, to be mapped into memory.

    Several processes may do so at once: each fills a folder of its own, the first to rename
    wins, and a folder that is there is whole. Opened by ``STIRDataset(folder)``.
    """
    folder = Path(folder)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = archive.beside(folder)
    temporary.mkdir()
    try:
        for name, array in archive.read(path, schema.NAMES).items():
            with (temporary / f"{name}.npy").open("wb") as file:
                npy.write_array(file, array, allow_pickle=False)
                os.fsync(file.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _mapped(folder: Path) -> dict[str, NDArray]:
    """The arrays of an unpacked dataset, mapped into memory read-only."""
    try:
        return {
            name: npy.open_memmap(folder / f"{name}.npy", mode="r")
            for name in schema.NAMES
            if (folder / f"{name}.npy").is_file()
        }
    except (ValueError, EOFError) as error:
        raise StirError(
            f"An unpacked dataset is a folder of plain .npy arrays; {folder} cannot be read as "
            f"one: {error}."
        ) from error


def load(
    name_or_path: str | Path,
    data_dir: str | Path | None = None,
    *,
    beside: str | Path | None = None,
) -> STIRDataset:
    """Open a dataset by name, from ``data_dir`` ($STIR_DATA, else ``data``), or by path.

    Whatever has a path separator in it or ends in ``.npz`` is a path. What the current folder has
    not is looked for in ``beside``, the folder of the file that names the dataset.
    """
    path = locate(name_or_path, data_dir, beside=beside)
    return STIRDataset(path, name=None if _is_path(name_or_path) else str(name_or_path))


def locate(
    name_or_path: str | Path,
    data_dir: str | Path | None = None,
    *,
    beside: str | Path | None = None,
) -> Path:
    """The file that ``load`` opens, which must be there."""
    if _is_path(name_or_path):
        path, remedy = Path(name_or_path), "`stir list` shows the datasets that are"
    elif name_or_path in DATASETS:
        path, remedy = data_folder(data_dir) / f"{name_or_path}.npz", _remedy(str(name_or_path))
    else:
        raise StirError(
            f"A dataset must be one of {', '.join(DATASETS)}, that of an installed package (an "
            f"entry point in {DATASETS.group}), or a path to an .npz file; got {name_or_path!r}."
            f"{near(str(name_or_path), DATASETS)}"
        )
    places = [path]
    if beside and (Path(beside) / path).resolve() != path.resolve():
        places.append(Path(beside) / path)
    for place in places:
        if place.exists():
            return place
    missing = (
        f"{path} is not" if len(places) == 1 else f"neither {' nor '.join(map(str, places))} is"
    )
    raise StirError(f"A dataset must be there to be opened; {missing}: {remedy}.")


def _is_path(name_or_path: str | Path) -> bool:
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or os.sep in text or text.endswith(".npz")


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Where datasets are: the folder given, else $STIR_DATA, else ``data``."""
    return Path(data_dir or os.environ.get("STIR_DATA") or "data")


def _remedy(name: str) -> str:
    plain, _, published = name.partition("@")
    if published:
        return f"`stir download {plain}` fetches it"
    if name in ("emoji", "shapes", "emoji-clutter"):
        return f"`stir build {name}` makes it in seconds"
    if name not in BUILT_IN:
        return f"`stir build {name}{' --raw DIR' * DATASETS[name].needs_raw}` makes it"
    return f"`stir download {name}` fetches it, `stir build {name} --raw DIR` makes it"


def _row(scale: int) -> int:
    if scale not in schema.SCALE_AXIS:
        raise StirError(f"Scales must be whole numbers of pixels from 17 to 64; got {scale!r}.")
    return schema.SCALE_AXIS.index(int(scale))


def _name(title: str, path: Path) -> str:
    known = {facts.title: name for name, facts in BUILT_IN.items() if "@" not in name}
    return known.get(title) or slug(title) or path.stem
