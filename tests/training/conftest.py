"""Runs shared by the tests of training, and real data: what NEXUS_RL_DATA points at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from training_runs import train_tiny

from nexus_rl.data import Dataset, load_dataset


@pytest.fixture(scope="session")
def fashion_mnist() -> Dataset:
    if not os.environ.get("NEXUS_RL_DATA"):
        pytest.skip("NEXUS_RL_DATA is not set: no real data to train on")
    return load_dataset("fashion_mnist", os.environ["NEXUS_RL_DATA"])


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of three epochs. Do not write into it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train_tiny(folder, notes={"dataset": "made up"})
    return folder
