"""Which sensors of an observation are encoded, which are appended, which are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.errors import UserError, choose
from nexus_rl.wrappers.checks import as_names
from nexus_rl.wrappers.masking import (
    MASK,
    Observation,
    dict_entries,
    sensor_boxes,
    sensors_of,
)

Latents = NDArray[np.float32]
Mask = NDArray[np.bool_]

NEVER, ALWAYS = -2, -1  # the columns of sensors that "available" does not tell of


class Readings:
    """What is taken of the Dict observations of ``space``, beside ``modalities``.

    ``columns``, ``append`` and ``absent`` are those of ``EncoderOptions``, which fit
    space and modalities. ``encoded`` names the modalities that are read, ``size`` is
    how many numbers are appended, and ``told`` lists the columns of ``available`` that
    ``append_mask`` shows. Raises ``UserError`` for appended sensors that are no Box,
    and for columns that are not those of the space.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        space: spaces.Space[Any],
        columns: Sequence[str] | None,
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
        self._masked = MASK in dict_entries(space)
        named = _named(space, columns)
        self._columns = [
            NEVER if name in absent else named.index(name) if name in named else ALWAYS
            for name in self.names
        ]

    def rows(self, batch: Observation, first: Sequence[Observation]) -> Observation:
        """Arrays of the rows of ``first``, then those of ``batch``."""
        names = [*self.encoded, *self.append, *[MASK] * self._masked]
        rows = {name: np.asarray(batch[name]) for name in dict.fromkeys(names)}
        if first:
            for name, array in rows.items():
                before = np.stack([observation[name] for observation in first])
                rows[name] = np.concatenate([before, array])
        return rows

    def available(self, rows: Observation) -> Mask:
        """Which of ``names`` are there: the modalities, then what else is appended."""
        count = len(rows[self.encoded[0]])
        given = rows[MASK] > 0.5 if self._masked else np.empty((count, 0), bool)
        never, always = np.zeros((count, 1), bool), np.ones((count, 1), bool)
        mask: Mask = np.concatenate([given, never, always], 1)[:, self._columns]
        return mask

    def appended(self, rows: Observation) -> Latents:
        """The appended sensors as they are, flat and side by side: (B, size).

        Raises ``UserError`` where one holds NaN or infinity, available or not.
        """
        count = len(rows[self.encoded[0]])
        parts = [np.empty((count, 0), np.float32)]
        for name in self.append:
            parts.append(rows[name].reshape(count, -1))
            if not np.isfinite(parts[-1]).all():
                raise UserError(
                    f"sensor {name!r} holds NaN or infinity, and is given to the agent "
                    "as it is; mend the sensor, or fill it in with SensorDropout"
                )
        return np.concatenate(parts, 1, dtype=np.float32)


def _named(space: spaces.Space[Any], columns: Sequence[str] | None) -> tuple[str, ...]:
    """The sensor of each column of "available"; none if observations have no such key.

    Raises ``UserError`` for unknown sensors, and for another number of them.
    """
    mask = dict_entries(space).get(MASK)
    if mask is None:
        if columns is not None:
            raise UserError(f"columns given, but observations have no {MASK!r}")
        return ()
    sensors = sensors_of(space)
    names = tuple(sensors) if columns is None else tuple(columns)
    for name in names:
        choose(name, sensors, "sensor")
    if len({*names}) < len(names):
        raise UserError(f"columns name a sensor twice: {', '.join(names)}")
    if mask.shape != (len(names),):
        raise UserError(
            f"{MASK!r} has shape {mask.shape}, but {len(names)} sensors: "
            f"{', '.join(names)}; name the sensor of each column, columns=[...]"
        )
    return names


def why_not_finite(rows: Observation, there: Mapping[str, Mask]) -> str:
    """What is wrong where latents are not finite; ``there`` has (B,) by modality."""
    for name, available in there.items():
        if not np.isfinite(rows[name][available]).all():
            return (
                f"sensor {name!r} holds NaN or infinity where it counts as available; "
                f"mark it as missing in {MASK!r}, or mend the sensor"
            )
    return "the model's latents are not finite; was its training stable?"
