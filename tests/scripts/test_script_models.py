"""Every kind of model through the command lines, on an environment."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from script_runs import (
    PENDULUM,
    bottoms,
    equal,
    evaluate_encoder,
    log_lines,
    pretrain,
    read,
)

from nexus_rl import load_model
from nexus_rl.wrappers import NexusObservation


@pytest.mark.parametrize("name", ["mvae", "mmvae", "vae", "muse"])
def test_two_levels_are_trained_in_two_stages_on_the_same_bottoms(
    tmp_path: Path, options: list[str], staged: Path, name: str
) -> None:
    done = pretrain(tmp_path, *options, "--model", name)
    assert done.code == 0, done.said
    assert equal(bottoms(tmp_path / "run"), bottoms(staged / "run"))
    assert "picture:    run/pictures/epoch_002.png" in done.said
    check_use(tmp_path, name, levels=2)


def test_gmc_is_trained_in_one_stage_without_a_picture(
    tmp_path: Path, options: list[str]
) -> None:
    where = options.index("--top-epochs")  # there is no top level to train
    done = pretrain(tmp_path, *options[:where], *options[where + 2 :], "--model", "gmc")
    assert done.code == 0, done.said
    assert not (tmp_path / "run_bottoms").exists()
    assert "picture" not in done.said and not (tmp_path / "run" / "pictures").exists()
    check_use(tmp_path, "gmc", levels=1)


def check_use(folder: Path, name: str, levels: int) -> None:
    """The run in ``folder`` can be resumed, loaded, measured and used by an agent."""
    assert log_lines(folder / "run") == 2
    again = pretrain(folder, "--resume", "run")
    assert again.code == 0, again.said
    probed = evaluate_encoder(folder, "--model", "run", "--rows", "300")
    assert probed.code == 0, probed.said
    assert len(read(folder / "run" / "probe.json")["models"][0]["rows"]) == 3
    model = load_model(folder / "run")
    assert (model.name, model.config.levels) == (name, levels)
    env = NexusObservation(gym.make(PENDULUM), folder / "run")
    latent, _ = env.reset(seed=0)
    assert latent.shape == (10,) and np.isfinite(latent).all()
    env.close()
