"""Small data sets whose readings tell class, split and row."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

ROWS = {"train": 60, "test": 30}
IDX = {"train": "train", "test": "t10k"}
CLASS, SPLIT, ROW = range(3)  # what the first pixels of an image hold


def labels_of(split):
    """Classes in an irregular order, each equally often."""
    return (np.arange(ROWS[split]) * 7 % 10).astype(np.uint8)


def images_of(split):
    """(N, 28, 28) uint8."""
    images = np.zeros((ROWS[split], 28, 28), np.uint8)
    images[:, 0, CLASS] = labels_of(split)
    images[:, 0, SPLIT] = list(ROWS).index(split)
    images[:, 0, ROW] = np.arange(ROWS[split])
    return images


def marks(observation):
    """Class, split and row of the recording that is shown."""
    return observation["image"][0, 0, [CLASS, SPLIT, ROW]].tolist()


def write_idx(path, array, zipped=False):
    """An array of bytes in the format of MNIST."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    if zipped:
        path, content = path.with_name(f"{path.name}.gz"), gzip.compress(content)
    path.write_bytes(content)


def write_mnist(folder, name="mnist", zipped=False):
    """The four files in ``folder/name``; returns ``folder``."""
    place = Path(folder) / name
    place.mkdir(parents=True)
    for split, part in IDX.items():
        write_idx(place / f"{part}-images-idx3-ubyte", images_of(split), zipped)
        write_idx(place / f"{part}-labels-idx1-ubyte", labels_of(split), zipped)
    return str(folder)


def write_mhd(folder):
    """A small MHD, with three sounds a class and split, in ``folder/mhd``."""
    place = Path(folder) / "mhd"
    place.mkdir(parents=True)
    sounds = np.zeros((60, 1, 32, 128), np.uint8)
    sounds[:, 0, 0, CLASS] = np.arange(60) % 10
    sounds[:, 0, 0, SPLIT] = np.arange(60) // 30
    sounds[:, 0, 0, ROW] = np.arange(60)
    np.save(place / "sound.npy", sounds)
    for number, (split, rows) in enumerate(ROWS.items()):
        labels, row = labels_of(split), np.arange(rows)
        pen = np.full((rows, 200), 0.5, np.float16)
        pen[:, CLASS], pen[:, SPLIT], pen[:, ROW] = labels / 16, number, row / 64
        np.save(place / f"{split}_image.npy", images_of(split)[:, None])
        np.save(place / f"{split}_trajectory.npy", pen)
        np.save(place / f"{split}_label.npy", labels)
        heard = labels + 10 * (row % 3) + 30 * number
        np.save(place / f"{split}_sound.npy", heard.astype(np.int32))
    (place / "index.json").write_text('{"format": 1}')
    return str(folder)
