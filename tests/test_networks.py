"""Encoders and decoders: the paper's layers (Tables B.4 to B.7), for any size."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nexus_rl import Modality, UserError
from nexus_rl.distributed import BatchNorm
from nexus_rl.modality import PAPER
from nexus_rl.networks import (
    FromBands,
    Longer,
    Networks,
    Shorter,
    ToBands,
    builder_for,
    mlp,
)

some = settings(max_examples=25, deadline=None)
sides = st.integers(4, 65)


def build(modality: Modality, code_dim: int = 5) -> Networks:
    return builder_for(modality)(modality, code_dim)


def check(modality: Modality) -> None:
    """Encoding gives ``features``, decoding gives the shape again."""
    networks = build(modality)
    networks.encoder.eval()
    networks.decoder.eval()
    with torch.no_grad():
        x = torch.rand(2, *modality.shape)
        assert networks.encoder(x).shape == (2, networks.features)
        assert networks.decoder(torch.randn(2, 5)).shape == x.shape
        wide = networks.activation(7).eval()
        assert wide(torch.randn(2, 7)).shape == (2, 7)


@some
@given(st.integers(1, 4), sides, sides)
def test_images_of_any_size(channels: int, height: int, width: int) -> None:
    check(Modality("image", (channels, height, width)))


@some
@given(st.integers(1, 4), st.integers(1, 65), st.integers(1, 65), st.integers(0, 9))
def test_frames_of_any_size(frames: int, height: int, width: int, hidden: int) -> None:
    camera = Modality("camera", (frames, height, width), kind="frames", width=hidden)
    check(camera)


@some
@given(st.integers(1, 2), st.integers(4, 40), st.integers(1, 130))
def test_spectrograms_of_any_size(channels: int, frames: int, bands: int) -> None:
    check(Modality("sound", (channels, frames, bands), kind="spectrogram"))


@some
@given(st.integers(1, 500), st.integers(0, 40))
def test_vectors_and_labels_of_any_length(size: int, width: int) -> None:
    check(Modality("touch", (size,), width=width))
    check(Modality("label", (size,), "categorical", width=width))


def shapes(network: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    """Shapes, without the batch axis, that a sequential network passes through."""
    found = []
    for layer in network:
        x = layer(x)
        found.append(tuple(x.shape[1:]))
    return found


def test_the_sounds_encoder_ends_in_256_channels_of_8_steps() -> None:
    networks = build(PAPER["sound"])
    down = shapes(networks.encoder, torch.rand(2, 1, 32, 128))
    up = shapes(networks.decoder, torch.rand(2, 5))
    assert list(dict.fromkeys(down)) == [
        (128, 32, 1),
        (128, 16, 1),
        (256, 8, 1),
        (2048,),
    ]
    assert list(dict.fromkeys(up)) == [
        (2048,),
        (256, 8, 1),
        (128, 16, 1),
        (128, 32, 1),
        (1, 32, 128),
    ]
    assert networks.features == 2048


def test_the_images_encoder_halves_twice() -> None:
    networks = build(PAPER["image"])
    down = shapes(networks.encoder, torch.rand(2, 1, 28, 28))
    up = shapes(networks.decoder, torch.rand(2, 5))
    assert list(dict.fromkeys(down)) == [(32, 14, 14), (64, 7, 7), (3136,), (128,)]
    assert list(dict.fromkeys(up)) == [
        (128,),
        (3136,),
        (64, 7, 7),
        (32, 14, 14),
        (1, 28, 28),
    ]


@pytest.mark.parametrize("name", ["image", "sound"])
def test_the_papers_convolutions_have_no_bias(name: str) -> None:
    networks = build(PAPER[name])
    layers = [*networks.encoder.modules(), *networks.decoder.modules()]
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) in (4, 6)
    assert all(layer.bias is None for layer in convolutions)


def test_only_the_images_networks_are_free_of_batch_statistics() -> None:
    """So one picture can be encoded in training mode; the paper uses Swish there."""
    for name, modality in PAPER.items():
        networks = build(modality)
        modules = [*networks.encoder.modules(), *networks.decoder.modules()]
        assert any(isinstance(m, BatchNorm) for m in modules) == (name != "image")


def test_frames_share_their_weights() -> None:
    """Each frame is seen by the same network, whatever its place in the stack."""
    networks = build(Modality("camera", (2, 12, 12), kind="frames"))
    per_frame = networks.encoder[0]
    x = torch.rand(3, 2, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(per_frame(x.flip(1)), per_frame(x).flip(1))
        assert not torch.allclose(networks.encoder(x.flip(1)), networks.encoder(x))


def test_width_is_that_of_the_hidden_layers() -> None:
    for modality, width in (
        (Modality("touch", (9,)), 512),
        (Modality("label", (9,), "categorical"), 128),
        (Modality("touch", (9,), width=33), 33),
        (Modality("label", (9,), "categorical", width=33), 33),
    ):
        networks = build(modality)
        linears = [m for m in networks.encoder.modules() if isinstance(m, nn.Linear)]
        assert [layer.out_features for layer in linears] == [width] * 3
        assert networks.features == width


def test_mlp_is_linear_norm_leaky_from_size_to_size() -> None:
    layers = list(mlp([3, 4, 5]))
    assert [type(layer) for layer in layers] == [
        nn.Linear,
        BatchNorm,
        nn.LeakyReLU,
    ] * 2
    assert shapes(layers, torch.rand(2, 3)) == [(4,)] * 3 + [(5,)] * 3
    assert len(mlp([3])) == 0


@pytest.mark.parametrize(
    ("modality", "message"),
    [
        (Modality("eye", (1, 3, 9)), r"'eye': an image's sides must be at least 4"),
        (Modality("eye", (1, 9, 2)), r"at least 4, got \(1, 9, 2\); call it a vector"),
        (
            Modality("ear", (1, 3, 9), kind="spectrogram"),
            r"'ear': a spectrogram has at least 4 frames, got shape \(1, 3, 9\)",
        ),
        (
            Modality("eye", (1, 9, 9), kind="imgae", latent_dim=3),
            "unknown kind of modality 'eye' 'imgae'. Did you mean 'image'?",
        ),
    ],
)
def test_what_no_network_fits_is_refused(modality: Modality, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(modality)


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5, 2)])
def test_batch_norm_is_pytorchs_in_a_single_process(shape: tuple[int, ...]) -> None:
    ours = BatchNorm(3)
    theirs = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    for training in (True, True, False):
        x = 2 * torch.randn(shape) + 1
        assert torch.equal(ours.train(training)(x), theirs.train(training)(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
    with pytest.raises(ValueError, match=r"expected \(B, C\) or \(B, C, H, W\)"):
        ours(torch.zeros(4, 3, 2))


@pytest.mark.parametrize("bands", [1, 17, 128])
@pytest.mark.parametrize("channels", [1, 2])
def test_matrix_products_give_what_convolutions_give(channels: int, bands: int) -> None:
    for product, convolution, shape in (
        (FromBands, nn.Conv2d, (channels, 9, bands)),
        (ToBands, nn.ConvTranspose2d, (5, 9, 1)),
    ):
        outer = (channels, 5) if product is FromBands else (5, channels)
        ours, theirs = (
            layer(*outer, (1, bands), bias=False).double()
            for layer in (product, convolution)
        )
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(3, *shape, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("frames", [4, 9, 32])
@pytest.mark.parametrize("extra", [0, 1])
def test_one_dimension_gives_what_two_give(frames: int, extra: int) -> None:
    time: dict[str, Any] = {
        "kernel_size": (4, 1),
        "stride": (2, 1),
        "padding": (1, 0),
        "bias": False,
    }
    for one, two, options in (
        (Shorter, nn.Conv2d, time),
        (Longer, nn.ConvTranspose2d, {**time, "output_padding": (extra, 0)}),
    ):
        ours, theirs = (layer(3, 5, **options).double() for layer in (one, two))
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(2, 3, frames, 1, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))


GRADIENTS = """
import torch
from nexus_rl import Modality
from nexus_rl.networks import builder_for

