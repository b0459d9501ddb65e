"""What the tests of data share."""

from pathlib import Path

import pytest
from mhd_world import OPTIONS, sounds_in, write_strokes

from nexus_rl.data.mhd.build import Options, build
from nexus_rl.data.mhd.sounds import read_fsdd, read_speech_commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: no NEXUS_RL_DATA, an empty cache, no proxy. Returns the cache."""
    monkeypatch.delenv("NEXUS_RL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "nexus_rl"


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("mhd_sources")
    return write_strokes(root / "uji.txt"), sounds_in(root)


@pytest.fixture(scope="session")
def built(world, tmp_path_factory):
    return build(tmp_path_factory.mktemp("built") / "mhd", *world, OPTIONS)


@pytest.fixture(scope="session")
def real(real_data, tmp_path_factory):
    """A few hundred real samples without a writer or speaker on both sides."""
    strokes = real_data / "ujipenchars2" / "ujipenchars2_digits.txt.gz"
    sounds = [
        read_fsdd(real_data / "fsdd" / "fsdd.npz"),
        read_speech_commands(real_data / "speech_commands_digits"),
    ]
    out = tmp_path_factory.mktemp("real") / "mhd"
    return build(out, strokes, sounds, Options(500, 100, "disjoint", seed=1))
