"""The authors' files, mhd_train.pt and mhd_test.pt, converted without running them.

Each is a pickle of six things: labels (N,) int64, images (N, 1, 28, 28), trajectories
(N, 200), sounds (N, C, H, 32) with C H = 128 mel bands, and two dicts with the ``max``
and ``min`` that trajectories and sounds (in dB) were scaled by. Floats lie in [0, 1].
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from nexus_rl.data.mhd.contact import write_examples
from nexus_rl.data.mhd.store import PARTS, Folder, versions
from nexus_rl.errors import UserError
from nexus_rl.files import check_archive

CHUNK = 100  # rows; with 1000 the temporaries take 200 MB more
SLACK = 1e-5  # how far floats may leave [0, 1] by rounding

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# Plain numbers and arrays of NumPy, whose module had another name when the files were
# made; beside these torch admits tensors, dicts and the like.
_SAFE: list[Any] = [
    np.dtype,
    np.ndarray,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i8", "u1")),
    *(
        (plain.__reduce__()[0], f"{module}.multiarray.{name}")
        for module in ("numpy.core", "numpy._core")
        for name, plain in (
            ("scalar", np.float64(0)),
            ("_reconstruct", np.empty(0)),
        )
    ),
]


def convert(
    files: tuple[Path, Path], out: Path, overwrite: bool = False, progress: bool = False
) -> Folder:
    """Writes the dataset of the authors' files (train, test) to ``out``.

    Images and sounds become uint8, trajectories float16; each spectrogram is kept once.
    Raises ``UserError`` for files that hold anything but tensors, arrays and numbers
    (nothing else in them is run), other shapes or ranges, before anything is
    overwritten, and what ``Folder.claim`` refuses.
    """
    folder = Folder(out)
    digests = {part: _sha256(path) for part, path in zip(PARTS, files, strict=True)}
    if len(set(digests.values())) == 1:
        raise UserError(
            f"{files[0]} and {files[1]} are the same: give train, then test"
        )
    origin = {"kind": "official", "files": digests, "versions": versions()}
    folder.check_free(origin, overwrite)
    unique: dict[bytes, int] = {}
    arrays: dict[str, Any] = {}
    scales = {}
    for part, path in zip(PARTS, files, strict=True):
        columns, scales[part] = _convert_part(path, unique, progress)
        arrays |= {f"{part}_{name}": column for name, column in columns.items()}
    rows = [len(arrays[f"{part}_label"]) for part in PARTS]
    if rows[0] < rows[1]:
        raise UserError(
            f"{files[0]} has {rows[0]} rows and {files[1]} {rows[1]}: give train, then "
            "test"
        )
    # Only now: a corrupt file must not cost the dataset that is there.
    with folder.claim(origin, overwrite):
        for name, array in arrays.items():
            folder.write(name, array)
        sounds = np.frombuffer(b"".join(unique), np.uint8).reshape(-1, 1, 32, 128)
        folder.write("sound", sounds)
        write_examples(folder, scales["train"]["sound"])
        samples = dict(zip(PARTS, rows, strict=True))
        folder.finish({"samples": samples, "normalisation": scales, "source": origin})
    return folder


def _convert_part(
    path: Path, unique: dict[bytes, int], progress: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a file, its sounds as numbers of ``unique``, and its scales."""
    labels, images, trajectories, sounds, *scales = read_official(path)
    blocks = tqdm(
        _blocks(images, trajectories, sounds),
        total=-(-len(labels) // CHUNK),
        desc=path.name,
        disable=not progress,
    )
    pictures, curves, heard = [], [], []
    for image, curve, sound in blocks:
        pictures.append(_bytes(image))
        curves.append(curve.clamp(0, 1).half().numpy())
        # Blocks of bands one above the other; time comes first here.
        bands = _bytes(sound.reshape(len(sound), 128, 32).mT)
        heard += [unique.setdefault(row.tobytes(), len(unique)) for row in bands]
    columns = {
        "image": np.concatenate(pictures),
        "trajectory": np.concatenate(curves),
        "label": labels.numpy().astype(np.uint8),
        "sound": np.array(heard, dtype=np.int32),
    }
    names = ("trajectory", "sound")
    return columns, {
        name: {key: _plain(scale[key]) for key in ("min", "max")}
        for name, scale in zip(names, scales, strict=True)
    }


def _plain(level: Any) -> Any:
    """A number, or a list of several."""
    array = np.asarray(level)
    return array.item() if array.size == 1 else array.reshape(-1).tolist()


def _blocks(*columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(column, CHUNK) for column in columns), strict=True)


