"""Encoders and decoders of the paper's bottom level, and how they are chosen.

Layer by layer after the released code (the appendix tables B.4 to B.7), with any
image side, channel count, vector length or spectrogram size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class ToPicture(nn.ConvTranspose2d):
    """A transposed convolution (4, stride 2, padding 1) to few channels.

    The same numbers as PyTorch's, but on a CPU as one matrix product and a fold: its
    kernels for few output channels take three times as long.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x, output_size)
        height, width = (
            2 * side + extra
            for side, extra in zip(x.shape[2:], self.output_padding, strict=True)
        )
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, h * w, channels)
        patches = pixels @ self.weight.flatten(1)
        return F.fold(patches.transpose(1, 2), (height, width), 4, padding=1, stride=2)


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
    conv: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, **conv),
        nn.SiLU(),
        nn.Conv2d(32, 64, **conv),
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
        nn.ConvTranspose2d(64, 32, output_padding=inner, **conv),
        nn.SiLU(),
        ToPicture(32, channels, output_padding=outer, **conv),
    )
    for layer in (*encoder, *decoder):  # the layout that CPU convolutions want
        if not isinstance(layer, ToPicture):
            layer.to(memory_format=torch.channels_last)
    return Networks(encoder, decoder, 128, lambda _: nn.SiLU())


class FromBands(nn.Conv2d):
    """A convolution that spans all bands: (B, C, frames, bands) to (B, out, frames, 1).

    The same numbers as PyTorch's, but as one matrix product: for kernels of 14 to 19
    bands oneDNN 3.12 gives gradients of the weights from memory that nobody wrote.
    """

    def forward(self, x: Tensor) -> Tensor:
        heard = x.transpose(1, 2).flatten(2)  # (B, frames, C * bands)
        out = F.linear(heard, self.weight.flatten(1))
        return out.transpose(1, 2).unsqueeze(3)


class ToBands(nn.ConvTranspose2d):
    """Its transpose, a product for the same reason."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        _, channels, _, bands = self.weight.shape
        heard = x.squeeze(3).transpose(1, 2) @ self.weight.flatten(1)
        return heard.view(*heard.shape[:2], channels, bands).transpose(1, 2)


class Shorter(nn.Conv2d):
    """A convolution over frames (4, stride 2, padding 1), of one band: half as many.

    The same numbers as PyTorch's in two dimensions, whose kernels for one band take
    twice as long on a CPU as those of one dimension.
    """

    def forward(self, x: Tensor) -> Tensor:
        out = F.conv1d(x.squeeze(3), self.weight.squeeze(3), stride=2, padding=1)
        return out.unsqueeze(3)


class Longer(nn.ConvTranspose2d):
    """Its transpose: (B, C, frames, 1) to twice as many frames."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        weight, extra = self.weight.squeeze(3), self.output_padding[0]
        out = F.conv_transpose1d(
            x.squeeze(3), weight, stride=2, padding=1, output_padding=extra
        )
        return out.unsqueeze(3)


class PerFrame(nn.Module):
    """Applies one network to each of K frames: (B, K, ...) to (B, K, ...)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.flatten(0, 1))
        return out.view(*x.shape[:2], *out.shape[1:])


def frames_networks(modality: Modality, code_dim: int) -> Networks:
    """One small dense network for every frame, and two layers that join them.

    Shared weights make frames comparable, so that what differs between them, such as
    a velocity, survives in a small latent. Not in the paper; meant for pictures of a
    few moving parts, where it is also several times faster than convolutions.
    """
    frames, height, width = modality.shape
    hidden = modality.width or 128
    each = max(hidden // 4, 1)
    see = nn.Sequential(
        nn.Flatten(),
        nn.Linear(height * width, hidden),
        nn.SiLU(),
        nn.Linear(hidden, each),
        nn.SiLU(),
    )
    draw = nn.Sequential(
        nn.Linear(each, hidden),
        nn.SiLU(),
        nn.Linear(hidden, height * width),
        nn.Unflatten(1, (height, width)),
    )
    encoder = nn.Sequential(
        PerFrame(see),
        nn.Flatten(),
        nn.Linear(frames * each, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
    )
    decoder = nn.Sequential(
        nn.Linear(code_dim, hidden),
        nn.SiLU(),
        nn.Linear(hidden, frames * each),
        nn.SiLU(),
        nn.Unflatten(1, (frames, each)),
        PerFrame(draw),
    )
    return Networks(encoder, decoder, hidden, lambda _: nn.SiLU())


def _dense(modality: Modality, code_dim: int, default_width: int) -> Networks:
    size, width = modality.shape[0], modality.width or default_width
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
    time: dict[str, Any] = {
        "kernel_size": (4, 1),
        "stride": (2, 1),
        "padding": (1, 0),
        "bias": False,
    }
    encoder = nn.Sequential(
        FromBands(channels, 128, (1, bands), bias=False),
        _norm_relu(128),
        Shorter(128, 128, **time),
        _norm_relu(128),
        Shorter(128, 256, **time),
        _norm_relu(256),
        nn.Flatten(),
    )
    inner, outer = (frames // 2 % 2, 0), (frames % 2, 0)
    decoder = nn.Sequential(
        nn.Linear(code_dim, flat),
        _norm_relu(flat),
        nn.Unflatten(1, (256, steps, 1)),
        Longer(256, 128, output_padding=inner, **time),
        _norm_relu(128),
        Longer(128, 128, output_padding=outer, **time),
        _norm_relu(128),
        ToBands(128, channels, (1, bands), bias=False),
    )
    return Networks(encoder, decoder, flat, _norm_relu)


BUILDERS: dict[str, Builder] = {
    "image": image_networks,
    "frames": frames_networks,
    "vector": vector_networks,
    "spectrogram": spectrogram_networks,
    "label": label_networks,
}


def builder_for(modality: Modality) -> Builder:
    """The builder for the modality's kind. Raises ``UserError`` for unknown kinds."""
    return choose(modality.kind, BUILDERS, f"kind of modality {modality.name!r}")
