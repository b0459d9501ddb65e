"""Small models and batches with every kind of modality, shared by these tests."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from nexus_rl import Modality, make_model
from nexus_rl.config import ONE_LEVEL
from nexus_rl.draws import Draws, seeded
from nexus_rl.models import MODELS, MultimodalVAE
from nexus_rl.networks import Networks

IMAGE = Modality("image", (1, 8, 8), latent_dim=6, beta=0.5)
VECTOR = Modality("vector", (5,), weight=2, top_weight=3, low=-1, high=3)
SOUND = Modality(
    "sound",
    (1, 7, 6),
    "optimal_sigma",
    kind="spectrogram",
    top_likelihood="optimal_sigma",
    latent_dim=7,
    beta=10,
)
LABEL = Modality("label", (3,), "categorical", weight=5, top_weight=4)
FOUR = (IMAGE, VECTOR, SOUND, LABEL)

# Every model, with every number of levels that it may have.
KINDS = tuple((n, k) for n in MODELS for k in (1, 2) if k == 1 or n not in ONE_LEVEL)
TWO_LEVELS = tuple(name for name, levels in KINDS if levels == 2)

# The same with every option that changes what stands in for a missing sensor.
CHOICES = (
    *((name, "zero", levels) for name, levels in KINDS),
    *(("nexus0", fill, levels) for fill in ("learned", "mask") for levels in (1, 2)),
)


def make(
    modalities: Sequence[Modality] = FOUR, name: str = "nexus", **options: Any
) -> MultimodalVAE:
    """A tiny model, as one that has been trained: no weight or statistic is special."""
    model = make_model(name, modalities, **{"width": 16, "latent_dim": 4} | options)
    noise = seeded(7)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.1 * torch.randn(weight.shape, generator=noise)
    for key, statistic in model.named_buffers():
        if key.endswith("running_mean"):
            statistic.normal_(0, 0.1, generator=noise)
        elif key.endswith("running_var"):
            statistic.uniform_(0.5, 1.5, generator=noise)
    return model


@cache
def shared(name: str, fill: str, levels: int) -> MultimodalVAE:
    """A four-modality model in eval mode. Tests must not change it."""
    return make(name=name, fill=fill, levels=levels).eval()


def batch_of(
    modalities: Sequence[Modality] = FOUR,
    rows: int = 6,
    seed: int = 0,
    one_hot: bool = False,
) -> dict[str, Tensor]:
    """Random data in range; labels are classes unless ``one_hot``."""
    noise = seeded(seed)
    batch = {}
    for modality in modalities:
        if modality.categorical:
            classes = torch.randint(modality.size, (rows,), generator=noise)
            batch[modality.name] = (
                torch.eye(modality.size)[classes] if one_hot else classes
            )
        else:
            values = torch.rand(rows, *modality.shape, generator=noise)
            batch[modality.name] = modality.denormalise(values)
    return batch


def linear_networks(modality: Modality, code_dim: int) -> Networks:
    """Networks of our own: one linear layer each way."""
    return Networks(
        nn.Sequential(nn.Flatten(), nn.Linear(modality.size, 9)),
        nn.Sequential(
            nn.Linear(code_dim, modality.size), nn.Unflatten(1, modality.shape)
        ),
        9,
        lambda _: nn.Tanh(),
    )


class ConstantNoise(Draws):
    """Every normal draw is the same number, so that losses can be told in advance."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__(seeded(0))
        self.value = value

    def normal(self, like: Tensor) -> Tensor:
        return torch.full_like(like, self.value)


def trainable(module: torch.nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    """The gradients that are not zero, by parameter name."""
    return {
        name: p.grad.clone()
        for name, p in module.named_parameters()
        if p.grad is not None and p.grad.count_nonzero()
    }


def nll(output: Tensor, target: Tensor, kind: str) -> Tensor:
    """The likelihoods of the paper, written with PyTorch's distributions."""
    if kind == "categorical":
        return -(output.log_softmax(1) * target).sum(1).mean()
    error = (output - target).flatten(1)
    if kind == "squared_error":
        return error.square().sum(1).mean()
    sigma = error.square().mean().sqrt()
    return -Normal(0, sigma).log_prob(error).sum(1).mean()
