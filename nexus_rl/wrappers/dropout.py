"""Sensors that fail: an environment whose observations lose entries, and say so."""

from __future__ import annotations

from typing import Any, TypeVar, Unpack

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from nexus_rl.mask import MASK, Columns, Presence
from nexus_rl.wrappers.episode import Episode
from nexus_rl.wrappers.masking import (
    BURSTS,
    DropoutOptions,
    Fill,
    Masker,
    Observation,
)
from nexus_rl.wrappers.recorded import recorded, restored
from nexus_rl.wrappers.seeds import DROPOUT, depth_around, keyed, roots
from nexus_rl.wrappers.timetable import Schedules

Action = TypeVar("Action")


class SensorDropout(
    gym.Wrapper[Observation, Action, Observation, Action], RecordConstructorArgs
):
    """Takes sensors of a Dict observation away for a while, and says which are left.

    The observation gains the key "available", ``Box(0, 1, (M,), float32)``: 1 where the
    sensor is there. Its columns are ``self.sensors``, in the order of the keys of
    ``env.observation_space``; ``self.mask_columns`` has the column of each entry, None
    for those that never fail. ``info["available"]`` tells the same by name, as
    booleans. Entries of missing sensors are replaced, and may be absent or None;
    everything else, and the environment's own arrays, stay as they are.

    - ``schedule``: when sensors fail; a list of schedules takes a sensor away when any
      of them does. The draws are keyed by the seed given to ``reset`` (unseeded resets
      continue them) and by how many ``SensorDropout`` are inside. The same seed
      therefore gives the same outages whatever the policy does and in whatever order
      the sensors are, and the environment draws the numbers of the unwrapped one.
    - ``fill``: what stands for a missing sensor. "zero" is zeros, clipped into the
      sensor's space; "hold" its last available value of the episode (zero before the
      first); "noise" uniform inside its bounds.
    - ``options``: ``min_available``, how many are always left (1); ``sensors``, the
      keys that may fail (all but goals); ``stack``, how many frames each holds (1).
      See ``DropoutOptions``.

    An environment may have the key "available" of its own, as an announced
    ``SensorCorruption`` does, with a column for every other key in their order, or as a
    ``mask_columns`` of its own tells. A sensor that it calls missing is missing like
    any other, but is not restored for ``min_available``.

    Raises ``UserError`` for observations that are no Dict, sensors that are no Box,
    unknown names and arguments outside their ranges.

    With Stable-Baselines3, pass it as ``wrapper_class`` to ``make_vec_env``, or wrap
    the vectorised environment in ``VecSensorDropout``.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl.wrappers import SensorDropout, Window
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> env = SensorDropout(env, Window(1, 10, ["image"]), stack={"image": 2})
    >>> env.sensors
    ('image', 'sound')
    >>> observation, info = env.reset(seed=0)
    >>> observation["available"]
    array([1., 1.], dtype=float32)
    >>> observation, *_, info = env.step(env.action_space.sample())
    >>> info["available"], int(observation["image"].max())
    ({'image': False, 'sound': True}, 0)
    >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Observation, Action],
        schedule: Schedules = BURSTS,
        fill: Fill = "zero",
        **options: Unpack[DropoutOptions],
    ) -> None:
        arguments = {"schedule": schedule, "fill": fill, **options}
        RecordConstructorArgs.__init__(self, **recorded(arguments))
        gym.Wrapper.__init__(self, env)
        self._masker = Masker(
            env.observation_space,
            Presence(env),
            restored(schedule),
            fill,
            **options,
        )
        self.observation_space = self._masker.observation_space
        self.sensors = self._masker.sensors
        self.mask_columns: Columns = self._masker.mask_columns
        self.dropout_depth = depth_around(env, "dropout_depth")
        self._episode = Episode(env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment and begin an episode of the schedule."""
        observation, info = self.env.reset(seed=seed, options=options)
        timetable = self._masker.timetable
        if seed is not None or not timetable.seeded:
            root = roots([seed], [0], lambda: [self.np_random])[0]
            timetable.seed(keyed(root, DROPOUT, self.dropout_depth))
        self._episode.reset()
        masked, available = self._masker.start(observation)
        return masked, {**info, MASK: available}

    def step(
        self, action: Action
    ) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Step the environment; ``info["available"]`` names what is there."""
        self._episode.check()
        observation, reward, terminated, truncated, info = self.env.step(action)
        begins = self._episode.step(terminated or truncated)
        take = self._masker.start if begins else self._masker.advance
        masked, available = take(observation)
        return masked, reward, terminated, truncated, {**info, MASK: available}
