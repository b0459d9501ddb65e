"""Folders that one process at a time writes into."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nexus_rl.errors import UserError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

LOCK = ".lock"  # in the folder, for as long as it is held


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds ``folder``, which is made if it is not there, for this process alone.

    The system lets go when the process ends, killed or not: what a killed one leaves of
    the lock holds nobody up. Raises ``UserError`` if another process holds the folder,
    or if it cannot be written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(path)
    except OSError as error:
        raise UserError(
            f"cannot write into {folder}: {error.strerror or error}; choose another "
            "folder"
        ) from error
    with file:
        try:
            yield
        finally:
            if sys.platform != "win32":  # where what is open cannot be removed
                path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO:
    while True:
        file = path.open("a+b")
        try:
            _lock(file, path)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"{os.getpid()} on {platform.node()}".encode())
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # of the holder before, who has just removed it


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        if sys.platform == "win32":
            raise OSError("not on Windows")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        holder = file.read().decode(errors="replace") or "unknown"
        raise UserError(
            f"another process is writing into {path.parent} (process {holder}): wait "
            "until it has ended, then make the same call again, or choose another "
            f"folder. If there is no such process any more, delete {path}"
        ) from None
    except OSError as error:
        log.warning(
            "%s cannot be locked (%s): let one process at a time write into it",
            *(path.parent, error.strerror or error),
        )
