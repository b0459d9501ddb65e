"""Named settings. Free of torch, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nexus_rl.config import ModelConfig, TrainConfig
from nexus_rl.errors import UserError


@dataclass(frozen=True)
class TopConfig:
    """Training the top level after the bottoms, on their cached posteriors."""

    top_epochs: int = 0
    """Epochs of the top level after --epochs of the bottoms; 0: all is one stage."""
    top_batch_size: int = 512
    """Rows a step of the top level."""
    top_learning_rate: float = 3e-3
    """Adam's step size for the top level."""

    def __post_init__(self) -> None:
        if self.top_epochs < 0:
            raise UserError(f"top_epochs must not be negative, got {self.top_epochs}")

    def stages(self, train: TrainConfig) -> tuple[TrainConfig, TrainConfig]:
        """What stage bottom and stage top are trained with."""
        top = replace(
            train,
            stage="top",
            epochs=self.top_epochs,
            batch_size=self.top_batch_size,
            learning_rate=self.top_learning_rate,
        )
        return replace(train, stage="bottom"), top


@dataclass(frozen=True)
class Preset:
    """Settings of a model, of its training, and of an environment's sensors.

    ``sensors`` maps a sensor's name to fields of its ``Modality``. The bottoms of
    ``alone`` are trained beforehand for ``alone_epochs``, on each distinct reading
    once, as ``ALONE`` says, and frozen.
    """

    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    top: TopConfig = TopConfig()
    sensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alone: tuple[str, ...] = ()
    alone_epochs: int = 0

    def beforehand(self, train: TrainConfig, epochs: int) -> dict[str, TrainConfig]:
        """How each bottom of ``alone`` is trained; ``train`` is for the others."""
        same = {name: getattr(train, name) for name in ("seed", "device", "bf16")}
        return {name: replace(ALONE, epochs=epochs, **same) for name in self.alone}


# The sigma-VAE of the paper's sounds: no warm-up.
ALONE = TrainConfig(stage="bottom", warmup_epochs=0)
# For agents the latent must be precise: little posterior noise below, dropout in half
# of the rows and an alignment term above.
_ENVIRONMENT = Preset(
    ModelConfig(latent_dim=10, rho=0.5, align=3.0, beta=0.1, width=128),
    TrainConfig(
        epochs=20,
        batch_size=128,
        learning_rate=2e-3,
        schedule="one_cycle",
        warmup_epochs=0,
    ),
    TopConfig(top_epochs=40),
)
_FRAMES = {
    "kind": "frames",
    "likelihood": "bernoulli",
    "latent_dim": 16,
    "beta": 0.05,
    "top_weight": 10,
}
_SOUND = {"width": 64, "latent_dim": 8, "weight": 100, "beta": 0.1, "top_weight": 10}
_NUMBER = {**_SOUND, "latent_dim": 2}
# The dial's recordings, weighed as in the paper. What a voice or a hand adds to
# a digit is of no use to an agent, so small latents do.
_RECORDINGS: Mapping[str, Mapping[str, Any]] = {
    "image": {"latent_dim": 32, "beta": 0.2},
    "trajectory": {"weight": 50, "top_weight": 50, "beta": 0.2},
    "sound": {
        "kind": "spectrogram",
        "likelihood": "optimal_sigma",
        "top_likelihood": "optimal_sigma",
        "latent_dim": 64,
        "beta": 10,
    },
}
_DIGITS = replace(
    _ENVIRONMENT,
    model=replace(_ENVIRONMENT.model, latent_dim=32, upward="mean"),
    train=replace(_ENVIRONMENT.train, epochs=8),
    top=TopConfig(top_epochs=10),
    sensors={**_RECORDINGS, "label": {"top_likelihood": "categorical"}},
)

PRESETS: dict[str, Preset] = {
    # Section 6.2 and Table B.8: two modalities, 100 epochs.
    "paper": Preset(),
    # The single-level models of Table 1b.
    "paper_single_level": Preset(ModelConfig(levels=1, latent_dim=64)),
    # Section 6.4 and Table B.9: four modalities; rho is that of the released code.
    "paper_four": Preset(
        ModelConfig(latent_dim=32, rho=0.2), alone=("sound",), alone_epochs=100
    ),
    # Beyond the paper, for an image and a label: a precise code of the image, its mean
    # upward, and subsets whose latents land where those of everything do.
    "nexus_plus": Preset(
        ModelConfig(rho=0.2, align=0.1, upward="mean"),
        sensors={"image": {"beta": 0.1}},
    ),
    # A few minutes on a laptop.
    "demo": Preset(train=TrainConfig(epochs=5, warmup_epochs=2)),
    # Any environment, from what its observation space says.
    "environment": _ENVIRONMENT,
    # The sounding pendulum.
    "pendulum": replace(_ENVIRONMENT, sensors={"image": _FRAMES, "sound": _SOUND}),
    # The same with four sensors.
    "pendulum4": replace(
        _ENVIRONMENT,
        sensors={
            "image": _FRAMES,
            "sound": _SOUND,
            "gyro": _NUMBER,
            "torque": _NUMBER,
        },
    ),
    # The shooter: many small things to see and to hear, so more of everything.
    "hyperhot": replace(
        _ENVIRONMENT,
        model=replace(_ENVIRONMENT.model, latent_dim=32, width=256),
        train=replace(_ENVIRONMENT.train, batch_size=64, learning_rate=3e-3),
        sensors={
            "image": {**_FRAMES, "width": 256, "latent_dim": 64, "beta": 0.01},
            "sound": {**_SOUND, "width": 256, "latent_dim": 24, "weight": 1000},
        },
    ),
    # The dial, from its own observations.
    "digit_dial": replace(_DIGITS, sensors={**_RECORDINGS, "position": _NUMBER}),
    # MHD, which the dial shows, for agents.
    "digits": replace(_DIGITS, alone=("sound",), alone_epochs=60),
}

# The preset of a data set that has one of its own, and of an environment, by the end of
# its name without the version.
_OF_DATASETS = {"mhd": "paper_four"}
_DEFAULTS = {
    "MultimodalPendulum": "pendulum",
    "MultimodalPendulumPublished": "pendulum",
    "MultimodalPendulum4": "pendulum4",
    "HyperHot": "hyperhot",
    "DigitDial": "digit_dial",
}


def default_preset(env: str | None, dataset: str | None = None) -> str:
    """The preset for environment ``env``, or for ``dataset`` where it is None."""
    if env is None:
        return _OF_DATASETS.get(dataset or "", "paper")
    name = env.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    return _DEFAULTS.get(name, "environment")
