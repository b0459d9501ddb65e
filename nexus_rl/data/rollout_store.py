"""Rollouts on disk: one raw file a column, and an index of the rows that count.

``index.json``    format, environment, columns with shape, dtype and CRC-32, parts
``<column>.bin``  the rows of a column one after the other, C order, little endian

Rows are appended first and the index is replaced afterwards, so at whatever moment a
process is killed, all rows of the index are there. Bytes beyond them are leftovers,
which readers ignore and the next writer cuts off. A CRC-32 goes on where it stopped
when rows are added, and is faster than a SHA-256.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from nexus_rl.data.rollout_index import INDEX, Column, Index, Part, read_index
from nexus_rl.errors import UserError
from nexus_rl.files import inside
from nexus_rl.locks import LOCK
from nexus_rl.parts import part_of

CHUNK = 1 << 20  # bytes
COMMIT_ROWS = 1000  # how many rows a killed process may lose, and the running episode

log = logging.getLogger(__name__)


def column_path(folder: Path, name: str) -> Path:
    """The file of a column. Raises ``UserError`` for a name that leads elsewhere."""
    return inside(folder, f"{name}.bin")


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


def check_content(folder: Path, index: Index) -> None:
    """Raises ``UserError`` if rows were changed since they were collected.

    Reads every column once. Logs a warning for an older folder, without checksums.
    """
    for name, column in index.columns.items():
        path, size = column_path(folder, name), index.rows * column.row_bytes
        check_size(path, size)
        if name in index.crc32 and crc32(path, size) != index.crc32[name]:
            raise UserError(
                f"{path} was changed or damaged since it was collected: its checksum "
                "differs from that in the index; restore the file, or delete the "
                "folder and collect again"
            )
    if index.crc32.keys() != index.columns.keys():
        log.warning(
            "%s is of an older version and has no checksums, so damage to it may go "
            "unnoticed; make the call that collected it again to add them",
            folder,
        )


def crc32(path: Path, size: int) -> int:
    """The CRC-32 of the first ``size`` bytes of a file, 0 if that is none."""
    found = 0
    if size:
        with path.open("rb") as file:
            while size and (chunk := file.read(min(size, CHUNK))):
                found, size = zlib.crc32(chunk, found), size - len(chunk)
    return found


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
            self._complete_checksums()
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
                content = column.check(name, values.get(name), (count,)).tobytes()
                self._files[name].write(content)
                self.index.crc32[name] = zlib.crc32(content, self.index.crc32[name])
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

    def _complete_checksums(self) -> None:
        """Adds those of rows that an older version collected."""
        index = self.index
        if index.crc32.keys() != index.columns.keys():
            for name, column in index.columns.items():
                path = column_path(self.folder, name)
                index.crc32[name] = crc32(path, index.rows * column.row_bytes)
            index.save(self.folder)

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


def check_free(folder: Path) -> None:
    """Raises ``UserError`` if ``folder`` holds anything but rollouts."""
    if not folder.exists() or (folder / INDEX).exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {"itself"}
    # A process killed before the very first index leaves part of that, and its lock.
    if any(name != LOCK and part_of(name) != INDEX for name in names):
        raise UserError(
            f"{folder} exists and holds no rollouts; nothing was changed, choose "
            "another folder"
        )


def claim(folder: Path, env: dict[str, Any], columns: dict[str, Column]) -> Index:
    """The index of ``folder``, which is made if it is not there.

    Raises ``UserError`` if the folder holds anything but rollouts of ``env`` with
    ``columns``.
    """
    check_free(folder)
    if not (folder / INDEX).exists():
        index = Index(env, columns, crc32=dict.fromkeys(columns, 0))
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
