"""Of how many hands and voices each part of MHD is, and which of them both share."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np

from nexus_rl.data.mhd.store import PARTS, Array, Folder


def sides(folder: Folder) -> dict[str, Any]:
    """Counts of each part, and which share of the test rows the training part knows.

    "train" and "test" have the numbers of distinct exemplars, writers, recordings and
    speakers; "known" the shares of test rows whose exemplar, and so on, some training
    row has too; "largest" the shares of the one that most test rows are of; "fewest"
    how many there are of the digit that has fewest, in the test part. Empty where these
    are not known, as in the authors' files.
    """
    if not folder.has(*(f"{part}_exemplar" for part in PARTS)):
        return {}
    found: dict[str, dict[str, Array]] = {}
    writers = _column(folder, "exemplars", "writer")
    speakers = _column(folder, "recordings", "source", "speaker")
    for part in PARTS:
        exemplar, sound = (folder.read(f"{part}_{n}") for n in ("exemplar", "sound"))
        found[part] = {
            "exemplars": exemplar,
            "writers": writers[exemplar],
            "recordings": sound,
            "speakers": speakers[sound],
        }
    counts = {
        part: {name: len(np.unique(each)) for name, each in of_part.items()}
        for part, of_part in found.items()
    }
    known = {
        name: round(float(np.isin(each, found["train"][name]).mean()), 4)
        for name, each in found["test"].items()
    }
    labels = folder.read("test_label")
    largest = {
        name: round(float(np.unique(each, return_counts=True)[1].max() / len(each)), 4)
        for name, each in found["test"].items()
    }
    fewest = {
        name: min(len(np.unique(each[labels == digit])) for digit in np.unique(labels))
        for name, each in found["test"].items()
    }
    return {**counts, "known": known, "largest": largest, "fewest": fewest}


def _column(folder: Folder, name: str, *columns: str) -> Array:
    """What a table says in ``columns``, joined, row by row."""
    with (folder.path / f"{name}.csv").open(newline="") as file:
        rows = ["/".join(row[c] for c in columns) for row in csv.DictReader(file)]
    return np.array(rows)
