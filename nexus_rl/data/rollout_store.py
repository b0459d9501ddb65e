"""Rollouts on disk: one raw file a column, and an index of the rows that count.

``index.json``    format, environment, columns with shape and dtype, parts
``<column>.bin``  the rows of a column one after the other, C order, little endian

Rows are appended first and the index is replaced afterwards, so at whatever moment a
process is killed, all rows of the index are there. Bytes beyond them are leftovers,
which readers ignore and the next writer cuts off.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.files import read_json, write_json

FORMAT = 1
INDEX = "index.json"
COMMIT_ROWS = 1000  # how many rows a killed process may lose, and the running episode

Array = NDArray[Any]


@dataclass(frozen=True)
class Column:
    """Shape and dtype of one row of a column."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, shape: Any, dtype: Any) -> Column:
        """A column of little-endian numbers."""
        sizes = tuple(int(size) for size in shape)
        return cls(sizes, np.dtype(dtype).newbyteorder("<"))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape)

    def check(self, name: str, value: Any, lead: tuple[int, ...] = ()) -> NDArray[Any]:
        """``value`` as an array (*lead, *shape) of the dtype.

        Raises ``UserError`` on another shape and on a dtype of another kind.
        """
        try:
            array = np.asarray(value)
        except ValueError:  # sequences of different lengths
            array = np.asarray(None)
        same = array.dtype == self.dtype
        if array.shape != (*lead, *self.shape) or not (
            same or np.can_cast(array.dtype, self.dtype, "same_kind")
        ):
            raise UserError(
                f"column {name!r}: expected shape {self.shape} of {self.dtype} from "
                f"the spaces of the environment, got {array.shape[len(lead) :]} of "
                f"{array.dtype}"
            )
        return array if same else array.astype(self.dtype)


@dataclass
class Part:
    """Rows collected in one way: ``done`` of ``rows`` are there, in ``episodes``."""

    how: dict[str, Any]
    rows: int
    done: int = 0
    episodes: int = 0


@dataclass
class Index:
    """What a folder says of itself: the environment, the columns and the parts."""

    env: dict[str, Any]
    columns: dict[str, Column]
    parts: list[Part] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.done for part in self.parts)

    @property
    def episodes(self) -> int:
        """Episodes of all parts."""
        return sum(part.episodes for part in self.parts)

    def save(self, folder: Path) -> None:
        """Replaces the index of ``folder``. Raises ``UserError`` if it cannot."""
        columns = {
            name: {"shape": list(column.shape), "dtype": column.dtype.str}
            for name, column in self.columns.items()
        }
        index = {"format": FORMAT, "rows": self.rows, "env": self.env}
        parts = [asdict(part) for part in self.parts]
        write_json(folder / INDEX, {**index, "columns": columns, "parts": parts})


def read_index(folder: Path) -> Index:
    """The index of ``folder``.

    Raises ``UserError`` if there is none, if it is damaged or of another format.
    """
    path = folder / INDEX
    saved = read_json(path, "index of rollouts")
    if isinstance(saved, dict) and saved.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"{path} has format {saved['format']!r}, this version reads {FORMAT}; "
            "use the version of nexus_rl that wrote it, or collect into another folder"
        )
    try:
        columns = {
            str(name): Column.of(column["shape"], column["dtype"])
            for name, column in saved["columns"].items()
        }
        parts = [Part(**part) for part in saved["parts"]]
        index = Index(dict(saved["env"]), columns, parts)
        whole = all(0 <= part.done <= part.rows for part in parts)
        if whole and index.rows == saved["rows"] and saved["format"] == FORMAT:
            return index
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UserError(
        f"{path} is damaged or not an index of rollouts; choose another folder, or "
        "delete this one and collect again"
    )


def column_path(folder: Path, name: str) -> Path:
    """The file of a column."""
    return folder / f"{name}.bin"


def check_size(path: Path, expected: int) -> None:
    """Raises ``UserError`` if a column's file is missing or shorter than expected."""
    found = path.stat().st_size if path.is_file() else None
    if found is None and expected == 0:
        return
    if found is None or found < expected:
        state = "is missing" if found is None else f"has only {found} bytes"
        raise UserError(
            f"{path} {state}, its index promises {expected}: the rollouts are damaged; "
            "restore the file, or delete the folder and collect again"
        )


