"""Vectorised environments that show the true state, or some of the sensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import (
    is_image_space,
    is_image_space_channels_first,
)
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecTransposeImage

from nexus_rl.errors import UserError, choose
from nexus_rl.mask import MASK, dict_entries, mask_columns, sensors_of

Infos = Sequence[Mapping[str, Any]]


class _View(VecEnvWrapper):
    """Shows something else; ``infos[i]["terminal_observation"]`` is changed alike."""

    def reset(self) -> Any:
        """Reset the environments."""
        observations = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        return self._see(observations, self.reset_infos)

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Step the environments, which are reset at once where an episode ended."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self.reset_infos = self.venv.reset_infos
        ended = np.flatnonzero(dones).tolist()
        for i in ended:
            # A batch of one, as it came at the end of the episode.
            final = _batch_of_one(infos[i]["terminal_observation"])
            shown = self._see(final, [infos[i]])
            infos[i]["terminal_observation"] = _only_row(shown)
        # What an info tells of an environment that was reset is of the old episode.
        now = [
            self.reset_infos[i] if i in ended else infos[i] for i in range(len(infos))
        ]
        return self._see(observations, now), rewards, dones, infos

    @abstractmethod
    def _see(self, observations: Any, infos: Infos) -> Any:
        """What is shown of a batch."""


class VecState(_View):
    """Shows ``info["state"]``, (N, D) float32, in place of the sensors.

    Resets ``venv`` once to learn D. Raises ``UserError`` if it tells no state.
    """

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        venv.reset()
        if "state" not in venv.reset_infos[0]:
            raise UserError(
                "the environment tells no true state: put one, an array of numbers, "
                'into info["state"] at reset and step, or show the agent sensors'
            )
        size = np.size(venv.reset_infos[0]["state"])
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def _see(self, observations: Any, infos: Infos) -> Any:
        return np.stack([np.ravel(info["state"]) for info in infos]).astype(np.float32)


class VecSensors(_View):
    """Shows a Dict of the ``sensors`` named, all if none are, as the policy's input.

    With ``mask`` there is a key "available" of a column for each of them, in their
    order: ones, but for sensors of which the environment's own mask tells. Without
    ``mask`` there is none. Raises ``UserError`` for unknown sensors, and masks of which
    nobody knows whose column is whose.
    """

    def __init__(self, venv: VecEnv, sensors: Sequence[str], mask: bool) -> None:
        entries = sensors_of(venv.observation_space)
        for name in sensors:
            choose(name, entries, "sensor")
        self.sensors = [name for name in entries if not sensors or name in sensors]
        self.mask = mask
        self._told = MASK in dict_entries(venv.observation_space)
        columns = mask_columns(venv) if mask else {}
        # The last column is that of sensors which are always there.
        numbers = [columns.get(name) for name in self.sensors]
        self._columns = [-1 if number is None else number for number in numbers]
        chosen: dict[str, spaces.Space[Any]] = {n: entries[n] for n in self.sensors}
        if mask:
            chosen[MASK] = spaces.Box(0.0, 1.0, (len(chosen),), np.float32)
        super().__init__(venv, spaces.Dict(list(chosen.items())))

    def _see(self, observations: Any, infos: Infos) -> Any:
        shown = {name: observations[name] for name in self.sensors}
        if self.mask:
            told = [observations[MASK]] if self._told else []
            there = np.ones((len(infos), 1), np.float32)
            shown[MASK] = np.concatenate([*told, there], 1)[:, self._columns]
        return shown


def channels_first(venv: VecEnv) -> VecEnv:
    """``venv`` with its images as (C, H, W), as the algorithms turn them anyway.

    Turned here, a policy has the spaces that its agent is saved with. Raises
    ``UserError`` where some images have their channels first and others last.
    """
    first = {
        name: is_image_space_channels_first(space)
        for name, space in dict_entries(venv.observation_space).items()
        if isinstance(space, spaces.Box) and is_image_space(space)
    }
    if all(first.values()):
        return venv
    if any(first.values()):
        raise UserError(
            "images must all be (C, H, W) or all (H, W, C); of "
            f"{', '.join(first)} some have their channels first and some last"
        )
    return VecTransposeImage(venv)


def _batch_of_one(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {name: np.asarray(value)[None] for name, value in observation.items()}
    return np.asarray(observation)[None]


def _only_row(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {name: value[0] for name, value in batch.items()}
    return batch[0]
