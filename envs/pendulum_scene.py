"""The pendulum as people see and hear it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.pendulum_physics import DT, FloatArray
from envs.pendulum_sensors import (
    FREQUENCY_RANGE,
    RECEIVERS,
    Camera,
    hear,
)

SIZE = 480
HALF_WIDTH = 2.5
ROD_COLOUR = (204, 77, 77)
AXLE_COLOUR = (0, 0, 0)
LOW_PITCH_COLOUR = (214, 93, 14)
HIGH_PITCH_COLOUR = (33, 102, 172)


class PendulumScene:
    """Pictures with the receivers as discs, and the tones they hear.

    A disc grows with the loudness there and turns from orange to blue as the pitch
    rises. Tones keep their phase from one call of ``audio`` to the next.
    """

    def __init__(self, audio_rate: int) -> None:
        self.audio_rate = audio_rate
        self._camera: Camera | None = None
        self._phase = np.zeros(len(RECEIVERS))

    def picture(self, theta: float, omega: float) -> NDArray[np.uint8]:
        """The scene in a state: (480, 480, 3) uint8."""
        if self._camera is None:
            self._camera = Camera(SIZE, HALF_WIDTH)
        canvas = np.full((SIZE, SIZE, 3), 255.0)
        _blend(canvas, self._camera.draw(theta) / 255, np.array(ROD_COLOUR))
        self._disc(canvas, np.zeros(2), 0.05, np.array(AXLE_COLOUR))
        frequency, distance = hear(theta, omega)
        pitch = (frequency - FREQUENCY_RANGE[0]) / np.subtract(*FREQUENCY_RANGE[::-1])
        for place, high, radius in zip(
            RECEIVERS, pitch, 0.28 / np.sqrt(distance), strict=True
        ):
            low_colour, high_colour = np.array([LOW_PITCH_COLOUR, HIGH_PITCH_COLOUR])
            colour = low_colour + high * (high_colour - low_colour)
            self._disc(canvas, place, radius, colour)
        return canvas.round().astype(np.uint8)

    def audio(self, theta: float, omega: float) -> FloatArray:
        """The tones of one step: (samples, 2) in [-1, 1], left and right."""
        frequency, distance = hear(theta, omega)
        samples = round(DT * self.audio_rate)
        turns = np.arange(1, samples + 1)[:, None] * frequency / self.audio_rate
        phase = self._phase + 2 * np.pi * turns
        self._phase = phase[-1] % (2 * np.pi)
        left, right, top = (np.sin(phase) / distance**2).T
        return np.stack([left + top, right + top], axis=1)

    def _disc(
        self,
        canvas: FloatArray,
        centre: FloatArray,
        radius: float,
        colour: NDArray[Any],
    ) -> None:
        assert self._camera is not None
        up, left = self._camera.axis - centre[:, None]
        distance = np.sqrt(np.add.outer(up**2, left**2))
        inside = (radius - distance) / self._camera.pixel + 0.5
        _blend(canvas, np.clip(inside, 0.0, 1.0), colour)


def _blend(canvas: FloatArray, cover: FloatArray, colour: NDArray[Any]) -> None:
    canvas += cover[..., None] * (colour - canvas)
