"""Pictures of trajectories: 28 x 28 grey pixels, ink white on black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 28
SCALE = 400 / 3  # pixels of the canvas a unit: 4 inches of 100 dpi show [-1.5, 1.5]
WIDTHS = (12, 28)  # points of a pen; both are drawn
POINT = 100 / 72  # pixels
BORDER = 0.6  # of the longer side of what is drawn


def rasterise(trajectory: NDArray[np.floating], width: float) -> NDArray[np.uint8]:
    """A trajectory (n, 2), y downwards, drawn by a round pen: (28, 28).

    ``width`` is the pen's, in points (1/72 inch) of a canvas where 4 inches are 3
    units. The ink's bounding box is centred in a square 1.6 times its longer side,
    which becomes the picture, each pixel the mean of the area that it covers.
    """
    return shrink(ink(trajectory, width))


def ink(trajectory: NDArray[np.floating], width: float) -> Image.Image:
    """What the pen draws, in the pixels of its canvas, cut to the ink."""
    pen = width * POINT
    points = SCALE * (trajectory - trajectory.min(0)) + pen
    wide, high = np.ceil(points.max(0) + pen + 1).astype(int).tolist()
    canvas = Image.new("L", (wide, high))
    pencil = ImageDraw.Draw(canvas)
    path = [tuple(point) for point in points.tolist()]
    pencil.line(path, fill=255, width=round(pen))
    for x, y in path:  # round joints and ends
        reach = pen / 2
        pencil.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    return canvas.crop(canvas.getbbox())


def shrink(drawn: Image.Image) -> NDArray[np.uint8]:
    """A drawing centred in a square with a border, averaged to 28 x 28."""
    side = max(drawn.size)
    side += int(BORDER * side)
    square = Image.new("L", (side, side))
    square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BOX))
