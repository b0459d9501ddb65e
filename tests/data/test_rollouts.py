"""What rollouts contain: truth, seeds, policies, states, splits."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_rollouts_env import Toy

from nexus_rl import Modality, UserError
from nexus_rl.data.rollouts import Rollouts, collect, gather, load_rollouts, sample

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
PENDULUM4 = "envs:nexus_rl/MultimodalPendulum4-v0"
HYPERHOT = "envs:nexus_rl/HyperHot-v0"
IMAGE = Modality("image", (2, 60, 60))
SOUND = Modality("sound", (12,))


class Seeds(gym.Wrapper[Any, Any, Any, Any]):
    """Remembers what each reset was seeded with."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, **others: Any) -> Any:
        self.seeds.append(seed)
        return super().reset(seed=seed, **others)


def same(a: Rollouts, b: Rollouts) -> bool:
    return a.columns.keys() == b.columns.keys() and all(
        column.tobytes() == b.columns[name].tobytes()
        for name, column in a.columns.items()
    )


@pytest.mark.parametrize("name", [PENDULUM, PENDULUM4, HYPERHOT])
def test_rows_are_what_the_environment_does_with_these_actions(name: str) -> None:
    env = Seeds(gym.make(name))
    rollouts = collect(env, 450, seed=3)
    columns, again, seeds = rollouts.columns, gym.make(name), iter(env.seeds[1:])
    for row in range(len(rollouts)):
        action = columns["action"][row]
        if columns["step"][row] == 0:
            observation, info = again.reset(seed=next(seeds))
            told: tuple[Any, ...] = (0.0, False, False)
            assert not action.any()
            assert (
                row == 0
                or columns["terminated"][row - 1] | (columns["truncated"][row - 1])
            )
            assert (
                row == 0 or columns["episode"][row] == columns["episode"][row - 1] + 1
            )
        else:
            observation, *told_, info = again.step(action[()])
            told = tuple(told_)
            assert columns["step"][row] == columns["step"][row - 1] + 1
        found = [columns[key][row] for key in ("reward", "terminated", "truncated")]
        assert tuple(found) == told
        for sensor, value in observation.items():
            np.testing.assert_array_equal(columns[f"observation.{sensor}"][row], value)
        np.testing.assert_array_equal(columns["state"][row], info["state"])
    assert next(seeds, None) is None
    env.close()
    again.close()


def test_the_same_seed_gives_the_same_rows_and_another_others() -> None:
    first = gather(PENDULUM, 300, seed=5)
    assert same(first, gather(PENDULUM, 300, seed=5))
    other = gather(PENDULUM, 300, seed=6)
    for name in ("observation.image", "observation.sound", "action", "state"):
        assert first.columns[name].tobytes() != other.columns[name].tobytes()


def test_more_rows_begin_with_the_rows_of_fewer() -> None:
    few, many = collect(Toy(), 40, seed=1), collect(Toy(), 90, seed=1)
    for name, column in few.columns.items():
        np.testing.assert_array_equal(column, many.columns[name][:40])


def test_the_global_generators_are_left_alone() -> None:
    def states() -> tuple[Any, ...]:
        name, keys, *others = np.random.get_state(legacy=True)
        return name, bytes(keys), others, random.getstate()  # type: ignore[arg-type]

    before, tensor = states(), torch.get_rng_state()
    gather(PENDULUM, 60).dataset((SOUND,), 0.5)
    assert states() == before
    assert torch.equal(torch.get_rng_state(), tensor)


def test_random_hold_holds_actions_and_random_does_not() -> None:
    def changes(rollouts: Rollouts) -> float:
        inside = rollouts.columns["step"][2:] > 1
        actions = rollouts.columns["action"][1:, 0]
        return float(np.mean(np.diff(actions)[inside] != 0))

    assert changes(collect(PENDULUM4, 1000, policy="random")) == 1
    # Held for 1 to 9 steps, 5 on average.
    held = changes(collect(PENDULUM4, 1000, policy="random_hold", hold=9))
    assert held == pytest.approx(1 / 5, rel=0.2)


def test_any_function_of_the_observation_is_a_policy() -> None:
    def listen(observation: Any) -> list[float]:
        return [float(observation["sound"][0]) * 2 - 1]

    columns = collect(PENDULUM, 250, policy=listen).columns
    inside = columns["step"][1:] > 0
    heard = columns["observation.sound"][:-1, 0][inside] * 2 - 1
    np.testing.assert_allclose(columns["action"][1:, 0][inside], heard, atol=1e-6)

    with pytest.raises(UserError, match="column 'action'"):
        collect(PENDULUM, 5, policy=lambda _: (np.zeros(1), None))


def test_a_sampled_state_is_the_one_its_observation_shows() -> None:
    env: Any = gym.make(PENDULUM)
    rollouts = sample(PENDULUM, 1200, seed=2)
    cos, sin, omega = rollouts.columns["state"].astype(np.float64).T
    seen = env.unwrapped.observe(np.arctan2(sin, cos), np.clip(omega, -8, 8))
    image = rollouts.columns["observation.image"].astype(int)
    assert np.abs(image - seen["image"]).max() <= 1  # the state is float32
    sound = rollouts.columns["observation.sound"]
    np.testing.assert_allclose(sound, seen["sound"], atol=1e-5)
    assert np.array_equal(rollouts.columns["episode"], np.arange(1200))
    assert not rollouts.columns["step"].any()
    env.close()


