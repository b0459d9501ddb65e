"""Classifiers and autoencoders that judge what models imagine.

Layer by layer after the released code (the appendix tables B.6 and B.7), with any
shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nexus_rl import likelihoods
from nexus_rl.draws import Draws
from nexus_rl.modality import Modality
from nexus_rl.models.losses import Loss
from nexus_rl.networks import builder_for, mlp

# Features of an autoencoder: of one class (the paper), of everything (its code).
FEATURES = {
    "image": (64, 128),
    "frames": (64, 128),
    "vector": (64, 64),
    "spectrogram": (512, 512),
}


class Dropout(nn.Module):
    """Zeroes whole channels (axis 1), by noise that the judge's loss lends it."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.draws: Draws | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.draws is None:
            return x
        kept = self.draws.uniform(len(x), x.shape[1], x.device) >= self.p
        return x * kept[(...,) + (None,) * (x.dim() - 2)] / (1 - self.p)


class Judge(nn.Module):
    """A network for one modality that is trained on real data.

    Called with a batch by modality name it gives its ``Loss``, as a model does, so
    that the same loop trains it.
    """

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.modality = modality

    def forward(
        self, batch: Mapping[str, Tensor], *, generator: Draws, **_: Any
    ) -> Loss:
        """The loss of a batch, a mean over its rows."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.draws = generator
        value = self.values(batch).mean()
        return Loss(value, {})

    def values(self, batch: Mapping[str, Tensor]) -> Tensor:
        """One loss a row, (B,)."""
        raise NotImplementedError

    def inputs(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The modality's data as networks see them."""
        return self.modality.normalise(batch[self.modality.name])


class Classifier(Judge):
    """Scores of the classes of ``label``, a modality, from another modality."""

    def __init__(self, modality: Modality, label: Modality) -> None:
        super().__init__(modality)
        self.label = label
        (classes,) = label.shape
        if modality.kind in ("image", "frames"):
            self.network = _image_classifier(modality, classes)
        elif modality.kind == "vector":
            self.network = nn.Sequential(
                mlp([modality.shape[0], 512, 512, 128]), nn.Linear(128, classes)
            )
        else:
            networks = builder_for(modality)(modality, 1)
            self.network = nn.Sequential(
                networks.encoder,
                mlp([networks.features, 128, 64]),
                nn.Linear(64, classes),
            )

    def scores(self, x: Tensor) -> Tensor:
        """Data (B, *shape), as networks see them, to logits (B, K)."""
        logits: Tensor = self.network(x)
        return logits

    def values(self, batch: Mapping[str, Tensor]) -> Tensor:
        truth = self.label.normalise(batch[self.label.name])
        return likelihoods.categorical(self.scores(self.inputs(batch)), truth)


def _image_classifier(modality: Modality, classes: int) -> nn.Sequential:
    """No non-linearity between the linear layers, as in the released code."""
    channels, *sides = modality.shape
    # The published sizes are for 28 x 28; small pictures keep their borders.
    padding = 0 if min(sides) >= 16 else 2

    def after(side: int) -> int:
        for _ in range(2):
            side = (side + 2 * padding - 4) // 2
        return side

    def block(before: int, channels: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, channels, 5, padding=padding)
        conv.to(memory_format=torch.channels_last)  # four times as fast on a CPU
        return [conv, nn.ReLU(), Dropout(0.2), nn.MaxPool2d(2)]

    flat = 32 * after(sides[0]) * after(sides[1])
    return nn.Sequential(
        *block(channels, 16),
        *block(16, 32),
        nn.Flatten(),
        nn.Linear(flat, 128),
        Dropout(0.2),
        nn.Linear(128, 64),
        Dropout(0.2),
        nn.Linear(64, classes),
    )


class Autoencoder(Judge):
    """Features of a modality: the bottleneck of an autoencoder, of size ``dim``."""

    def __init__(self, modality: Modality, dim: int) -> None:
        super().__init__(modality)
        networks = builder_for(modality)(modality, dim)
        encoder, features, decoder = (
            networks.encoder,
            networks.features,
            networks.decoder,
        )
        if modality.kind == "image":  # convolutions alone, without hidden layers
            assert isinstance(encoder, nn.Sequential)
            assert isinstance(decoder, nn.Sequential)
            encoder, rest = encoder[:5], decoder[6:]
            features = 64 * (modality.shape[1] // 4) * (modality.shape[2] // 4)
            decoder = nn.Sequential(nn.Linear(dim, features), *rest)
        self.encoder = nn.Sequential(encoder, nn.Linear(features, dim))
        self.decoder = decoder
        self.sigma = modality.likelihood == "optimal_sigma"

    def features(self, x: Tensor) -> Tensor:
        """Data (B, *shape), as networks see them, to features (B, dim)."""
        code: Tensor = self.encoder(x)
        return code

    def values(self, batch: Mapping[str, Tensor]) -> Tensor:
        x = self.inputs(batch)
        output = torch.sigmoid(self.decoder(self.features(x)))
        loss = likelihoods.optimal_sigma if self.sigma else likelihoods.squared_error
        return loss(output, x)
