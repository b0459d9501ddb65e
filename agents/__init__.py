"""Agents of Stable-Baselines3 whose sensors may fail: trained, kept and measured.

What needs torch or Stable-Baselines3 is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agents.conditions import Condition, choose_conditions, conditions_of
from agents.config import AgentConfig
from agents.evaluation import RandomAgent, evaluate_subsets
from agents.perception import Perception, Task, make_vec_env
from agents.results import Evaluation

if TYPE_CHECKING:
    from agents.bundle import Agent, load_agent
    from agents.training import resume_agent, train_agent

# Names that would make the import wait for torch or Stable-Baselines3.
_LATER = {
    "Agent": "bundle",
    "load_agent": "bundle",
    "resume_agent": "training",
    "train_agent": "training",
}

__all__ = [
    "Agent",
    "AgentConfig",
    "Condition",
    "Evaluation",
    "Perception",
    "RandomAgent",
    "Task",
    "choose_conditions",
    "conditions_of",
    "evaluate_subsets",
    "load_agent",
    "make_vec_env",
    "resume_agent",
    "train_agent",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    return getattr(import_module(f"agents.{_LATER[name]}"), name)
