"""How the files of a dataset are found, downloaded and checked."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from nexus_rl.errors import UserError

log = logging.getLogger(__name__)

VARIABLE = "NEXUS_RL_DATA"
SEARCH_ORDER = (
    f"--data-dir if given; else ${VARIABLE}/<dataset>, the user's cache, "
    "the system's folder and a download"
)
CHUNK = 1 << 20  # bytes
MOST_BYTES = 1 << 29  # of a file in memory: ten times what any of a dataset has
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Source:
    """The public files of a dataset.

    ``sha256`` maps each file's name, without ``.gz``, to the SHA-256 of its unzipped
    bytes. ``url`` is the address their names plus ``.gz`` are appended to. ``system``
    is the folder an operating system's package installs them in, if there is one.
    """

    name: str
    url: str
    sha256: Mapping[str, str]
    system: Path | None = None

    def file_url(self, name: str) -> str:
        """The public address of one file."""
        return f"{self.url.rstrip('/')}/{name}.gz"

    def advice(self, name: str) -> str:
        """What to do about a bad or missing copy of one file."""
        return (
            f"Replace it by the public file, {self.file_url(name)}, or use another "
            f"folder (search order: {SEARCH_ORDER})."
        )


def cache_folder(dataset: str) -> Path:
    """Where downloads of a dataset are kept: in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return root / "nexus_rl" / dataset


def find_files(
    source: Source, data_dir: str | Path | None = None, download: bool = True
) -> dict[str, Path]:
    """The path of each file of ``source``, plain or gzipped, by its name.

    Only ``data_dir`` is searched if it is given: its sub-folder named like the dataset
    and the folder itself. Otherwise the search order is the environment variable
    ``NEXUS_RL_DATA`` (one sub-folder a dataset), the user's cache, the system's folder
    and, unless ``download`` is false, a download into the cache. Contents are not read:
    whoever reads a file checks it. Raises ``UserError`` that lists every place tried,
    or names the folder that holds only some of the files.
    """
    if data_dir is not None:
        return _find_in(source, Path(data_dir).expanduser())
    cache = cache_folder(source.name)
    tried = []
    for label, folder in _places(source, cache):
        if folder is None:
            tried.append(f"{label}: not set")
            continue
        found = _present(source, folder)
        if len(found) == len(source.sha256):
            log.info("dataset %s: using %s", source.name, folder)
            return found
        # The cache is incomplete after a broken download: the download goes on there.
        if found and not (download and folder == cache):
            raise _incomplete(source, folder, found)
        state = "holds only some of the files" if found else "holds none of the files"
        tried.append(f"{label} {folder}: {state if folder.is_dir() else 'no folder'}")
    if not download:
        raise _not_found(source, [*tried, "download: switched off"])
    try:
        return _download(source, cache)
    except UserError as error:
        raise _not_found(source, [*tried, f"download {error}"]) from error


def read_unzipped(path: Path, advice: str = "") -> bytearray:
    """The bytes of a file, unzipped if it begins like a gzip file.

    Raises ``UserError`` with ``advice`` if it cannot be read or unzipped.
    """
    content = bytearray()
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: BinaryIO | gzip.GzipFile
            stream = gzip.GzipFile(fileobj=file) if zipped else file
            while chunk := stream.read(CHUNK):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise UserError(
                        f"{path}: expected at most {MOST_BYTES} unzipped bytes. "
                        f"{advice}".rstrip()
                    )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: expected a whole gzip file, found a truncated or corrupt one "
            f"({error}). {advice}".rstrip()
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error}). {advice}".rstrip()
        ) from error
    return content


def check_sha256(content: bytearray, expected: str, path: Path, advice: str) -> None:
    """Raises ``UserError`` with ``advice`` unless ``content`` has the SHA-256."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise UserError(
            f"{path}: not the public file: expected SHA-256 {expected} of its unzipped "
            f"bytes, found {found}. {advice}".rstrip()
        )


def _places(source: Source, cache: Path) -> list[tuple[str, Path | None]]:
    root = os.environ.get(VARIABLE)
    folder = Path(root).expanduser() / source.name if root else None
    places = [(f"${VARIABLE}", folder), ("cache", cache)]
    if source.system is not None:
        places.append(("system", source.system))
    return places


def _present(source: Source, folder: Path) -> dict[str, Path]:
    found = {}
    for name in source.sha256:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                found[name] = path
                break
    return found


def _find_in(source: Source, folder: Path) -> dict[str, Path]:
    for place in (folder / source.name, folder):
        found = _present(source, place)
        if len(found) == len(source.sha256):
            return found
        if found:
            raise _incomplete(source, place, found)
    raise UserError(
        f"--data-dir {folder} does not hold dataset {source.name!r}: expected "
        f"{', '.join(source.sha256)} (plain or .gz), there or in its sub-folder "
        f"{source.name!r}. Without --data-dir the other places are searched."
    )


def _incomplete(source: Source, folder: Path, found: dict[str, Path]) -> UserError:
    missing = [name for name in source.sha256 if name not in found]
    return UserError(
        f"{folder} holds only some files of dataset {source.name!r}; missing (plain or "
        f".gz): {', '.join(missing)}. Add them from {source.url} or use another folder "
        f"(search order: {SEARCH_ORDER})."
    )


def _not_found(source: Source, tried: list[str]) -> UserError:
    return UserError(
        "\n".join(
            [
                f"cannot find dataset {source.name!r}. Tried:",
                *(f"  {line}" for line in tried),
                f"Set {VARIABLE} to a folder that has the files in a sub-folder "
                f"{source.name!r}, or pass --data-dir. The files are:",
                *(f"  {source.file_url(name)}" for name in source.sha256),
            ]
        )
    )


def _download(source: Source, folder: Path) -> dict[str, Path]:
    """Fetches what ``folder`` lacks. Raises ``UserError`` that names the address."""
    present = _present(source, folder)
    for name in (name for name in source.sha256 if name not in present):
        url = source.file_url(name)
        log.info("dataset %s: downloading %s to %s", source.name, url, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as scratch:
                path = Path(scratch, f"{name}.gz")
                _fetch(url, path)
                content = read_unzipped(path)
                check_sha256(content, source.sha256[name], Path(path.name), "")
                path.replace(folder / path.name)
        except (OSError, http.client.HTTPException, UserError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise UserError(f"{url}: {error}") from error
    return _present(source, folder)


def _fetch(url: str, path: Path) -> None:
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as response,
        path.open("wb") as file,
    ):
        size = int(response.headers.get("Content-Length") or 0)
        with tqdm(
            desc=path.name, total=size or None, unit="B", unit_scale=True
        ) as progress:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
        if size and file.tell() != size:
            raise OSError(f"broke off after {file.tell()} of {size} bytes")
