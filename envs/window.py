"""A pygame window with sound; the only module here that imports pygame."""

from __future__ import annotations

import numpy as np
import pygame
from numpy.typing import NDArray


class Window:
    """Shows pictures at ``fps`` and plays their sound, or stays silent without a card.

    The window opens with the first picture and takes its size. Events are left in
    pygame's queue for whoever wants to steer by them.
    """

    def __init__(self, title: str, fps: int, audio_rate: int) -> None:
        self.title = title
        self.fps = fps
        self.clock = pygame.time.Clock()
        self.surface: pygame.Surface | None = None
        self.channel = _open_channel(audio_rate)

    def show(self, picture: NDArray[np.uint8], audio: NDArray[np.float64]) -> None:
        """Show (height, width, 3) uint8, play (samples, 2) in [-1, 1], keep pace."""
        if self.surface is None:
            pygame.display.init()
            height, width = picture.shape[:2]
            self.surface = pygame.display.set_mode((width, height))
            pygame.display.set_caption(self.title)
        # pygame counts (x, y), NumPy (row, column).
        pygame.surfarray.blit_array(self.surface, picture.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        if self.channel is not None:
            samples = np.ascontiguousarray((audio * 32767).astype(np.int16))
            self.channel.queue(pygame.sndarray.make_sound(samples))
        self.clock.tick(self.fps)

    def close(self) -> None:
        """Close the window and release the sound card."""
        if self.channel is not None:
            pygame.mixer.quit()
        pygame.display.quit()


def _open_channel(rate: int) -> pygame.mixer.Channel | None:
    """A channel of 16-bit stereo at ``rate`` Hz, or None where nothing can play it."""
    try:
        pygame.mixer.init(rate, -16, 2, 512, allowedchanges=0)
    except (pygame.error, NotImplementedError):
        return None
    return pygame.mixer.Channel(0)
