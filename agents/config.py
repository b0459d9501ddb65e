"""Settings of a training run, free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agents.perception import Task
from agents.presets import default_preset, find_preset
from nexus_rl.errors import UserError, choose

ALGOS = ("ppo", "sac", "dqn", "recurrent_ppo")


@dataclass(frozen=True)
class AgentConfig:
    """What is trained, and how; plain data.

    - ``algo``: "ppo", "sac", "dqn", or "recurrent_ppo" of sb3-contrib, an agent with a
      memory; ``preset``: its settings, by default those of the environment;
      ``params``: changes to them, arguments of the algorithm's class, and ``n_envs``.
    - ``sensor_dropout``: how sensors fail in training, as ``training_condition`` reads
      it, such as "episode:0.3+markov:0.05,0.2".
    - ``steps``: of all environments together; PPO finishes its last rollout.
    - ``evaluate_every``, ``checkpoint_every``: steps between them; 0 for never and for
      only at the end. ``conditions``: those of evaluation, by name; by default
      everything and each sensor missing.

    Raises ``UserError`` for numbers out of range, presets that do not fit, and sensor
    dropout for an agent that sees no sensors.
    """

    task: Task
    algo: str = "ppo"
    preset: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    sensor_dropout: str = "none"
    steps: int = 100_000
    seed: int = 0
    evaluate_every: int = 20_000
    evaluate_episodes: int = 5
    conditions: tuple[str, ...] = ()
    checkpoint_every: int = 20_000

    def __post_init__(self) -> None:
        choose(self.algo, dict.fromkeys(ALGOS), "algorithm")
        least = {"steps": 1, "evaluate_episodes": 1}
        for name in ("seed", "evaluate_every", "checkpoint_every", *least):
            value = getattr(self, name)
            if value < least.get(name, 0):
                raise UserError(
                    f"{name} must be at least {least.get(name, 0)}, got {value}"
                )
        if not isinstance(self.n_envs, int) or self.n_envs < 1:
            raise UserError(f"n_envs must be at least 1, got {self.n_envs!r}")
        if self.task.perception.kind == "state" and self.sensor_dropout != "none":
            raise UserError(
                f"sensor dropout {self.sensor_dropout!r} does nothing to an agent that "
                "sees the true state; leave it out, or let the agent see sensors"
            )
        kwargs = self.params.get("policy_kwargs", {})
        if not isinstance(kwargs, Mapping):
            raise UserError(
                'policy_kwargs must be arguments by name, such as {"net_arch": [64]}, '
                f"got {kwargs!r}"
            )

    @property
    def preset_name(self) -> str:
        """The preset's name, also where none was named."""
        return self.preset or default_preset(self.task.env)

    @property
    def n_envs(self) -> int:
        """How many environments the algorithm learns from."""
        preset = find_preset(self.preset_name, self.algo)
        found: int = self.params.get("n_envs", preset.n_envs)
        return found

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The arguments of the algorithm's class: the preset's, changed."""
        params = {**find_preset(self.preset_name, self.algo).params, **self.params}
        params.pop("n_envs", None)
        copied: dict[str, Any] = json.loads(json.dumps(params))
        return copied

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return {**asdict(self), "task": self.task.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AgentConfig:
        """The settings that ``to_json`` told."""
        task, conditions = Task.from_json(value["task"]), tuple(value["conditions"])
        return cls(**{**value, "task": task, "conditions": conditions})
