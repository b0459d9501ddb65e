"""Files that are whole or not there: written aside, then moved into place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nexus_rl.errors import UserError


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Calls ``write`` with a temporary path and moves the result to ``path``.

    A reader, or a run that was killed, sees the old file or the new one. Raises
    ``UserError`` when the disk is full or not writable; the old file stays.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. What was there before is "
            "unchanged; free some space or choose another folder"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    text = json.dumps(value, indent=2) + "\n"
    write_atomic(path, lambda aside: aside.write_text(text))


def read_json(path: Path, what: str) -> Any:
    """Reads JSON. Raises ``UserError`` that calls the file ``what``."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable {what}: {error}") from None
