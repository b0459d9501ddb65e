"""Looking for quotes of results on pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def missing(quotes: Sequence[str], page: Path) -> list[str]:
    """Those that the page does not say, wherever its lines break."""
    said = " ".join(page.read_text().split())
    return [quote for quote in quotes if quote not in said]


@cache
def records(page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / f"{page}.json").read_text())
    return found


def shown(spread: dict[str, Any], measure: str, noise: bool = False) -> str:
    """A mean as it is quoted, with its deviation over seeds if asked for."""
    percent = measure.startswith("accuracy")
    scale, digits = (100, 1) if percent else (1, 0)
    text = f"{scale * spread['mean']:.{digits}f}"
    return f"{text} ± {scale * spread['over_seeds']:.{digits}f}" if noise else text


class Row:
    """The figures of one row of a table with image and label."""

    def __init__(
        self, row: str, dataset: str = "fashion_mnist", page: str = "table2"
    ) -> None:
        (self.record,) = [
            each
            for each in records(page)
            if (each["row"], each["dataset"]) == (row, dataset)
        ]
        self.kinds = {each["kind"]: each for each in self.record["kinds"]}

    def __call__(
        self, kind: str, measure: str = "accuracy", noise: bool = False
    ) -> str:
        return shown(self.kinds[kind][measure], measure, noise)

    def mfd(self, given: str = "label") -> str:
        """Of images from ``given``."""
        return self.direction(given, "image", "mfd_class")

    def direction(self, given: str, target: str, measure: str = "accuracy") -> str:
        (found,) = [
            each[measure]
            for each in self.record["directions"]
            if (each["given"], each["target"]) == (given.split(), target)
        ]
        return shown(found, measure)

    @property
    def coherence(self) -> str:
        return f"{100 * fmean(self.record['coherence']):.1f}"
