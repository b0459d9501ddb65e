"""Agents of Stable-Baselines3 whose sensors may fail: trained, kept and measured.

What needs torch or Stable-Baselines3 is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agents.perception import Perception, Task, make_vec_env

# Names that would make the import wait for torch or Stable-Baselines3.
_LATER: dict[str, str] = {}

__all__ = ["Perception", "Task", "make_vec_env"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    return getattr(import_module(f"agents.{_LATER[name]}"), name)
