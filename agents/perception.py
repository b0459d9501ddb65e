"""What a policy sees of an environment, and the environments that show it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from agents.conditions import Condition, condition_sensors, may_fail
from nexus_rl.entries import ARRAYS, check_arrays
from nexus_rl.environments import Env, make_env
from nexus_rl.errors import UserError, choose
from nexus_rl.mask import dict_entries, sensors_of
from nexus_rl.wrappers.checks import as_names

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from nexus_rl.models.core import MultimodalVAE

Kind = Literal["latent", "raw", "state"]
FillIn = Literal["zero", "hold"]


@dataclass(frozen=True)
class Perception:
    """What a policy sees of an environment; plain data, JSON through ``asdict``.

    - ``kind``: "latent", z_sigma of an encoder; "raw", the sensors; "state", the true
      state that the environment tells in ``info["state"]``.
    - ``encoder``: folder of a model, for "latent".
    - ``sensors``: those the policy sees, for "raw"; () is all.
    - ``fill``: what stands for a missing sensor, for "raw": zeros or its last reading.
    - ``mask``: whether the policy is told which sensors are there.
    - ``append``, ``absent``: sensors that follow the latent as they are, and modalities
      of the encoder that the environment never shows, for "latent"; ``EncoderOptions``.

    Raises ``UserError`` for options that the kind does not have.
    """

    kind: Kind = "latent"
    encoder: str | None = None
    sensors: tuple[str, ...] = ()
    fill: FillIn = "zero"
    mask: bool = False
    append: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option in ("sensors", "append", "absent"):
            object.__setattr__(self, option, as_names(getattr(self, option)))
        choose(self.kind, dict.fromkeys(get_args(Kind)), "kind of perception")
        choose(self.fill, dict.fromkeys(get_args(FillIn)), "fill")
        if self.encoder is not None and self.kind != "latent":
            raise UserError(f"an encoder is for latents, not for {self.kind}")
        if (self.append or self.absent) and self.kind != "latent":
            raise UserError(f"append and absent are for latents, not for {self.kind}")
        if (self.sensors or self.fill != "zero") and self.kind != "raw":
            raise UserError(f"sensors and fill are for raw sensors, not {self.kind}")
        if self.mask and self.kind == "state":
            raise UserError("mask is not for the true state, which is always there")


@dataclass(frozen=True)
class Task:
    """An environment by id, and what the policy sees of it.

    - ``reliable``: sensors that never fail, whatever the policy sees. Goals and entries
      that are no Box never do either; ``agents.conditions.may_fail``.
    - ``ignore``: entries of the observation that nobody needs, such as texts. They are
      dropped before anything else looks at them.

    Raises ``UserError`` for an entry that is ignored and named elsewhere.
    """

    env: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    perception: Perception = Perception()
    reliable: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen = self.perception
        for option in ("reliable", "ignore"):
            object.__setattr__(self, option, as_names(getattr(self, option)))
        needed = dict.fromkeys(self.reliable, "reliable")
        needed |= dict.fromkeys(seen.sensors, "sensors")
        needed |= dict.fromkeys(seen.append, "append")
        for name in self.ignore:
            if name in needed:
                raise UserError(
                    f"{name!r} is ignored, so it cannot be in {needed[name]}: leave it "
                    "out of one of them"
                )

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return {**asdict(self), "env_kwargs": dict(self.env_kwargs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        """The task that ``to_json`` told."""
        seen = value["perception"]
        # Later than the first agents that were saved: append, absent, and both below.
        names = {k: tuple(seen.get(k, ())) for k in ("sensors", "append", "absent")}
        perception = Perception(**{**seen, **names})
        told = (tuple(value.get(name, ())) for name in ("reliable", "ignore"))
        return cls(value["env"], dict(value["env_kwargs"]), perception, *told)


def make_task_env(task: Task) -> Env:
    """One environment of ``task``, without what is ignored.

    Raises ``UserError`` if it has entries that no agent can see.
    """
    env = make_env(task.env, task.env_kwargs, task.ignore)
    try:
        if not isinstance(env.observation_space, ARRAYS):
            check_arrays(dict_entries(env.observation_space), task.ignore)
    except UserError:
        env.close()
        raise
    return env


def failing_sensors(task: Task) -> tuple[str, ...]:
    """The sensors of ``task`` that may fail."""
    env = make_env(task.env, task.env_kwargs, task.ignore)
    env.close()
    return may_fail(env.observation_space, task.reliable)


def make_vec_env(
    task: Task,
    n_envs: int,
    seed: int,
    *,
    condition: Condition | None = None,
    model: MultimodalVAE | None = None,
) -> VecEnv:
    """``n_envs`` environments that show a policy what ``task`` says.

    Sensors fail as ``condition`` says; without one all are there. Environment i is
    seeded with ``seed`` + i at the first reset. ``model`` is the encoder, if it is
    loaded already. Observations, ``infos[i]["terminal_observation"]`` included:

    - "state": Box (D,), never affected by the condition;
    - "raw": a Dict of the chosen sensors, also of one alone, and with a mask of the key
      "available", a column for each of them; images as (C, H, W);
    - "latent": Box (size,), the latent, what is appended to it, the mask.

    Each environment is wrapped in Monitor. A sensor whose declared format begins with
    "2 frames" counts as there again when both are fresh.

    Raises ``UserError`` where environment, perception and condition do not fit.

    Example:
    >>> task = Task("nexus_rl/MultimodalPendulum-v0", perception=Perception("state"))
    >>> venv = make_vec_env(task, n_envs=2, seed=0)
    >>> venv.reset().shape
    (2, 3)
    >>> venv.close()
    """
    from stable_baselines3.common.vec_env import DummyVecEnv

    venv: VecEnv = DummyVecEnv([partial(_make_one, task, condition)] * n_envs)
    try:
        if condition is not None and condition.schedule is not None:
            venv = _drop_out(venv, task, condition)
        venv = _show(venv, task.perception, model)
    except BaseException:
        venv.close()
        raise
    venv.seed(seed)
    return venv


def _make_one(task: Task, condition: Condition | None) -> Env:
    from stable_baselines3.common.monitor import Monitor

    from nexus_rl.wrappers import SensorCorruption

    env = make_task_env(task)
    if condition is not None and condition.corruptions:
        condition_sensors(condition, env.observation_space, task.reliable)
        env = SensorCorruption(env, condition.corruptions)
    return Monitor(env)


def _drop_out(venv: VecEnv, task: Task, condition: Condition) -> VecEnv:
    from nexus_rl.wrappers import VecSensorDropout

    assert condition.schedule is not None
    space = venv.observation_space
    sensors = condition_sensors(condition, space, task.reliable)
    if not sensors:
        raise UserError(
            f"condition {condition.name!r} has no sensor to take away: none of "
            f"{', '.join(sensors_of(space))} may fail"
        )
    try:
        return VecSensorDropout(
            venv,
            condition.schedule,
            task.perception.fill,
            min_available=condition.min_available,
            sensors=sensors,
            stack={n: count for n, count in frames(venv).items() if n in sensors},
        )
    except UserError as error:
        raise UserError(
            f"condition {condition.name!r}, of {', '.join(sensors)}: {error}"
        ) from error


def frames(env: Any) -> dict[str, int]:
    """How many frames the readings of each sensor hold, where their format tells."""
    from nexus_rl.formats import sensor_formats

    told = {
        name: re.match(r"(\d+) frames?\b", text)
        for name, text in sensor_formats(env).items()
        if name in sensors_of(env.observation_space)
    }
    return {name: int(match[1]) for name, match in told.items() if match}


def _show(venv: VecEnv, perception: Perception, model: MultimodalVAE | None) -> VecEnv:
    from agents.views import VecSensors, VecState, channels_first

    if perception.kind == "state":
        return VecState(venv)
    if perception.kind == "raw":
        chosen = VecSensors(venv, perception.sensors, perception.mask)
        return channels_first(chosen)
    encoder = model if model is not None else perception.encoder
    if encoder is None:
        raise UserError(
            "an agent that sees latents needs the folder of an encoder, such as "
            "pretrain_nexus.py writes; or let it see raw sensors or the state"
        )
    from nexus_rl.wrappers import SB3NexusObservation

    return SB3NexusObservation(
        venv,
        encoder,
        append=perception.append,
        append_mask=perception.mask,
        absent=perception.absent,
    )
