"""What is recorded of an environment: its columns, its name, its rows."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from nexus_rl.data.rollout_index import Column
from nexus_rl.entries import ARRAYS, Entries, check_arrays, kept_entries
from nexus_rl.errors import UserError
from nexus_rl.mask import MASK
from nexus_rl.modality import check_name

SENSOR = "observation."  # how the columns of sensors begin

Env = gym.Env[Any, Any]
Observation = Mapping[str, Any]


class RecordedEnv:
    """An environment whose observations become rows: ``name`` and ``columns``.

    Rows leave out the entries to ``ignore``; a policy sees them all the same.

    Raises ``UserError`` if observations are not a ``Dict`` of arrays, or actions not
    arrays.
    """

    def __init__(self, env: Env, ignore: Collection[str] = ()) -> None:
        sensors = check_spaces(env.observation_space, env.action_space, ignore)
        _, info = env.reset(seed=0)
        self.env = env
        self.name = name_of(env)
        self.columns = columns_of(sensors, env.action_space, true_state(info))
        self.no_action = np.zeros(env.action_space.shape or (), env.action_space.dtype)
        self._sensors = {SENSOR + name: name for name in sensors}
        self._arrays = [*self._sensors, *(["state"] if "state" in self.columns else [])]

    def row(
        self,
        observation: Observation,
        info: Mapping[str, Any],
        action: Any,
        reward: Any = 0.0,
        terminated: Any = False,
        truncated: Any = False,
    ) -> dict[str, Any]:
        """A row but for its ``episode`` and ``step``."""
        values = {SENSOR + name: value for name, value in observation.items()}
        values["state"] = info.get("state")
        # Copies, because an environment may write to its arrays again.
        row: dict[str, Any] = {
            name: self.columns[name].check(name, values.get(name)).copy()
            for name in self._arrays
        }
        row["action"] = action
        row["reward"] = float(reward)
        row["terminated"] = bool(terminated)
        row["truncated"] = bool(truncated)
        return row

    @property
    def missing_sampler(self) -> str:
        """Why states cannot be sampled; empty if they can."""
        inner: Any = self.env.unwrapped
        needed = ["sample_states", "observe"]
        if "state" in self.columns:
            needed.append("state_features")
        lacking = [name for name in needed if not hasattr(inner, name)]
        if lacking:
            return f"it has no {' or '.join(lacking)}"
        if inner.observation_space != self.env.observation_space:
            return "its wrappers change the observations"
        return ""

    def sampled_rows(self, n: int, rng: np.random.Generator) -> dict[str, Any]:
        """``n`` rows of sampled states but for their ``episode``: (n, ...) each.

        The environment's ``sample_states(n, rng)`` gives arrays (n,), its ``observe``
        maps them to sensors, and its ``state_features`` as many of the first ones as
        it takes to ``info["state"]``.
        """
        inner: Any = self.env.unwrapped
        states = inner.sample_states(n, rng)
        observations = inner.observe(*states)
        rows = {
            name: np.zeros((n, *column.shape), column.dtype)
            for name, column in self.columns.items()
        }
        if "state" in rows:
            taken = len(inspect.signature(inner.state_features).parameters)
            rows["state"] = inner.state_features(*states[:taken])
        sensors = {
            column: observations.get(name) for column, name in self._sensors.items()
        }
        return {**rows, **sensors}


def check_spaces(
    observations: spaces.Space[Any],
    actions: spaces.Space[Any],
    ignore: Collection[str] = (),
) -> Entries:
    """The sensors' spaces, without the entries to ``ignore``.

    Raises ``UserError`` unless rows can hold what these spaces contain.
    """
    if not isinstance(observations, spaces.Dict):
        raise UserError(
            f"expected observations in a Dict space, one key a sensor, got "
            f"{observations}"
        )
    if MASK in observations.spaces:
        raise UserError(
            "the environment marks sensors as available or not; collect with all "
            "sensors present, from the environment inside SensorDropout"
        )
    sensors = kept_entries(observations, ignore)
    check_arrays(sensors, ignore)
    if not isinstance(actions, ARRAYS):
        raise UserError(
            "'action' must be a Box, Discrete, MultiBinary or MultiDiscrete space, got "
            f"{actions}; flatten it with a wrapper"
        )
    for name in sensors:
        check_name(name)
    if len({name.casefold() for name in sensors}) < len(sensors):
        raise UserError(
            "sensors need distinct names, whatever their case, got "
            f"{list(sensors)}; rename them with a wrapper"
        )
    return sensors


def columns_of(
    sensors: Entries, actions: spaces.Space[Any], state: NDArray[Any] | None
) -> dict[str, Column]:
    """The columns of rollouts with these spaces and this kind of true state."""
    columns = {
        SENSOR + name: Column.of(space.shape, space.dtype)
        for name, space in sensors.items()
    }
    columns["action"] = Column.of(actions.shape, actions.dtype)
    columns["reward"] = Column.of((), np.float64)
    columns["terminated"] = columns["truncated"] = Column.of((), np.bool_)
    columns["episode"] = columns["step"] = Column.of((), np.int64)
    if state is not None:
        columns["state"] = Column.of(state.shape, state.dtype)
    return columns


def true_state(info: Mapping[str, Any]) -> NDArray[Any] | None:
    """``info["state"]`` if it is there and an array of numbers."""
    try:
        state = np.asarray(info.get("state"))
    except ValueError:  # lists of different lengths
        return None
    return state if state.dtype.kind in "biuf" else None


def name_of(env: Env) -> dict[str, Any]:
    """``env_name`` of an environment."""
    inner = type(env.unwrapped)
    return env_name(env.spec, f"{inner.__module__}:{inner.__qualname__}")


def env_name(spec: EnvSpec | None, otherwise: str) -> dict[str, Any]:
    """What tells environments apart, as JSON; how they are rendered does not matter.

    ``otherwise`` is the id of one that was not made by ``gym.make``.
    """
    if spec is None:
        return {"id": otherwise}
    name = {
        "id": spec.id,
        "entry_point": spec.entry_point,
        "max_episode_steps": spec.max_episode_steps,
        "kwargs": {k: v for k, v in spec.kwargs.items() if k != "render_mode"},
        "wrappers": [wrapper.name for wrapper in spec.additional_wrappers],
    }
    text = json.dumps(name, default=lambda value: type(value).__qualname__)
    result: dict[str, Any] = json.loads(text)
    return result
