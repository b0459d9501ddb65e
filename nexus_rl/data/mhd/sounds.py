"""Spoken digits: Google Speech Commands, the Free Spoken Digit Dataset, or both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.functional import resample
from tqdm import tqdm

from nexus_rl.data.audio import log_mel
from nexus_rl.data.files import MOST_BYTES
from nexus_rl.data.mhd.wav import EXPECTED, RATES, read_wav
from nexus_rl.errors import UserError

RATE = 16_000
FLOOR_DB = 80.0
WORDS = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)
CHUNK = 256  # clips
# Torchaudio's for librosa's "kaiser_best": clips of 8 kHz stay silent above 4 kHz.
FILTER: dict[str, Any] = {
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}


@dataclass(frozen=True)
class Recording:
    """Somebody says a digit. ``read`` gives samples (n,) and their rate in Hz."""

    source: str
    name: str
    speaker: str
    digit: int
    read: Callable[[], tuple[Tensor, int]] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Recordings:
    """All recordings of one source; ``sha256`` is that of its files."""

    source: str
    clips: tuple[Recording, ...]
    sha256: str


def spectrograms(
    clips: Sequence[Recording], progress: bool = False
) -> NDArray[np.uint8]:
    """Log-mel spectrograms (N, 1, 32, 128) of clips, 255 each clip's loudest value.

    A clip is resampled to 16 kHz and padded with silence, or truncated, to one second.
    Zero stands for 80 dB below its loudest value, or less.
    """
    rows = []
    with tqdm(total=len(clips), desc="sounds", disable=not progress) as bar:
        for first in range(0, len(clips), CHUNK):
            chunk = [_one_second(clip) for clip in clips[first : first + CHUNK]]
            values = log_mel(torch.stack(chunk), sample_rate=RATE, floor_db=FLOOR_DB)
            rows.append((255 * values).round().to(torch.uint8)[:, None])
            bar.update(len(chunk))
    return torch.cat(rows).numpy()


def _one_second(clip: Recording) -> Tensor:
    """In float64, so that machines agree on the spectrogram's 8 bits."""
    samples, rate = clip.read()
    # More than is heard, for the filter at the end.
    heard = samples[: 2 * rate].double()
    if rate != RATE:
        heard = resample(heard, rate, RATE, **FILTER)
    heard = heard[:RATE]
    return torch.nn.functional.pad(heard, (0, RATE - len(heard)))


def read_speech_commands(folder: Path) -> Recordings:
    """The digits of Speech Commands: WORD/SPEAKER_nohash_N.wav, as it is distributed.

    ``folder`` is that of the words, or one above in torchaudio's layout
    (SpeechCommands/speech_commands_v0.02). Raises ``UserError`` where a word is
    missing, or where there are several versions to choose from.
    """
    patterns = ("", "speech_commands_v*", "SpeechCommands/speech_commands_v*")
    places = [
        place
        for pattern in patterns
        for place in (sorted(folder.glob(pattern)) if pattern else [folder])
        if (place / WORDS[0]).is_dir()
    ]
    if len(places) != 1:
        found = ", ".join(str(place) for place in places) or "none"
        raise UserError(
            f"{folder}: expected one folder of Speech Commands with sub-folders zero, "
            f"one ... nine, found {found}; name the one to use (--speech-commands)"
        )
    clips = []
    for digit, word in enumerate(WORDS):
        paths = sorted((places[0] / word).glob("*.wav"))
        for path in paths:
            if re.fullmatch(r"[0-9a-z]+_nohash_\d+\.wav", path.name) is None:
                raise UserError(
                    f"{path}: expected a name as 0a7c2a8d_nohash_0.wav; take it away"
                )
        if not paths:
            raise UserError(
                f"{places[0] / word} holds no recordings (SPEAKER_nohash_N.wav): the "
                "folder is not the whole dataset; restore it"
            )
        for path in paths:
            name, speaker = f"{word}/{path.name}", path.name.split("_nohash_")[0]
            read = partial(read_wav, path)
            clips.append(Recording("speech_commands", name, speaker, digit, read))
    digest = _digest((clip.name, places[0] / clip.name) for clip in clips)
    return Recordings("speech_commands", tuple(clips), digest)


