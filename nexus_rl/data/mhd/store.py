"""MHD on disk: arrays that are mapped into memory, and an index that is written last.

``index.json``            format, normalisation, origin, size and SHA-256 of all files
``<part>_image.npy``      uint8 (N, 1, 28, 28)
``<part>_trajectory.npy`` float16 (N, 200): 100 x, then 100 y downwards, in [0, 1]
``<part>_label.npy``      uint8 (N,)
``<part>_sound.npy``      int32 (N,): rows of ``sound.npy``
``sound.npy``             uint8 (S, 1, 32, 128), each spectrogram once
``<part>_exemplar.npy``   int32 (N,): rows of ``exemplars.csv``, where strokes are known
``<part>_copy.npy``       int32 (N,): 0 as it was written, from 1 on a variation
``fit_*.npy``             the exemplars' points, and the model that varies them

``building.json`` says what an unfinished folder shall become; only a finished one has
an index.
"""

from __future__ import annotations

import hashlib
import io
import logging
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.files import (
    ChangedError,
    inside,
    read_json,
    read_sealed,
    write_atomic,
    write_json,
)
from nexus_rl.locks import LOCK, held
from nexus_rl.parts import part_of, sweep

log = logging.getLogger(__name__)

FORMAT = 1
INDEX, BUILDING = "index.json", "building.json"
PARTS = ("train", "test")
EXAMPLES = "examples"
COMMAND = "python scripts/build_mhd.py"

# Shape of a row and type of what every folder has.
ARRAYS: dict[str, tuple[tuple[int, ...], str]] = {
    "image": ((1, 28, 28), "uint8"),
    "trajectory": ((200,), "float16"),
    "label": ((), "uint8"),
    "sound": ((), "int32"),
}
SPECTROGRAM = (1, 32, 128)
_KNOWN = {
    *(f"{part}_{name}.npy" for part in PARTS for name in (*ARRAYS, "exemplar", "copy")),
    *(f"fit_{name}.npy" for name in ("points", "parameters", "error")),
    *("sound.npy", "scale.npy", "exemplars.csv", "recordings.csv", "contact.png"),
    *(EXAMPLES, *(f"{EXAMPLES}/{digit}.wav" for digit in range(10))),
    *(INDEX, BUILDING, LOCK),
}

Array = NDArray[Any]


