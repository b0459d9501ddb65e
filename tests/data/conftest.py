"""Real files for the tests of datasets: what NEXUS_RL_DATA points at."""

import os
from pathlib import Path

import pytest

from nexus_rl.data import Dataset, load_dataset

REAL_DATA = os.environ.get("NEXUS_RL_DATA")


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not REAL_DATA:
        pytest.skip("NEXUS_RL_DATA is not set: no real data to test with")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def mnist(real_data: Path) -> Dataset:
    return load_dataset("mnist", real_data)


@pytest.fixture(scope="session")
def fashion_mnist(real_data: Path) -> Dataset:
    return load_dataset("fashion_mnist", real_data)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: no NEXUS_RL_DATA, an empty cache, no proxy. Returns the cache."""
    monkeypatch.delenv("NEXUS_RL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "nexus_rl"
