"""WAV files of 16-bit mono sound."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic

# Hz. The filters that resample these have 24 MB at most, of others up to gigabytes.
RATES = range(4_000, 96_001, 25)
EXPECTED = f"{RATES[0]:,} to {RATES[-1]:,} Hz in steps of {RATES.step}"


def read_wav(path: Path) -> tuple[Tensor, int]:
    """The samples of a file, (n,) float32 in [-1, 1), and their rate in Hz.

    Raises ``UserError`` unless it is a WAV file of 16-bit mono samples, at least one,
    at one of ``RATES``.
    """
    try:
        with wave.open(str(path), "rb") as file:
            kind = (file.getnchannels(), 8 * file.getsampwidth())
            rate, content = file.getframerate(), file.readframes(file.getnframes())
            promised = file.getnframes() * file.getsampwidth() * kind[0]
    except (OSError, EOFError, wave.Error) as error:
        raise UserError(
            f"{path} is not a readable WAV file ({error or 'it is too short'}); "
            "restore it or take it out of the folder"
        ) from error
    whole = content and len(content) == promised
    if kind != (1, 16) or not whole or rate not in RATES:
        raise UserError(
            f"{path}: expected a whole WAV file of 16-bit mono sound, of {EXPECTED}, "
            f"found {kind[0]} channel(s) of {kind[1]} bits, {len(content)} of "
            f"{promised} bytes, {rate} Hz; restore it or take it out of the folder"
        )
    samples = np.frombuffer(content, "<i2").astype(np.float32) / 32768
    return torch.from_numpy(samples), rate


def write_wav(path: Path, samples: Tensor, rate: int) -> None:
    """Writes samples (n,) in [-1, 1] as 16-bit mono sound."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        loud = (samples.clamp(-1, 1) * 32767).round()
        file.writeframes(loud.numpy().astype("<i2").tobytes())
    write_atomic(path, content.getvalue())
