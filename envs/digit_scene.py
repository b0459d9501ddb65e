"""The dial as people see and hear it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]
Point = tuple[float, float]

RATE = 16_000
STEP = 0.5  # seconds that a step is shown

HEIGHT, WIDTH = 480, 720
CENTRE = np.array([240.0, 240.0])  # x, y
FACE, NUMERALS, POINTER = 216, 170, 118  # radii
PANELS = (496, 200)  # left edge and width
PANEL_HEIGHT, GAP = 140, 10
BACKGROUND: Colour = (243, 241, 236)
WHITE: Colour = (255, 255, 255)
RIM: Colour = (205, 201, 192)
INK: Colour = (70, 74, 84)
NEEDLE: Colour = (38, 84, 124)
WANTED: Colour = (239, 131, 84)
REACHED: Colour = (67, 150, 111)
# From silence to the loudest.
HEAT = np.array([(13, 8, 35), (92, 28, 110), (196, 60, 92), (248, 149, 64), WHITE])


class DialScene:
    """Pictures of the dial beside what the sensors show; the word as it sounds."""

    def picture(
        self, position: int, target: int | None, seen: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.uint8]:
        """(480, 720, 3) uint8; ``target`` is marked unless it is None.

        ``seen`` is an observation; sensors that it lacks are left out.
        """
        canvas = _face().copy()
        if target is not None:
            colour = REACHED if target == position else WANTED
            _disc(canvas, _place(target, NUMERALS), 34, colour)
            _numeral(canvas, target, WHITE)
        _line(canvas, np.stack([CENTRE, _place(position, POINTER)]), 6, NEEDLE)
        _disc(canvas, CENTRE, 17, NEEDLE)
        _disc(canvas, CENTRE, 6, WHITE)
        shown = [name for name in _PANELS if name in seen]
        top = (HEIGHT - len(shown) * (PANEL_HEIGHT + GAP) + GAP) // 2
        left, width = PANELS
        for name in shown:
            panel = canvas[top : top + PANEL_HEIGHT, left : left + width]
            _PANELS[name](panel, seen[name])
            top += PANEL_HEIGHT + GAP
        return canvas.round().astype(np.uint8)

    def audio(self, seen: Mapping[str, NDArray[Any]]) -> Floats:
        """Half a second, (8000, 2) in [-1, 1]; silence without a microphone.

        A tone at the centre of each band, as loud as the band, at twice the speed.
        """
        samples = round(STEP * RATE)
        if "sound" not in seen:
            return np.zeros((samples, 2))
        level = _unit(seen["sound"])[0]  # frames, bands
        loudness = np.where(level > 0, 10 ** (4 * (level - 1)), 0)  # 80 dB
        frames = np.linspace(0, len(level) - 1, samples)
        before = np.minimum(frames.astype(int), len(level) - 2)
        share = (frames - before)[:, None]
        tones = _tones(level.shape[1], samples)
        smooth = loudness[before] * (1 - share) + loudness[before + 1] * share
        signal = (smooth * tones).sum(axis=1)
        signal /= max(float(np.abs(signal).max()), 1e-9) / 0.8
        return np.repeat(signal[:, None], 2, axis=1)


@lru_cache(maxsize=2)
def _tones(bands: int, samples: int) -> Floats:
    """Sines at the centres of Slaney's mel bands, with phases by chance."""
    # Linear to 1 kHz, which is mel 15, logarithmic above; 8 kHz is mel 45.25.
    top = 15 + 27 * math.log(RATE / 2000) / math.log(6.4)
    mel = np.linspace(0, top, bands + 2)[1:-1]
    hertz = np.where(mel < 15, 200 / 3 * mel, 1000 * 6.4 ** ((mel - 15) / 27))
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, bands)
    time = np.arange(samples)[:, None] / RATE
    return np.sin(2 * np.pi * hertz * time + phase)


def _unit(reading: NDArray[Any]) -> Floats:
    scale = 255 if reading.dtype == np.uint8 else 1
    return reading.astype(np.float64) / scale


def _place(digit: int, radius: float) -> Floats:
    """Where a digit is: 0 at the top, the others clockwise."""
    angle = 2 * np.pi * digit / 10
    return CENTRE + radius * np.array([math.sin(angle), -math.cos(angle)])


@lru_cache(maxsize=1)
def _face() -> Floats:
    """Everything that never changes."""
    canvas = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.float64)
    _disc(canvas, CENTRE, FACE + 3, RIM)
    _disc(canvas, CENTRE, FACE, WHITE)
    for digit in range(10):
        tick = np.stack([_place(digit, 126), _place(digit, 130)])
        _line(canvas, tick, 2, RIM)
        _numeral(canvas, digit, INK)
    return canvas


