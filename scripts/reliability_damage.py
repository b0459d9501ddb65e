"""What becomes of a folder whose files are cut short, or have a bit flipped."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from nexus_rl import UserError

# Of loading a damaged folder: the same result; a ``UserError`` that names a file of the
# folder; one that names none; another result; any other exception.
OUTCOMES = ("same", "refused", "unnamed", "silent", "traceback")
HARMLESS = frozenset(OUTCOMES[:2])


def damage(
    folder: Path, load: Callable[[Path], Any], times: int, seed: int
) -> dict[str, Counter[str]]:
    """How often loading ended in each of ``OUTCOMES``, by file of ``folder``.

    Every file is cut short ``times`` times, and has one bit flipped ``times`` times,
    each in a fresh copy of the folder, which ``load`` may write to. What it returns is
    compared: numbers, text, arrays, tensors, and lists and dicts of these. Symbolic
    links and empty files are left alone. The same seed does the same damage.
    """
    rng = Random(seed)
    files = [path for path in sorted(folder.rglob("*")) if _solid(path)]
    whole = _try(folder, load)
    if isinstance(whole, Exception):
        raise whole
    found = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        damaged = [_cut(content, rng) for _ in range(times)]
        damaged += [_flipped(content, rng) for _ in range(times)]
        results = [_try(folder, load, name, changed) for changed in damaged]
        names = {other.name for other in files}
        found[name] = Counter(_outcome(result, whole, names) for result in results)
    return found


def _solid(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 0


def _cut(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _flipped(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _try(
    folder: Path, load: Callable[[Path], Any], name: str = "", content: bytes = b""
) -> Any:
    """What ``load`` makes of a copy with one file replaced, or what it raises."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, folder.name)
        shutil.copytree(folder, copy, symlinks=True)
        if name:
            (copy / name).write_bytes(content)
        try:
            return load(copy)
        except Exception as error:  # whatever it is, it is the outcome
            return error


def _outcome(result: Any, whole: Any, names: set[str]) -> str:
    if isinstance(result, UserError):
        return "refused" if any(name in str(result) for name in names) else "unnamed"
    if isinstance(result, Exception):
        return "traceback"
    return "same" if same(result, whole) else "silent"


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal to the last bit; NaN equals NaN."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__array__") and hasattr(b, "__array__"):
        x, y = np.asarray(a), np.asarray(b)
        return (x.shape, x.dtype) == (y.shape, y.dtype) and x.tobytes() == y.tobytes()
    return bool(a == b) or (a != a and b != b)
