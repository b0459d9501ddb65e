"""What a policy of raw sensors makes of its readings first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import Tensor

from agents.features import SensorFeatures

PIXELS = spaces.Box(0, 255, (2, 12, 16), np.uint8)
SOUND = spaces.Box(0, 255, (1, 32, 128), np.uint8)
BAND = spaces.Box(-2.0, 6.0, (3,))


def seen(space: spaces.Dict, readings: dict[str, Any], **options: Any) -> Tensor:
    """Features of batches of readings, prepared as an algorithm prepares them."""
    torch.manual_seed(0)
    batch = {name: torch.as_tensor(readings[name]) for name in space.spaces}
    extractor = SensorFeatures(space, **options)
    found: Tensor = extractor(preprocess_obs(batch, space))
    assert found.shape[1] == extractor.features_dim
    return found


def ends(space: spaces.Box) -> Any:
    """The least and the greatest reading, as a batch of two."""
    return np.stack([space.low, space.high])


@pytest.mark.parametrize(
    "space",
    [
        BAND,
        spaces.Box(0, 255, (5,), np.uint8),
        spaces.Box(0, 255, (1, 4, 4), np.uint8),  # too small for the convolutions
        spaces.Box(-80.0, 0.0, (2, 3, 2)),
    ],
    ids=str,
)
def test_what_is_no_image_is_flattened_and_scaled_to_one(space: spaces.Box) -> None:
    found = seen(spaces.Dict({"sensor": space}), {"sensor": ends(space)})
    size = int(np.prod(space.shape))
    expected = np.repeat([[-1.0], [1.0]], size, axis=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_readings_without_bounds_stay_as_they_are() -> None:
    space = spaces.Dict({"sensor": spaces.Box(-np.inf, np.inf, (2,))})
    reading = np.array([[3.0, -70.0]], np.float32)
    assert np.array_equal(seen(space, {"sensor": reading}).numpy(), reading)


def test_parts_are_side_by_side_in_the_order_of_the_sensors() -> None:
    space = spaces.Dict([("way", spaces.Discrete(4)), ("band", BAND)])
    readings = {"band": np.array([[-2.0, 2.0, 6.0]], np.float32), "way": [2]}
    found = seen(space, readings)
    np.testing.assert_allclose(found.numpy(), [[0, 0, 1, 0, -1, 0, 1]], atol=1e-6)


def test_images_of_any_size_become_a_few_features() -> None:
    for side in (8, 9, 31, 60):
        image = spaces.Box(0, 255, (2, side, side + 1), np.uint8)
        space = spaces.Dict({"image": image, "band": BAND})
        readings = {name: np.stack([part.low] * 3) for name, part in space.items()}
        found = seen(space, readings, channels=(4, 6), image_features=5)
        assert found.shape == (3, 5 + 3)


@pytest.mark.parametrize("space", [SOUND, spaces.Box(0.0, 1.0, SOUND.shape)], ids=str)
def test_a_spectrogram_is_seen_as_an_image(space: spaces.Box) -> None:
    """All of it counts, whether it is stored in bytes or in floats."""
    batch = [np.zeros((1, *space.shape), space.dtype)]
    for frame, band in ((0, 0), (0, 127), (31, 0), (31, 127), (16, 64)):
        batch.append(batch[0].copy())
        batch[-1][0, 0, frame, band] = space.high.max()
    found = seen(spaces.Dict({"sound": space}), {"sound": np.concatenate(batch)})
    assert found.shape == (6, 64)
    assert len({tuple(row) for row in found.detach().numpy()}) == 6


def test_every_frame_and_corner_of_an_image_counts() -> None:
    space = spaces.Dict({"image": PIXELS})
    dark = np.zeros((1, *PIXELS.shape), np.uint8)
    batch = [dark]
    for frame, row, column in np.ndindex(2, 2, 2):
        batch.append(dark.copy())
        batch[-1][0, frame, -row, -column] = 255
    found = seen(space, {"image": np.concatenate(batch)}).detach().numpy()
    assert len({tuple(row) for row in found}) == len(batch)


def test_float_images_are_brought_to_one_scale() -> None:
    """Decibels from -80 to 0 would drown what else is seen."""
    decibels, plain = (
        spaces.Box(low, high, (1, 9, 9)) for low, high in ((-80, 0), (-1, 1))
    )
    loud = {"sensor": np.linspace(-80, 0, 81, dtype=np.float32).reshape(1, 1, 9, 9)}
    quiet = {"sensor": np.linspace(-1, 1, 81, dtype=np.float32).reshape(1, 1, 9, 9)}
    found = seen(spaces.Dict({"sensor": decibels}), loud)
    assert torch.allclose(found, seen(spaces.Dict({"sensor": plain}), quiet), atol=1e-5)
