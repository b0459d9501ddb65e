"""What the environments share in showing themselves to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

if TYPE_CHECKING:
    from envs.window import Window

# One array a sensor; `Any` because the spaces of Gymnasium are typed so.
Observation = dict[str, Any]
ActionT = TypeVar("ActionT")


def render_metadata(fps: int) -> dict[str, Any]:
    """An environment's ``metadata``: two render modes, ``fps`` steps a second."""
    return {"render_modes": ["human", "rgb_array"], "render_fps": fps}


class RenderedEnv(gym.Env[Observation, ActionT]):
    """An environment that paints itself with NumPy and opens a window on demand.

    Subclasses set ``metadata``, give ``picture`` and ``audio`` and call ``show_human``
    at the end of ``reset`` and ``step``. Raises ``ValueError`` for an unknown
    ``render_mode``.
    """

    audio_rate = 44100

    def __init__(self, render_mode: str | None = None) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(
                f"render_mode must be None or one of {modes}, got {render_mode!r}"
            )
        self.render_mode = render_mode
        self._window: Window | None = None

    def picture(self) -> NDArray[np.uint8]:
        """The scene for people: (height, width, 3) uint8."""
        raise NotImplementedError

    def audio(self) -> NDArray[np.float64]:
        """The sound of one step for people: (samples, 2) in [-1, 1], left and right."""
        raise NotImplementedError

    def render(self) -> NDArray[np.uint8] | None:
        """Return the picture ("rgb_array"), or show it and play its sound ("human").

        Raises ``gymnasium.error.DependencyNotInstalled`` if "human" lacks pygame.
        """
        if self.render_mode is None:
            gym.logger.warn(
                "render() was called without a render mode; pass "
                'render_mode="rgb_array" or "human" when making the environment'
            )
            return None
        if self.render_mode == "rgb_array":
            return self.picture()
        if self._window is None:
            self._window = self._open_window()
        self._window.show(self.picture(), self.audio())
        return None

    def show_human(self) -> None:
        """Update the window, if there is to be one."""
        if self.render_mode == "human":
            self.render()

    def close(self) -> None:
        """Close the window. Calling it twice does no harm."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _open_window(self) -> Window:
        try:
            from envs.window import Window
        except ImportError as error:
            raise DependencyNotInstalled(
                'render_mode="human" needs pygame: pip install pygame-ce'
            ) from error
        return Window(
            title=type(self).__name__,
            fps=self.metadata["render_fps"],
            audio_rate=self.audio_rate,
        )
