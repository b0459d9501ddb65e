"""Hyper-parameters of the algorithms, by environment, in the style of RL Zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nexus_rl.errors import UserError, choose


@dataclass(frozen=True)
class Preset:
    """How many environments an algorithm learns from, and its arguments.

    ``params`` are those of the algorithm's class, as plain data; "lin_X" for a
    ``learning_rate`` or ``clip_range`` falls linearly from X to 0.
    """

    n_envs: int
    params: Mapping[str, Any] = field(default_factory=dict)


_SMALL = {"net_arch": [64, 64]}

# Chosen by hand on agents of the true state; what they reach there is in results/.
PRESETS: dict[str, dict[str, Preset]] = {
    "pendulum": {
        "ppo": Preset(
            n_envs=4,
            params={
                "n_steps": 1024,
                "batch_size": 256,
                "n_epochs": 10,
                "learning_rate": 1e-3,
                "gamma": 0.9,
                "gae_lambda": 0.95,
                "ent_coef": 0.0,
                "use_sde": True,
                "sde_sample_freq": 4,
                "policy_kwargs": _SMALL,
            },
        ),
        "sac": Preset(
            n_envs=4,
            params={
                "learning_rate": 1e-3,
                "batch_size": 128,
                "gamma": 0.95,
                "buffer_size": 100_000,
                "learning_starts": 1000,
                "train_freq": 1,
                "gradient_steps": 2,
                "policy_kwargs": _SMALL,
            },
        ),
    },
    "hyperhot": {
        "ppo": Preset(
            n_envs=8,
            params={
                "n_steps": 256,
                "batch_size": 256,
                "n_epochs": 10,
                "learning_rate": 1e-3,
                "gamma": 0.98,
                "gae_lambda": 0.95,
                "ent_coef": 0.0,
                "policy_kwargs": _SMALL,
            },
        ),
        "dqn": Preset(
            n_envs=4,
            params={
                "learning_rate": 5e-4,
                "batch_size": 128,
                "gamma": 0.99,
                "buffer_size": 100_000,
                "learning_starts": 5000,
                "train_freq": 4,
                "gradient_steps": 4,
                "target_update_interval": 2000,
                "exploration_fraction": 0.3,
                "exploration_final_eps": 0.05,
                "policy_kwargs": {"net_arch": [128, 128]},
            },
        ),
    },
    "digit_dial": {
        "ppo": Preset(
            n_envs=8,
            params={
                "n_steps": 128,
                "batch_size": 256,
                "n_epochs": 10,
                "learning_rate": 1e-3,
                "gamma": 0.8,  # a turn pays at once
                "gae_lambda": 0.9,
                "ent_coef": 0.01,
                "policy_kwargs": _SMALL,
            },
        ),
    },
    # Any other environment: the defaults of Stable-Baselines3, on several at once.
    "default": {
        "ppo": Preset(n_envs=4, params={"n_steps": 512}),
        "sac": Preset(n_envs=4, params={"buffer_size": 100_000, "gradient_steps": 4}),
        "dqn": Preset(n_envs=4, params={"buffer_size": 100_000}),
    },
}

# With a memory: the settings of PPO, and a small LSTM before the same layers.
for _algos in PRESETS.values():
    _ppo = _algos["ppo"]
    _params = dict(_ppo.params)
    if "policy_kwargs" in _params:
        _params["policy_kwargs"] = {**_params["policy_kwargs"], "lstm_hidden_size": 64}
    _algos["recurrent_ppo"] = Preset(_ppo.n_envs, _params)

# The preset of an environment that has one, by its name without version.
_DEFAULTS = {
    "MultimodalPendulum": "pendulum",
    "MultimodalPendulumPublished": "pendulum",
    "MultimodalPendulum4": "pendulum",
    "HyperHot": "hyperhot",
    "DigitDial": "digit_dial",
}


def default_preset(env: str) -> str:
    """The name of the preset for environment ``env``, a Gymnasium id."""
    name = env.rsplit("/", 1)[-1].rsplit(":", 1)[-1].rsplit("-v", 1)[0]
    return _DEFAULTS.get(name, "default")


def find_preset(name: str, algo: str) -> Preset:
    """The settings of ``algo`` in the preset ``name``.

    Raises ``UserError`` for an unknown preset, and for an algorithm that it lacks.
    """
    algos = choose(name, PRESETS, "preset")
    if algo not in algos:
        raise UserError(
            f"preset {name!r} has no settings for {algo}, only for "
            f"{', '.join(algos)}; choose one of them, or another preset such as default"
        )
    return algos[algo]
