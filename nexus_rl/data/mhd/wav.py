"""WAV files of 16-bit mono sound."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic

# Hz. The filters that resample these have 24 MB at most, of others up to gigabytes.
RATES = range(4_000, 96_001, 25)
EXPECTED = f"{RATES[0]:,} to {RATES[-1]:,} Hz in steps of {RATES.step}"


PCM, EXTENSIBLE = 1, 0xFFFE  # formats; the second has its own number further down
GUID = bytes.fromhex("000000001000800000aa00389b71")  # what follows that number
UNKNOWN = 2**32 - 1  # a size that the writer of a stream left open


class _Sound(NamedTuple):
    """What a file says of its sound, and the bytes of it that are there."""

    format: int
    channels: int
    rate: int
    bits: int
    promised: int
    content: bytes


def read_wav(path: Path) -> tuple[Tensor, int]:
    """The samples of a file, (n,) float32 in [-1, 1), and their rate in Hz.

    Raises ``UserError`` unless it is a WAV file of 16-bit mono samples, at least one,
    at one of ``RATES``. Its header may be the extensible one; where it leaves the size
    open, as that of a stream, the sound is the rest of the file.
    """
    try:
        sound = _parse(path.read_bytes())
    except (OSError, ValueError, struct.error) as error:
        raise UserError(
            f"{path} is not a readable WAV file ({error}); "
            "restore it or take it out of the folder"
        ) from error
    whole = 0 < len(sound.content) == sound.promised
    mono = (sound.format, sound.channels, sound.bits) == (PCM, 1, 16)
    if not mono or not whole or sound.rate not in RATES:
        raise UserError(
            f"{path}: expected a whole WAV file of 16-bit mono sound, of {EXPECTED}, "
            f"found {sound.channels} channel(s) of {sound.bits} bits in format "
            f"{sound.format} ({PCM} is PCM), {len(sound.content)} of {sound.promised} "
            f"bytes, {sound.rate} Hz; restore it or take it out of the folder"
        )
    samples = np.frombuffer(sound.content, "<i2").astype(np.float32) / 32768
    return torch.from_numpy(samples), sound.rate


def _parse(file: bytes) -> _Sound:
    """Raises ``ValueError`` or ``struct.error`` for what is no WAV file."""
    riff, whole, wave_ = struct.unpack_from("<4sI4s", file)
    if (riff, wave_) != (b"RIFF", b"WAVE"):
        raise ValueError("it does not begin with RIFF and WAVE")
    place, found = 12, None
    while place + 8 <= len(file):
        name, size = struct.unpack_from("<4sI", file, place)
        place += 8
        if name == b"fmt ":
            found = _format(file[place : place + size])
        if name == b"data":
            if found is None:
                raise ValueError("its sound comes before its format")
            # Only where the whole file's size is open too, 0 is not just silence.
            open_ended = whole == UNKNOWN or 8 + whole <= place
            if size == UNKNOWN or (size == 0 and open_ended):
                size = len(file) - place
            return _Sound(*found, size + size % 2, file[place : place + size])
        place += size + size % 2
    raise ValueError("it holds no sound")


def _format(chunk: bytes) -> tuple[int, int, int, int]:
    """Format, channels, rate, and bits that a sample takes."""
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and chunk[26:40] == GUID:
        (kind,) = struct.unpack_from("<H", chunk, 24)
    return kind, channels, rate, 8 * -(-bits // 8)


def write_wav(path: Path, samples: Tensor, rate: int) -> None:
    """Writes samples (n,) in [-1, 1] as 16-bit mono sound."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        loud = (samples.clamp(-1, 1) * 32767).round()
        file.writeframes(loud.numpy().astype("<i2").tobytes())
    write_atomic(path, content.getvalue())