@dataclass(frozen=True)
class Folder:
    """A folder of the dataset, whole or in the making."""

    path: Path

    @property
    def whole(self) -> bool:
        """Whether it has been finished."""
        return (self.path / INDEX).is_file()

    @contextmanager
    def claim(
        self, origin: Mapping[str, Any], overwrite: bool = False
    ) -> Iterator[None]:
        """Begins to make what ``origin`` (JSON) describes, or goes on with it.

        No other process makes anything there meanwhile. Raises ``UserError`` where
        ``check_free`` does, and if another process is at it. What else is there is
        removed: check the sources before.
        """
        self.check_free(origin, overwrite)
        with held(self.path):
            self.check_free(origin, overwrite)  # it may just have been finished
            if not self._goes_on(origin):
                self._clear()
            for folder in (self.path, self.path / EXAMPLES):
                sweep(folder)
            write_json(self.path / BUILDING, origin)
            yield

    def check_free(self, origin: Mapping[str, Any], overwrite: bool = False) -> None:
        """Raises ``UserError`` where ``origin`` must not be made, and changes nothing.

        That is where the folder holds a finished dataset, an unfinished other one
        (both may be replaced with ``overwrite``), or anything else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a folder; choose another (--out)")
        if foreign := self._foreign():
            raise UserError(
                f"{self.path} holds other files ({', '.join(sorted(foreign)[:3])}); "
                "nothing was changed, choose another folder (--out)"
            )
        if overwrite or self._goes_on(origin):
            return
        if self.whole:
            raise UserError(
                f"{self.path} holds the dataset already; use it, choose another folder "
                "(--out), or replace it with --overwrite"
            )
        if (self.path / BUILDING).exists():
            begun = self._begun()
            if "kind" not in begun:  # damaged, or the index of what was being replaced
                raise UserError(
                    f"{self.path} is unfinished, and of which call cannot be told; "
                    "replace it with --overwrite"
                )
            changed = [k for k in origin if begun.get(k) != origin[k]]
            raise UserError(
                f"{self.path} is the unfinished result of a call with other "
                f"{', '.join(changed)}; replace it with --overwrite, or make that call "
                "again if its sources and versions are still the same"
            )

    def _foreign(self) -> set[str]:
        """Names of what is not of the dataset; of all, where nothing says it is."""
        names = {part_of(path.name) or path.name for path in self.path.iterdir()}
        if not names & {INDEX, BUILDING}:
            return names - {LOCK}
        heard = (part_of(p.name) or p.name for p in (self.path / EXAMPLES).glob("*"))
        return (names | {f"{EXAMPLES}/{name}" for name in heard}) - _KNOWN

    def _goes_on(self, origin: Mapping[str, Any]) -> bool:
        return not self.whole and self._begun() == origin

    def _begun(self) -> dict[str, Any]:
        """What an unfinished folder shall become; empty if that cannot be told."""
        with suppress(UserError):
            begun = read_json(self.path / BUILDING, "description of MHD in the making")
            if isinstance(begun, dict):
                return begun
        return {}

    def _clear(self) -> None:
        if self.whole:
            # Not just removed: a killed process shall leave an unfinished folder, not
            # one that looks like somebody else's.
            (self.path / INDEX).replace(self.path / BUILDING)
        for path in list(self.path.iterdir()):
            if path.name not in (BUILDING, LOCK):
                _remove(path)

    def has(self, *names: str) -> bool:
        """Whether all arrays of these names are there; each is whole if it is."""
        return all((self.path / f"{name}.npy").is_file() for name in names)

    def write(self, name: str, array: Array) -> None:
        """Writes an array whole or not at all."""
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        write_atomic(self.path / f"{name}.npy", content.getvalue())

    def read(self, name: str) -> Array:
        """An array, mapped into memory: changes to it are never written.

        Raises ``UserError`` if it cannot be read.
        """
        path = inside(self.path, f"{name}.npy")
        try:
            # Compares shape and size, and unlike np.load knows no pickles or archives.
            array: Array = np.lib.format.open_memmap(path, mode="c")
        except Exception as error:  # damaged headers break NumPy's reader in many ways
            raise UserError(
                f"{path} cannot be read ({error}). {_again(self)}"
            ) from None
        return array

    def finish(self, description: Mapping[str, Any]) -> None:
        """Writes the index: from now on the folder is whole."""
        names = sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_file() and path.name[0] != "." and path.name != BUILDING
        )
        files = {name: _fingerprint(self.path / name) for name in names}
        write_json(self.path / INDEX, {"format": FORMAT, **description, "files": files})
        (self.path / BUILDING).unlink()

    def index(self) -> dict[str, Any]:
        """The index. Raises ``UserError`` if it is damaged or of another format."""
        path = inside(self.path, INDEX)
        try:
            index, sealed = read_sealed(path, "index of MHD")
        except UserError as error:
            if isinstance(error, ChangedError):
                self._check_index(error.content)  # it may name what was changed
            raise UserError(f"{error}. {_again(self)}") from None
        self._check_index(index)
        if not sealed:
            _warn(self.path)
        return dict(index)

    def _check_index(self, index: Any) -> None:
        path = self.path / INDEX
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise UserError(
                f"{path} is damaged or of another format than {FORMAT}. {_again(self)}"
            )
        for name in ("files", "normalisation", "source", "samples"):
            if not isinstance(index.get(name), dict):
                raise UserError(f"{path} is damaged: it has no {name}. {_again(self)}")

    def check(self) -> None:
        """Raises ``UserError`` unless every array and table is as the index says."""
        index = self.index()
        files, samples = index["files"], index["samples"]
        for name, expected in files.items():
            path = inside(self.path, name)
            if path.suffix in (".npy", ".csv") and not (
                path.is_file() and _fingerprint(path) == expected
            ):
                state = "has changed" if path.exists() else "is missing"
                raise UserError(f"{path} {state} since it was built. {_again(self)}")
        for part in PARTS:
            for name, (shape, kind) in ARRAYS.items():
                rows = self._check_array(f"{part}_{name}", shape, kind, files)
                if rows != samples.get(part):
                    raise UserError(
                        f"{self.path / INDEX} names {samples.get(part)!r} samples for "
                        f"{part}, but {part}_{name}.npy has {rows}. {_again(self)}"
                    )
        self._check_array("sound", SPECTROGRAM, "uint8", files)

    def _check_array(
        self, name: str, shape: tuple[int, ...], kind: str, files: Mapping[str, Any]
    ) -> int:
        """The rows of an array, which fits."""
        if f"{name}.npy" not in files:
            raise UserError(f"{self.path / INDEX} lacks {name}.npy. {_again(self)}")
        array = self.read(name)
        if array.shape[1:] != shape or array.dtype != kind:
            raise UserError(
                f"{self.path / name}.npy: expected rows {shape} of {kind}, found "
                f"{array.shape[1:]} of {array.dtype}. {_again(self)}"
            )
        return len(array)


@cache  # once a folder
def _warn(folder: Path) -> None:
    log.warning(
        "%s is of an older version, whose index has no checksum of itself, so damage "
        "to it may go unnoticed; build it again to renew it",
        folder,
    )


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    names = ("nexus_rl", "numpy", "torch", "torchaudio", "pillow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _again(folder: Folder) -> str:
    return f"Restore it, or build it again: {COMMAND} --out {folder.path} --overwrite"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
