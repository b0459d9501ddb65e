"""Environments as datasets: observations simulated, described, and split."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nexus_rl.data.dataset import Dataset
from nexus_rl.data.rollout_env import Env
from nexus_rl.data.rollout_reader import check_split
from nexus_rl.data.rollouts import gather, most_episodes, opened
from nexus_rl.formats import sensor_formats
from nexus_rl.spaces import describe


def simulate(
    env: str | Env,
    rows: int,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    sensors: Mapping[str, Mapping[str, Any]] | None = None,
    ignore: Collection[str] = (),
    test_fraction: float = 0.1,
    progress: bool = False,
) -> Dataset:
    """``rows`` observations of ``env`` as a ``Dataset``.

    ``env`` is a Gymnasium id, made with ``env_kwargs``, or an environment, which stays
    open. Rows are gathered as ``rollouts.gather`` does (states the environment draws,
    and rollouts), and kept in ``out`` if given. The modalities are read off the
    observation space and the formats it declares, but for the entries to ``ignore``;
    ``sensors`` changes fields of them by name. Raises ``UserError`` for environments,
    arguments and folders that do not fit, and for too few rows to set ``test_fraction``
    of the episodes aside.
    """
    with opened(env, env_kwargs, ignore) as recorded:
        space, formats = recorded.env.observation_space, sensor_formats(recorded.env)
        modalities = describe(space, sensors or {}, ignore, formats)
        check_split(most_episodes(recorded, rows), test_fraction)
        rollouts = gather(
            recorded.env, rows, seed=seed, ignore=ignore, out=out, progress=progress
        )
    return rollouts.dataset(modalities, test_fraction, seed)
