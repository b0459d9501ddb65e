"""Training data as columns by modality: tensors, or cached bottom posteriors.

A column is a tensor (N, ...) or, for a modality whose bottom is fixed, a pair
(mean, logvar) of tensors (N, code_dim).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nexus_rl.config import TrainConfig
from nexus_rl.distributed import world_size
from nexus_rl.errors import UserError
from nexus_rl.models.core import MultimodalVAE

Columns = dict[str, Any]


def rows_of(columns: Mapping[str, Any]) -> int:
    """Number of rows N."""
    column = next(iter(columns.values()))
    return len(column[0] if isinstance(column, tuple) else column)


def digests(columns: Mapping[str, Tensor]) -> dict[str, str]:
    """The start of a SHA-256 of each column's type, shape and values, by name."""
    return {name: digest(column) for name, column in columns.items()}


def digest(column: Tensor) -> str:
    """That of one column."""
    # NumPy does not know bfloat16.
    known = column.float() if column.dtype is torch.bfloat16 else column
    array = known.detach().cpu().contiguous().numpy()
    found = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    found.update(array.data if array.size else b"")
    return found.hexdigest()[:16]


def to(columns: Columns, device: torch.device) -> Columns:
    """The columns on ``device``."""
    return _each(columns, lambda tensor: tensor.to(device))


def take(columns: Columns, rows: Tensor) -> Columns:
    """The given rows."""
    return _each(columns, lambda tensor: tensor[rows])


def _each(columns: Columns, change: Any) -> Columns:
    return {
        name: tuple(map(change, column))
        if isinstance(column, tuple)
        else change(column)
        for name, column in columns.items()
    }


@torch.no_grad()
def bottom_posteriors(model: MultimodalVAE, columns: Columns) -> Columns:
    """Each modality's bottom posterior for all rows, computed in eval mode."""
    training = model.training
    model.eval()
    result: Columns = {}
    for modality in model.modalities:
        bottom: Any = model.bottoms[modality.name]
        parts = [
            bottom.encode(modality.normalise(chunk.to(model.device)))
            for chunk in columns[modality.name].split(1000)
        ]
        result[modality.name] = tuple(
            torch.cat([part[k] for part in parts]) for k in range(2)
        )
    model.train(training)
    return result


def beside_data(model: MultimodalVAE, posteriors: Columns, columns: Columns) -> Columns:
    """The posteriors, and the data of modalities whose top term compares with them."""
    return {
        m.name: (*posteriors[m.name], columns[m.name])
        if m.top_likelihood == "categorical"
        else posteriors[m.name]
        for m in model.modalities
    }


def check(model: MultimodalVAE, columns: Columns, config: TrainConfig) -> None:
    """Raises ``UserError`` unless the model can be trained on ``columns``."""
    names = [modality.name for modality in model.modalities]
    if set(columns) != set(names):
        raise UserError(
            f"the model's modalities are {', '.join(names)}, but the data hold "
            f"{', '.join(columns) or 'nothing'}"
        )
    for modality in model.modalities:
        modality.check_range(columns[modality.name])
    if len({len(column) for column in columns.values()}) > 1:
        raise UserError("every modality needs the same number of rows")
    if config.stage != "joint" and model.config.levels != 2:
        raise UserError(
            f"stage {config.stage!r} needs a model with two levels; train one level "
            "with stage joint"
        )
    if config.batch_size < 2 * world_size():
        raise UserError(
            f"batch_size {config.batch_size} leaves some of {world_size()} processes "
            "fewer than two rows"
        )
    frozen = all(bottom.frozen for _, bottom in model.bottom_items())
    if config.stage == "bottom" and frozen:
        raise UserError("stage 'bottom' has nothing to train: every bottom is frozen")
    used = rows_of(columns) * (1 - config.validation_fraction)
    if used < 2 * world_size():
        raise UserError(f"{rows_of(columns)} rows of data are too few to train on")
