"""Which sensors of an observation are encoded, which are appended, which are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.mask import MASK, Columns, lost, mask_width, read_mask, sensors_of
from nexus_rl.wrappers.checks import as_names
from nexus_rl.wrappers.masking import Observation, sensor_boxes

Latents = NDArray[np.float32]
Mask = NDArray[np.bool_]

NEVER, ALWAYS = -2, -1  # the columns of sensors that "available" does not tell of


class Readings:
    """What is taken of the Dict observations of ``space``, beside ``modalities``.

    ``columns`` are the ``mask_columns`` of the environment, ``append`` and ``absent``
    those of ``EncoderOptions``, which fit space and modalities. ``encoded`` names the
    modalities that are read, ``size`` is how many numbers are appended, and ``told``
    lists the columns of ``available`` that ``append_mask`` shows. Raises ``UserError``
    for appended sensors that are no Box.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        space: spaces.Space[Any],
        columns: Columns,
        append: Sequence[str],
        absent: Sequence[str],
    ) -> None:
        self.encoded = tuple(name for name in modalities if name not in absent)
        self.append = as_names(append)
        if len({*self.append}) < len(self.append):
            raise UserError(f"append names a sensor twice: {', '.join(self.append)}")
        boxes = sensor_boxes(space, self.append) if self.append else {}
        self.size = sum(spaces.flatdim(box) for box in boxes.values())
        self.names = (*modalities, *(n for n in self.append if n not in modalities))
        self.told = [k for k, name in enumerate(self.names) if name not in absent]
        self._width = mask_width(space)
        self._entries = sensors_of(space)
        told = {name: ALWAYS if k is None else k for name, k in columns.items()}
        self._columns = [NEVER if n in absent else told[n] for n in self.names]

    def rows(
        self, batch: Observation, first: Sequence[Observation], count: int
    ) -> tuple[Observation, Mask]:
        """Arrays of the rows of ``first``, then those of ``batch``, of ``count`` rows.

        And which of ``names`` are there: the modalities, then what else is appended.
        Entries that are missing may be absent or None: zeros stand for them. Raises
        ``UserError`` for one that counts as available.
        """
        total = len(first) + count
        given = np.empty((total, 0), bool)
        if self._width:
            masks = [row.get(MASK) for row in first]
            read = [read_mask(mask, self._width)[None] for mask in masks]
            given = np.concatenate([*read, read_mask(batch.get(MASK), self._width)])
        never, always = np.zeros((total, 1), bool), np.ones((total, 1), bool)
        there: Mask = np.concatenate([given, never, always], 1)[:, self._columns]
        rows = {}
        for name in dict.fromkeys([*self.encoded, *self.append]):
            column = there[:, self.names.index(name)]
            rows[name] = self._take(name, batch.get(name), first, count, column)
        return rows, there

    def _take(
        self,
        name: str,
        batch: Any,
        first: Sequence[Observation],
        count: int,
        there: Mask,
    ) -> NDArray[Any]:
        """The rows of one entry."""
        array = None if batch is None else np.asarray(batch)
        if not first and array is not None and array.dtype != object:
            return array
        space = self._entries[name]
        rows = [*(row.get(name) for row in first), *_split(array, count)]
        if any(row is None and here for row, here in zip(rows, there, strict=True)):
            raise UserError(lost(name))
        empty = np.zeros(space.shape or (), space.dtype)
        return np.stack([empty if row is None else row for row in rows])

    def appended(self, rows: Observation) -> Latents:
        """The appended sensors as they are, flat and side by side: (B, size).

        Raises ``UserError`` where one holds NaN or infinity, available or not.
        """
        count = len(rows[self.encoded[0]])
        parts: list[NDArray[Any]] = [np.empty((count, 0), np.float32)]
        for name in self.append:
            parts.append(rows[name].reshape(count, -1))
            if not np.isfinite(parts[-1]).all():
                raise UserError(
                    f"sensor {name!r} holds NaN or infinity, and is given to the agent "
                    "as it is; mend the sensor, or fill it in with SensorDropout"
                )
        return np.concatenate(parts, 1, dtype=np.float32)


def _split(batch: Any, count: int) -> Sequence[Any]:
    """The rows of a batch; None each, where there is none."""
    return [None] * count if batch is None else list(batch)


def why_not_finite(rows: Observation, there: Mapping[str, Mask]) -> str:
    """What is wrong where latents are not finite; ``there`` has (B,) by modality."""
    for name, available in there.items():
        if not np.isfinite(rows[name][available]).all():
            return (
                f"sensor {name!r} holds NaN or infinity where it counts as available; "
                f"mark it as missing in {MASK!r}, or mend the sensor"
            )
    return "the model's latents are not finite; was its training stable?"
