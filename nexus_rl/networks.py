"""Encoders and decoders of the paper's bottom level, and how they are chosen.

Layer by layer after the released code (the appendix tables B.4 to B.7), with any
image side, channel count, vector length or spectrogram size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from nexus_rl.distributed import BatchNorm
from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality


@dataclass(frozen=True)
class Networks:
    """One modality's networks.

    ``encoder`` maps normalised data (B, *shape) to (B, features); ``decoder`` maps a
    code (B, code_dim) to (B, *shape) before the sigmoid, or to class logits.
    ``activation(n)`` is the non-linearity (with its normalisation) that joins them to
    further layers of width ``n``, used by models with one level.
    """

    encoder: nn.Module
    decoder: nn.Module
    features: int
    activation: Callable[[int], nn.Module]


Builder = Callable[[Modality, int], Networks]


def mlp(sizes: list[int]) -> nn.Sequential:
    """[Linear, batch normalisation, leaky ReLU] from each size to the next."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), BatchNorm(after), nn.LeakyReLU()]
    return nn.Sequential(*layers)


def _norm_leaky(width: int) -> nn.Module:
    return nn.Sequential(BatchNorm(width), nn.LeakyReLU())


def _norm_relu(width: int) -> nn.Module:
    return nn.Sequential(BatchNorm(width), nn.ReLU())


def image_networks(modality: Modality, code_dim: int) -> Networks:
    """Two strided convolutions and two layers of 128, Swish, no normalisation."""
    channels, height, width = modality.shape
    if min(height, width) < 4:
        raise UserError(
            f"modality {modality.name!r}: an image's sides must be at least 4, "
            f"got {modality.shape}; call it a vector, or give networks of your own"
        )
    h, w = height // 4, width // 4
    flat = 64 * h * w
    conv = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, **conv),  # type: ignore[arg-type]
        nn.SiLU(),
        nn.Conv2d(32, 64, **conv),  # type: ignore[arg-type]
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(flat, 128),
        nn.SiLU(),
        nn.Linear(128, 128),
        nn.SiLU(),
    )
    # An odd side loses a row when halved; output padding gives it back.
    inner = (height // 2 % 2, width // 2 % 2)
    outer = (height % 2, width % 2)
    decoder = nn.Sequential(
        nn.Linear(code_dim, 128),
        nn.SiLU(),
        nn.Linear(128, 128),
        nn.SiLU(),
        nn.Linear(128, flat),
        nn.SiLU(),
        nn.Unflatten(1, (64, h, w)),
        nn.ConvTranspose2d(64, 32, output_padding=inner, **conv),  # type: ignore[arg-type]
        nn.SiLU(),
        nn.ConvTranspose2d(32, channels, output_padding=outer, **conv),  # type: ignore[arg-type]
    )
    return Networks(encoder, decoder, 128, lambda _: nn.SiLU())


def _dense(modality: Modality, code_dim: int, width: int) -> Networks:
    size = modality.shape[0]
    encoder = mlp([size, width, width, width])
    decoder = nn.Sequential(
        mlp([code_dim, width, width, width]), nn.Linear(width, size)
    )
    return Networks(encoder, decoder, width, _norm_leaky)


def vector_networks(modality: Modality, code_dim: int) -> Networks:
    """Three layers of 512 each way (the paper's trajectories)."""
    return _dense(modality, code_dim, 512)


def label_networks(modality: Modality, code_dim: int) -> Networks:
    """Three layers of 128 each way."""
    return _dense(modality, code_dim, 128)


def spectrogram_networks(modality: Modality, code_dim: int) -> Networks:
    """A temporal convolution network: the first kernel spans all frequency bands."""
    channels, frames, bands = modality.shape
    if frames < 4:
        raise UserError(
            f"modality {modality.name!r}: a spectrogram has at least 4 frames, "
            f"got shape {modality.shape}"
        )
    steps = frames // 4
    flat = 256 * steps
    time = {"kernel_size": (4, 1), "stride": (2, 1), "padding": (1, 0), "bias": False}
    encoder = nn.Sequential(
        nn.Conv2d(channels, 128, (1, bands), bias=False),
        _norm_relu(128),
        nn.Conv2d(128, 128, **time),  # type: ignore[arg-type]
        _norm_relu(128),
        nn.Conv2d(128, 256, **time),  # type: ignore[arg-type]
        _norm_relu(256),
        nn.Flatten(),
    )
    inner, outer = (frames // 2 % 2, 0), (frames % 2, 0)
    decoder = nn.Sequential(
        nn.Linear(code_dim, flat),
        _norm_relu(flat),
        nn.Unflatten(1, (256, steps, 1)),
        nn.ConvTranspose2d(256, 128, output_padding=inner, **time),  # type: ignore[arg-type]
        _norm_relu(128),
        nn.ConvTranspose2d(128, 128, output_padding=outer, **time),  # type: ignore[arg-type]
        _norm_relu(128),
        nn.ConvTranspose2d(128, channels, (1, bands), bias=False),
    )
    return Networks(encoder, decoder, flat, _norm_relu)


BUILDERS: dict[str, Builder] = {
    "image": image_networks,
    "vector": vector_networks,
    "spectrogram": spectrogram_networks,
    "label": label_networks,
}


def builder_for(modality: Modality) -> Builder:
    """The builder for the modality's kind. Raises ``UserError`` for unknown kinds."""
    return choose(modality.kind, BUILDERS, f"kind of modality {modality.name!r}")
