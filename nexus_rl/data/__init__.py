"""Datasets by name; a new one is one file with a loader and a line in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nexus_rl.data.dataset import Dataset
from nexus_rl.data.mhd.load import load_mhd
from nexus_rl.data.mnist import load_fashion_mnist, load_mnist
from nexus_rl.errors import choose

__all__ = ["DATASETS", "Dataset", "load_dataset"]

# Each loader takes (data_dir, download), as load_dataset does.
DATASETS: dict[str, Callable[[str | Path | None, bool], Dataset]] = {
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
    "mhd": load_mhd,
}


def load_dataset(
    name: str, data_dir: str | Path | None = None, download: bool = True
) -> Dataset:
    """The dataset called ``name`` in ``DATASETS``, whole and checked, in memory.

    ``data_dir`` holds its files, or a sub-folder ``name`` with them. Without it they
    are looked for in ``$NEXUS_RL_DATA/<name>``, the user's cache and the system's
    folder, and downloaded into the cache unless ``download`` is false; "mhd" is built
    by ``scripts/build_mhd.py`` instead. Raises ``UserError`` on an unknown name and on
    missing or wrong files.
    """
    return choose(name, DATASETS, "dataset")(data_dir, download)
