"""Where the strokes and sounds are that MHD is built from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nexus_rl.data.files import VARIABLE, cache_folder
from nexus_rl.errors import UserError

Sounds = Literal["both", "fsdd", "speech_commands"]


@dataclass(frozen=True)
class Place:
    """Files looked for in folders of a name: the first one of ``files`` that is there.

    ``option`` is that of the command line; ``origin`` where the data are from.
    """

    what: str
    option: str
    folders: Sequence[str]
    files: Sequence[str]
    origin: str


STROKES = Place(
    "pen strokes",
    "--strokes",
    ("ujipenchars2",),
    (
        "ujipenchars2.txt",
        "ujipenchars2.txt.gz",
        "ujipenchars2_digits.txt",
        "ujipenchars2_digits.txt.gz",
    ),
    "ujipenchars2.txt of UJI Pen Characters v2, "
    "https://archive.ics.uci.edu/dataset/177/uji+pen+characters+version+2",
)
FSDD = Place(
    "the Free Spoken Digit Dataset",
    "--fsdd",
    ("fsdd", "free-spoken-digit-dataset"),
    ("fsdd.npz", "recordings"),
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
)
SPEECH_COMMANDS = Place(
    "Speech Commands",
    "--speech-commands",
    ("speech_commands", "speech_commands_digits", "SpeechCommands"),
    ("zero", "speech_commands_v0.02", "speech_commands_v0.01", "SpeechCommands"),
    "torchaudio.datasets.SPEECHCOMMANDS, or "
    "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
)


def find(place: Place, given: Path | None = None, advice: str = "") -> Path:
    """What ``place`` names: ``given``, or in NEXUS_RL_DATA, or in the user's cache.

    Strokes and archives are files, recordings their folder. Raises ``UserError`` that
    lists what was tried, says where the data are from, and ends with ``advice``.
    """
    if given is not None:
        found = given if given.is_file() else _inside(place, given)
        if found is None:
            raise UserError(
                f"{place.option} {given}: expected {place.what}, a file or a folder "
                f"with one of {', '.join(place.files)}; they are from {place.origin}"
            )
        return found
    root = os.environ.get(VARIABLE)
    roots = [Path(root).expanduser()] if root else []
    tried = [
        parent / folder
        for parent in (*roots, cache_folder(""))
        for folder in place.folders
    ]
    for folder in tried:
        found = _inside(place, folder)
        if found is not None:
            return found
    lines = "\n".join(f"  {folder}" for folder in tried)
    unset = "" if root else f" ({VARIABLE} is not set)"
    raise UserError(
        f"cannot find {place.what}. Tried{unset}:\n{lines}\nThey are from "
        f"{place.origin}. Name them with {place.option}. {advice}".rstrip()
    )


def _inside(place: Place, folder: Path) -> Path | None:
    for name in place.files:
        path = folder / name
        if path.is_file():
            return path
        if path.is_dir():
            return folder
    return None
