"""Environments whose sensors fail: dropout, corruption and when they happen.

What needs torch or Stable-Baselines3 is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_rl.lazy import import_later
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

__getattr__, __dir__ = import_later(__name__, _LATER)
