import math

import numpy as np
import pytest
import torch

from nexus_rl.data.audio import log_mel
from nexus_rl.errors import UserError

RATE = 16_000


def tone(hertz: float, samples: int = RATE, amplitude: float = 0.5) -> torch.Tensor:
    return amplitude * torch.sin(2 * math.pi * hertz * torch.arange(samples) / RATE)


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(*shape, generator=generator) * 2 - 1


def slaney_mel(hertz: float) -> float:
    """Slaney's Auditory Toolbox: linear to 1 kHz, then 27 steps per factor of 6.4."""
    if hertz < 1000:
        return hertz * 3 / 200
    return 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def hertz_of(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def by_hand(waveform: np.ndarray) -> np.ndarray:
    """The spectrogram (32, 128), step by step as librosa documents its defaults."""
    padded = np.pad(waveform, 1024, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = np.stack([padded[512 * k :][:2048] * window for k in range(32)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = hertz_of(np.linspace(0, slaney_mel(RATE / 2), 130))[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.arange(1025) * RATE / 2048
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    filters = np.minimum(rising, falling).clip(0) * 2 / (high - low)
    mel = power @ filters.T
    decibels = 10 * np.log10(np.maximum(mel / mel.max(), 1e-30))
    return (1 + decibels / 80).clip(0, 1)


def test_bands_and_decibels_are_those_of_librosas_defaults():
    waveform = noise(RATE) * torch.linspace(0, 1, RATE) ** 8 + tone(3000)
    expected = torch.from_numpy(by_hand(waveform.double().numpy())).float()
    torch.testing.assert_close(log_mel(waveform), expected, atol=2e-4, rtol=0)


def test_16000_samples_give_exactly_32_frames_of_128_bands():
    assert log_mel(noise(RATE)).shape == (32, 128)
    assert log_mel(noise(2, 3, RATE)).shape == (2, 3, 32, 128)


@pytest.mark.parametrize("hertz", [200, 440, 1000, 2000, 4000, 7000])
def test_the_band_of_a_pure_tone_is_where_the_mel_scale_puts_it(hertz):
    expected = slaney_mel(hertz) / slaney_mel(RATE / 2) * 129 - 1
    peaks = log_mel(tone(hertz))[2:-2].argmax(dim=1)
    assert (peaks - expected).abs().max() <= 1


def test_the_peak_rises_with_the_frequency():
    peaks = [int(log_mel(tone(hz)).mean(0).argmax()) for hz in range(100, 7900, 200)]
    assert peaks == sorted(set(peaks))


def test_a_late_sound_is_in_the_late_frames():
    waveform = torch.zeros(RATE)
    waveform[8000:] = tone(1000, 8000)
    energy = log_mel(waveform).mean(dim=1)
    assert energy[:13].max() == 0
    assert energy[18:].min() > 0


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_range_is_full_and_loudness_is_not_kept(scale):
    spectrogram = log_mel(noise(RATE) * torch.linspace(0, 1, RATE) ** 8 * scale)
    assert spectrogram.dtype == torch.float32
    assert spectrogram.min() == 0
    assert spectrogram.max() == 1
    same = log_mel(noise(RATE) * torch.linspace(0, 1, RATE) ** 8)
    torch.testing.assert_close(spectrogram, same, atol=1e-4, rtol=0)


def test_decibels_are_linear_in_the_result():
    """A second, 40 dB weaker tone lies 40/80 below the first at equal band width."""
    both = log_mel(tone(300) + tone(700, amplitude=0.005)).mean(dim=0)
    drop = both[:64].max() - both[log_mel(tone(700)).mean(0).argmax()]
    assert drop.item() == pytest.approx(0.5, abs=0.03)
    steeper = log_mel(tone(300) + tone(700, amplitude=0.005), floor_db=100).mean(dim=0)
    drop = steeper.max() - steeper[log_mel(tone(700)).mean(0).argmax()]
    assert drop.item() == pytest.approx(0.4, abs=0.03)


def test_silence_is_zero():
    assert torch.equal(log_mel(torch.zeros(2, RATE)), torch.zeros(2, 32, 128))


def test_a_batch_equals_single_clips_even_with_silence_among_them():
    waveforms = torch.stack([noise(RATE), tone(440) * 1e-3, torch.zeros(RATE)])
    singles = torch.stack([log_mel(waveform) for waveform in waveforms])
    torch.testing.assert_close(log_mel(waveforms), singles, atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [1, 500, 12_971, 15_999])
def test_short_clips_are_padded_with_zeros(samples):
    clip = noise(samples)
    padded = torch.cat([clip, torch.zeros(RATE - samples)])
    assert torch.equal(log_mel(clip), log_mel(padded))


def test_long_clips_are_truncated():
    assert torch.equal(log_mel(noise(20_000)), log_mel(noise(20_000)[:RATE]))


def test_other_sizes_by_keyword():
    spectrogram = log_mel(noise(8000), sample_rate=8000, n_fft=1024, hop=256, bands=40)
    assert spectrogram.shape == (32, 40)


def test_input_is_left_alone_and_gradients_are_finite():
    waveform = tone(440, 9000).requires_grad_()
    before = waveform.detach().clone()
    log_mel(waveform).sum().backward()
    assert torch.equal(waveform.detach(), before)
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()


@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(RATE, dtype=torch.int16), torch.tensor(0.5), torch.zeros(0, RATE)],
)
def test_what_is_no_waveform_is_refused(waveform):
    with pytest.raises(UserError, match="log_mel: expected floats"):
        log_mel(waveform)
