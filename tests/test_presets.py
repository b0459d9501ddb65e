"""Presets by name, and which one fits an environment."""

from __future__ import annotations

import pytest

from nexus_rl import UserError
from nexus_rl.config import TrainConfig
from nexus_rl.presets import PRESETS, TopConfig, default_preset


@pytest.mark.parametrize(
    ("env", "name"),
    [
        (None, "paper"),
        ("envs:nexus_rl/MultimodalPendulum-v0", "pendulum"),
        ("nexus_rl/MultimodalPendulum-v0", "pendulum"),
        ("MultimodalPendulum-v12", "pendulum"),
        ("MultimodalPendulum", "pendulum"),
        ("envs:nexus_rl/MultimodalPendulum4-v0", "pendulum4"),
        ("envs:nexus_rl/HyperHot-v0", "hyperhot"),
        ("envs:nexus_rl/DigitDial-v0", "digit_dial"),
        ("Pendulum-v1", "environment"),
        ("", "environment"),
    ],
)
def test_the_preset_of_an_environment_is_known_by_its_name(
    env: str | None, name: str
) -> None:
    assert default_preset(env) == name
    assert name in PRESETS


def test_the_preset_of_a_data_set_is_the_papers_for_its_modalities() -> None:
    assert default_preset(None, "mhd") == "paper_four"
    assert default_preset(None, "fashion_mnist") == "paper"


def test_data_sets_are_learned_in_one_stage_and_environments_in_two() -> None:
    assert {name for name, preset in PRESETS.items() if preset.top.top_epochs} == {
        *("environment", "pendulum", "pendulum4", "hyperhot", "digit_dial", "digits"),
    }


def test_the_stages_differ_in_what_belongs_to_the_top_alone() -> None:
    train = TrainConfig(epochs=7, batch_size=32, learning_rate=0.5, seed=3)
    bottom, top = TopConfig(9, 16, 0.25).stages(train)
    assert bottom == TrainConfig(
        epochs=7, batch_size=32, learning_rate=0.5, seed=3, stage="bottom"
    )
    assert top == TrainConfig(
        epochs=9, batch_size=16, learning_rate=0.25, seed=3, stage="top"
    )


def test_what_is_trained_beforehand_shares_seed_and_device_with_the_rest() -> None:
    train = TrainConfig(seed=3, device="cpu", learning_rate=0.5, batch_size=16)
    assert PRESETS["paper"].beforehand(train, 7) == {}
    assert PRESETS["paper_four"].beforehand(train, 7) == {
        "sound": TrainConfig(
            epochs=7, seed=3, device="cpu", stage="bottom", warmup_epochs=0
        )
    }


def test_top_settings_out_of_range() -> None:
    with pytest.raises(UserError, match="top_epochs must not be negative, got -1"):
        TopConfig(-1)
    with pytest.raises(UserError, match="batch_size must be at least 2"):
        TopConfig(1, 1).stages(TrainConfig())
