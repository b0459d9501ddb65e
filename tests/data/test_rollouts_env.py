"""A small environment of any spaces, and that every kind of it becomes rows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nexus_rl import UserError
from nexus_rl.data.rollouts import collect

IMAGE = spaces.Box(0, 255, (2, 4, 4), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,), np.float32)


class Toy(gym.Env[dict[str, Any], Any]):
    """Random observations that hold the state; ends at random after about 10 steps."""

    def __init__(
        self,
        sensors: Mapping[str, spaces.Space[Any]] | None = None,
        action_space: spaces.Space[Any] | None = None,
    ) -> None:
        sensors = {"image": IMAGE, "vector": VECTOR} if sensors is None else sensors
        self.observation_space = spaces.Dict(copy.deepcopy(dict(sensors)))
        self.action_space = copy.deepcopy(action_space or spaces.Discrete(3))
        self.log: list[tuple[Any, ...]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self._observe(None, 0.0, False, False, seed)

    def step(
        self, action: Any
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        reward = float(self.np_random.normal())
        terminated, truncated = (bool(x) for x in self.np_random.random(2) < 0.05)
        observation, info = self._observe(action, reward, terminated, truncated, None)
        return observation, reward, terminated, truncated, info

    def _observe(self, *told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        observation = self.observation_space.sample()
        info = {"state": self.np_random.normal(size=2)}
        self.log.append(copy.deepcopy((observation, info, *told)))
        return observation, info


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def arrays() -> st.SearchStrategy[spaces.Space[Any]]:
    """Spaces whose elements are arrays."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    floats = st.sampled_from([np.float16, np.float32, np.float64])
    integers = st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.int64])
    boxes = st.builds(
        lambda shape, dtype: spaces.Box(0, 100, shape, dtype), shapes, floats | integers
    )
    sizes = st.integers(1, 5)
    return (
        boxes
        | st.builds(spaces.Discrete, sizes)
        | st.builds(spaces.MultiBinary, sizes)
        | st.builds(spaces.MultiDiscrete, st.lists(sizes, min_size=1, max_size=3))
    )


NAMES = st.from_regex(r"[a-z][a-z_0-9]{0,6}", fullmatch=True) | st.sampled_from(
    ["state", "action", "step", "größe", "robot.arm", "front-camera", "left eye"]
)


@settings(deadline=None, max_examples=15)
@given(
    sensors=st.dictionaries(NAMES, arrays(), min_size=1, max_size=4),
    action_space=arrays(),
    seed=st.integers(0, 2**70),
)
def test_any_arrays_come_back_as_the_environment_gave_them(
    tmp_path_factory: pytest.TempPathFactory,
    sensors: dict[str, spaces.Space[Any]],
    action_space: spaces.Space[Any],
    seed: int,
) -> None:
    env = Toy(sensors, action_space)
    out = tmp_path_factory.mktemp("any") / "rollouts"
    rollouts = collect(env, 25, policy="random", seed=seed, out=out)
    assert len(rollouts) == 25
    assert set(rollouts.sensors) == set(sensors)
    told = env.log[1:]  # the first reset asks for the state only
    assert len(told) == 25
    columns = rollouts.columns
    for row, (observation, info, action, reward, terminated, truncated, _) in enumerate(
        told
    ):
        for name, value in observation.items():
            column = columns[f"observation.{name}"]
            assert column.dtype == np.asarray(value).dtype
            np.testing.assert_array_equal(column[row], value)
        np.testing.assert_array_equal(columns["state"][row], info["state"])
        expected = np.zeros_like(columns["action"][row]) if action is None else action
        np.testing.assert_array_equal(columns["action"][row], expected)
        assert columns["reward"][row] == reward
        assert columns["terminated"][row] == terminated
        assert columns["truncated"][row] == truncated
    tensors = rollouts.observations()
    for name in sensors:
        stored = columns[f"observation.{name}"]
        np.testing.assert_array_equal(tensors[name].numpy(), stored)


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        ({"image": IMAGE, "available": VECTOR}, "inside SensorDropout"),
        ({"image": spaces.Dict({"a": VECTOR})}, "'image' is a Dict.* make one a Box"),
        (
            {"text": spaces.Text(5), "vector": VECTOR},
            r"is a Text.*ignore=\['text'\]",
        ),
        ({"a/b": VECTOR}, "'a/b': its name"),
        ({"Sound": VECTOR, "sound": VECTOR}, "distinct names"),
    ],
)
def test_spaces_that_are_no_sensors_are_refused(
    tmp_path: Path, sensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        collect(Toy(sensors), 5, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_observations_without_sensors_and_composed_actions_are_refused() -> None:
    with pytest.raises(UserError, match="one key a sensor"):
        collect("CartPole-v1", 5)
    with pytest.raises(UserError, match="'action' must be"):
        collect(Toy(action_space=spaces.Tuple([spaces.Discrete(2)])), 5)


def test_rows_leave_out_what_is_ignored_but_policies_see_it() -> None:
    env = Toy({"image": IMAGE, "text": spaces.Text(5, min_length=1), "vector": VECTOR})
    texts: list[str] = []

    def policy(observation: Any) -> Any:
        texts.append(observation["text"])
        return 0

    rollouts = collect(env, 9, policy=policy, ignore=["text"])
    assert rollouts.sensors == ("image", "vector") and len(texts) > 5
    np.testing.assert_array_equal(
        rollouts.columns["observation.vector"],
        [observation["vector"] for observation, *_ in env.log[1:]],
    )
    for ignore in (["txt"], ["text", "image", "vector"]):
        with pytest.raises(UserError, match=r"'txt'|nothing is left"):
            collect(env, 5, ignore=ignore)


class Liar(Toy):
    """After a while one sensor gives something else than its space says."""

    def __init__(self, sensor: str, value: Any) -> None:
        super().__init__()
        self.lie = {sensor: value}

    def _observe(self, *told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = super()._observe(*told)
        return {**observation, **(self.lie if len(self.log) > 7 else {})}, info


@pytest.mark.parametrize(
    ("sensor", "value"),
    [
        ("vector", np.zeros(4, np.float32)),
        ("image", np.zeros((2, 4, 4))),
        ("image", [[0], [0, 1]]),
        ("image", None),
    ],
)
def test_an_environment_that_breaks_its_word_is_refused(
    sensor: str, value: Any
) -> None:
    with pytest.raises(UserError, match=f"column 'observation.{sensor}': expected"):
        collect(Liar(sensor, value), 20)


def test_a_state_that_is_no_array_is_not_kept() -> None:
    class Odd(Toy):
        def _observe(self, *told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            return super()._observe(*told)[0], {"state": [[1], [2, 3]]}

    rollouts = collect(Odd(), 5)
    assert rollouts.state is None
    assert "state" not in rollouts.columns


class Reusing(Toy):
    """Gives the same arrays every time, with other numbers in them."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.state = np.zeros((2, 4, 4), np.uint8), np.zeros(2)

    def _observe(self, *told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = super()._observe(*told)
        self.image[:], self.state[:] = observation["image"], info["state"]
        return {**observation, "image": self.image}, {"state": self.state}


def test_arrays_that_the_environment_writes_to_again_are_copied() -> None:
    env = Reusing()
    columns = collect(env, 30).columns
    for row, (observation, info, *_) in enumerate(env.log[1:]):
        np.testing.assert_array_equal(
            columns["observation.image"][row], observation["image"]
        )
        np.testing.assert_array_equal(columns["state"][row], info["state"])
