"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nexus_rl.data import Dataset

# A shell that starts the suite in the background ignores Ctrl-C for it, and all that
# the suite starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported: on small models a second thread costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No window opens and no sound plays in tests.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """What NEXUS_RL_DATA points at."""
    folder = os.environ.get("NEXUS_RL_DATA")
    if not folder:
        pytest.skip("NEXUS_RL_DATA is not set: no real data to test with")
    return Path(folder)


@pytest.fixture(scope="session")
def mnist(real_data: Path) -> Dataset:
    from nexus_rl.data import load_dataset

    return load_dataset("mnist", real_data)


@pytest.fixture(scope="session")
def fashion_mnist(real_data: Path) -> Dataset:
    from nexus_rl.data import load_dataset

    return load_dataset("fashion_mnist", real_data)
