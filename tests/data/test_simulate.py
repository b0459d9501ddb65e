"""Environments as datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from nexus_rl import UserError
from nexus_rl.data import Dataset, rollouts
from nexus_rl.data.simulate import simulate

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
HYPERHOT = "nexus_rl/HyperHot-v0"
COUNTING = "nexus_rl_tests/Counting-v0"


class Counting(gym.Env[dict[str, Any], np.int64]):
    """Episodes of five steps that tell which episode and which step it is."""

    observation_space = spaces.Dict(
        {
            "episode": spaces.Box(0, 1000, (2,), np.float32),
            "parity": spaces.Discrete(2),
        }
    )
    action_space = spaces.Discrete(2)
    episode = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self.observe(), {}

    def step(
        self, action: np.int64
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.observe(), 0.0, self.count == 5, False, {}

    def observe(self) -> dict[str, Any]:
        told = np.array([self.episode, self.count], np.float32)
        return {"episode": told, "parity": np.int64(self.count % 2)}


@pytest.fixture
def counting() -> Iterator[str]:
    gym.register(COUNTING, lambda **_: Counting())
    yield COUNTING
    del gym.registry[COUNTING]


def same(one: Dataset, other: Dataset) -> bool:
    return all(
        torch.equal(one_part[name], other_part[name])
        for one_part, other_part in ((one.train, other.train), (one.test, other.test))
        for name in one_part
    )


def test_the_modalities_are_read_off_the_space_and_can_be_changed() -> None:
    plain = simulate(PENDULUM, 60)
    image, sound = plain.modalities
    assert (image.name, image.shape, image.kind) == ("image", (2, 60, 60), "image")
    assert (sound.name, sound.shape, sound.kind) == ("sound", (12,), "vector")
    changes: dict[str, dict[str, Any]] = {
        "image": {"kind": "frames", "latent_dim": 5},
        "sound": {"weight": 7},
    }
    changed = simulate(PENDULUM, 60, sensors=changes)
    assert changed.modalities == (
        image.replace(kind="frames", latent_dim=5),
        sound.replace(weight=7),
    )
    assert same(plain, changed)
    assert plain.name == changed.name == PENDULUM.removeprefix("envs:")
    assert plain.train["image"].dtype == torch.uint8


def test_ignored_sensors_are_neither_kept_nor_described() -> None:
    whole, data = simulate(PENDULUM, 60), simulate(PENDULUM, 60, ignore=["image"])
    assert data.modalities == whole.modalities[1:]
    assert data.train.keys() == {"sound"}
    # States are sampled all the same.
    assert torch.equal(data.train["sound"], whole.train["sound"])


def test_episodes_are_on_one_side_of_the_split(counting: str) -> None:
    data = simulate(counting, 240, test_fraction=0.25)
    train, test = (
        torch.unique(part["episode"][:, 0]).tolist() for part in (data.train, data.test)
    )
    assert (len(train), len(test)) == (30, 10)
    assert not set(train) & set(test)
    for part in (data.train, data.test):  # all rows of each, still aligned
        _, counts = torch.unique(part["episode"][:, 0], return_counts=True)
        assert (counts == 6).all()
        assert torch.equal(part["episode"][:, 1] % 2, part["parity"].float())


def test_a_tenth_of_the_sampled_states_is_for_testing() -> None:
    data = simulate(PENDULUM, 200)
    # The other half is one unfinished rollout, which is not torn apart.
    assert (len(data.train["sound"]), len(data.test["sound"])) == (190, 10)


def test_the_seed_tells_what_is_simulated_and_how_it_is_split() -> None:
    first, again, other = (simulate(PENDULUM, 60, seed=seed) for seed in (4, 4, 5))
    assert same(first, again)
    assert not same(first, other)


def simulated(*_: object) -> None:
    raise AssertionError("something was simulated")


def test_kept_data_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = simulate(PENDULUM, 60, seed=2)
    kept = simulate(PENDULUM, 60, seed=2, out=tmp_path / "data")
    assert same(fresh, kept)
    before = {p.name: p.read_bytes() for p in (tmp_path / "data").iterdir()}
    for simulating in ("_play_episode", "_sample_states"):
        monkeypatch.setattr(rollouts, simulating, simulated)
    assert same(simulate(PENDULUM, 60, seed=2, out=tmp_path / "data"), kept)
    assert {p.name: p.read_bytes() for p in (tmp_path / "data").iterdir()} == before
    assert len(rollouts.load_rollouts(tmp_path / "data")) == 60
    with pytest.raises(AssertionError, match="simulated"):
        simulate(PENDULUM, 60, seed=3, out=tmp_path / "data")


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        ({"imagge": {"latent_dim": 4}}, "unknown sensor 'imagge'. Did you mean"),
        ({"image": {"latent": 4}}, "unknown modality field 'latent'"),
    ],
)
def test_unknown_changes_are_refused_before_anything_is_simulated(
    tmp_path: Path, sensors: dict[str, dict[str, int]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        simulate(PENDULUM, 60, sensors=sensors, out=tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("env", "rows", "message"),
    [
        ("Pendulum-v1", 60, "expected observations in a Dict space"),
        ("envs:nexus_rl/MultimodalPendulumm-v0", 60, "cannot make environment"),
        ("no_such_module:Thing-v0", 60, "cannot make environment"),
        (PENDULUM, 0, "expected at least one row, got 0"),
    ],
)
def test_what_cannot_be_simulated(env: str, rows: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate(env, rows)


@pytest.mark.parametrize(
    ("env", "rows", "most"),
    [
        (PENDULUM, 10, 8),  # 5 states, each by itself, and 5 rows of rollouts
        (HYPERHOT, 10, 5),  # of a reset and a step each
    ],
)
def test_too_few_rows_to_test_on_are_refused_before_simulating(
    tmp_path: Path, env: str, rows: int, most: int
) -> None:
    with pytest.raises(
        UserError, match=rf"few episodes \({most}\) to set 0.1 of .*--rows"
    ):
        simulate(env, rows, out=tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert simulate(env, rows, test_fraction=0.0).train


def test_what_only_simulating_shows_is_said_afterwards() -> None:
    with pytest.raises(UserError, match=r"few episodes \(1\) to set 0.1 of .*--rows"):
        simulate(HYPERHOT, 20)


# -- Arguments, and environments that are made -------------------------------------


def test_arguments_reach_the_environment() -> None:
    small = simulate(PENDULUM, 60, env_kwargs={"image_size": 16})
    assert small.modalities[0].shape == (2, 16, 16)
    with pytest.raises(UserError, match="Did you mean 'image_size'"):
        simulate(PENDULUM, 60, env_kwargs={"image_sice": 16})


def test_an_environment_may_be_given_and_stays_open() -> None:
    env = gym.make(PENDULUM, image_size=16)
    given = simulate(env, 60, seed=3)
    assert same(given, simulate(PENDULUM, 60, env_kwargs={"image_size": 16}, seed=3))
    env.reset()
    with pytest.raises(UserError, match="env_kwargs are for an id"):
        simulate(env, 60, env_kwargs={"image_size": 16})


def test_modalities_keep_the_formats_the_environment_declares() -> None:
    plain = simulate(PENDULUM, 60, sensors={"sound": {"weight": 7}})
    published = simulate(PENDULUM, 60, env_kwargs={"published": True})
    for one, other in zip(plain.modalities, published.modalities, strict=True):
        assert one.format.startswith("2 frames, ")
        assert one.format != other.format
    assert plain.modalities[1].weight == 7
