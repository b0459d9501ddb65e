"""Sensors of any size: what goes in comes out in the same shape and range."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FOUR, batch_of, make, shared

from nexus_rl import Modality
from nexus_rl.errors import UserError

some = settings(max_examples=12, deadline=None)
sides = st.integers(4, 65)


def check(modality: Modality, levels: int) -> None:
    """A model of this one sensor trains, encodes and decodes it."""
    model = make((modality,), levels=levels)
    batch = batch_of((modality,), rows=2)
    model.train().loss(batch).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    assert model.posterior(batch).mean.shape == (2, 4)
    # Of means: log-variances are not clamped, and before training they may overflow.
    for outputs in (
        model.generate(batch, sample=False),
        model.reconstruct(batch, sample=False),
    ):
        (x,) = outputs.values()
        assert x.shape == (2, *modality.shape)
        assert x.isfinite().all()
        rounding = 1e-5 * (1 + abs(modality.low))
        assert x.min() >= modality.low - rounding
        assert x.max() <= modality.high + rounding


@some
@given(st.integers(1, 4), sides, sides, st.sampled_from((1, 2)))
def test_images(channels: int, height: int, width: int, levels: int) -> None:
    check(Modality("image", (channels, height, width)), levels)


@some
@given(st.integers(1, 3), st.integers(1, 65), st.integers(1, 65))
def test_frames(frames: int, height: int, width: int) -> None:
    camera = Modality("camera", (frames, height, width), kind="frames")
    check(camera, levels=1 + height % 2)


@some
@given(st.integers(1, 300), st.sampled_from((1, 2)), st.floats(-9, 0))
def test_vectors(length: int, levels: int, low: float) -> None:
    check(Modality("touch", (length,), width=20, low=low, high=low + 5), levels)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 2), st.integers(4, 33), st.integers(1, 40), st.sampled_from((1, 2))
)
def test_spectrograms(channels: int, frames: int, bands: int, levels: int) -> None:
    check(Modality("sound", (channels, frames, bands), kind="spectrogram"), levels)


@some
@given(st.integers(1, 20), st.sampled_from((1, 2)))
def test_labels(classes: int, levels: int) -> None:
    check(Modality("label", (classes,), "categorical"), levels)


@pytest.mark.parametrize("levels", [1, 2])
def test_means_are_in_data_space(levels: int) -> None:
    model = shared("nexus", "zero", levels)
    z = 3 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decoded = model.decode(z)
    for modality in FOUR:
        modality.check_range(decoded[modality.name])
        assert decoded[modality.name].dtype == torch.float32
    torch.testing.assert_close(decoded["label"].sum(1), torch.ones(50))
    assert decoded["vector"].min() < 0  # its range is [-1, 3]
    assert decoded["vector"].max() > 1


def test_only_the_targets_are_decoded_in_the_order_asked_for() -> None:
    model = shared("nexus", "zero", 2)
    z = torch.zeros(2, 4)
    assert list(model.decode(z)) == [modality.name for modality in FOUR]
    assert list(model.decode(z, ["sound", "image"])) == ["sound", "image"]
    seen = {"label": torch.tensor([0, 2])}
    assert list(model.generate(seen, targets=["image"])) == ["image"]
    with pytest.raises(UserError, match=r"unknown modality 'imag'.*mean 'image'"):
        model.decode(z, ["imag"])
    with pytest.raises(UserError, match=r"list of modality names, e\.g\. \['image'\]"):
        model.generate(seen, targets="image")
    for targets in (3, [3]):
        with pytest.raises(UserError, match=r"expected .*names.*, got 3|e\.g\. \[3\]"):
            model.generate(seen, targets=targets)  # type: ignore[arg-type]


def test_reconstruction_uses_each_bottom_alone() -> None:
    model, batch = shared("nexus", "zero", 2), batch_of()
    everything = model.reconstruct(batch, sample=False)
    assert set(everything) == set(batch)
    for name in batch:
        alone = model.reconstruct({name: batch[name]}, sample=False)
        assert list(alone) == [name]
        torch.testing.assert_close(alone[name], everything[name])


def test_generation_builds_no_graph() -> None:
    model, batch = shared("nexus", "zero", 2), batch_of()
    assert not any(x.requires_grad for x in model.generate(batch).values())
    assert not any(x.requires_grad for x in model.reconstruct(batch).values())
    assert model.encode(batch).requires_grad  # an agent may fine-tune through it
