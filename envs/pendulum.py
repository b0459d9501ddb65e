"""The sounding pendulum: an image and a sound, each almost enough by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from envs.pendulum_physics import (
    DT,
    MAX_SPEED,
    MAX_TORQUE,
    advance,
    cost,
    rewind,
    sample_states,
    state_features,
)
from envs.pendulum_scene import PendulumScene
from envs.pendulum_sensors import Image, camera, sound
from envs.rendering import Observation, RenderedEnv, render_metadata

Action = NDArray[np.float32]


class PendulumBase(RenderedEnv[Action]):
    """Dynamics, reward, episodes and pictures of a pendulum; subclasses add sensors.

    States are ``theta`` (radians, 0 upright, counter-clockwise positive) and ``omega``
    (rad/s), floats that a subclass turns into an observation in ``_sense``.
    """

    metadata = render_metadata(round(1 / DT))
    max_torque = MAX_TORQUE
    state_features = staticmethod(state_features)
    state_names = ("cos", "sin", "velocity")  # of info["state"]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.theta, self.omega = 0.0, 0.0
        self._scene = PendulumScene(self.audio_rate)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw theta in (-pi, pi) and omega in (-1, 1); equal to Pendulum-v1's draw.

        ``options={"state": (theta, omega)}`` starts there instead. Raises
        ``ValueError`` for a state that is not two finite numbers with |omega| <= 8.
        """
        super().reset(seed=seed)
        state = self.np_random.uniform([-np.pi, -1.0], [np.pi, 1.0])
        if options and "state" in options:
            state = np.asarray(options["state"], np.float64)
            if state.shape != (2,):
                raise ValueError(
                    f"state must be (theta, omega), got {options['state']!r}"
                )
        self.theta, self.omega = (float(value) for value in state)
        check_state(self.theta, self.omega)
        observation = self._sense_first()
        self.show_human()
        return observation, self._info()

    def step(
        self, action: Action
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply the torque ``action`` times the limit, for 0.05 s.

        Actions outside [-1, 1] are clipped. Raises ``ValueError`` for NaN.
        """
        push = min(max(float(action[0]), -1.0), 1.0)
        if math.isnan(push):
            raise ValueError(f"action must be a number in [-1, 1], got {action!r}")
        torque = self.max_torque * push
        reward = -cost(self.theta, self.omega, torque)
        theta, omega = advance(self.theta, self.omega, torque)
        self.theta, self.omega = float(theta), float(omega)
        observation = self._sense(push)
        self.show_human()
        return observation, reward, False, False, self._info()

    def picture(self) -> NDArray[np.uint8]:
        """The rod and its receivers: (480, 480, 3) uint8."""
        return self._scene.picture(self.theta, self.omega)

    def audio(self) -> NDArray[np.float64]:
        """The Doppler-shifted tones of 0.05 s: (samples, 2) in [-1, 1]."""
        return self._scene.audio(self.theta, self.omega)

    def _sense_first(self) -> Observation:
        """The observation after a reset."""
        raise NotImplementedError

    def _sense(self, push: float) -> Observation:
        """The observation after a step with action ``push``."""
        raise NotImplementedError

    def _info(self) -> dict[str, Any]:
        return {"state": state_features(self.theta, self.omega)}


def observe(
    theta: ArrayLike,
    omega: ArrayLike,
    image_size: int = 60,
    published: bool = False,
) -> dict[str, NDArray[Any]]:
    """What ``MultimodalPendulum`` observes in a state, or in an array of states.

    Returns "image" (..., 2, image_size, image_size) uint8 and "sound" (..., 12)
    float32 for ``theta`` (radians) and ``omega`` (rad/s) of shape (...). Each holds
    the frame one step before the state, then the frame of the state. The earlier image
    is exact whatever the torque was (a step moves the angle by its new velocity); the
    earlier sound assumes a step without torque. So an observation equals that of
    ``reset`` in the state, and that of a ``step`` without torque that ends in it, short
    of a step cut off at the speed limit (and up to rounding: one grey level).

    Raises ``ValueError`` for states that are not finite or have |omega| > 8.
    """
    theta, omega = np.broadcast_arrays(
        np.asarray(theta, np.float64), np.asarray(omega, np.float64)
    )
    check_state(theta, omega)
    before = rewind(theta, omega)
    angles = np.stack([before[0], theta], axis=-1)
    frames = sound(*before, published), sound(theta, omega, published)
    return {
        "image": camera(image_size, published).draw_all(angles),
        "sound": np.concatenate(frames, axis=-1),
    }


def check_state(theta: ArrayLike, omega: ArrayLike) -> None:
    """Raise ``ValueError`` unless all states are finite with |omega| <= 8."""
    if not np.all(np.isfinite(theta)):
        raise ValueError("theta must be finite")
    if not np.all(np.abs(omega) <= MAX_SPEED):
        raise ValueError(f"omega must lie in [-{MAX_SPEED:g}, {MAX_SPEED:g}]")


class MultimodalPendulum(PendulumBase):
    """Swing up a pendulum that is seen and heard, never measured.

    ## Description
    The pendulum of Gymnasium's ``Pendulum-v1`` with two sensors, after the sounding
    pendulum of MUSE (Vasco et al.). The tip of the rod emits a tone; three receivers
    at (-2.2, 2.2), (-2.2, -2.2) and (2.2, 0) rod lengths (up, left) hear it shifted by
    the Doppler effect and weakened by distance. Each sensor alone tells angle and
    velocity, so either may fail.

    ## Action Space
    ``Box(-1, 1, (1,), float32)``: the torque as a fraction of 2 N m, counter-clockwise
    positive.

    ## Observation Space
    A ``Dict`` of two sensors, each with the previous frame, then the present one:

    - "image": ``Box(0, 255, (2, image_size, image_size), uint8)``, the rod without any
      trace of the torque.
    - "sound": ``Box(0, 1, (12,), float32)``, frames x receivers x (pitch, loudness),
      logarithmic, with analytic ranges.

    ``info["state"]`` is (cos theta, sin theta, omega), float32.

    ## Rewards
    -(theta^2 + 0.1 omega^2 + 0.001 torque^2), with theta wrapped to [-pi, pi), of the
    state before the step; in [-16.28, 0].

    ## Starting State
    theta uniform in (-pi, pi), omega uniform in (-1, 1): for the same seed the state of
    ``Pendulum-v1``. The earlier frame is that of a step without torque.

    ## Episode End
    Never terminates; truncated after 200 steps.

    ## Arguments
    - ``image_size``: pixels on a side, at least 16.
    - ``published``: compare with MUSE's numbers. The image is binary, the torque is
      limited to 1 N m and the sound is scaled linearly; episodes of 300 steps come with
      the id ``nexus_rl/MultimodalPendulumPublished-v0``. Frames have one step between
      them and the state is Gymnasium 1.x's, which differs from MUSE's only at the
      speed limit.
    - ``render_mode``: None, "rgb_array" or "human".

    ## Example
    >>> import gymnasium as gym
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0", image_size=32)
    >>> observation, info = env.reset(seed=0)
    >>> {name: sensor.shape for name, sensor in observation.items()}
    {'image': (2, 32, 32), 'sound': (12,)}

    A data set needs no episodes, for a state determines its observation:

    >>> states = env.unwrapped.sample_states(100, env.np_random)
    >>> env.unwrapped.observe(*states)["image"].shape
    (100, 2, 32, 32)
    >>> env.close()
    """

    sample_states = staticmethod(sample_states)
    observe: Callable[..., Observation] = staticmethod(observe)

    def __init__(
        self,
        image_size: int = 60,
        published: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        self.image_size = image_size
        self.published = published
        self.max_torque = MAX_TORQUE / 2 if published else MAX_TORQUE
        # An instance observes as it was built; the class, with the defaults.
        self.observe = partial(observe, image_size=image_size, published=published)
        self._camera = camera(image_size, published)
        self._last_image: Image = self._camera.draw(0.0)
        self._last_sound = sound(0.0, 0.0, published)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (2, image_size, image_size), np.uint8),
                "sound": spaces.Box(0.0, 1.0, (12,), np.float32),
            }
        )

    @property
    def sensor_formats(self) -> dict[str, str]:
        """How readings are made, by sensor: what the spaces do not tell."""
        edges, scale = "anti-aliased", "logarithmic"
        if self.published:
            edges, scale = "binary", "linear"
        return {
            "image": f"2 frames, {edges}",
            "sound": f"2 frames, {scale} pitch and loudness",
        }

    def _sense_first(self) -> Observation:
        before_theta, before_omega = rewind(self.theta, self.omega)
        self._last_image = self._camera.draw(float(before_theta))
        self._last_sound = sound(before_theta, before_omega, self.published)
        return self._sense(push=0.0)

    def _sense(self, push: float) -> Observation:
        image = self._camera.draw(self.theta)
        heard = sound(self.theta, self.omega, self.published)
        observation = {
            "image": np.stack([self._last_image, image]),
            "sound": np.concatenate([self._last_sound, heard]),
        }
        self._last_image, self._last_sound = image, heard
        return observation
