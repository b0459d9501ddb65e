"""Environments as datasets: observations simulated, described, and split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexus_rl.data.dataset import Dataset
from nexus_rl.data.rollouts import gather, opened
from nexus_rl.spaces import modalities_from_space


def simulate(
    env: str,
    rows: int,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    sensors: Mapping[str, Mapping[str, Any]] | None = None,
    test_fraction: float = 0.1,
    progress: bool = False,
) -> Dataset:
    """``rows`` observations of environment ``env`` as a ``Dataset``.

    Gathered as ``rollouts.gather`` does (states the environment draws, and rollouts),
    and kept in ``out`` if given. The modalities are read off the observation space;
    ``sensors`` changes fields of them by name. Raises ``UserError`` for environments
    and folders that do not fit.
    """
    with opened(env) as recorded:
        space = recorded.env.observation_space
        modalities = modalities_from_space(space, **(sensors or {}))
        rollouts = gather(recorded.env, rows, seed=seed, out=out, progress=progress)
    return rollouts.dataset(modalities, test_fraction, seed)
