"""Named settings. Free of torch, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_rl.config import ModelConfig, TrainConfig


@dataclass(frozen=True)
class Preset:
    """A model's and its training's settings."""

    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


PRESETS: dict[str, Preset] = {
    # Section 6.2 and Table B.8: two modalities, 100 epochs.
    "paper": Preset(),
    # The single-level models of Table 1b.
    "paper_single_level": Preset(ModelConfig(levels=1, latent_dim=64)),
    # Section 6.4 and Table B.9: four modalities; rho is that of the released code.
    "paper_four": Preset(ModelConfig(latent_dim=32, rho=0.2)),
    # The sound's sigma-VAE, trained alone beforehand.
    "paper_sound": Preset(train=TrainConfig(stage="bottom", warmup_epochs=0)),
    # A few minutes on a laptop.
    "demo": Preset(train=TrainConfig(epochs=5, warmup_epochs=2)),
}