class PartWriter:
    """Appends the rows of one part to a folder, or what is left of them.

    ``how`` (JSON) identifies the part; ``rows`` is how many it shall have. ``add``
    takes rows, ``end`` closes a unit: only whole units are ever committed, and the
    next process goes on after the last of them.

    Raises ``UserError`` if the folder holds anything but rollouts of ``env`` with
    these columns, an unfinished other part, or this part with another number of rows;
    if it is damaged; and if the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        env: dict[str, Any],
        columns: dict[str, Column],
        how: dict[str, Any],
        rows: int,
    ) -> None:
        self.folder = folder
        self.index = claim(folder, env, columns)
        self.part = self._find(how, rows)
        self._open_rows = 0  # of the unit that has not ended
        self._uncommitted = 0
        self._files: dict[str, BinaryIO] = {}

    @property
    def left(self) -> int:
        """Rows still to add."""
        return self.part.rows - self.part.done - self._open_rows

    def __enter__(self) -> PartWriter:
        rows = self.index.rows
        for name, column in self.index.columns.items():
            check_size(column_path(self.folder, name), rows * column.row_bytes)
        try:
            for name, column in self.index.columns.items():
                path = column_path(self.folder, name)
                self._files[name] = path.open("r+b" if path.exists() else "w+b")
                self._files[name].truncate(rows * column.row_bytes)
                self._files[name].seek(rows * column.row_bytes)
        except OSError as error:
            self.__exit__()
            raise unwritable(self.folder, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        # What was not committed does not count, so failing to write it does not matter.
        for file in self._files.values():
            with suppress(OSError):
                file.close()

    def add(self, values: Mapping[str, Any], count: int) -> None:
        """Appends ``count`` rows: for each column values (count, ...).

        Raises ``UserError`` if a value does not fit its column.
        """
        try:
            for name, column in self.index.columns.items():
                value = column.check(name, values.get(name), (count,))
                self._files[name].write(value.tobytes())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._open_rows += count

    def end(self, episodes: int) -> None:
        """Ends a unit of so many episodes; commits if it is time to."""
        self.part.done += self._open_rows
        self.part.episodes += episodes
        self._uncommitted += self._open_rows
        self._open_rows = 0
        if self._uncommitted >= COMMIT_ROWS or self.part.done == self.part.rows:
            self._commit()

    def _commit(self) -> None:
        try:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.index.save(self.folder)
        self._uncommitted = 0

    def _find(self, how: dict[str, Any], rows: int) -> Part:
        for part in self.index.parts:
            same = part.how == how
            if same and part.rows != rows:
                raise UserError(
                    f"{self.folder} already has a part of {part.rows} rows collected "
                    f"by {how}: {rows} rows would repeat it; use another seed"
                )
            if not same and part.done < part.rows:
                raise UserError(
                    f"{self.folder} has an unfinished part ({part.done} of {part.rows} "
                    f"rows collected by {part.how}); finish it with the same call "
                    "before adding other rows"
                )
            if same:
                return part
        self.index.parts.append(Part(how, rows))
        return self.index.parts[-1]


def unwritable(folder: Path, error: OSError) -> UserError:
    """What to do about a full or unwritable disk."""
    return UserError(
        f"cannot write {folder}: {error.strerror or error}. Rows collected before are "
        "kept; free some space, then make the same call again to go on"
    )


def claim(folder: Path, env: dict[str, Any], columns: dict[str, Column]) -> Index:
    """The index of ``folder``, which is made if it is not there.

    Raises ``UserError`` if the folder holds anything but rollouts of ``env`` with
    ``columns``.
    """
    if not (folder / INDEX).exists():
        # A process killed while it wrote the very first index leaves part of that.
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        foreign = names - {f".{INDEX}.partial"}
        if foreign or (folder.exists() and not folder.is_dir()):
            raise UserError(
                f"{folder} exists and holds no rollouts; nothing was changed, choose "
                "another folder"
            )
        index = Index(env, columns)
        index.save(folder)
        return index
    index = read_index(folder)
    pairs = {"environment": (index.env, env), "columns": (index.columns, columns)}
    for what, (found, asked) in pairs.items():
        if found != asked:
            raise UserError(
                f"{folder} holds rollouts with another {what}: {found}, not {asked}; "
                "nothing was changed, choose another folder"
            )
    return index