def test_the_image_of_a_rollout_shows_its_state() -> None:
    env: Any = gym.make(PENDULUM)
    rollouts = collect(PENDULUM, 300, seed=2)
    state = rollouts.state
    assert state is not None
    cos, sin, omega = state.double().numpy().T
    seen = env.unwrapped.observe(np.arctan2(sin, cos), omega)
    image = rollouts.columns["observation.image"].astype(int)
    assert np.abs(image - seen["image"]).max() <= 1
    sound = rollouts.columns["observation.sound"][:, 6:]  # the earlier one knows torque
    np.testing.assert_allclose(sound, seen["sound"][:, 6:], atol=1e-5)
    env.close()


@pytest.mark.parametrize(("name", "sampled"), [(PENDULUM4, 50), (HYPERHOT, 0)])
def test_gather_mixes_states_and_rollouts(name: str, sampled: int) -> None:
    rollouts = gather(name, 101)
    rows = {part.how["source"]: part.rows for part in rollouts.parts}
    held = {"random_hold": 101 - sampled}
    assert rows == ({"states": sampled, **held} if sampled else held)
    assert len(rollouts) == 101


def test_an_environment_without_states_to_sample_says_so() -> None:
    with pytest.raises(UserError, match="no sample_states or observe"):
        sample(HYPERHOT, 10)
    changed = gym.wrappers.TransformObservation(
        gym.make(PENDULUM),
        lambda observation: {"sound": observation["sound"]},
        gym.spaces.Dict({"sound": gym.spaces.Box(0, 1, (12,), np.float32)}),
    )
    with pytest.raises(UserError, match="wrappers change the observations"):
        sample(changed, 10)
    assert [part.how["source"] for part in gather(changed, 10).parts] == ["random_hold"]
    changed.close()


def test_no_episode_lies_on_both_sides_of_the_split() -> None:
    rollouts = gather(PENDULUM, 4000, seed=1)
    data = rollouts.dataset((IMAGE, SOUND), 0.2, seed=4)
    assert len(data.train["image"]) + len(data.test["image"]) == 4000
    assert data.train["image"].dtype == torch.uint8
    sound = rollouts.columns["observation.sound"]
    where = {row.tobytes(): index for index, row in enumerate(sound)}
    assert len(where) == 4000
    sides = []
    for part in (data.train, data.test):
        rows = [where[row.numpy().tobytes()] for row in part["sound"]]
        assert rows == sorted(rows)
        image = rollouts.columns["observation.image"][rows]
        assert np.array_equal(part["image"].numpy(), image)
        sides.append(set(rollouts.columns["episode"][rows]))
    assert not sides[0] & sides[1]
    sampled = sum(episode < 2000 for episode in sides[1])
    assert (sampled, len(sides[1]) - sampled) == (400, 2)  # of 2000 and of 10
    again = rollouts.dataset((SOUND,), 0.2, seed=4)
    assert torch.equal(again.test["sound"], data.test["sound"])
    other = rollouts.dataset((SOUND,), 0.2, seed=5)
    assert not torch.equal(other.test["sound"][:400], data.test["sound"][:400])


def test_a_dataset_that_cannot_be_made_says_why() -> None:
    rollouts = collect(PENDULUM, 20)
    assert len(rollouts.dataset((SOUND,), 0.0).test["sound"]) == 0
    with pytest.raises(UserError, match=r"too few episodes \(1\) to set 0.3 of them"):
        rollouts.dataset((SOUND,), 0.3)
    with pytest.raises(UserError, match=r"unknown sensor 'sond'.*'sound'"):
        rollouts.dataset((Modality("sond", (12,)),))
    with pytest.raises(UserError, match="expected a tensor"):
        rollouts.dataset((Modality("sound", (11,)),), 0.0)


def test_an_environment_given_as_such_stays_open(tmp_path: Path) -> None:
    env = gym.make(PENDULUM, image_size=16, render_mode="rgb_array")
    rollouts = collect(env, 10, out=tmp_path)
    assert rollouts.env["kwargs"] == {"image_size": 16}
    env.reset(seed=0)
    assert env.render() is not None
    # How it is rendered makes no other environment of it.
    plain = gym.make(PENDULUM, image_size=16)
    assert same(collect(plain, 10, out=tmp_path), load_rollouts(tmp_path))
    env.close()
    plain.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "at least one row, got 0"),
        ({"seed": -1}, "seed must not be negative"),
        ({"hold": 0}, "hold must be at least 1"),
        ({"steps": 1.5}, "rows must be an int, got 1.5"),
        ({"seed": 0.5}, "seed must be an int, got 0.5"),
        ({"hold": 2.5}, "hold must be an int, got 2.5"),
        ({"policy": "random_hld"}, "Did you mean 'random_hold'"),
        ({"env": "envs:nexus_rl/Pendulom-v0"}, "cannot make environment"),
        ({"env": "no_such_module:Pendulum-v0"}, "cannot make environment"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        collect(**{"env": PENDULUM, "steps": 5, **arguments})
