"""What a folder of rollouts says of itself: its ``index.json``."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.files import ChangedError, inside, read_json, write_json

FORMAT = 1
INDEX = "index.json"
MOST = 1 << 48  # of anything: no file is larger
NUMBERS = re.compile(r"[<|][biuf]\d{1,2}")  # dtypes of columns


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
                f"column {name!r}: expected shape {(*lead, *self.shape)} of "
                f"{self.dtype} from the spaces of the environment, got {array.shape} "
                f"of {array.dtype}"
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
    # Of the bytes of all rows, by column; older folders have none.
    crc32: dict[str, int] = field(default_factory=dict)

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
            name: {
                "shape": list(column.shape),
                "dtype": column.dtype.str,
                "crc32": self.crc32[name],
            }
            for name, column in self.columns.items()
        }
        index = {"format": FORMAT, "rows": self.rows, "env": self.env}
        parts = [asdict(part) for part in self.parts]
        write_json(folder / INDEX, {**index, "columns": columns, "parts": parts})


def read_index(folder: Path) -> Index:
    """The index of ``folder``.

    Raises ``UserError`` if there is none, if it is damaged or of another format.
    """
    path = inside(folder, INDEX)
    try:
        return _parse(path, read_json(path, "index of rollouts"))
    except ChangedError as error:
        _parse(path, error.content)  # it may name what was changed
        raise


def _parse(path: Path, saved: Any) -> Index:
    if isinstance(saved, dict) and saved.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"{path} has format {saved['format']!r}, this version reads {FORMAT}; "
            "use the version of nexus_rl that wrote it, or collect into another folder"
        )
    try:
        columns = {
            name: Column.of(column["shape"], column["dtype"])
            for name, column in saved["columns"].items()
        }
        told = [
            (column["shape"], column["dtype"]) for column in saved["columns"].values()
        ]
        sums = {n: c["crc32"] for n, c in saved["columns"].items() if "crc32" in c}
        parts = [Part(**part) for part in saved["parts"]]
        index = Index(dict(saved["env"]), columns, parts, sums)
        whole = all(0 <= p.episodes <= p.done <= p.rows < MOST for p in parts)
        numbers = [n for p in parts for n in (p.rows, p.done, p.episodes)]
        numbers += [*sums.values(), *(size for shape, _ in told for size in shape)]
        plain = all(type(number) is int and 0 <= number < MOST for number in numbers)
        known = all(NUMBERS.fullmatch(dtype) for _, dtype in told)
        same = (index.rows, FORMAT) == (saved["rows"], saved["format"])
        if whole and plain and known and same and isinstance(index.env["id"], str):
            return index
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        pass
    raise UserError(
        f"{path} is damaged or not an index of rollouts; choose another folder, or "
        "delete this one and collect again"
    )
