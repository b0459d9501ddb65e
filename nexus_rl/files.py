"""Files that are whole or not there, and that tell when they were changed.

They are written aside, then moved into place. JSON carries a checksum of its content;
other files have theirs in the JSON beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from nexus_rl.errors import UserError
from nexus_rl.parts import aside

SEAL = "content_sha256"


class ChangedError(UserError):
    """JSON that is not what was written; ``content`` is what it says now."""

    def __init__(self, message: str, content: Any) -> None:
        super().__init__(message)
        self.content = content


def write_atomic(path: Path, content: bytes) -> None:
    """Writes ``content`` aside and moves it to ``path``.

    A reader sees the old file or the new one, whoever is killed or writes at once.
    Raises ``UserError`` when the disk is full or not writable; the old file stays.
    """
    with aside(path) as part:
        part.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically; sealed if it is a mapping."""
    value = sealed(value) if isinstance(value, Mapping) else value
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path, what: str, **parts: type) -> Any:
    """Reads JSON, without its seal. Raises ``UserError`` that calls the file ``what``.

    It is a ``ChangedError`` where the content is not what was sealed. Content without a
    seal, as older versions wrote it, is taken as it is. ``parts`` are what it must
    have, by name, and of which type.
    """
    content, _ = read_sealed(path, what)
    for name, kind in parts.items():
        if not isinstance(content, dict) or not isinstance(content.get(name), kind):
            raise UserError(f"{path} is no {what}, or damaged: it has no {name}")
    return content


def read_sealed(path: Path, what: str) -> tuple[Any, bool]:
    """``read_json``, and whether there was a seal."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return unsealed(content, path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a readable {what}: {error}") from None


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with the SHA-256 of all of it, in compact JSON with sorted keys."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    plain = json.loads(json.dumps(rest))  # as it will be read: names are texts
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return {**rest, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def unsealed(content: Any, path: Path | str) -> tuple[Any, bool]:
    """``content`` without its seal, and whether it had one.

    Raises ``ChangedError`` that names ``path`` if the seal is not that of the content.
    """
    if not isinstance(content, dict) or SEAL not in content:
        return content, False
    right = sealed(content)
    seal, right_seal = content.pop(SEAL), right[SEAL]
    if seal != right_seal:
        raise ChangedError(
            f"{path} was changed or damaged since it was written: its content does not "
            f"have the {SEAL} that it names. Restore the file; if you changed it "
            f"yourself, remove {SEAL} from it",
            content,
        )
    return content, True


def fingerprint(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": file.tell(), "sha256": digest}


def inside(folder: Path, name: str) -> Path:
    """The path of the file called ``name`` in ``folder``, there or not.

    Raises ``UserError`` for a name that leads out of the folder, or that no file can
    have. Links are followed: caches of downloads keep files elsewhere.
    """
    path = Path(name)
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    longest = max(
        (len(part.encode(errors="replace")) for part in path.parts), default=0
    )
    if outside or longest > 200 or "\0" in name:
        raise UserError(
            f"{name[:80]!r} leads out of {folder}: only files inside a folder are read"
        )
    return folder / path


def check_archive(path: Path) -> None:
    """Raises ``ValueError`` where ``path``, a zip archive, has a wrong checksum.

    PyTorch does not look at them. It compresses nothing, so that no small file becomes
    a large one.
    """
    with ZipFile(path) as archive:
        if any(entry.compress_type != ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed")
        if name := archive.testzip():
            raise ValueError(f"wrong checksum of {name}")
