"""The algorithms of Stable-Baselines3 and sb3-contrib by name, from plain data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from agents.config import AgentConfig
from agents.features import EXTRACTORS
from nexus_rl.errors import UserError, choose

Space = spaces.Space[Any]


class Algorithm(NamedTuple):
    """A class of algorithms by name, the kinds of actions it can choose, its policies.

    ``policies`` are those for one observation and for several, a Dict.
    """

    package: str
    name: str
    actions: tuple[type[Space], ...]
    policies: tuple[str, str] = ("MlpPolicy", "MultiInputPolicy")

    @property
    def kind(self) -> type[BaseAlgorithm]:
        """The class. Raises ``UserError`` where its package is not installed."""
        try:
            found: type[BaseAlgorithm] = getattr(import_module(self.package), self.name)
        except ImportError as error:
            raise UserError(
                f"{self.name} needs sb3-contrib ({error}): "
                "pip install nexus_rl[contrib]"
            ) from error
        return found

    @property
    def distribution(self) -> str:
        """What the package is called where it is installed from."""
        return self.package.replace("_", "-")


_CLASSES = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_SB3 = "stable_baselines3"
ALGORITHMS = {
    "ppo": Algorithm(_SB3, "PPO", (spaces.Box, *_CLASSES)),
    "sac": Algorithm(_SB3, "SAC", (spaces.Box,)),
    "dqn": Algorithm(_SB3, "DQN", (spaces.Discrete,)),
    "recurrent_ppo": Algorithm(
        *("sb3_contrib", "RecurrentPPO", (spaces.Box, *_CLASSES)),
        ("MlpLstmPolicy", "MultiInputLstmPolicy"),
    ),
}

# Arguments that are not a matter of hyper-parameters.
_OURS = (
    *("policy", "env", "seed", "device"),
    *("verbose", "tensorboard_log", "_init_setup_model"),
)

_SCHEDULES = ("learning_rate", "clip_range")  # may be such as "lin_0.001"


def build(config: AgentConfig, venv: VecEnv, device: str = "cpu") -> BaseAlgorithm:
    """A new algorithm that learns on ``venv``, its networks on ``device``.

    Raises ``UserError`` for actions that it cannot choose, observations that it cannot
    read, and arguments that it does not take.
    """
    kind = _fitting(config.algo, venv.action_space)
    _check_readable(venv.observation_space)
    params = config.hyperparameters
    description = describe_policy(config, venv.observation_space)
    _check_parameters(config.algo, kind, params)
    params["policy_kwargs"] = _resolved(description["kwargs"])
    for name in _SCHEDULES:
        if isinstance(params.get(name), str):
            params[name] = _linear(name, params[name])
    try:
        return kind(
            description["policy"], venv, seed=config.seed, device=device, **params
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"{config.algo} refuses its parameters: {error}") from error


def _check_readable(space: Space) -> None:
    """Raises ``UserError`` for what Stable-Baselines3 does not preprocess."""
    entries = space.spaces if isinstance(space, spaces.Dict) else {}
    for name, entry in entries.items():
        counted = isinstance(entry, spaces.Discrete | spaces.MultiDiscrete)
        if counted and np.any(getattr(entry, "start", 0)):
            todo = "count its classes from 0"
        elif isinstance(entry, spaces.MultiDiscrete) and len(entry.shape) > 1:
            todo = "flatten it"
        elif isinstance(entry, spaces.Box) and entry.shape == ():
            todo = "reshape it to (1,)"
        else:
            continue
        raise UserError(
            f"no policy can read {name!r}, {entry}: {todo} by a wrapper of the "
            "environment, or ignore it"
        )


def _check_parameters(
    algo: str, kind: type[BaseAlgorithm], params: Mapping[str, Any]
) -> None:
    """Raises ``UserError`` for unknown names, and for texts in place of numbers."""
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if name not in _OURS
    }
    for name, value in params.items():
        default = choose(name, known, f"parameter of {algo}")
        number = isinstance(default, int | float) and name not in _SCHEDULES
        if number and isinstance(value, str):
            raise UserError(
                f"{name} of {algo} must be such as {default!r}, not {value!r}"
            )


def describe_policy(config: AgentConfig, space: Space) -> dict[str, Any]:
    """What ``rebuild_policy`` needs but the spaces and the weights; plain data."""
    kwargs = dict(config.hyperparameters.get("policy_kwargs", {}))
    several = isinstance(space, spaces.Dict)
    if several:
        kwargs.setdefault("features_extractor_class", "sensors")
    return {
        "algo": config.algo,
        "policy": ALGORITHMS[config.algo].policies[several],
        "kwargs": kwargs,
        "use_sde": bool(config.hyperparameters.get("use_sde", False)),
    }


def rebuild_policy(
    description: Mapping[str, Any], observations: Space, actions: Space
) -> BasePolicy:
    """A policy as it was described, with weights of its own."""
    kind = _fitting(description["algo"], actions)
    aliases: Mapping[str, Any] = kind.policy_aliases
    kwargs = _resolved(description["kwargs"])
    if description["use_sde"]:
        kwargs["use_sde"] = True
    named = choose(description["policy"], aliases, f"policy of {description['algo']}")
    policy: BasePolicy = named(observations, actions, lambda _: 0.0, **kwargs)
    return policy


def _fitting(name: str, actions: Space) -> type[BaseAlgorithm]:
    algorithm = choose(name, ALGORITHMS, "algorithm")
    if not isinstance(actions, algorithm.actions):
        fit = [n for n, a in ALGORITHMS.items() if isinstance(actions, a.actions)]
        instead = f"use {' or '.join(fit)}"
        if not fit:
            kinds = {kind.__name__ for a in ALGORITHMS.values() for kind in a.actions}
            instead = (
                f"no algorithm can, only of {', '.join(sorted(kinds))}; let a "
                "wrapper of the environment make them one of these"
            )
        raise UserError(f"{name} cannot choose actions of {actions}; {instead}")
    return algorithm.kind


def _resolved(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a policy, with the class of its features for their name."""
    found = dict(kwargs)
    if "features_extractor_class" in found:
        name = found["features_extractor_class"]
        found["features_extractor_class"] = choose(str(name), EXTRACTORS, "extractor")
    return found


def _linear(name: str, text: str) -> LinearSchedule:
    """The schedule from X to 0 that "lin_X" means."""
    kind, _, start = text.partition("_")
    try:
        if kind == "lin":
            return LinearSchedule(float(start), 0.0, 1.0)
    except ValueError:
        pass
    raise UserError(f"{name} must be a number or such as lin_0.001, got {text!r}")
