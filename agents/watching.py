"""Letting an agent act, a step at a time, for somebody who watches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.acting import Actor
from agents.conditions import EVERYTHING, Condition
from agents.evaluation import Player, check_ends, episode_seed, telling
from agents.panels import Sight
from agents.perception import make_vec_env
from nexus_rl.errors import UserError
from nexus_rl.mask import MASK, sensors_of
from nexus_rl.wrappers import Schedule
from nexus_rl.wrappers.schedules import Available, Generator, Moment


class Switches(Schedule):
    """Sensors that are switched off and on by hand, at any time.

    ``off`` holds the names of those that are off.
    """

    def __init__(self) -> None:
        self.off: set[str] = set()

    def toggle(self, name: str) -> None:
        """Switch a sensor off, or on again."""
        self.off ^= {name}

    def draw(self, moment: Moment, rng: Generator) -> Available:
        return np.array([name not in self.off for name in moment.sensors])


def with_switches(condition: Condition, switches: Switches) -> Condition:
    """The condition, and sensors that can be switched off by hand as well.

    All of them can if nothing else is missing; else the condition's ``min_available``
    holds.
    """
    given = condition.schedule
    several = (given,) if isinstance(given, Schedule) else tuple(given or ())
    least = 0 if condition.name == EVERYTHING else condition.min_available
    return replace(condition, schedule=(*several, switches), min_available=least)


class Watched:
    """An agent in a condition, seen step by step.

    ``boxes`` are the spaces of the sensors that are Boxes, by name, ``fps`` the steps a
    second of the environment. Raises ``UserError`` if the environment gives no
    pictures, and for an episode without end.
    """

    def __init__(self, agent: Player, condition: Condition) -> None:
        self.agent, self.condition = agent, condition
        shown = {**agent.task.env_kwargs, "render_mode": "rgb_array"}
        task = replace(agent.task, env_kwargs=shown)
        self._venv = make_vec_env(task, 1, 0, condition=condition, model=agent.encoder)
        entries = sensors_of(self._venv.unwrapped.observation_space)
        self.boxes: Mapping[str, spaces.Box] = {
            name: box for name, box in entries.items() if isinstance(box, spaces.Box)
        }
        metadata = self._venv.get_attr("metadata")[0]
        self.fps = float(metadata.get("render_fps", 20))

    def episode(self, seed: int, episode: int) -> Iterator[Sight]:
        """Each step of an episode of the evaluation with ``seed``, and its end."""
        actor = Actor(self.agent, self._venv)
        actor.reset(episode_seed(seed, episode))
        sight = self._look(telling(self._venv).reset_infos[0], 0, 0.0)
        done = False
        while not done:
            check_ends(self.agent, self.condition, self._venv, sight.step)
            yield sight
            rewards, dones, infos = actor.step()
            step, total = sight.step + 1, sight.total + float(rewards[0])
            done = bool(dones[0])
            # The environment has begun anew, so the last picture stays.
            sight = (
                replace(sight, step=step, total=total, ended=True)
                if done
                else self._look(infos[0], step, total)
            )
        yield sight

    def close(self) -> None:
        """Close the environment."""
        self._venv.close()

    def _look(
        self, info: Mapping[str, Mapping[str, bool]], step: int, total: float
    ) -> Sight:
        readings: Mapping[str, NDArray[np.float64]] = self._venv.unwrapped.buf_obs  # type: ignore[attr-defined]
        there = info.get(MASK, {})
        return Sight(
            title=self.condition.name.replace("_", " "),
            scene=self._picture(),
            readings={name: readings[name][0].copy() for name in self.boxes},
            available={name: there.get(name, True) for name in self.boxes},
            corrupted=info.get("corrupted", {}),
            step=step,
            total=total,
        )

    def _picture(self) -> NDArray[np.uint8]:
        picture = self._venv.env_method("render")[0]
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise UserError(
                f"{self.agent.task.env} gives no pictures: it must support "
                'render_mode="rgb_array"'
            )
        return picture
