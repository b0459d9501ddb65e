"""The bounds of a Box, as far as they say anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

HUGE = 1e30  # no reading is as large: such a bound means that there is none


def honest_bounds(box: spaces.Box) -> tuple[Numbers, Numbers]:
    """The lowest and highest value of each entry, infinite where it has no bound.

    Bounds of ``HUGE`` size, or the largest number of a float type, are none.
    """
    largest = HUGE
    if np.issubdtype(box.dtype, np.floating):
        kind: Any = box.dtype
        largest = min(HUGE, float(np.finfo(kind).max))
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    return (
        np.where(low <= -largest, -np.inf, low),
        np.where(high >= largest, np.inf, high),
    )
