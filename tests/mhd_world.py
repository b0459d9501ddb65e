"""Strokes and sounds to build MHD from: made up, small, in the formats of the real."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np

from nexus_rl.data.mhd.build import Options
from nexus_rl.data.mhd.sounds import WORDS, Recordings, read_fsdd, read_speech_commands

WRITERS = 4
SPEAKERS = ("ann", "bob", "cid")
TAKES = 2
OPTIONS = Options(train=103, test=25)


def write_strokes(path: Path, writers: int = WRITERS) -> Path:
    """Digits that are spirals, a letter, and a 4 of two strokes, as UJI has them."""
    random = np.random.default_rng(0)
    lines = ["//", "// UJI: 100 units per millimetre", "//", ""]
    for digit in range(10):
        lines += [f"// ASCII char: {digit}"]
        for writer in range(1, writers + 1):
            for repetition in (1, 2):
                session = f"trn_UJI_W{writer:02d}-{repetition:02d}"
                lines += [f"WORD {digit} {session}", "  NUMSTROKES 1"]
                lines += [points_line(spiral(digit, random))]
    letter = points_line(spiral(3, random))
    lines += ["WORD a trn_UJI_W01-01", "  NUMSTROKES 1", letter]
    lines += ["WORD 4 trn_UJI_W09-01", "  NUMSTROKES 2", letter, letter]
    path.write_text("\n".join(lines) + "\n")
    return path


def spiral(digit: int, random: np.random.Generator) -> np.ndarray:
    time = np.linspace(0, 1, 30 + digit)
    done = time - np.sin(2 * np.pi * time) / (2 * np.pi)
    angle = (1 + 0.4 * digit + 0.2 * random.random()) * np.pi * done
    size = 300 + 100 * random.random()
    return size * np.stack([angle.clip(0.5) * np.cos(angle), 2 * np.sin(angle)], 1)


def points_line(points: np.ndarray) -> str:
    numbers = " ".join(str(round(value)) for value in points.flatten())
    return f"  POINTS {len(points)} # {numbers}"


def tone(digit: int, speaker: int, take: int, rate: int = 8000) -> np.ndarray:
    seconds = np.arange(int(rate * (0.3 + 0.1 * take))) / rate
    hertz = 200 * (digit + 1) * (1 + 0.05 * speaker)
    return (9000 * np.sin(2 * math.pi * hertz * seconds)).astype(np.int16)


def write_fsdd(path: Path) -> Path:
    """The archive: 10 digits of 3 speakers, twice each."""
    keys = [
        (digit, speaker, take)
        for digit in range(10)
        for speaker in range(len(SPEAKERS))
        for take in range(TAKES)
    ]
    clips = [tone(*key) for key in keys]
    labels, speakers, index = np.array(keys, dtype=np.uint8).T
    np.savez(
        path,
        audio=np.concatenate(clips),
        offsets=np.cumsum([0, *map(len, clips)]),
        labels=labels,
        speakers=speakers,
        index=index,
        speaker_names=np.array(SPEAKERS),
        sample_rate=8000,
    )
    return path


def write_speech_commands(folder: Path) -> Path:
    """A folder a word, a clip of two speakers in each, 16 kHz."""
    for digit, word in enumerate(WORDS):
        for speaker in range(2):
            name = f"{speaker}abc_nohash_{digit}.wav"
            write_clip(folder / word / name, tone(digit, speaker, 1, 16_000), 16_000)
    return folder


def write_clip(path: Path, samples: np.ndarray, rate: int, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def sounds_in(folder: Path) -> list[Recordings]:
    """Both sources."""
    folder.mkdir(exist_ok=True)
    return [
        read_fsdd(write_fsdd(folder / "fsdd.npz")),
        read_speech_commands(write_speech_commands(folder / "words")),
    ]
