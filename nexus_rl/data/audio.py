"""Sound as the networks see it: log-mel spectrograms in [0, 1].

Frames are centred (reflected at the edges) under a Hann window; the bands are Slaney's,
of equal area, from 0 Hz to half the sample rate, as librosa's defaults. Power is in
decibels relative to the clip's loudest value, floored at ``-floor_db``, and mapped by
``1 + dB / floor_db``: 1 is the loudest value, 0 is ``floor_db`` below it or less. So
loudness is not kept, and silence is 0 everywhere.

One second, the number of bands and [0, 1] are the paper's (Vasco et al. 2022); the
rate, window and hop its released code's. Reference level, floor and padding are choices
of this library, because both leave them open.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from nexus_rl.errors import UserError

SILENCE = 1e-10  # mel power below which a clip counts as silent, not as quiet


def log_mel(
    waveform: Tensor,
    *,
    sample_rate: int = 16_000,
    n_fft: int = 2048,
    hop: int = 512,
    bands: int = 128,
    floor_db: float = 80.0,
) -> Tensor:
    """The log-mel spectrogram of one second of sound, scaled to [0, 1].

    From ``(..., samples)``, floats in [-1, 1] at ``sample_rate`` Hz, to
    ``(..., 1 + sample_rate // hop, bands)`` float32 on the same device: time, then mel
    band. The defaults give ``(..., 32, 128)``. Shorter clips are padded with zeros at
    the end, longer ones truncated, to one second.

    Raises ``UserError`` unless ``waveform`` is floating point and not empty.
    """
    if not (waveform.is_floating_point() and waveform.dim() and waveform.numel()):
        raise UserError(
            "log_mel: expected floats (..., samples) in [-1, 1], at least one sample, "
            f"got {waveform.dtype} of shape {tuple(waveform.shape)}; divide 16-bit "
            "samples by 32768"
        )
    mel = MelSpectrogram(
        sample_rate,
        n_fft=n_fft,
        hop_length=hop,
        n_mels=bands,
        norm="slaney",
        mel_scale="slaney",
    ).to(waveform.device)
    second = waveform[..., :sample_rate].float()
    second = F.pad(second, (0, sample_rate - second.shape[-1]))
    power: Tensor = mel(second)  # (..., bands, frames)
    loudest = power.amax(dim=(-2, -1), keepdim=True).clamp_min(SILENCE)
    ratio = (power / loudest).clamp_min(torch.finfo(power.dtype).tiny)
    scaled = (1 + 10 * torch.log10(ratio) / floor_db).clamp(0, 1)
    return scaled.transpose(-2, -1)
