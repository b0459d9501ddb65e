"""Training a judge, and reading one that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from nexus_rl.cmi.judge_networks import Judge
from nexus_rl.config import TrainConfig
from nexus_rl.errors import UserError
from nexus_rl.loop import Loop
from nexus_rl.processes import StopFlag
from nexus_rl.tensors import read_tensors


def fit(
    judge: Judge,
    data: Mapping[str, Tensor],
    config: TrainConfig,
    progress: bool,
    what: str,
) -> None:
    """Trains ``judge`` on ``data``; it ends with its weights of least validation loss.

    ``what`` is said beside the bar that ``progress`` asks for.
    """
    best, kept = float("inf"), judge.state_dict()

    def keep(record: Mapping[str, float]) -> None:
        nonlocal best, kept
        watched = record.get("validation/loss", record["train/loss"])
        if watched < best:
            best = watched
            kept = {k: t.clone() for k, t in judge.state_dict().items()}

    # The loop asks of a model no more than a judge has, where there is no folder.
    loop = Loop(cast(Any, judge), dict(data), config, None, (), resume=False)
    loop.run(StopFlag(), progress, keep, f"{what}, ")
    judge.load_state_dict(kept)


def load(judge: Judge, path: Path) -> None:
    """Weights from ``path``. Raises ``UserError`` if they are not a judge's like it."""
    try:
        judge.load_state_dict(read_tensors(path))
    except (UserError, RuntimeError) as error:
        raise UserError(
            f"{path} is damaged ({error}): delete it, and it is trained again"
        ) from None