def _numeral(canvas: Floats, digit: int, colour: Colour) -> None:
    size = np.array([25.0, 36.0])
    for stroke in _GLYPHS[digit]:
        place = _place(digit, NUMERALS) + (np.array(stroke) - 0.5) * size
        _line(canvas, place, 2.6, colour)


def _disc(canvas: Floats, centre: Floats, radius: float, colour: Colour) -> None:
    _line(canvas, np.stack([centre, centre]), radius, colour)


def _line(canvas: Floats, points: Floats, radius: float, colour: Colour) -> None:
    """A line through ``points`` (n, 2), x and y in pixels, with round ends."""
    low = np.maximum(np.floor(points.min(0) - radius - 1), 0).astype(int)
    high = np.ceil(points.max(0) + radius + 1).astype(int)
    patch = canvas[low[1] : high[1], low[0] : high[0]]
    y, x = np.indices(patch.shape[:2]) + 0.5
    here = np.stack([x + low[0], y + low[1]], axis=-1)
    nearest = np.full(patch.shape[:2], np.inf)
    for start, end in pairwise(points):
        way, offset = end - start, here - start
        along = np.clip(offset @ way / max(float(way @ way), 1e-9), 0, 1)
        away = np.linalg.norm(offset - along[..., None] * way, axis=-1)
        nearest = np.minimum(nearest, away)
    cover = np.clip(radius - nearest + 0.5, 0, 1)[..., None]
    patch += cover * (np.array(colour) - patch)


def _show_image(panel: Floats, image: NDArray[Any]) -> None:
    grey = _unit(image)[0]
    times = PANEL_HEIGHT // len(grey)
    large = grey.repeat(times, axis=0).repeat(times, axis=1)
    top, left = (np.array(panel.shape[:2]) - large.shape) // 2
    panel[:] = 0
    inside = panel[top : top + large.shape[0], left : left + large.shape[1]]
    inside += 255 * large[..., None]


def _show_trajectory(panel: Floats, trajectory: NDArray[Any]) -> None:
    points = trajectory.reshape(2, -1).T.astype(np.float64)
    extent = max(float(np.ptp(points, axis=0).max()), 1e-9)
    centred = (points - (points.max(0) + points.min(0)) / 2) / extent
    path = np.array(panel.shape[1::-1]) / 2 + centred * (PANEL_HEIGHT - 28)
    panel[:] = WHITE
    _line(panel, path, 2.2, NEEDLE)
    _disc(panel, path[0], 6, WANTED)


def _show_sound(panel: Floats, sound: NDArray[Any]) -> None:
    """Time to the right, high bands above."""
    level = _unit(sound)[0].T[::-1]
    height, width = panel.shape[:2]
    rows = np.arange(height) * level.shape[0] // height
    columns = np.arange(width) * level.shape[1] // width
    stops = np.linspace(0, 1, len(HEAT))
    large = level[np.ix_(rows, columns)]
    panel[:] = np.stack([np.interp(large, stops, band) for band in HEAT.T], axis=-1)


_PANELS = {
    "image": _show_image,
    "trajectory": _show_trajectory,
    "sound": _show_sound,
}


def _arc(centre: Point, radii: Point, begin: int, end: int) -> list[Point]:
    """Points of an ellipse from one angle to another, in degrees, clockwise."""
    (x, y), (across, down) = centre, radii
    angles = np.radians(np.linspace(begin, end, 17))
    return [(x + across * math.cos(a), y + down * math.sin(a)) for a in angles]


# Strokes in a box from (0, 0) to (1, 1), y downward.
_SIX = [
    _arc((0.5, 0.68), (0.4, 0.32), 0, 360),
    _arc((0.98, 0.68), (0.88, 0.68), 180, 250),
]
_GLYPHS: list[list[list[Point]]] = [
    [_arc((0.5, 0.5), (0.42, 0.5), 0, 360)],
    [[(0.2, 0.22), (0.58, 0.0), (0.58, 1.0)]],
    [[*_arc((0.5, 0.3), (0.4, 0.3), -170, 35), (0.1, 1.0), (0.92, 1.0)]],
    [
        _arc((0.46, 0.25), (0.36, 0.25), -160, 90)
        + _arc((0.46, 0.74), (0.42, 0.26), -90, 155)
    ],
    [[(0.72, 1.0), (0.72, 0.0), (0.04, 0.7), (0.96, 0.7)]],
    [[(0.84, 0.0), (0.2, 0.0), *_arc((0.47, 0.67), (0.42, 0.33), -140, 150)]],
    _SIX,
    [[(0.08, 0.0), (0.92, 0.0), (0.4, 1.0)]],
    [
        _arc((0.5, 0.24), (0.34, 0.24), 0, 360),
        _arc((0.5, 0.74), (0.42, 0.26), 0, 360),
    ],
    [[(1 - x, 1 - y) for x, y in stroke] for stroke in _SIX],
]
