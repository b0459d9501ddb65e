"""Runs shared by the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_runs import train_tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of three epochs. Do not write into it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train_tiny(folder, notes={"dataset": "made up"})
    return folder
