"""Files that are whole or not there: written aside, then moved into place."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from nexus_rl.errors import UserError


def write_atomic(path: Path, content: bytes) -> None:
    """Writes ``content`` aside and moves it to ``path``.

    A reader, or a run that was killed, sees the old file or the new one. Raises
    ``UserError`` when the disk is full or not writable; the old file stays.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):  # the folder may be what is wrong
            aside.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. What was there before is "
            "unchanged; free some space or choose another folder"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path, what: str) -> Any:
    """Reads JSON. Raises ``UserError`` that calls the file ``what``."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable {what}: {error}") from None
