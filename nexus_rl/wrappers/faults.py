"""What can be wrong with a reading: noise, drift, cover, freeze, delay and lies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.wrappers.checks import check_count, check_number
from nexus_rl.wrappers.masking import span
from nexus_rl.wrappers.schedules import Generator

Array = NDArray[Any]


@dataclass
class Fault:
    """What a corruption may know about the sensor it corrupts.

    ``step`` counts from 0 since the fault began, ``sound`` is the last reading before
    it (the first of the episode, if there was none), ``past`` holds the latest true
    readings of the episode, the present one last, and ``place`` is two numbers in
    [0, 1), drawn when the fault began.
    """

    past: deque[Array]
    step: int = -1
    sound: Array | None = None
    place: Array = field(default_factory=lambda: np.zeros(2))


class Corruption(ABC):
    """Turns true readings into wrong ones; holds no state of its own.

    Subclass it and define ``apply``; ``memory`` is how many true readings it looks at.
    """

    memory: int = 1

    def check(self, name: str, box: spaces.Box) -> None:  # noqa: B027, optional
        """Raise ``UserError`` if sensor ``name`` cannot be corrupted so."""

    @abstractmethod
    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        """The wrong reading; it is rounded and clipped into ``box`` afterwards."""


@dataclass(frozen=True)
class Gaussian(Corruption):
    """Adds normal noise of standard deviation ``scale`` times the sensor's range.

    0.02 is mild and 0.3 severe. An unbounded entry counts as having range 1.
    """

    scale: float

    def __post_init__(self) -> None:
        check_number("scale", self.scale)
        if self.scale < 0:
            raise UserError(f"scale must not be negative, got {self.scale}")

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        noise = rng.standard_normal(box.shape)
        return fault.past[-1] + self.scale * _range(box) * noise


@dataclass(frozen=True)
class Drift(Corruption):
    """Adds an offset that grows by ``rate`` times the sensor's range each step.

    The first wrong reading is off by one such step. 0.001 is mild and 0.02 severe; a
    negative rate drifts downwards. An unbounded entry counts as having range 1.
    """

    rate: float

    def __post_init__(self) -> None:
        check_number("rate", self.rate)

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        offset = self.rate * (fault.step + 1) * _range(box)
        return fault.past[-1] + offset


@dataclass(frozen=True)
class Occlusion(Corruption):
    """Covers a patch of an image with the lowest value, in every channel and frame.

    The patch takes the fraction ``area`` of the picture in its own proportions: 0.1 is
    mild, 0.5 severe, 1 everything. Its place is random and stays for the whole fault.
    Of three axes the smallest counts the channels. Raises ``UserError`` for an area
    outside [0, 1] and sensors with neither two nor three axes.
    """

    area: float

    def __post_init__(self) -> None:
        check_number("area", self.area)
        if not 0.0 <= self.area <= 1.0:
            raise UserError(f"area must lie in [0, 1], got {self.area}")

    def check(self, name: str, box: spaces.Box) -> None:
        if len(box.shape) not in (2, 3):
            raise UserError(
                f"Occlusion covers images, but sensor {name!r} has shape {box.shape}"
            )

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        shown = fault.past[-1].copy()
        sizes = list(box.shape)
        patch = [slice(None)] * len(sizes)
        axes = sorted(range(len(sizes)), key=lambda axis: sizes[axis])[-2:]
        for axis, place in zip(sorted(axes), fault.place, strict=True):
            covered = round(np.sqrt(self.area) * sizes[axis])
            start = int(place * (sizes[axis] - covered + 1))
            patch[axis] = slice(start, start + covered)
        shown[tuple(patch)] = box.low[tuple(patch)]
        return shown


@dataclass(frozen=True)
class Frozen(Corruption):
    """Repeats the last reading from before the fault; it is as severe as it is long.

    If there was none in the episode, it repeats the first.
    """

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        assert fault.sound is not None
        return fault.sound


@dataclass(frozen=True)
class Delay(Corruption):
    """Shows the reading of ``steps`` steps ago, or the first of the episode.

    Raises ``UserError`` for less than one step.
    """

    steps: int

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 1)

    @property
    def memory(self) -> int:  # type: ignore[override]
        """The present reading and those that are on their way."""
        return self.steps + 1

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        return fault.past[0]


@dataclass(frozen=True)
class Lie(Corruption):
    """Shows a true reading from another time, drawn anew each step.

    It is one of the ``memory - 1`` readings before the present one in this episode, all
    equally likely. The first reading of an episode cannot lie.
    """

    memory: int = 257

    def __post_init__(self) -> None:
        check_count("memory", self.memory, 2)

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        return fault.past[int(rng.integers(max(len(fault.past) - 1, 1)))]


def _range(box: spaces.Box) -> Array:
    """The range of each entry, 1 where it is unbounded."""
    width = span(box)
    return np.where(np.isfinite(width), width, 1.0)
