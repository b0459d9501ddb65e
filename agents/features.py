"""What the policies of raw sensors make of them before their own layers."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
)
from torch import Tensor, nn

from nexus_rl.models.named import NamedModules

LEAST_SIDE = 8  # pixels that the convolutions need

Readings = dict[str, Tensor]


class SensorFeatures(BaseFeaturesExtractor):
    """Features of a Dict of sensors, side by side: (B, features_dim).

    - Images, (C, H, W) of at least 8 pixels a side, pass two strided convolutions of
      ``channels`` and a linear layer to ``image_features``. Frames of a stack are
      channels. Pixels of uint8 come in [0, 1].
    - Everything else is flattened. All but pixels is scaled to [-1, 1] where its bounds
      are finite.

    Small on purpose: two convolutions see a rod or a ship, and a policy learns several
    times as many steps a second as on the CNN of the Nature paper.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        channels: tuple[int, ...] = (8, 16),
        image_features: int = 64,
    ) -> None:
        super().__init__(observation_space, features_dim=1)
        self.sensors = list(observation_space.spaces)
        parts, size = {}, 0
        for name, space in observation_space.spaces.items():
            if _is_image(space):
                part = _cnn(space, channels, image_features)
                size += image_features
            else:
                part = nn.Sequential(_Scaled(space), nn.Flatten())
                size += spaces.flatdim(space)
            parts[name] = part
        self.parts = NamedModules(parts)
        self._features_dim = size

    def forward(self, readings: Readings) -> Tensor:
        """Features of readings as Stable-Baselines3 preprocesses them."""
        return torch.cat([self.parts[n](readings[n]) for n in self.sensors], dim=1)


class _Scaled(nn.Module):
    """Readings as they come preprocessed, in [-1, 1] if ``space`` is bounded."""

    def __init__(self, space: spaces.Space[np.ndarray]) -> None:
        super().__init__()
        middle, radius = 0.0, 1.0
        if isinstance(space, spaces.Box):
            low, high = float(space.low.min()), float(space.high.max())
            if is_image_space(space):  # divided by 255 already
                low, high = 0.0, 1.0
            if np.isfinite([low, high]).all() and high > low:
                middle, radius = (high + low) / 2, (high - low) / 2
        self.middle, self.radius = middle, radius

    def forward(self, reading: Tensor) -> Tensor:
        return (reading.float() - self.middle) / self.radius


def _is_image(space: spaces.Space[np.ndarray]) -> bool:
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) == 3
        and min(space.shape[1:]) >= LEAST_SIDE
    )


def _cnn(
    space: spaces.Space[np.ndarray], channels: tuple[int, ...], features: int
) -> nn.Module:
    assert space.shape is not None
    layers: list[nn.Module] = []
    before = space.shape[0]
    for kernel, stride, after in zip((8, 4), (4, 2), channels, strict=True):
        layers += [nn.Conv2d(before, after, kernel, stride, kernel // 4), nn.ReLU()]
        before = after
    convolutions = nn.Sequential(*layers, nn.Flatten())
    with torch.no_grad():
        size = convolutions(torch.zeros(1, *space.shape)).shape[1]
    layers = [convolutions, nn.Linear(size, features), nn.ReLU()]
    # Pixels come in [0, 1]; other readings of that shape as they are.
    return nn.Sequential(*([] if is_image_space(space) else [_Scaled(space)]), *layers)


# "combined": that of Stable-Baselines3, with the CNN of the Nature paper.
EXTRACTORS = {"sensors": SensorFeatures, "combined": CombinedExtractor}
