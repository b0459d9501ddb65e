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
from torchaudio.transforms import GriffinLim, InverseMelScale, MelSpectrogram

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
    the end, longer ones truncated, to one second. Computed in float64 where the samples
    are, otherwise in float32.

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
    )
    second = waveform[..., :sample_rate]
    second = second.to(torch.promote_types(second.dtype, torch.float32))
    second = F.pad(second, (0, sample_rate - second.shape[-1]))
    power: Tensor = mel.to(second)(second)  # (..., bands, frames)
    loudest = power.amax(dim=(-2, -1), keepdim=True).clamp_min(SILENCE)
    ratio = (power / loudest).clamp_min(torch.finfo(power.dtype).tiny)
    scaled = (1 + 10 * torch.log10(ratio) / floor_db).clamp(0, 1)
    return scaled.transpose(-2, -1).float()


def waveform(
    spectrogram: Tensor,
    levels: tuple[float, float] = (-80.0, 0.0),
    *,
    sample_rate: int = 16_000,
    n_fft: int = 2048,
    hop: int = 512,
) -> Tensor:
    """One second of sound with a log-mel spectrogram, by 60 steps of Griffin and Lim.

    From ``(..., frames, bands)`` in [0, 1], which stand for ``levels`` in decibels, to
    ``(..., sample_rate)`` in [-1, 1], as loud as possible; silence stays silence.
    Phases and what is finer than a band are not known, so the sound is recognisable,
    not the same.

    Raises ``UserError`` unless ``spectrogram`` is floating point with two last axes.
    """
    if not (spectrogram.is_floating_point() and spectrogram.dim() >= 2):
        raise UserError(
            "waveform: expected floats (..., frames, bands) in [0, 1], got "
            f"{spectrogram.dtype} of shape {tuple(spectrogram.shape)}"
        )
    low, high = levels
    # On the CPU: the solver below is known to no other device.
    heard = spectrogram.detach().cpu().float().clamp(0, 1).transpose(-2, -1)
    power = torch.where(heard > 0, 10 ** ((low + (high - low) * heard) / 10), 0.0)
    linear = InverseMelScale(
        n_fft // 2 + 1,
        power.shape[-2],
        sample_rate,
        norm="slaney",
        mel_scale="slaney",
        driver="gelsd",  # some bands hold no frequency of their own
    )(power)
    # Zero phases at first: no random numbers.
    phases = GriffinLim(
        n_fft, n_iter=60, hop_length=hop, length=sample_rate, rand_init=False
    )
    sound: Tensor = phases(linear)
    loudest = sound.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    return (sound / loudest).to(spectrogram.device)
