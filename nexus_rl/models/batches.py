"""Reading batches: what a caller gives, checked, masked and normalised."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality, check_names, how_to_rename
from nexus_rl.models.levels import Bottom


def distinct(modalities: Sequence[Modality]) -> tuple[Modality, ...]:
    """The modalities as a tuple. Raises ``UserError`` if empty or not distinct."""
    if isinstance(modalities, Modality):
        raise UserError("expected a list of modalities, e.g. [camera, sound]")
    names = [modality.name for modality in modalities]
    if not names:
        raise UserError("a model needs at least one modality")
    if len(set(names)) < len(names):
        raise UserError(f"modality names must differ, got {', '.join(names)}")
    taken = nn.ModuleDict()
    for name in names:
        if hasattr(taken, name):
            raise UserError(
                f"modality {name!r}: PyTorch's modules use this name; "
                f"{how_to_rename(name)}"
            )
    return tuple(modalities)


def known_names(
    names: Collection[str] | None, modalities: Sequence[Modality]
) -> tuple[str, ...]:
    """``names`` (None: all) as a tuple. Raises ``UserError`` for unknown ones."""
    table = {modality.name: modality for modality in modalities}
    if names is None:
        return tuple(table)
    check_names(names)
    for name in names:
        choose(name, table, "modality")
    return tuple(names)


def check_complete(
    batch: Mapping[str, Any], modalities: Sequence[Modality], cached: bool
) -> None:
    """Raises ``UserError`` unless ``batch`` has equal rows of every modality.

    ``cached`` allows (mean, logvar) pairs in place of data.
    """
    rows = {}
    for modality in modalities:
        name = modality.name
        if batch.get(name) is None:
            raise UserError(
                f"training needs every modality, but the batch has no {name!r}; "
                f"it holds: {', '.join(batch) or 'nothing'}"
            )
        value = batch[name]
        if isinstance(value, Tensor):
            modality.check_shape(value)
        elif not cached:
            raise UserError(
                f"modality {name!r}: expected a tensor, got {type(value).__name__}; "
                "cached posteriors are for stage 'top' of models with two levels"
            )
        else:
            value = value[0]
        rows[name] = len(value)
    if len(set(rows.values())) != 1:
        found = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise UserError(f"a batch needs equal numbers of rows, got: {found}")


def read(
    batch: Mapping[str, Any],
    available: Tensor | None,
    modalities: Sequence[Modality],
    device: torch.device,
) -> tuple[dict[str, Tensor], Tensor]:
    """Normalised inputs by name, zero where masked, and availability (B, M), bool.

    Masked entries are replaced before anything else reads them; an entry that is
    missing in every row may be absent or None.
    """
    batch = {name: data for name, data in batch.items() if data is not None}
    known_names(batch.keys(), modalities)
    for modality in modalities:
        if modality.name in batch:
            modality.check_shape(batch[modality.name])
    rows = {name: len(data) for name, data in batch.items()}
    if available is not None:
        available = torch.as_tensor(available)
        rows["available"] = len(available)
    if len(set(rows.values())) != 1:
        found = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise UserError(f"a batch needs equal numbers of rows, got: {found or 'none'}")
    mask = _mask(batch, available, modalities, next(iter(rows.values())), device)
    inputs = {}
    for column, modality in enumerate(modalities):
        if modality.name in batch:
            data = batch[modality.name].to(device)
            if available is not None:
                seen = mask[:, column].view(-1, *[1] * (data.dim() - 1))
                data = data.where(
                    seen, torch.zeros((), dtype=data.dtype, device=device)
                )
            if modality.categorical and data.dim() == 1:
                modality.check_range(data)
            inputs[modality.name] = modality.normalise(data)
    return inputs, mask


def _mask(
    batch: Mapping[str, Any],
    available: Tensor | None,
    modalities: Sequence[Modality],
    rows: int,
    device: torch.device,
) -> Tensor:
    given = torch.tensor([m.name in batch for m in modalities], device=device)
    if available is None:
        return given.expand(rows, -1)
    if available.shape != (rows, len(modalities)):
        raise UserError(
            f"available must be (B, M) = ({rows}, {len(modalities)}), "
            f"got {tuple(available.shape)}"
        )
    mask = available.to(device).bool()
    promised = mask.any(0) & ~given
    if promised.any():
        names = [m.name for m, bad in zip(modalities, promised, strict=True) if bad]
        raise UserError(
            f"available marks {', '.join(names)} as present, but the batch has no such "
            f"entry; it holds: {', '.join(batch) or 'nothing'}"
        )
    return mask


def same_modality(modality: Modality, others: Sequence[Modality]) -> None:
    """Raises ``UserError`` unless ``others`` has this modality with the same nets."""
    table = {other.name: other for other in others}
    other = choose(modality.name, table, "modality")
    for field in ("shape", "kind", "likelihood", "latent_dim", "width", "low", "high"):
        mine, theirs = getattr(modality, field), getattr(other, field)
        if mine != theirs:
            raise UserError(
                f"modality {modality.name!r}: {field} is {mine} here but {theirs} in "
                "the model to copy from"
            )


@torch.no_grad()
def check_networks(bottom: Bottom, decodes: bool) -> None:
    """Raises ``UserError`` unless networks of the user's own fit their modality.

    The decoder is left alone unless the model ``decodes``.
    """
    modality = bottom.modality
    shape = ", ".join(map(str, modality.shape))
    bottom.eval()
    try:
        encoded = bottom.encode(torch.zeros(2, *modality.shape))
        code = bottom.code(encoded, None)
        found = tuple(bottom.output(code).shape) if decodes else (2, *modality.shape)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"the networks given for modality {modality.name!r} do not run on a batch "
            f"(2, {shape}): {error}"
        ) from error
    if found != (2, *modality.shape):
        raise UserError(
            f"the decoder given for modality {modality.name!r} makes {found} of a "
            f"batch of 2, expected (2, {shape})"
        )
    bottom.train()
