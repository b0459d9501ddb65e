"""What an agent sees, drawn for people: the scene, and each sensor or its absence."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nexus_rl.files import write_atomic

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (30, 34, 42)
QUIET: Colour = (120, 126, 136)
BLANK: Colour = (232, 234, 238)
BARS: Colour = (0, 114, 178)
MISSING: Colour = (213, 44, 44)
WRONG: Colour = (222, 143, 5)
GAP = 8  # pixels between parts
TILE = 88  # the most that a sensor takes


@dataclass(frozen=True)
class Sight:
    """One step: what there is to see, and what the agent sees of it.

    ``scene`` is (height, width, 3) uint8; ``readings`` are those of the sensors as the
    agent gets them where ``available``; ``corrupted`` says which show something wrong.
    ``step`` and ``total`` count steps and reward so far; ``ended`` is the last of all.
    """

    title: str
    scene: NDArray[np.uint8]
    readings: Mapping[str, NDArray[Any]]
    available: Mapping[str, bool]
    corrupted: Mapping[str, bool]
    step: int
    total: float
    ended: bool = False


def draw(
    sights: Sequence[Sight], boxes: Mapping[str, spaces.Box], width: int
) -> Image.Image:
    """The sights beside each other, each ``width`` pixels wide; ``boxes`` by sensor."""
    drawn = [_panel(sight, boxes, width) for sight in sights]
    whole = Image.new("RGB", (width * len(drawn), drawn[0].height), PAPER)
    for k, panel in enumerate(drawn):
        whole.paste(panel, (k * width, 0))
        if k:
            line = (k * width, GAP, k * width, whole.height - GAP)
            ImageDraw.Draw(whole).line(line, BLANK)
    return whole


def _panel(sight: Sight, boxes: Mapping[str, spaces.Box], width: int) -> Image.Image:
    side = width - 2 * GAP
    scene = Image.fromarray(sight.scene)
    size = (side, max(round(side * scene.height / scene.width), 1))
    tile = min((width - GAP) // max(len(boxes), 1) - GAP, TILE)
    tiles_at = 30 + size[1] + GAP
    panel = Image.new("RGB", (width, tiles_at + tile + 46), PAPER)
    pen = ImageDraw.Draw(panel)
    _write(pen, (width / 2, 15), sight.title, 15, INK, bold=True)
    panel.paste(scene.resize(size, Image.Resampling.LANCZOS), (GAP, 30))
    left = (width - len(boxes) * (tile + GAP) + GAP) // 2
    for k, (name, box) in enumerate(boxes.items()):
        at = (left + k * (tile + GAP), tiles_at)
        _sensor(panel, pen, at, tile, name, box, sight)
    said = f"step {sight.step}    return {sight.total:.1f}"
    _write(pen, (width / 2, panel.height - 13), said, 12, INK)
    return panel


def _sensor(
    panel: Image.Image,
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    tile: int,
    name: str,
    box: spaces.Box,
    sight: Sight,
) -> None:
    """A sensor's reading; struck out if it is missing, framed if it is wrong."""
    x, y = at
    frame = (x, y, x + tile - 1, y + tile - 1)
    if not sight.available[name]:
        pen.rectangle(frame, BLANK, MISSING, 2)
        pen.line((x + 5, y + 5, x + tile - 6, y + tile - 6), MISSING, 3)
        pen.line((x + 5, y + tile - 6, x + tile - 6, y + 5), MISSING, 3)
        colour = MISSING
    else:
        wrong = sight.corrupted.get(name, False)
        colour = WRONG if wrong else QUIET
        panel.paste(_reading(sight.readings[name], box, tile), at)
        pen.rectangle(frame, None, colour, 2 if wrong else 1)
    said = f"no {name}" if colour == MISSING else name
    _write(pen, (x + tile / 2, y + tile + 10), said, 11, colour)


def _reading(reading: NDArray[Any], box: spaces.Box, tile: int) -> Image.Image:
    """The latest frame of an image, or bars between the bounds: ``tile`` squared."""
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    bounded = np.isfinite(low) & np.isfinite(high)
    # Numbers without bounds are squeezed into (0, 1).
    free = 0.5 + np.arctan(reading.astype(np.float64)) / np.pi
    span = np.where(bounded, high - low, 1.0)
    inside = (reading - np.where(bounded, low, 0.0)) / np.where(span > 0, span, 1.0)
    values = np.clip(np.where(bounded, inside, free), 0, 1)
    if reading.ndim in (2, 3) and reading.dtype == np.uint8:
        # The smallest axis counts the frames, as it does for Stable-Baselines3.
        frames = int(np.argmin(values.shape))
        grey = values if values.ndim == 2 else values.take(-1, frames)
        picture = Image.fromarray((255 * grey).astype(np.uint8), "L")
        return picture.resize((tile, tile), Image.Resampling.BOX).convert("RGB")
    return _bars(values.ravel(), tile)


def _bars(values: NDArray[np.float64], tile: int) -> Image.Image:
    """At most as many bars as there is room for, each the mean of its neighbours."""
    picture = Image.new("RGB", (tile, tile), PAPER)
    pen = ImageDraw.Draw(picture)
    parts = np.array_split(values, min(len(values), tile // 3))
    wide = (tile - 6) / len(parts)
    for k, part in enumerate(parts):
        top = tile - 3 - round(float(part.mean()) * (tile - 6))
        left, right = 3 + k * wide, 3 + (k + 1) * wide
        gap = 1 if wide > 4 else 0
        pen.rectangle((round(left), top, round(right) - 1 - gap, tile - 3), BARS)
    return picture


def _write(
    pen: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    bold: bool = False,
) -> None:
    pen.text(centre, text, colour, _font(size, bold), anchor="mm")


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf", name), size)


def write_gif(path: Path, frames: Iterable[Image.Image], fps: float) -> int:
    """Write ``frames``, in a loop; returns their number.

    Colours are those of the first frame and a coarse selection of all others. Raises
    ``UserError`` if ``path`` cannot be written.
    """
    count = 0
    palette: Image.Image | None = None

    def reduced() -> Iterable[Image.Image]:
        nonlocal count, palette
        for frame in frames:
            palette = palette or _palette(frame)
            count += 1
            yield frame.quantize(palette=palette, dither=Image.Dither.NONE)

    shown = iter(reduced())
    content = io.BytesIO()
    next(shown).save(
        content,
        "GIF",
        save_all=True,
        append_images=shown,
        duration=max(round(1000 / fps), 20),  # viewers slow down what is faster
        loop=0,
    )
    write_atomic(path, content.getvalue())
    return count


def _palette(frame: Image.Image) -> Image.Image:
    """256 colours: 125 of the frame, our own, and the corners of a 5 x 5 x 5 grid."""
    own = [*PAPER, *INK, *QUIET, *BLANK, *BARS, *MISSING]
    first = (frame.quantize(125).getpalette() or [])[: 3 * 125]
    steps = [0, 64, 128, 191, 255]
    grid = [v for r in steps for g in steps for b in steps for v in (r, g, b)]
    colours = [*first, *own, *grid]
    palette = Image.new("P", (1, 1))
    palette.putpalette((colours + colours[-3:] * 256)[: 3 * 256])
    return palette