torch.manual_seed(0)
for shape, kind in (
    ((2, 29, 17), "spectrogram"),
    ((1, 32, 14), "spectrogram"),
    ((1, 32, 128), "spectrogram"),
    ((2, 17, 30), "image"),
    ((2, 17, 30), "frames"),
):
    modality = Modality("sensor", shape, kind=kind)
    networks = builder_for(modality)(modality, 5)
    x, code = torch.rand(8, *shape), torch.randn(8, 5)
    for network, given in ((networks.encoder, x), (networks.decoder, code)):
        found = []
        for dtype in (torch.float32, torch.float64):
            network.to(dtype).zero_grad()
            output = network(given.to(dtype))
            (output * torch.linspace(-1, 1, output[0].numel()).view_as(output[0])).sum(
            ).backward()
            found.append([p.grad.double() for p in network.parameters()])
        scale = max(gradient.norm() for gradient in found[1])
        for single, double in zip(*found):
            error = (single - double).norm() / scale
            assert error < 1e-3, (shape, kind, tuple(double.shape), error)
"""


@pytest.mark.parametrize("garbage", [1, 128])
def test_gradients_read_no_memory_that_nobody_wrote(garbage: int) -> None:
    """glibc fills new memory with huge numbers; single precision is judged by double.

    Kernels of single precision once did, for some numbers of bands.
    """
    world = {**os.environ, "MALLOC_PERTURB_": str(garbage)}
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS], env=world, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
