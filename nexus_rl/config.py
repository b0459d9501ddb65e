"""Settings of models and of training, without importing torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from nexus_rl.errors import UserError, choose

Stage = Literal["joint", "bottom", "top"]

# Every model, and those options that it uses and others do not.
MODEL_OPTIONS: dict[str, tuple[str, ...]] = {
    "nexus": ("beta", "rho", "align"),
    "nexus0": ("beta", "rho", "align", "fill"),
    "mvae": ("beta",),
    "mmvae": ("beta",),
    "mopoe": ("beta",),
    "mvtcae": ("beta", "alpha"),
    "mmjsd": ("beta",),
    "jmvae": ("beta", "alpha"),
    "avae": ("beta", "alpha"),
    "vae": ("beta",),
    "muse": ("beta", "alpha"),
    "gmc": (),
}

# Models that have one level only.
ONE_LEVEL = frozenset({"gmc"})


def check_fields(config: object) -> None:
    """Raises ``UserError`` unless each field of a dataclass is of its annotated type.

    Knows int, finite float (or None), bool, str and literals; leaves other types alone.
    """
    check_values(type(config), vars(config))


def check_values(of: type[Any], values: Mapping[str, Any]) -> None:
    """``check_fields`` of values that a dataclass ``of`` could be made of."""
    for name, kind in get_type_hints(of).items():
        if name not in values:
            continue
        value = values[name]
        if get_origin(kind) is Literal:
            choose(str(value), dict.fromkeys(map(str, get_args(kind))), name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if kind is int and not whole:
            raise UserError(f"{name} must be a whole number, got {value!r}")
        number = whole or isinstance(value, float)
        wanted = kind is float or (kind == float | None and value is not None)
        if wanted and not (number and abs(value) <= sys.float_info.max):
            raise UserError(f"{name} must be a finite number, got {value!r}")
        if kind in (bool, str) and not isinstance(value, kind):
            raise UserError(f"{name} must be a {kind.__name__}, got {value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and weights of a model above its modalities."""

    model: str = "nexus"
    """Fusion and objective: nexus, nexus0, mvae, mmvae, mopoe, mvtcae, mmjsd, jmvae,
    avae, vae, muse or gmc."""
    levels: int = 2
    """2: a VAE per modality under the multimodal latent; 1: end to end, which gmc
    always is."""
    latent_dim: int = 16
    """Size of the multimodal latent z_sigma."""
    rho: float = 0.1
    """Probability that forced perceptual dropout hides modalities of a row (nexus and
    nexus0)."""
    align: float = 0.0
    """Weight of the divergence between full and partial posteriors (nexus and nexus0;
    0: the paper)."""
    beta: float = 1.0
    """Weight of the multimodal latent's KL divergence (all but gmc)."""
    width: int = 512
    """Width of the messages and of the top networks."""
    fill: Literal["zero", "learned", "mask"] = "zero"
    """What nexus0 puts in place of a missing message."""
    upward: Literal["sample", "mean"] = "sample"
    """What of a bottom posterior goes upward (two levels), training or generating."""
    alpha: float | None = None
    """Weight by which avae and muse (1 by default), jmvae (0.1) and mvtcae (0.9) pull
    posteriors together."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.levels not in (1, 2):
            raise UserError(f"levels must be 1 or 2, got {self.levels}")
        if not 0 <= self.rho <= 1:
            raise UserError(f"rho is a probability from 0 to 1, got {self.rho}")
        if min(self.latent_dim, self.width) < 1:
            raise UserError("latent_dim and width must be at least 1")
        for name in ("beta", "align", "alpha"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(
                    f"{name} must not be negative, got {getattr(self, name)}"
                )

    def for_model(self, model: str) -> Self:
        """The same for another model: options that it has no use for are as if unset.

        For settings that were not made with it in mind, such as a preset's.
        """
        levels = 1 if model in ONE_LEVEL else self.levels
        fit = replace(self, model=model, levels=levels)
        unset = {name: getattr(ModelConfig, name) for name in fit.unused(model)}
        return replace(fit, **unset)

    def unused(self, model: str) -> list[str]:
        """The options that ``model`` would ignore, of those that are not at default.

        One that is not in ``MODEL_OPTIONS`` may use all.
        """
        options = {name for used in MODEL_OPTIONS.values() for name in used}
        ignored = options - set(MODEL_OPTIONS.get(model, options))
        if self.levels == 1:
            ignored.add("upward")
        return sorted(
            name
            for name in ignored
            if getattr(self, name) != getattr(ModelConfig, name)
        )

    def check_used(self) -> None:
        """Raises ``UserError`` if an option is set that the model would ignore."""
        if self.model in ONE_LEVEL and self.levels != 1:
            raise UserError(f"{self.model} has one level only: set levels to 1")
        for name in self.unused(self.model):
            users = [model for model, used in MODEL_OPTIONS.items() if name in used]
            where = f"for {', '.join(users)}" if users else "for two levels"
            raise UserError(
                f"{self.model} with levels={self.levels} does not use {name}, which is "
                f"{where}: leave it out (got {getattr(self, name)!r})"
            )


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained; the defaults are the paper's (Tables B.8, B.9)."""

    epochs: int = 100
    """Passes over the training data."""
    batch_size: int = 64
    """Rows a step, over all processes together."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    schedule: Literal["constant", "one_cycle"] = "constant"
    """constant (the paper), or one_cycle: up to the step size over the first 30 % of
    all steps and down to almost nothing over the rest."""
    warmup_epochs: int = 20
    """Epochs over which every KL weight rises linearly to its value; 0: none."""
    validation_fraction: float = 0.1
    """Share of the training data set aside to watch the loss on."""
    seed: int = 0
    """Seeds the split, the order of the data and all noise."""
    stage: Stage = "joint"
    """joint: everything (the paper); bottom: the modalities' VAEs alone; top: the
    multimodal level alone, on frozen bottoms whose posteriors are computed once."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    bf16: bool = False
    """Compute in bfloat16 where it is safe (torch.autocast)."""
    compile: bool = False
    """Compile the model with torch.compile."""
    picture_every: int = 0
    """Draw the picture every so many epochs; 0: only at the end."""

    def __post_init__(self) -> None:
        check_fields(self)
        for field, least in (
            ("epochs", 1),
            ("batch_size", 2),
            ("warmup_epochs", 0),
            ("picture_every", 0),
            ("seed", 0),
        ):
            if getattr(self, field) < least:
                raise UserError(
                    f"{field} must be at least {least}, got {getattr(self, field)}"
                )
        if not 0 < self.learning_rate < math.inf:
            raise UserError(
                f"learning_rate must be positive and finite, got {self.learning_rate}"
            )
        if not 0 <= self.validation_fraction < 1:
            raise UserError(
                "validation_fraction must be from 0 to below 1, got "
                f"{self.validation_fraction}"
            )

    def rate(self, progress: float) -> float:
        """Learning rate after the share ``progress`` (0 to 1) of all steps."""
        if self.schedule == "constant":
            return self.learning_rate
        rise, start, end = 0.3, 0.04, 1e-4
        if progress < rise:
            low, part = start, progress / rise
        else:
            low, part = end, (1 - progress) / (1 - rise)
        return self.learning_rate * (
            low + (1 - low) * (1 - math.cos(math.pi * part)) / 2
        )

    def warmup(self, epoch: int) -> float:
        """Factor of every KL weight in ``epoch``, counted from 1."""
        if self.warmup_epochs == 0:
            return 1.0
        return min(epoch / self.warmup_epochs, 1.0)
