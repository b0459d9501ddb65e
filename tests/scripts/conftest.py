"""A run that several tests of the scripts look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from script_runs import TINY, pretrain


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three epochs. Do not write into it."""
    folder = tmp_path_factory.mktemp("trained")
    finished = pretrain(folder, *TINY, "--out", "run")
    assert finished.code == 0, finished.said
    return folder / "run"
