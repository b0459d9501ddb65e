"""Rollouts as arrays, tensors and datasets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nexus_rl.data.dataset import Dataset, split_rows
from nexus_rl.data.rollout_env import SENSOR
from nexus_rl.data.rollout_index import Column, Part, read_index
from nexus_rl.data.rollout_store import check_content, check_size, column_path
from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Rows of one environment: what ``reset`` or ``step`` gave, one row a time step.

    ``columns`` maps names to arrays (N, ...), read-only memory maps unless they were
    copied to memory:

    - ``observation.<sensor>``: the sensors, in the dtypes of their spaces;
    - ``action``, ``reward`` (float64), ``terminated``, ``truncated`` (bool): of the
      step that led to the observation; zeros where a ``reset`` did;
    - ``episode``, ``step`` (int64): step 0 is the reset, every sampled state is an
      episode of its own; an episode the collection cut off just stops;
    - ``state``: ``info["state"]``, if the environment gives an array.

    ``env`` says what was recorded and ``parts`` how; parts follow one another.
    """

    env: dict[str, Any]
    parts: tuple[Part, ...]
    columns: dict[str, NDArray[Any]] = field(repr=False)
    folder: Path | None = None

    def __len__(self) -> int:
        return sum(part.done for part in self.parts)

    @property
    def sensors(self) -> tuple[str, ...]:
        """The names of the sensors."""
        names = (name for name in self.columns if name.startswith(SENSOR))
        return tuple(name.removeprefix(SENSOR) for name in names)

    def observations(self) -> dict[str, Tensor]:
        """Each sensor as a tensor (N, *shape) in its stored dtype, e.g. ``uint8``.

        The tensors are memory maps: rows are read when they are used. Writing to them
        changes this process's copy, never the files.
        """
        return {name: self._tensor(SENSOR + name) for name in self.sensors}

    @property
    def state(self) -> Tensor | None:
        """The true state (N, ...), mapped like ``observations``; None if unknown."""
        return self._tensor("state") if "state" in self.columns else None

    def _tensor(self, name: str) -> Tensor:
        array = self.columns[name]
        if self.folder is not None:
            column = Column(array.shape[1:], array.dtype)
            array = read_column(self.folder, name, column, len(array), "c")
        return torch.from_numpy(array)

    def dataset(
        self,
        modalities: tuple[Modality, ...],
        test_fraction: float = 0.1,
        seed: int = 0,
    ) -> Dataset:
        """The sensors named by ``modalities``, in memory, split for training and test.

        Of each part, ``test_fraction`` (in [0, 1), rounded) of the *episodes* become
        test data, so neighbouring frames never lie on both sides; sampled states are
        split one by one. Raises ``UserError`` on an unknown sensor, on data outside a
        modality's shape or range, and if there are too few episodes to split.

        Example: ``rollouts.dataset((Modality("image", (2, 60, 60)),), 0.1)``.
        """
        columns = {SENSOR + name: name for name in self.sensors}
        for modality in modalities:
            choose(modality.name, dict.fromkeys(self.sensors), "sensor")
        check_split([part.episodes for part in self.parts], test_fraction)
        test = self._test_rows(test_fraction, seed)
        names = [modality.name for modality in modalities]
        train_part, test_part = (
            {
                name: torch.from_numpy(self.columns[column][rows])
                for column, name in columns.items()
                if name in names
            }
            for rows in (~test, test)
        )
        return Dataset(str(self.env["id"]), tuple(modalities), train_part, test_part)

    def _test_rows(self, fraction: float, seed: int) -> NDArray[np.bool_]:
        """Which rows are for testing: (N,)."""
        chosen = np.zeros(sum(part.episodes for part in self.parts), np.bool_)
        first = 0
        for part in self.parts:
            _, test = split_rows(part.episodes, seed, fraction)
            chosen[first + test.numpy()] = True
            first += part.episodes
        try:
            rows: NDArray[np.bool_] = chosen[self.columns["episode"]]
        except (IndexError, KeyError):
            raise UserError(
                f"{self.folder or 'rollouts'}, episode.bin: rows are of other than the "
                f"{len(chosen)} episodes that were collected; collect them again"
            ) from None
        return rows


def check_split(episodes: Sequence[int], fraction: float) -> None:
    """Raises ``UserError`` if no part has enough episodes to set some aside."""
    if fraction == 0 or any(len(split_rows(n, 0, fraction)[1]) for n in episodes):
        return
    raise UserError(
        f"too few episodes ({sum(episodes)}) to set {fraction:g} of them aside for "
        "testing; collect more rows (--rows on the command line), or split off a "
        "larger test_fraction"
    )


def load_rollouts(folder: str | Path, in_memory: bool = False) -> Rollouts:
    """The rollouts in ``folder``, memory-mapped, or copied with ``in_memory``.

    Rows of an unfinished collection are those of its last commit. Every file is read
    once, to compare its checksum. Raises ``UserError`` if there are no rows, or if a
    file is missing, too short, changed or of another format.

    Example: ``load_rollouts("runs/pendulum").columns["observation.image"][0]``.
    """
    folder = Path(folder)
    index = read_index(folder)
    if index.rows == 0:
        raise UserError(
            f"{folder} holds no rows yet: collecting into it was stopped early; make "
            "the same call again to go on"
        )
    check_content(folder, index)
    mode = "copy" if in_memory else "r"
    columns = {
        name: read_column(folder, name, column, index.rows, mode)
        for name, column in index.columns.items()
    }
    parts = tuple(index.parts)
    return Rollouts(index.env, parts, columns, None if in_memory else folder)


def read_column(
    folder: Path, name: str, column: Column, rows: int, mode: str
) -> NDArray[Any]:
    """The first rows of a column, (rows, *shape).

    ``mode`` is "r" for a read-only memory map, "c" for one that copies what is written
    to, "copy" for a copy in memory.

    Raises ``UserError`` if the file is missing or too short.
    """
    shape = (rows, *column.shape)
    path = column_path(folder, name)
    check_size(path, rows * column.row_bytes)
    if math.prod(shape) == 0:  # an empty file cannot be mapped
        return np.zeros(shape, column.dtype)
    if mode == "copy":
        return np.fromfile(path, column.dtype, math.prod(shape)).reshape(shape)
    modes: dict[str, Any] = {"r": "r", "c": "c"}
    return np.memmap(path, column.dtype, modes[mode], shape=shape)
