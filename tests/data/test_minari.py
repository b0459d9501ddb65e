"""Rollouts to Minari and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from nexus_rl import UserError
from nexus_rl.data.minari import export_minari, import_minari
from nexus_rl.data.rollouts import collect, gather

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
HYPERHOT = "envs:nexus_rl/HyperHot-v0"
NAME = "pendulum/held-v0"


@pytest.fixture
def minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Minari with an empty folder of data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    pytest.importorskip("h5py", reason="needs the extra nexus_rl[minari]")
    return pytest.importorskip("minari", reason="needs the extra nexus_rl[minari]")


@pytest.mark.parametrize("name", [PENDULUM, HYPERHOT])
def test_there_and_back_is_exact(tmp_path: Path, minari: Any, name: str) -> None:
    rollouts = collect(name, 402, seed=1)  # two whole episodes of the pendulum
    dataset = export_minari(rollouts, NAME, name)
    ends = rollouts.columns["episode"][-1] + 1
    assert (dataset.total_episodes, dataset.total_steps) == (ends, 402 - ends)
    back = import_minari(NAME, tmp_path / "back")
    assert back.env == rollouts.env
    assert back.columns.keys() == rollouts.columns.keys()
    for column, values in rollouts.columns.items():
        if column == "truncated" and name == HYPERHOT:
            values = values.copy()
            values[-1] = not rollouts.columns["terminated"][-1]  # was cut off
        assert back.columns[column].dtype == values.dtype
        np.testing.assert_array_equal(back.columns[column], values)


def test_minari_itself_reads_the_episodes(minari: Any) -> None:
    rollouts = collect(PENDULUM, 250, seed=1)
    export_minari(rollouts, NAME, PENDULUM, author="me", description="held torques")
    dataset = minari.load_dataset(NAME)
    first, second = dataset
    assert (len(first), len(second)) == (200, 48)
    for episode in (first, second):
        assert episode.observations["image"].shape == (len(episode) + 1, 2, 60, 60)
        assert episode.truncations[-1]
        assert not episode.truncations[:-1].any()
        again: Any = gym.make(PENDULUM).unwrapped
        cos, sin, omega = episode.infos["state"][0].astype(float)
        again.reset(options={"state": (np.arctan2(sin, cos), omega)})
        for action, reward in zip(episode.actions, episode.rewards, strict=True):
            assert again.step(action)[1] == pytest.approx(reward, abs=1e-3)
    assert dataset.recover_environment().observation_space == dataset.observation_space


def test_sampled_states_stay_behind(tmp_path: Path, minari: Any) -> None:
    dataset = export_minari(gather(PENDULUM, 402, seed=1), NAME, PENDULUM)
    assert (dataset.total_episodes, dataset.total_steps) == (1, 200)
    with pytest.raises(UserError, match="no episode has a step"):
        export_minari(collect(PENDULUM, 1), "pendulum/none-v0", PENDULUM)


def test_an_import_adds_to_a_folder_once(tmp_path: Path, minari: Any) -> None:
    export_minari(collect(PENDULUM, 60, seed=1), NAME, PENDULUM)
    collect(PENDULUM, 40, seed=2, out=tmp_path / "data")
    for _ in range(2):
        rollouts = import_minari(NAME, tmp_path / "data")
        assert [part.done for part in rollouts.parts] == [40, 60]
        assert list(np.unique(rollouts.columns["episode"])) == [0, 1]


def test_what_cannot_be_exported_or_imported_says_why(
    tmp_path: Path, minari: Any
) -> None:
    rollouts = collect(PENDULUM, 20)
    with pytest.raises(UserError, match=r"are of .*Pendulum.* not of .*HyperHot"):
        export_minari(rollouts, NAME, HYPERHOT)
    with pytest.raises(UserError, match="Malformed"):
        export_minari(rollouts, "not an id", PENDULUM)
    with pytest.raises(UserError, match="not found locally"):
        import_minari(NAME, tmp_path / "data")
    export_minari(rollouts, NAME, PENDULUM)
    with pytest.raises(UserError, match="already exists"):
        export_minari(rollouts, NAME, PENDULUM)
    assert not (tmp_path / "data").exists()


def test_without_minari_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    for call in (
        lambda: export_minari(collect(PENDULUM, 5), NAME, PENDULUM),
        lambda: import_minari(NAME, tmp_path / "data"),
    ):
        with pytest.raises(UserError, match=r"pip install nexus_rl\[minari\]"):
            call()


def test_ignored_entries_stay_away_there_and_back(tmp_path: Path, minari: Any) -> None:
    rollouts = collect(HYPERHOT, 50, ignore=["sound"])
    dataset = export_minari(rollouts, NAME, HYPERHOT)
    assert list(dataset.observation_space) == ["image"]
    whole = collect(HYPERHOT, 50)
    export_minari(whole, "whole/held-v0", HYPERHOT)
    back = import_minari("whole/held-v0", tmp_path / "back", ignore=["sound"])
    assert back.sensors == ("image",)
