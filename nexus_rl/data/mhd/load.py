"""Finding MHD where it was built, and reading it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import torch
from torch import Tensor

from nexus_rl.data.dataset import Dataset
from nexus_rl.data.files import VARIABLE, cache_folder
from nexus_rl.data.mhd.sides import sides
from nexus_rl.data.mhd.store import BUILDING, COMMAND, INDEX, Folder
from nexus_rl.errors import UserError
from nexus_rl.modality import PAPER

MODALITIES = tuple(PAPER[name] for name in ("image", "trajectory", "sound", "label"))
OFFICIAL = ("mhd_train.pt", "mhd_test.pt")
HERE = Path("data/mhd")


def load_mhd(data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Multimodal Handwritten Digits: image, trajectory, sound and label of digits.

    ``image`` uint8 ``(N, 1, 28, 28)``, ``trajectory`` float16 ``(N, 200)``, ``sound``
    uint8 ``(N, 1, 32, 128)`` and ``label`` uint8 ``(N,)``; the first three stand for
    [0, 1]. Its name is that of ``name_of``, its ``origin`` the index's source, with
    how well strokes were fitted and what ``sides`` counts. It is built once
    (scripts/build_mhd.py), not downloaded, and looked for in ``data_dir``; otherwise in
    ``$NEXUS_RL_DATA/mhd``, ``data/mhd`` and the user's cache. Raises ``UserError`` if
    it is nowhere, unfinished or damaged.
    """
    folder = find_built(data_dir)
    folder.check()
    sounds = torch.from_numpy(folder.read("sound"))

    def part(name: str) -> dict[str, Tensor]:
        columns = {
            column: torch.from_numpy(folder.read(f"{name}_{column}"))
            for column in ("image", "trajectory", "sound", "label")
        }
        # 4 kB a row: less than an index would save in code.
        return {**columns, "sound": sounds[columns["sound"].long()]}

    index, digits = folder.index(), tuple("0123456789")
    origin = dict(index["source"])
    if "fit" in index:
        origin["fit"] = index["fit"]
    if counts := sides(folder):
        origin["sides"] = counts
    parts = (part("train"), part("test"))
    return Dataset(name_of(folder), MODALITIES, *parts, digits, origin)


def name_of(folder: Folder) -> str:
    """mhd, or mhd_disjoint where it was built with another split than the paper's."""
    split = folder.index()["source"].get("options", {}).get("split", "paper")
    return "mhd" if split == "paper" else f"mhd_{split}"


def find_built(data_dir: str | Path | None = None) -> Folder:
    """The folder with the dataset. Raises ``UserError`` that says how to build it."""
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        places = [root / "mhd", root]
    else:
        variable = os.environ.get(VARIABLE)
        places = [Path(variable).expanduser() / "mhd"] if variable else []
        places += [HERE, cache_folder("mhd")]
    for place in places:
        if (place / INDEX).is_file():
            return Folder(place)
    lines = [f"  {place}: {_state(place)}" for place in places]
    theirs = next((place for place in places if _official(place)), Path())
    files = shlex.join(str(theirs / name) for name in OFFICIAL)
    # Not the folder of the files: nothing is built beside what is there.
    last = places[-1] / "built" / "mhd"
    free = next((place for place in (*places[-2:], last) if _empty(place)), last)
    raise UserError(
        "\n".join(
            [
                "cannot find dataset 'mhd', which is built once. Tried:",
                *lines,
                f"Build it with: {COMMAND} --out {places[-1]}",
                "or from the authors' files: "
                f"{COMMAND} --from-official {files} --out {shlex.quote(str(free))}",
                *([f"and look there: --data-dir {last.parent}"] * (free == last)),
            ]
        )
    )


def _state(place: Path) -> str:
    if (place / BUILDING).is_file():
        return "unfinished; make the same call of build_mhd.py again"
    if _official(place):
        return "holds the authors' files, which must be converted (--from-official)"
    return "not there" if place.is_dir() else "no folder"


def _empty(place: Path) -> bool:
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def _official(place: Path) -> bool:
    return any((place / name).is_file() for name in OFFICIAL)


def sound_levels(data_dir: str | Path | None = None) -> tuple[float, float]:
    """The decibels that 0 and 1 of the test sounds stand for; see ``load_mhd``."""
    scale = find_built(data_dir).index()["normalisation"]["test"]["sound"]
    return scale["min"], scale["max"]
