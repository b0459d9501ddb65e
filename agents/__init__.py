"""Agents of Stable-Baselines3 whose sensors may fail: trained, kept and measured.

What needs torch or Stable-Baselines3 is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.conditions import Condition, choose_conditions, conditions_of
from agents.config import AgentConfig
from agents.evaluation import RandomAgent, evaluate_subsets
from agents.perception import Perception, Task, make_vec_env
from agents.results import Evaluation
from nexus_rl.lazy import import_later

if TYPE_CHECKING:
    from agents.bundle import Agent, load_agent
    from agents.callbacks import EvaluateConditions
    from agents.training import resume_agent, train_agent

# Names that would make the import wait for torch or Stable-Baselines3.
_LATER = {
    "Agent": "bundle",
    "EvaluateConditions": "callbacks",
    "load_agent": "bundle",
    "resume_agent": "training",
    "train_agent": "training",
}

__all__ = [
    "Agent",
    "AgentConfig",
    "Condition",
    "EvaluateConditions",
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

__getattr__, __dir__ = import_later(__name__, _LATER)