def _bytes(values: Tensor) -> Any:
    return (255 * values.clamp(0, 1)).round().to(torch.uint8).contiguous().numpy()


def read_official(path: Path) -> tuple[Any, ...]:
    """The six things of a file, checked. Raises ``UserError``."""
    if _starts(path) == b"<":
        raise UserError(f"{path} is a web page, not the file; download it once more")
    try:
        if is_zipfile(path):  # the format of newer versions of torch
            check_archive(path)
        with torch.serialization.safe_globals(_SAFE):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is corrupt, or holds something other than tensors, arrays and "
            f"numbers, which is refused because it could run code: {_first(error)}"
        ) from None
    except MemoryError:
        raise UserError(f"{path} asks for more memory than there is") from None
    except Exception as error:  # damaged bytes break torch's reader in many ways
        raise UserError(
            f"{path} is truncated or corrupt ({_first(error)}); get it again"
        ) from None
    if not isinstance(content, tuple | list) or len(content) != 6:
        raise UserError(f"{path}: expected a tuple of 6, found {type(content)}")
    tensors = [_tensor(value) for value in content[:4]]
    _check(path, tensors)
    for what, scale in zip(("trajectories", "sounds"), content[4:], strict=True):
        _check_scale(path, what, scale)
    return (*tensors, *content[4:])


def _tensor(value: Any) -> Any:
    plain = isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    return torch.from_numpy(value) if plain else value


def _check(path: Path, tensors: list[Any]) -> None:
    first = tensors[0]
    count = len(first) if isinstance(first, Tensor) and first.dim() else 0
    shapes = {"labels": (count,), "images": (count, 1, 28, 28)}
    shapes |= {"trajectories": (count, 200), "sounds": (count, 4, 32, 32)}
    for (name, shape), tensor in zip(shapes.items(), tensors, strict=True):
        found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor)
        right = found == shape
        if name == "sounds" and isinstance(found, tuple) and len(found) == 4:
            right = found[0] == count and found[1] * found[2] == 128 and found[3] == 32
        if not right or count == 0:
            raise UserError(f"{path}: expected {name} of shape {shape}, found {found}")
        whole = name == "labels"
        if tensor.dtype not in (WHOLE if whole else REAL) or not _dense(tensor):
            raise UserError(
                f"{path}: {name} must not be {tensor.dtype}, {tensor.layout} on "
                f"{tensor.device}"
            )
        low, high = tensor.min().item(), tensor.max().item()
        least, most = (0, 9) if whole else (-SLACK, 1 + SLACK)
        if not (least <= low and high <= most):  # also true for NaN
            raise UserError(
                f"{path}: {name} from {low:g} to {high:g} lie outside "
                f"[0, {9 if whole else 1}]"
            )
    absent = set(range(10)) - set(tensors[0].tolist())
    if absent:
        raise UserError(f"{path}: there is no digit {min(absent)} in it")


def _dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.device.type == "cpu"


def _check_scale(path: Path, what: str, scale: Any) -> None:
    if not isinstance(scale, Mapping) or not {"max", "min"} <= set(scale):
        raise UserError(f"{path}: the scale of {what} must be a dict of max and min")
    sizes = (1,) if what == "sounds" else (1, 200)
    low, high = (_numbers(scale[key]) for key in ("min", "max"))
    if not {low.size, high.size} <= set(sizes):
        expected = " or ".join(map(str, sizes))
        raise UserError(
            f"{path}: expected {expected} as numbers of min and max of {what}, "
            f"found {low.size} and {high.size}"
        )
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise UserError(
            f"{path}: the scale of {what} must have a finite min below its max"
        )


def _numbers(level: Any) -> NDArray[Any]:
    """A level of a scale as an array (n,), of NaN where it is not of numbers."""
    try:
        array = np.asarray(level).reshape(-1)
    except (TypeError, ValueError, RuntimeError):  # ragged, or no plain tensor
        return np.array([np.nan])
    return array if array.dtype.kind in "fiu" else np.full(array.shape, np.nan)


def _starts(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(1)


def _sha256(path: Path) -> str:
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _first(error: Exception) -> str:
    """The line of torch's long message that names what was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    return (named or lines or [type(error).__name__])[0][:200]
