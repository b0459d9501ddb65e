"""Looking for quotes of results on pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


def missing(quotes: Sequence[str], page: Path) -> list[str]:
    """Those that the page does not say, wherever its lines break."""
    said = " ".join(page.read_text().split())
    return [quote for quote in quotes if quote not in said]
