"""Environments whose sensors fail: dropout, corruption and when they happen.

What needs torch or Stable-Baselines3 is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nexus_rl.wrappers.corruption import SensorCorruption
from nexus_rl.wrappers.dropout import SensorDropout
from nexus_rl.wrappers.faults import (
    Corruption,
    Delay,
    Drift,
    Fault,
    Frozen,
    Gaussian,
    Lie,
    Occlusion,
)
from nexus_rl.wrappers.masking import DropoutOptions
from nexus_rl.wrappers.schedules import (
    Bernoulli,
    CommonCause,
    Curriculum,
    Fixed,
    Markov,
    Moment,
    PerEpisode,
    Periodic,
    Schedule,
    Scripted,
    Window,
)
from nexus_rl.wrappers.vector_dropout import VectorSensorDropout

if TYPE_CHECKING:
    from nexus_rl.wrappers.encoder import EncoderOptions
    from nexus_rl.wrappers.observation import NexusObservation
    from nexus_rl.wrappers.sb3_dropout import VecSensorDropout
    from nexus_rl.wrappers.sb3_observation import SB3NexusObservation
    from nexus_rl.wrappers.vector_observation import (
        VecNexusObservation,
        VectorNexusObservation,
    )

# Names that would make the import wait for torch or Stable-Baselines3.
_LATER = {
    "EncoderOptions": "encoder",
    "NexusObservation": "observation",
    "SB3NexusObservation": "sb3_observation",
    "VecNexusObservation": "vector_observation",
    "VecSensorDropout": "sb3_dropout",
    "VectorNexusObservation": "vector_observation",
}

__all__ = [
    "Bernoulli",
    "CommonCause",
    "Corruption",
    "Curriculum",
    "Delay",
    "Drift",
    "DropoutOptions",
    "EncoderOptions",
    "Fault",
    "Fixed",
    "Frozen",
    "Gaussian",
    "Lie",
    "Markov",
    "Moment",
    "NexusObservation",
    "Occlusion",
    "PerEpisode",
    "Periodic",
    "SB3NexusObservation",
    "Schedule",
    "Scripted",
    "SensorCorruption",
    "SensorDropout",
    "VecNexusObservation",
    "VecSensorDropout",
    "VectorNexusObservation",
    "VectorSensorDropout",
    "Window",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'nexus_rl.wrappers' has no attribute {name!r}")
    return getattr(import_module(f"nexus_rl.wrappers.{_LATER[name]}"), name)
