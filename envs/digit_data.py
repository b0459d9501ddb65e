"""Recordings of ten classes that the sensors of ``DigitDial`` show, read with NumPy."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

CLASSES = 10
SPLITS = {"train": "train", "test": "t10k"}  # and the names of their IDX files
VARIABLE = "NEXUS_RL_DATA"
# Where data sets are besides.
USUAL = {
    "mhd": Path("data/mhd"),
    "fashion_mnist": Path("/usr/share/datasets/fashion-mnist"),
}

Array = NDArray[Any]


class DataError(gym.error.Error):
    """Recordings are missing or broken; the message says how to get them."""


@dataclass(eq=False)
class Recordings:
    """Rows of several sensors: what belongs together, and the class it is of.

    ``labels`` (N,) are the classes 0 to 9. ``arrays`` holds, by sensor, uint8 or floats
    in [0, 1], (N, *shape), or (K, *shape) where ``shared`` has the sensor: row i shows
    item ``shared[sensor][i]``. ``formats`` says how a sensor's readings are made.
    Raises ``DataError`` if a class is missing.
    """

    labels: Array
    arrays: Mapping[str, Array]
    formats: Mapping[str, str]
    shared: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._counts = np.bincount(self.labels, minlength=CLASSES)
        if len(self._counts) > CLASSES or not self._counts.all():
            raise DataError(
                f"expected recordings of the classes 0 to {CLASSES - 1}, "
                f"found {np.flatnonzero(self._counts).tolist()}"
            )
        self._first = np.cumsum(self._counts) - self._counts
        self._by_class = np.argsort(self.labels, kind="stable")

    def rows(self, classes: Array | int, chance: Array | float) -> Array:
        """Rows (...) of ``classes``, chosen by numbers in [0, 1) of that shape."""
        counts = self._counts[classes]
        # The product of a number just below 1 may be rounded up.
        nth = np.minimum(np.floor(chance * counts).astype(np.int64), counts - 1)
        rows: Array = self._by_class[self._first[classes] + nth]
        return rows

    def show(self, rows: Array) -> dict[str, Array]:
        """New arrays by sensor, (..., *shape), of ``rows`` (...); floats as float32."""
        readings = {}
        for sensor, array in self.arrays.items():
            items = self.shared[sensor][rows] if sensor in self.shared else rows
            kept = np.uint8 if array.dtype == np.uint8 else np.float32
            readings[sensor] = np.array(array[items], dtype=kept)
        return readings


def load_recordings(data: str, split: str, folder: str | None = None) -> Recordings:
    """The recordings of one split of a data set, shared by all who ask for them.

    They are looked for in ``folder`` or its sub-folder named like the data set; without
    one in ``$NEXUS_RL_DATA/<data>``, where they usually are, and the user's cache.
    Raises ``DataError`` if they are missing or broken, ``ValueError`` for an unknown
    data set or split.
    """
    if not isinstance(data, str) or data not in SOURCES:
        raise ValueError(f"data must be one of {', '.join(SOURCES)}, got {data!r}")
    if not isinstance(folder, str | os.PathLike | None):
        raise ValueError(f"folder must be a path, got {folder!r}")
    if split not in SPLITS:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    read, needed, advice = SOURCES[data]
    places = _places(data, folder)
    for place in places:
        if all(_path(place, name) for name in needed):
            return read(data, split, place.resolve())
    tried = "\n".join(f"  {place}" for place in places)
    raise DataError(
        f"the recordings of {data!r} are in none of\n{tried}\nName the folder that has "
        f"{', '.join(needed)} (folder=..., or ${VARIABLE} if it is there as {data}).\n"
        + advice.format(data=data, place=places[-1 if folder is None else 0])
    )


def _places(data: str, folder: str | None) -> list[Path]:
    if folder is not None:
        given = Path(folder).expanduser()
        return [given / data, given]
    root = os.environ.get(VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    places = [Path(root).expanduser() / data] if root else []
    places += [place for name, place in USUAL.items() if name == data]
    return [*places, cache / "nexus_rl" / data]


def _path(folder: Path, name: str) -> Path | None:
    """A file, plain or gzipped, if it is there."""
    return next(
        (path for end in ("", ".gz") if (path := folder / f"{name}{end}").is_file()),
        None,
    )


@lru_cache(maxsize=8)
def _read_mnist(data: str, split: str, folder: Path) -> Recordings:
    part = SPLITS[split]
    images = _read_idx(_path(folder, f"{part}-images-idx3-ubyte"), 3)
    labels = _read_idx(_path(folder, f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} images, but {len(labels)} labels")
    return Recordings(labels, {"image": images[:, None]}, {"image": f"of {data}"})


def _read_idx(path: Path | None, axes: int) -> Array:
    """The bytes of an IDX file: a header of big-endian sizes, then the items."""
    assert path is not None
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; replace it") from error
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start].ljust(4 * axes, b"\0"), ">u4").tolist()
    size = start + math.prod(shape)
    if content[:4] != bytes([0, 0, 8, axes]) or len(content) != size:
        raise DataError(f"{path} is no whole IDX file with {axes} axes; replace it")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _read_mhd(data: str, split: str, folder: Path) -> Recordings:
    """Arrays stay on disk, mapped into memory, but for labels and references."""
    again = f"build it again: python scripts/build_mhd.py --out {folder} --overwrite"

    def read(name: str, shape: tuple[int, ...]) -> Array:
        path = folder / f"{name}.npy"
        try:
            array: Array = np.lib.format.open_memmap(path, mode="r")
            expected = files[path.name]["sha256"] if path.name in files else None
            found = _sha256(path) if expected else None
        except Exception as error:  # damaged files break NumPy's reader in many ways
            raise DataError(f"{path} cannot be read: {error}; {again}") from error
        if found != expected:
            raise DataError(f"{path} has changed since it was built; {again}")
        if array.shape[1:] != shape:
            raise DataError(f"{path}: rows of {array.shape[1:]}, not {shape}; {again}")
        return array

    path = folder / "index.json"
    try:
        index = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}; {again}") from error
    if not isinstance(index, dict) or index.get("format") != 1:
        raise DataError(f"{path} is damaged or of another format; {again}")
    files = index.get("files", {})
    labels = np.array(read(f"{split}_label", ()))
    sound = np.array(read(f"{split}_sound", ()))
    arrays = {
        "image": read(f"{split}_image", (1, 28, 28)),
        "trajectory": read(f"{split}_trajectory", (200,)),
        "sound": read("sound", (1, 32, 128)),
    }
    sizes = {len(labels), len(sound), len(arrays["image"]), len(arrays["trajectory"])}
    heard = sound.min(initial=0) >= 0 and sound.max(initial=0) < len(arrays["sound"])
    if len(sizes) > 1 or not heard:
        raise DataError(f"{folder}: the {split} arrays do not fit together; {again}")
    formats = {
        "image": "of mhd",
        "trajectory": "of mhd, 100 x then 100 y downwards",
        "sound": "of mhd, log-mel, time then bands",
    }
    return Recordings(labels, arrays, formats, {"sound": sound})


class Source(NamedTuple):
    """How a data set is read, what its folder has, and how one gets it."""

    read: Callable[[str, str, Path], Recordings]
    needed: tuple[str, ...]
    advice: str


_MNIST = Source(
    _read_mnist,
    tuple(
        f"{part}-{kind}-ubyte"
        for part in SPLITS.values()
        for kind in ("images-idx3", "labels-idx1")
    ),
    'Download them into the cache, python -c "from nexus_rl.data import load_dataset; '
    "load_dataset('{data}')\"",
)
_MHD = Source(
    _read_mhd,
    ("index.json",),  # it is written last
    "Build them: python scripts/build_mhd.py --out {place}",
)
SOURCES = {"mhd": _MHD, "mnist": _MNIST, "fashion_mnist": _MNIST}