def read_fsdd(path: Path) -> Recordings:
    """The Free Spoken Digit Dataset: its repository, or all of it in one ``fsdd.npz``.

    The repository keeps recordings/DIGIT_SPEAKER_TAKE.wav. The archive's arrays are
    audio (int16, clips one after the other), offsets, labels, speakers (numbers),
    speaker_names, index (takes) and sample_rate. Raises ``UserError`` for anything
    else.
    """
    if path.suffix == ".npz":
        return _read_fsdd_archive(path)
    folder = path / "recordings"
    clips = []
    for file in sorted(folder.glob("*.wav")):
        found = re.fullmatch(r"(\d)_([^_]+)_\d+\.wav", file.name)
        if found is None:
            raise UserError(f"{file}: expected a name such as 7_jackson_32.wav")
        read = partial(read_wav, file)
        clips.append(Recording("fsdd", file.name, found[2], int(found[1]), read))
    if {clip.digit for clip in clips} != set(range(10)):
        raise UserError(
            f"{path} does not hold all ten digits of the Free Spoken Digit Dataset; "
            "expected recordings/DIGIT_SPEAKER_TAKE.wav in it, or fsdd.npz"
        )
    digest = _digest((clip.name, folder / clip.name) for clip in clips)
    return Recordings("fsdd", tuple(clips), digest)


def _read_fsdd_archive(path: Path) -> Recordings:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            size = sum(entry.file_size for entry in archive.zip.infolist())
            if size > MOST_BYTES:
                raise ValueError(
                    f"{size} bytes unzipped, expected {MOST_BYTES} at most"
                )
            arrays = {name: archive[name] for name in archive.files}
        clips = tuple(_archived(arrays, k) for k in range(len(arrays["labels"])))
    except Exception as error:  # damaged bytes break NumPy and zip in many ways
        raise UserError(
            f"{path} is corrupt or not the archive of the Free Spoken Digit Dataset "
            f"({type(error).__name__}: {error}); restore it, or use the repository"
        ) from error
    return Recordings("fsdd", clips, hashlib.sha256(path.read_bytes()).hexdigest())


def _archived(arrays: dict[str, NDArray[Any]], k: int) -> Recording:
    digit, take = int(arrays["labels"][k]), int(arrays["index"][k])
    speaker = str(arrays["speaker_names"][int(arrays["speakers"][k])])
    first, end = arrays["offsets"][k : k + 2].tolist()
    samples, rate = arrays["audio"][first:end], int(arrays["sample_rate"])
    if samples.dtype != np.int16 or samples.ndim != 1:
        found = f"{samples.ndim} axes of {samples.dtype}"
        raise ValueError(f"audio has {found}, expected one axis of int16")
    if not 0 < len(samples) == end - first:
        raise ValueError(f"recording {k} is not as its offsets say")
    if rate not in RATES or not 0 <= digit <= 9:
        raise ValueError(
            f"recording {k} is of digit {digit}, at {rate} Hz; expected 0 to 9, and "
            f"{EXPECTED}"
        )

    def read() -> tuple[Tensor, int]:
        return torch.from_numpy(samples.astype(np.float32) / 32768), rate

    return Recording("fsdd", f"{digit}_{speaker}_{take}.wav", speaker, digit, read)


def _digest(files: Any) -> str:
    """SHA-256 over the names and SHA-256s of files, as ``sha256sum`` prints them."""
    whole = hashlib.sha256()
    for name, path in files:
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); restore it or take it out "
                "of the folder"
            ) from error
        whole.update(f"{digest}  {name}\n".encode())
    return whole.hexdigest()
