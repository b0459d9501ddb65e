"""What the pendulum looks and sounds like: pure functions of its state.

Places are (up, left) coordinates in rod lengths, with the pivot at the origin.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs.pendulum_physics import MAX_SPEED, FloatArray, Numbers

Image = NDArray[np.uint8]

ROD_RADIUS = 0.1
IMAGE_HALF_WIDTH = 1.32

# Left-bottom, right-bottom and middle-top of the border, as in MUSE (Vasco et al.).
RECEIVERS = np.array([[-2.2, 2.2], [-2.2, -2.2], [2.2, 0.0]])
SOURCE_FREQUENCY = 440.0
SOUND_SPEED = 20.0

# The source rides on the unit circle at up to MAX_SPEED, and from outside a circle one
# sees some point of it approach at its full speed.
FREQUENCY_RANGE = (
    SOURCE_FREQUENCY * SOUND_SPEED / (SOUND_SPEED + MAX_SPEED),
    SOURCE_FREQUENCY * SOUND_SPEED / (SOUND_SPEED - MAX_SPEED),
)
_RECEIVER_RADIUS = np.hypot(*RECEIVERS.T)
DISTANCE_RANGE = (_RECEIVER_RADIUS - 1.0, _RECEIVER_RADIUS + 1.0)


class Camera:
    """Draws the rod into square grey pictures, ``size`` pixels on a side.

    The pictures show [-half_width, half_width] in both directions. Edges are
    anti-aliased, so motion of a fraction of a pixel is visible, unless ``binary``.
    """

    def __init__(
        self, size: int, half_width: float = IMAGE_HALF_WIDTH, binary: bool = False
    ) -> None:
        self.size = size
        self.half_width = half_width
        self.pixel = 2 * half_width / size
        # Serves for rows (up) and columns (left) alike: both fall with the index.
        self.axis = half_width - (np.arange(size) + 0.5) * self.pixel
        self.radius_squared = np.add.outer(self.axis**2, self.axis**2)
        # Coverage falls from 1 to 0 over one pixel across the edge.
        self.sharpness = np.inf if binary else 1.0 / self.pixel

    def draw(self, theta: float) -> Image:
        """The rod at angle ``theta``: (size, size) uint8, 255 on the rod, 0 off it."""
        up, left = math.cos(theta), math.sin(theta)
        rows, columns = self._span(up), self._span(left)
        projection = np.add.outer(self.axis[rows] * up, self.axis[columns] * left)
        along = np.minimum(np.maximum(projection, 0.0), 1.0)
        projection += projection
        projection -= along
        projection *= along
        squared = self.radius_squared[rows, columns] - projection
        # Rounding can leave a tiny negative number on the axis of the rod.
        inside = ROD_RADIUS - np.sqrt(np.abs(squared, out=squared), out=squared)
        picture = np.zeros((self.size, self.size), np.uint8)
        picture[rows, columns] = self._grey(inside)
        return picture

    def draw_all(self, theta: FloatArray) -> Image:
        """The rod at angles of shape (...): (..., size, size) uint8."""
        pictures = np.empty((theta.size, self.size, self.size), np.uint8)
        for index, angle in enumerate(theta.ravel().tolist()):
            pictures[index] = self.draw(angle)
        return pictures.reshape(*theta.shape, self.size, self.size)

    def _span(self, tip: float) -> slice:
        """The pixels along one axis that the rod from 0 to ``tip`` can touch."""
        margin = ROD_RADIUS + self.pixel
        first = (self.half_width - max(tip, 0.0) - margin) / self.pixel
        last = (self.half_width - min(tip, 0.0) + margin) / self.pixel
        return slice(max(int(first), 0), int(last) + 1)

    def _grey(self, inside: FloatArray) -> Image:
        """Grey values from the signed distance to the edge, positive inside."""
        if math.isinf(self.sharpness):
            return np.where(inside >= 0.0, np.uint8(255), np.uint8(0))
        inside *= 255 * self.sharpness
        inside += 128.0
        np.maximum(inside, 0.0, out=inside)
        return np.minimum(inside, 255.0, out=inside).astype(np.uint8)


@lru_cache(maxsize=8, typed=True)
def camera(size: int, binary: bool = False) -> Camera:
    """A shared ``Camera``: its grids are computed once for each size.

    Raises ``ValueError`` unless ``size`` is an integer of at least 16, below which the
    rod is thinner than a pixel.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 16:
        raise ValueError(f"image_size must be an integer of at least 16, got {size!r}")
    return Camera(int(size), binary=binary)


def hear(theta: Numbers, omega: Numbers) -> tuple[FloatArray, FloatArray]:
    """What reaches the receivers: frequencies in Hz and distances, both (..., 3).

    The tip of the rod emits 440 Hz and the speed of sound is 20 rod lengths a second;
    a receiver hears 440 * 20 / (20 - s) with s the speed at which the tip comes
    nearer (MUSE, Vasco et al.).
    """
    theta, omega = np.asarray(theta)[..., None], np.asarray(omega)[..., None]
    up, left = np.cos(theta), np.sin(theta)
    to_up, to_left = RECEIVERS[:, 0] - up, RECEIVERS[:, 1] - left
    distance = np.sqrt(to_up * to_up + to_left * to_left)
    approach = omega * (to_left * up - to_up * left) / distance
    return SOURCE_FREQUENCY * SOUND_SPEED / (SOUND_SPEED - approach), distance


def sound(
    theta: Numbers, omega: Numbers, published: bool = False
) -> NDArray[np.float32]:
    """One frame of the sound sensor: (..., 6) float32 in [0, 1].

    Two numbers a receiver, in the order of ``RECEIVERS``: pitch, then loudness.
    Pitch is the logarithm of the frequency and loudness that of the amplitude 1/d^2,
    each scaled so that 0 and 1 are the least and most this receiver can ever hear.
    ``published`` scales the plain frequency and amplitude instead, with one range for
    all receivers, as MUSE (Vasco et al.) did; the range is analytic, not a dataset's.
    """
    frequency, distance = hear(theta, omega)
    if published:
        pitch = _unit(frequency, *FREQUENCY_RANGE)
        farthest, nearest = DISTANCE_RANGE[1].max(), DISTANCE_RANGE[0].min()
        loudness = _unit(distance**-2, farthest**-2, nearest**-2)
    else:
        pitch = _unit(np.log(frequency), *_LOG_FREQUENCY_RANGE)
        loudness = _unit(np.log(distance), *_LOG_DISTANCE_RANGE)
    frame = np.empty((*frequency.shape, 2), np.float32)
    frame[..., 0] = pitch
    frame[..., 1] = loudness
    return frame.reshape(*frame.shape[:-2], -1)


_LOG_FREQUENCY_RANGE = (math.log(FREQUENCY_RANGE[0]), math.log(FREQUENCY_RANGE[1]))
# Far to near, so that loudness rises as the source comes nearer.
_LOG_DISTANCE_RANGE = (np.log(DISTANCE_RANGE[1]), np.log(DISTANCE_RANGE[0]))


def _unit(value: FloatArray, low: Numbers, high: Numbers) -> FloatArray:
    scaled = (value - low) / (high - low)
    return np.minimum(np.maximum(scaled, 0.0), 1.0)
