"""The pendulum with four sensors that complement each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from envs import pendulum_physics as physics
from envs.pendulum import PendulumBase, check_state
from envs.pendulum_sensors import camera, sound
from envs.rendering import Observation

GYRO_NOISE = 0.5


def observe(
    theta: ArrayLike,
    omega: ArrayLike,
    push: ArrayLike = 0.0,
    gyro_error: ArrayLike = 0.0,
    image_size: int = 60,
) -> dict[str, NDArray[Any]]:
    """What ``MultimodalPendulum4`` observes in a state, or in an array of states.

    ``theta`` (radians), ``omega`` (rad/s), ``push`` (the last action, in [-1, 1]) and
    ``gyro_error`` (rad/s, added to omega) broadcast to one shape (...). Returns "image"
    (..., 1, image_size, image_size) uint8, "sound" (..., 6), "gyro" (..., 1) and
    "torque" (..., 1) float32. Nothing depends on the state before.

    Raises ``ValueError`` for states that are not finite or have |omega| > 8.
    """
    theta, omega, push, gyro_error = np.broadcast_arrays(
        *(np.asarray(value, np.float64) for value in (theta, omega, push, gyro_error))
    )
    check_state(theta, omega)
    rate = np.clip((omega + gyro_error) / physics.MAX_SPEED, -1.0, 1.0)
    return {
        "image": camera(image_size).draw_all(theta[..., None]),
        "sound": sound(theta, omega),
        "gyro": rate[..., None].astype(np.float32),
        "torque": np.clip(push, -1.0, 1.0)[..., None].astype(np.float32),
    }


def sample_states(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Draw ``n`` arguments of ``observe``: theta, omega, push, gyro_error, each (n,).

    States are those of the two-sensor pendulum, pushes uniform in [-1, 1] and gyro
    errors normal with the environment's deviation. Raises ``ValueError`` for a
    negative ``n``.
    """
    theta, omega = physics.sample_states(n, rng)
    return theta, omega, rng.uniform(-1.0, 1.0, n), rng.normal(0.0, GYRO_NOISE, n)


class MultimodalPendulum4(PendulumBase):
    """Swing up a pendulum with four sensors, some of which need each other.

    ## Description
    Dynamics, reward and start are those of ``MultimodalPendulum``, but every sensor
    shows one moment only, so that not every subset of them is enough:

    - image: the angle, and nothing of the velocity;
    - sound: angle and velocity;
    - gyro: the velocity, with normal noise of 0.5 rad/s, and nothing of the angle;
    - torque: the last action, and nothing of the state.

    Sound alone and image with gyro tell the state. The subsets {image}, {gyro},
    {torque}, {image, torque} and {gyro, torque} lack angle or velocity.

    ## Action Space
    ``Box(-1, 1, (1,), float32)``: the torque as a fraction of 2 N m, counter-clockwise
    positive.

    ## Observation Space
    A ``Dict`` of four sensors:

    - "image": ``Box(0, 255, (1, image_size, image_size), uint8)``.
    - "sound": ``Box(0, 1, (6,), float32)``, receivers x (pitch, loudness).
    - "gyro": ``Box(-1, 1, (1,), float32)``, velocity over 8 rad/s, clipped.
    - "torque": ``Box(-1, 1, (1,), float32)``, the last action; 0 after a reset.

    ``info["state"]`` is (cos theta, sin theta, omega), float32.

    ## Rewards, Starting State, Episode End
    As in ``MultimodalPendulum``.

    ## Arguments
    - ``image_size``: pixels on a side, at least 16.
    - ``render_mode``: None, "rgb_array" or "human".

    ## Example
    >>> import gymnasium as gym
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum4-v0")
    >>> observation, info = env.reset(seed=0)
    >>> sorted(observation)
    ['gyro', 'image', 'sound', 'torque']
    >>> states = env.unwrapped.sample_states(100, env.np_random)
    >>> env.unwrapped.observe(*states)["gyro"].shape
    (100, 1)
    >>> env.close()
    """

    sample_states = staticmethod(sample_states)
    observe: Callable[..., Observation] = staticmethod(observe)
    # How readings are made: what the spaces do not tell.
    sensor_formats: ClassVar[dict[str, str]] = {
        "image": "1 frame, anti-aliased",
        "sound": "1 frame, logarithmic pitch and loudness",
        "gyro": "rad/s over 8",
        "torque": "last action",
    }

    def __init__(self, image_size: int = 60, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        camera(image_size)
        self.image_size = image_size
        # An instance observes as it was built; the class, with the default size.
        self.observe = partial(observe, image_size=image_size)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (1, image_size, image_size), np.uint8),
                "sound": spaces.Box(0.0, 1.0, (6,), np.float32),
                "gyro": spaces.Box(-1.0, 1.0, (1,), np.float32),
                "torque": spaces.Box(-1.0, 1.0, (1,), np.float32),
            }
        )

    def _sense_first(self) -> Observation:
        return self._sense(push=0.0)

    def _sense(self, push: float) -> Observation:
        error = self.np_random.normal(0.0, GYRO_NOISE)
        return self.observe(self.theta, self.omega, push, error)
