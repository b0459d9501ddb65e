"""Runs of agents, written by hand, and what the scripts make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

GROUPS = {
    **{"everything": "everything", "no_image": "missing", "no_sound": "missing"},
    **{"bernoulli_50": "bernoulli", "bursts_long": "bursts"},
    **{"window_image_20_25": "windows", "blackout_5": "blackout"},
    **{"lie_image_2": "corruption", "lie_image_3": "corruption"},
}
RANDOM, ORACLE = -1000.0, -200.0


def write(
    folder: Path, row: str, *scores: float | Mapping[str, float], **other: Any
) -> None:
    """A run a seed: its score in all conditions, or in some with ``rest`` in others."""
    for seed, score in enumerate(scores):
        by_name = {"rest": score} if isinstance(score, float) else score
        conditions = {}
        for name, group in GROUPS.items():
            value = by_name.get(name, by_name.get("rest"))
            if value is not None:
                mean = RANDOM + value * (ORACLE - RANDOM)
                conditions[name] = {
                    **{"group": group, "return": [mean - 5, mean + 5]},
                    **{"length": [200, 200], "available": [{"image": 1.0}]},
                }
        run = {
            **{"row": row, "seed": seed, "env": "x", "env_kwargs": {}, "episodes": 2},
            **{"conditions": conditions, **other},
        }
        folder.mkdir(exist_ok=True)
        (folder / f"{row}_seed{seed}.json").write_text(json.dumps(run))


class Agents:
    """Runs in a folder, and what is made of them."""

    def __init__(self, folder: Path, modules: dict[str, ModuleType]) -> None:
        self.folder, self.modules = folder / "agents", modules
        self.plan = modules["rows"].EXPERIMENTS["pendulum"]
        write(self.folder, "random", {"everything": 0.0})
        write(self.folder, "oracle", {"everything": 1.0})

    def write(self, row: str, *scores: float | Mapping[str, float]) -> None:
        write(self.folder, row, *scores)

    def read(self) -> Any:
        return self.modules["scores"].read_measured(self.folder, self.plan)

    def verdict(self, test: str) -> tuple[str, str]:
        found: tuple[str, str] = getattr(self.modules["claims"], test)(self.read())
        return found
