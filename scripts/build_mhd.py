"""Build the dataset MHD: handwritten digits as image, trajectory, sound and label.

    python scripts/build_mhd.py                      # to data/mhd, in about a minute
    python scripts/build_mhd.py --split disjoint --out data/disjoint/mhd
    python scripts/build_mhd.py --from-official mhd_train.pt mhd_test.pt

From pen strokes (UJI Pen Characters v2) and spoken digits (Free Spoken Digit Dataset,
Speech Commands), looked for in NEXUS_RL_DATA and the user's cache, or from the authors'
files. An interrupted build goes on with the same call. See contact.png and examples/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError

if TYPE_CHECKING:
    from nexus_rl.data.mhd.sounds import Recordings
    from nexus_rl.data.mhd.store import Folder


# Options that say how to build.
BUILDING = (
    *("train", "test", "split", "sounds", "seed"),
    *("strokes", "fsdd", "speech_commands"),
)


@dataclass(frozen=True)
class Args:
    """What the dataset is made of."""

    out: Path = Path("data/mhd")
    """Folder of the dataset."""
    train: int = 50_000
    """Samples for training."""
    test: int = 10_000
    """Samples for testing."""
    split: Literal["paper", "disjoint"] = "paper"
    """disjoint: no writer and no speaker is on both sides; paper: only no recording."""
    sounds: Literal["both", "fsdd", "speech_commands"] = "both"
    """Whose spoken digits."""
    seed: int = 0
    """Seeds variations, pairs and the split."""
    strokes: Path | None = None
    """File of UJI Pen Characters v2."""
    fsdd: Path | None = None
    """Repository of the Free Spoken Digit Dataset, or fsdd.npz."""
    speech_commands: Path | None = None
    """Folder of Speech Commands."""
    from_official: tuple[Path, Path] | None = None
    """The authors' mhd_train.pt and mhd_test.pt, to convert instead."""
    overwrite: bool = False
    """Replace the dataset that --out holds; interrupted, the same call goes on."""
    threads: int = 1
    """CPU threads."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    if args.threads < 1:
        raise UserError(f"--threads must be at least 1, got {args.threads}")
    import torch

    torch.set_num_threads(args.threads)
    folder = convert(args) if args.from_official else build(args)
    print(summary(folder))


def convert(args: Args) -> Folder:
    from nexus_rl.data.mhd.official import convert

    default = Args()
    given = [
        f"--{name.replace('_', '-')}"
        for name in BUILDING
        if getattr(args, name) != getattr(default, name)
    ]
    if given:
        raise UserError(
            f"{', '.join(given)}: for building; --from-official converts files as they "
            "are"
        )
    assert args.from_official is not None
    return convert(args.from_official, args.out, args.overwrite, progress=True)


def build(args: Args) -> Folder:
    from nexus_rl.data.mhd.build import Options, build
    from nexus_rl.data.mhd.sources import STROKES, find

    options = Options(args.train, args.test, args.split, args.seed)
    strokes = find(STROKES, args.strokes)
    return build(
        args.out,
        strokes,
        recordings(args),
        options,
        overwrite=args.overwrite,
        progress=True,
    )


def recordings(args: Args) -> list[Recordings]:
    from nexus_rl.data.mhd.sounds import read_fsdd, read_speech_commands
    from nexus_rl.data.mhd.sources import FSDD, SPEECH_COMMANDS, find

    known = {
        "fsdd": (FSDD, args.fsdd, read_fsdd),
        "speech_commands": (
            SPEECH_COMMANDS,
            args.speech_commands,
            read_speech_commands,
        ),
    }
    found = []
    for name, (place, given, read) in known.items():
        if args.sounds in ("both", name):
            other = next(other for other in known if other != name)
            advice = f"Or do without: --sounds {other}."
            found.append(read(find(place, given, advice)))
        elif given is not None:
            raise UserError(f"{place.option} is not used with --sounds {args.sounds}")
    return found


def summary(folder: Folder) -> str:
    index = folder.index()
    samples = " + ".join(f"{count:,}" for count in index["samples"].values())
    size = sum(file["bytes"] for file in index["files"].values()) / 1e6
    lines = [f"{samples} samples, {size:.0f} MB: {folder.path}"]
    if "fit" in index:
        lines.append(f"fit of the strokes: {json.dumps(index['fit'])}")
    lines.append(f"picture: {folder.path / 'contact.png'}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
