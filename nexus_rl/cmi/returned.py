"""What users' own models and classifiers return, checked before it is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.modality import Modality

NOT_NUMBERS = (TypeError, ValueError, RuntimeError)  # of torch.as_tensor


def tensor(data: Any) -> Tensor | None:
    """A tensor or an array of numbers as a tensor; None for other things."""
    try:
        array = data.copy() if isinstance(data, np.ndarray) else data  # strides
        found = torch.as_tensor(array)
    except NOT_NUMBERS:
        return None
    if found.is_complex():
        return None
    return found.to(torch.uint8) if found.dtype == torch.bool else found


def tensors(made: Any, targets: Sequence[str], who: str) -> dict[str, Tensor]:
    """The ``targets`` among data by name. Raises ``UserError`` for other things."""
    if not isinstance(made, Mapping):
        raise UserError(f"{who} must return data by name, got {type(made).__name__}")
    found = {}
    for name in [name for name in targets if name in made]:
        data = tensor(made[name])
        if data is None:
            raise UserError(
                f"{who} made {name!r} a {type(made[name]).__name__}, expected a tensor "
                "or an array of numbers"
            )
        found[name] = data
    return found


def check_made(
    found: Mapping[str, Tensor],
    modalities: Sequence[Modality],
    size: Mapping[str, int],
    who: str,
) -> None:
    """Raises ``UserError`` unless all ``modalities`` are there, finite, and as large.

    ``size`` has the names and lengths of the dimensions before the data's own.
    """
    for modality in modalities:
        name = modality.name
        if name not in found:
            raise UserError(
                f"{who} was asked for {name!r} but returned "
                f"{', '.join(found) or 'nothing'}"
            )
        shape, expected = found[name].shape, (*size.values(), *modality.shape)
        if shape != expected:
            raise UserError(
                f"{who} made {name!r} of shape {tuple(shape)}, expected "
                f"({', '.join(size)}, *shape) = {expected}"
            )
        if not found[name].isfinite().all():
            raise UserError(f"{who} made {name!r} that is not finite")


def answers(said: Any, name: str, rows: int, classes: int) -> Tensor:
    """A classifier's scores (rows, classes), or classes (rows,), as a tensor.

    Raises ``UserError`` for other things.
    """
    told = tensor(said)
    told = torch.empty(0) if told is None else told
    if told.shape == (rows, classes) and told.isfinite().all():
        return told
    whole = told.shape == (rows,) and not told.is_floating_point()
    if whole and bool(((told >= 0) & (told < classes)).all()):
        return told
    raise UserError(
        f"the classifier of {name!r} was asked about {rows} rows and returned "
        f"{type(said).__name__} {tuple(told.shape)} of {told.dtype}; expected finite "
        f"scores ({rows}, {classes}), or whole numbers ({rows},) from 0 to "
        f"{classes - 1}"
    )
