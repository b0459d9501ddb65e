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
    for name in ("not an id", "no an id-v0", "pendulum/no-version"):
        with pytest.raises(UserError, match=name):
            export_minari(rollouts, name, PENDULUM)
    for name in (NAME, "pendulum/no-version", "not an id"):
        with pytest.raises(UserError, match=f"'{name}'"):
            import_minari(name, tmp_path / "data")
    export_minari(rollouts, NAME, PENDULUM)
    with pytest.raises(UserError, match="already exists"):
        export_minari(rollouts, NAME, PENDULUM)
    assert not (tmp_path / "data").exists()


def first_episode(minari: Any, name: str = NAME) -> Any:
    """The first episode of a data set, open for changes: an HDF5 group."""
    import h5py

    path = minari.load_dataset(name).spec.data_path
    return h5py.File(Path(path) / "main_data.hdf5", "a")["episode_0"]


def shortened(group: Any, entry: str) -> None:
    """Without the last row."""
    group[entry].resize(len(group[entry]) - 1, axis=0)


def replaced(group: Any, entry: str, value: Any) -> None:
    del group[entry]
    group[entry] = value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: shortened(g, "observations/sound"), r"'sound'\] has 20 rows.* 21"),
        (lambda g: shortened(g, "actions"), "actions has 19 rows, expected 20"),
        (lambda g: shortened(g, "terminations"), "terminations has 19 rows"),
        (lambda g: shortened(g, "infos/state"), r"infos\['state'\] has 20 rows"),
        (lambda g: g["observations"].pop("sound"), r"'sound'\] is missing"),
        (lambda g: g.pop("rewards"), "cannot be read"),
        (
            lambda g: g["observations"].create_dataset("smell", data=np.zeros(21)),
            "cannot be read .*smell",
        ),
        (
            lambda g: replaced(g, "observations/image", np.zeros((21, 2, 60, 60))),
            r"'image'\] .*of uint8 .* of float64",
        ),
        (
            lambda g: replaced(g, "observations/sound", np.zeros((21, 3), np.float32)),
            r"'sound'\] .*\(21, 12\).*got \(21, 3\)",
        ),
    ],
)
def test_an_episode_that_does_not_fit_is_named_and_nothing_is_written(
    tmp_path: Path, minari: Any, change: Any, said: str
) -> None:
    export_minari(collect(PENDULUM, 21, seed=1), NAME, PENDULUM)
    group = first_episode(minari)
    change(group)
    group.file.close()
    with pytest.raises(UserError, match=rf"'{NAME}', episode 0.*{said}"):
        import_minari(NAME, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_episode_without_steps_is_its_first_observation(
    tmp_path: Path, minari: Any
) -> None:
    export_minari(collect(PENDULUM, 21, seed=1), NAME, PENDULUM)
    group = first_episode(minari)
    for entry in ("actions", "rewards", "terminations", "truncations"):
        group[entry].resize(0, axis=0)
    for entry in ("observations/image", "observations/sound", "infos/state"):
        group[entry].resize(1, axis=0)
    sound = group["observations/sound"][0]
    group.file.close()
    rollouts = import_minari(NAME, tmp_path / "data")
    assert len(rollouts) == 1
    np.testing.assert_array_equal(rollouts.columns["observation.sound"], [sound])
    np.testing.assert_array_equal(rollouts.columns["action"], [[0.0]])


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
