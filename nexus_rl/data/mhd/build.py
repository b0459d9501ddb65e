"""Building MHD from pen strokes and spoken digits, step by step.

Every file appears whole, so a killed build goes on where it was: the same call does
only what is missing. Same sources, options and versions give the same arrays, also
where other processors or numbers of threads round otherwise: points are made by
arithmetic alone, and what is kept of the rest is coarser.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from nexus_rl.data.mhd.contact import write_examples
from nexus_rl.data.mhd.fit import MOST, fit
from nexus_rl.data.mhd.lognormal import Strokes, perturb
from nexus_rl.data.mhd.pairing import Origins, Part, Split, pair
from nexus_rl.data.mhd.raster import WIDTHS, rasterise
from nexus_rl.data.mhd.sounds import FLOOR_DB, Recording, Recordings, spectrograms
from nexus_rl.data.mhd.store import PARTS, Folder, versions
from nexus_rl.data.mhd.strokes import POINTS, Exemplar, one_stroke, read_uji, trajectory
from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic

CHUNK = 2000  # rows
# Purposes of random numbers.
PAIRING, VARIATION, PENS = range(3)


@dataclass(frozen=True)
class Options:
    """How many samples, who may be on both sides of the split, and the seed."""

    train: int = 50_000
    test: int = 10_000
    split: Split = "paper"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.test) < 10:
            raise UserError(
                "each part needs a sample of every digit: at least 10, got "
                f"{self.train} and {self.test}"
            )
        if not 0 <= self.seed < 2**32:
            raise UserError(f"the seed must be in [0, 2^32), got {self.seed}")


def build(
    out: Path,
    strokes: Path,
    sounds: Sequence[Recordings],
    options: Options,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> Folder:
    """Builds the dataset in ``out``, or goes on building it.

    ``strokes`` is a file of UJI Pen Characters v2. Raises ``UserError`` for corrupt or
    too few sources, before anything is overwritten, and what ``Folder.claim`` refuses.
    """
    exemplars = one_stroke(read_uji(strokes))
    drawn = _drawn(strokes, exemplars)
    clips = [clip for source in sounds for clip in source.clips]
    origin = _origin(strokes, exemplars, sounds, options)
    pairs = _pairs(exemplars, clips, options)
    folder = Folder(out)
    folder.check_free(origin, overwrite)
    for clip in clips:  # a corrupt one must not cost the dataset that is there
        clip.read()
    with folder.claim(origin, overwrite):
        _write_fit(folder, drawn, progress)
        _write_exemplars(folder, exemplars)
        _write_rows(folder, pairs, options, progress)
        if not folder.has("sound"):
            folder.write("sound", spectrograms(clips, progress))
        _write_recordings(folder, clips)
        scale = _scale(folder)
        _write_images(folder, scale, options, progress)
        write_examples(folder, scale["sound"])
        samples = {p: len(rows.label) for p, rows in zip(PARTS, pairs, strict=True)}
        folder.finish(
            {
                "samples": samples,
                "normalisation": dict.fromkeys(PARTS, scale),
                "fit": _fit_quality(folder),
                "source": origin,
            }
        )
    return folder


def _origin(
    strokes: Path,
    exemplars: Sequence[Exemplar],
    sounds: Sequence[Recordings],
    options: Options,
) -> dict[str, Any]:
    """What decides the content, as JSON."""
    return {
        "kind": "built",
        "strokes": {
            "file": strokes.name,
            "sha256": hashlib.sha256(strokes.read_bytes()).hexdigest(),
            "exemplars": len(exemplars),
            "writers": len({one.writer for one in exemplars}),
        },
        "sounds": {
            source.source: {
                "sha256": source.sha256,
                "recordings": len(source.clips),
                "speakers": len({clip.speaker for clip in source.clips}),
            }
            for source in sounds
        },
        "options": asdict(options),
        "versions": versions(),
    }


def _pairs(
    exemplars: Sequence[Exemplar], clips: Sequence[Recording], options: Options
) -> tuple[Part, Part]:
    strokes = Origins(
        np.array([one.digit for one in exemplars]),
        [str(one.writer) for one in exemplars],
        ["uji"] * len(exemplars),
    )
    sounds = Origins(
        np.array([clip.digit for clip in clips]),
        [clip.speaker for clip in clips],
        [clip.source for clip in clips],
    )
    rng = np.random.default_rng((options.seed, PAIRING))
    return pair(strokes, sounds, options.train, options.test, options.split, rng)


def _drawn(path: Path, exemplars: Sequence[Exemplar]) -> NDArray[np.float64]:
    """The trajectories (N, 100, 2) of all exemplars."""
    found = []
    for one in exemplars:
        try:
            found.append(trajectory(one.strokes[0]))
        except UserError as error:
            raise UserError(
                f"{path}, digit {one.digit} of session {one.session}: {error}"
            ) from None
    return np.stack(found)


def _write_fit(folder: Folder, drawn: NDArray[np.float64], progress: bool) -> None:
    if folder.has("fit_points", "fit_parameters", "fit_error"):
        return
    fitted, error = fit(torch.from_numpy(drawn), progress)
    folder.write("fit_points", drawn)
    folder.write("fit_parameters", fitted.parameters.numpy())
    folder.write("fit_error", error.numpy().round(6))


def _write_rows(
    folder: Folder, pairs: tuple[Part, Part], options: Options, progress: bool
) -> None:
    """Labels, trajectories and where they are from."""
    columns = [
        f"{p}_{c}" for p in PARTS for c in ("label", "sound", "exemplar", "copy")
    ]
    curves = [f"{part}_trajectory" for part in PARTS]
    if folder.has("scale", *columns, *curves):
        return
    points = _vary(folder, pairs, options, progress)
    low = min(float(part.min()) for part in points)
    high = max(float(part.max()) for part in points)
    folder.write("scale", np.array([low, high]))
    for part, rows, curve in zip(PARTS, pairs, points, strict=True):
        scaled = (curve - low) / (high - low)
        flat = scaled.transpose(0, 2, 1).reshape(len(curve), 2 * POINTS)
        folder.write(f"{part}_trajectory", flat.astype(np.float16))
        folder.write(f"{part}_label", rows.label.astype(np.uint8))
        folder.write(f"{part}_sound", rows.sound.astype(np.int32))
        folder.write(f"{part}_exemplar", rows.exemplar.astype(np.int32))
        folder.write(f"{part}_copy", rows.copy.astype(np.int32))


def _vary(
    folder: Folder, pairs: tuple[Part, Part], options: Options, progress: bool
) -> list[NDArray[np.float32]]:
    """The centred points (N, 100, 2) of each part."""
    written = torch.from_numpy(folder.read("fit_points"))
    parameters = torch.from_numpy(folder.read("fit_parameters"))
    strokes = Strokes(written[:, 0], parameters)
    generator = torch.Generator().manual_seed(options.seed + 2**32 * VARIATION)
    result = []
    for part, rows in zip(PARTS, pairs, strict=True):
        blocks = []
        chosen = torch.from_numpy(np.stack([rows.exemplar, rows.copy]))
        chunks = torch.split(chosen, CHUNK, 1)
        for exemplar, copy in tqdm(
            chunks, desc=f"trajectories, {part}", disable=not progress
        ):
            noise = torch.randn(
                len(copy), MOST, 3, generator=generator, dtype=torch.float64
            )
            varied = perturb(strokes.take(exemplar), noise).points(POINTS)
            original = (copy == 0)[:, None, None]
            points = torch.where(original, written[exemplar], varied)
            blocks.append((points - points.mean(1, keepdim=True)).float().numpy())
        result.append(np.concatenate(blocks))
    return result


def _scale(folder: Folder) -> dict[str, dict[str, float]]:
    """What [0, 1] stands for: units of a trajectory, and decibels."""
    low, high = folder.read("scale").tolist()
    return {
        "trajectory": {"min": low, "max": high},
        "sound": {"min": -FLOOR_DB, "max": 0.0},
    }


def _fit_quality(folder: Folder) -> dict[str, float]:
    """Root mean square distance between points and model, in units of a trajectory."""
    error = folder.read("fit_error")
    known = {"mean": error.mean(), "median": np.median(error), "max": error.max()}
    return {f"{name}_error": round(float(value), 5) for name, value in known.items()}


def _write_images(
    folder: Folder, scale: dict[str, Any], options: Options, progress: bool
) -> None:
    low, high = scale["trajectory"]["min"], scale["trajectory"]["max"]
    for k, part in enumerate(PARTS):
        if folder.has(f"{part}_image"):
            continue
        flat = folder.read(f"{part}_trajectory")
        rng = np.random.default_rng((options.seed, PENS, k))
        widths = rng.integers(WIDTHS[0], WIDTHS[1], len(flat), endpoint=True)
        images = np.empty((len(flat), 1, 28, 28), np.uint8)
        rows = zip(flat, widths.tolist(), strict=True)
        shown = tqdm(
            rows, desc=f"images, {part}", total=len(flat), disable=not progress
        )
        for row, (curve, width) in enumerate(shown):
            points = low + (high - low) * curve.astype(np.float32).reshape(2, -1).T
            images[row, 0] = rasterise(points, width)
        folder.write(f"{part}_image", images)


def _write_exemplars(folder: Folder, exemplars: Sequence[Exemplar]) -> None:
    errors = folder.read("fit_error").tolist()
    components = np.isfinite(folder.read("fit_parameters")[:, :, 0]).sum(1).tolist()
    head = ("digit", "writer", "session", "components", "error")
    rows = [
        (one.digit, one.writer, one.session, count, f"{error:.5f}")
        for one, count, error in zip(exemplars, components, errors, strict=True)
    ]
    _write_table(folder.path / "exemplars.csv", head, rows)


def _write_recordings(folder: Folder, clips: Sequence[Recording]) -> None:
    rows = [(clip.digit, clip.source, clip.speaker, clip.name) for clip in clips]
    head = ("digit", "source", "speaker", "name")
    _write_table(folder.path / "recordings.csv", head, rows)


def _write_table(path: Path, head: Sequence[str], rows: Sequence[Any]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())
