"""Parts of files: written aside, and moved into place when they are whole."""

from __future__ import annotations

import glob
import os
import platform
import re
import secrets
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from nexus_rl.errors import UserError

# Of this machine, where a process is known by its number.
_NODE = f"{zlib.crc32(platform.node().encode()):08x}"
# A part has the name of its file, and says whose it is. Older versions had one name
# for the parts of all processes.
_PART = re.compile(r"\.(.+?)(?:\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8})?\.partial")
_LONG = 3600  # seconds in which a process of another machine writes something
_open: set[str] = set()  # the parts that this process is writing


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path to write to, of this call alone; what is there is moved to ``path``.

    A reader, or a run that was killed, sees the old file or the new one; of several
    processes that write at once, the last one's. Raises ``UserError`` when the disk is
    full or not writable; the old file stays.
    """
    mine = f"{_NODE}-{os.getpid()}-{secrets.token_hex(4)}"
    part = path.with_name(f".{path.name}.{mine}.partial")
    _open.add(part.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sweep(path.parent, glob.escape(path.name))
    except BaseException as error:
        with suppress(OSError):  # the folder may be what is wrong
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. What was there before is "
            "unchanged; free some space or choose another folder"
        ) from error
    finally:
        _open.discard(part.name)


def part_of(name: str) -> str | None:
    """Which file a killed process leaves a part of under ``name``; None if none."""
    found = _PART.fullmatch(name)
    return found[1] if found else None


def sweep(folder: Path, files: str = "*") -> None:
    """Removes what killed processes left in ``folder`` of ``files``, a pattern.

    What somebody may still be writing stays.
    """
    for part in folder.glob(".*.partial"):
        if fnmatchcase(part_of(part.name) or "", files):
            with suppress(OSError):  # somebody else may have been faster
                if _abandoned(part):
                    part.unlink()


def _abandoned(part: Path) -> bool:
    found = _PART.fullmatch(part.name)
    if found is None or found[2] is None:
        return True
    process = int(found[3])
    if (found[2], process) == (_NODE, os.getpid()):
        return part.name not in _open  # of one before with the same number
    if found[2] == _NODE and os.name == "posix":
        try:
            os.kill(process, 0)  # which asks whether there is such a process
        except ProcessLookupError:
            return True
        except (OverflowError, PermissionError):
            pass
    return time.time() - part.stat().st_mtime > _LONG
