"""Small folders of every kind that the library reads, to be damaged and forged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reliability_kills as kills
import torch

from agents import load_agent
from nexus_rl import TrainConfig, load_model, make_model, train
from nexus_rl.data.files import find_files
from nexus_rl.data.idx import read_idx
from nexus_rl.data.mhd.load import load_mhd
from nexus_rl.data.mnist import MNIST
from nexus_rl.data.rollouts import collect, load_rollouts


@dataclass(frozen=True)
class Thing:
    """``make`` writes a folder, ``load`` reads all of it that counts."""

    make: Callable[[Path], Any]
    load: Callable[[Path], Any]


def _load_model(folder: Path) -> Any:
    model = load_model(folder)
    return [repr(model.modalities), repr(model.config), dict(model.state_dict())]


def _make_agent(folder: Path) -> None:
    kills.train_small_agent("ppo", folder)
    shutil.rmtree(folder / "training")  # is read to go on with, as "run" is


def _load_agent(folder: Path) -> Any:
    agent = load_agent(folder)
    assert agent.encoder is not None
    weights = {**agent.policy.state_dict(), **agent.encoder.state_dict()}
    return [agent.name, repr(agent.task), dict(agent.manifest), weights]


def _go_on(folder: Path) -> Any:
    """Trains, or goes on with what is finished; data and model as in the beginning."""
    model = make_model("nexus", kills.make_encoder().modalities, width=8, latent_dim=2)
    generator = torch.Generator().manual_seed(0)
    batch = {
        modality.name: torch.rand(40, *modality.shape, generator=generator)
        for modality in model.modalities
    }
    resume = (folder / "run.json").exists()
    config = TrainConfig(epochs=2, batch_size=20)
    result = train(model, batch, config, out=folder, resume=resume)
    return [result.records, dict(model.state_dict())]


def _load_mhd(folder: Path) -> Any:
    data = load_mhd(folder)
    return [data.train, data.test, data.origin]


def _copy_idx(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, path in find_files(MNIST, download=False).items():
        if name.startswith("t10k"):
            shutil.copyfile(path, folder / name)


def _load_idx(folder: Path) -> Any:
    names = {"t10k-images-idx3-ubyte": 3, "t10k-labels-idx1-ubyte": 1}
    return [
        read_idx(folder / name, dims, MNIST.sha256[name])
        for name, dims in names.items()
    ]


def _collect(folder: Path) -> None:
    collect("envs:nexus_rl/HyperHot-v0", 60, out=folder)


def _load_rollouts(folder: Path) -> Any:
    return load_rollouts(folder, in_memory=True).columns


THINGS = {
    "model": Thing(
        lambda folder: kills.make_encoder().save_pretrained(folder), _load_model
    ),
    "agent": Thing(_make_agent, _load_agent),
    "run": Thing(_go_on, _go_on),
    "mhd": Thing(kills.build_small_mhd, _load_mhd),
    "idx": Thing(_copy_idx, _load_idx),
    "rollouts": Thing(_collect, _load_rollouts),
}
