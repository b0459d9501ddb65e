"""Perception for reinforcement-learning agents that keeps working when sensors fail.

Names are imported on first use, so that ``import nexus_rl`` and ``--help`` do not wait
for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_rl.lazy import import_later

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nexus_rl.config import ModelConfig as ModelConfig
    from nexus_rl.config import TrainConfig as TrainConfig
    from nexus_rl.errors import UserError as UserError
    from nexus_rl.modality import Modality as Modality
    from nexus_rl.models import Nexus as Nexus
    from nexus_rl.models import make_model as make_model
    from nexus_rl.models.files import load_model as load_model
    from nexus_rl.training import train as train
    from nexus_rl.wrappers import NexusObservation as NexusObservation
    from nexus_rl.wrappers import SensorDropout as SensorDropout
    from nexus_rl.wrappers import VecNexusObservation as VecNexusObservation

_HOMES = {
    "Modality": "modality",
    "ModelConfig": "config",
    "Nexus": "models",
    "NexusObservation": "wrappers",
    "SensorDropout": "wrappers",
    "TrainConfig": "config",
    "UserError": "errors",
    "VecNexusObservation": "wrappers",
    "load_model": "models.files",
    "make_model": "models",
    "train": "training",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = import_later(__name__, _HOMES)
