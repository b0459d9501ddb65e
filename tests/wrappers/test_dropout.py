"""SensorDropout: what is shown, what is hidden, and that it says so truthfully."""

import copy
import doctest
import subprocess
import sys
from importlib import import_module

import gymnasium as gym
import numpy as np
import pytest
from dropout_world import (
    FILLS,
    SENSORS,
    Toy,
    masks,
    one_episode,
    rollout,
    schedules,
    stacks,
)
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from nexus_rl.wrappers import (
    Bernoulli,
    Fixed,
    Markov,
    Scripted,
    SensorDropout,
    Window,
)


@settings(max_examples=150, deadline=None)
@given(
    schedules,
    st.sampled_from(FILLS),
    st.integers(0, 3),
    stacks,
    st.integers(0, 2**31),
    st.lists(st.integers(0, 1), min_size=8, max_size=30),
)
def test_observations_fit_their_space_and_the_mask_is_true(
    schedule, fill, least, stack, seed, actions
):
    env = SensorDropout(Toy(), schedule, fill, min_available=least, stack=stack)
    steps = rollout(env, seed, actions)
    twins = rollout(Toy(), seed, actions)
    for (shown, info), (true, _) in zip(steps, twins, strict=True):
        assert shown in env.observation_space
        assert all(np.isfinite(array).all() for array in shown.values())
        assert shown["available"].sum() >= least
        for name, flag in zip(env.sensors, shown["available"], strict=True):
            assert info["available"][name] is bool(flag)
            if flag:
                assert np.array_equal(shown[name], true[name])
            elif fill == "zero":
                nearest = {"image": 0, "sound": 0.5, "touch": -7}[name]
                assert np.all(shown[name] == nearest)


@settings(max_examples=60, deadline=None)
@given(
    schedules.filter(lambda schedule: "Curriculum" not in repr(schedule)),
    st.integers(0, 2**31),
    st.integers(0, 3),
    stacks,
)
def test_same_seed_same_outages_whatever_the_policy(schedule, seed, least, stack):
    def episodes(action, fill):
        env = SensorDropout(Toy(), schedule, fill, min_available=least, stack=stack)
        env.reset(seed=seed)
        return [one_episode(env, action) for _ in range(3)]

    for slow, fast in zip(episodes(0, "zero"), episodes(1, "noise"), strict=True):
        assert len(slow) > len(fast)
        assert np.array_equal(slow[: len(fast)], fast)


def test_another_seed_gives_other_outages():
    env = SensorDropout(Toy(), Bernoulli(0.5))
    one, two = (masks(rollout(env, seed, [0] * 40)) for seed in (1, 2))
    assert not np.array_equal(one, two)


def test_unseeded_episodes_differ_from_each_other():
    env = SensorDropout(Toy(), Bernoulli(0.5))
    env.reset(seed=0)
    assert not np.array_equal(one_episode(env, 0), one_episode(env, 0))


def test_dropout_of_dropout_is_missing_in_either():
    env = SensorDropout(Toy(), Window(1, 2, "image"))
    env = SensorDropout(env, Window(2, 2, "touch"))
    expected = [[1, 1, 1], [0, 1, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1]]
    assert masks(rollout(env, 0, [0] * 4)).tolist() == expected


def test_the_first_reset_needs_no_seed():
    env = SensorDropout(Toy())
    assert env.reset()[0] in env.observation_space


def test_a_copied_environment_goes_on_like_the_original():
    env = SensorDropout(Toy(), Markov(0.3, 0.3), fill="noise")
    env.reset(seed=0)
    twin = copy.deepcopy(env)
    for _ in range(8):
        assert data_equivalence(env.step(0), twin.step(0))


@pytest.mark.parametrize("least", [0, 1, 2, 3])
def test_min_available_is_kept_without_favourites(least):
    env = SensorDropout(Toy(), Bernoulli(0.9), min_available=least)
    shown = np.concatenate([masks(rollout(env, seed, [0] * 24)) for seed in range(150)])
    assert shown.sum(1).min() == least
    rates = shown.mean(0)
    assert rates == pytest.approx([rates.mean()] * 3, abs=0.03)


def test_min_available_keeps_one_sensor_through_a_shortage():
    env = SensorDropout(Toy(), Window(2, 5), stack={"touch": 3})
    firsts = []
    for seed in range(300):
        shown = masks(rollout(env, seed, [0] * 10))
        assert np.all(shown[:2] == 1)
        assert np.all(shown[2:7] == shown[2])
        assert shown[2].sum() == 1
        firsts.append(shown[2].argmax())
    assert np.bincount(firsts) == pytest.approx([100] * 3, abs=30)


def test_a_whole_stack_must_be_fresh():
    script = np.array(
        [
            # image, sound, touch
            [1, 0, 1],
            [0, 1, 1],
            [1, 1, 0],
            [1, 1, 1],
            [1, 0, 1],
            [0, 1, 1],
            [1, 1, 1],
            [1, 1, 1],
        ]
    )
    env = SensorDropout(
        Toy(), Scripted(script), min_available=0, stack={"image": 3, "sound": 2}
    )
    expected = [
        [1, 0, 1],  # a reset fills the stack, unless the sensor is missing there
        [0, 0, 1],
        [0, 1, 0],
        [0, 1, 1],
        [1, 0, 1],
        [0, 0, 1],
        [0, 1, 1],
        [0, 1, 1],
    ]
    assert masks(rollout(env, 0, [0] * 7)).tolist() == expected
    for_all = SensorDropout(Toy(), Scripted(script), min_available=0, stack=2)
    expected = [[1, 0, 1], [0, 0, 1], [0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert masks(rollout(for_all, 0, [0] * 5)).tolist() == expected


def test_hold_repeats_the_last_available_reading_of_the_episode():
    script = Scripted(np.array([[0, 1, 1], [1, 1, 0], [0, 1, 0], [0, 1, 1]]))
    env = SensorDropout(Toy(), script, fill="hold")
    shown = [observation for observation, _ in rollout(env, 5, [1] * 6)]
    true = [observation for observation, _ in rollout(Toy(), 5, [1] * 6)]
    assert not shown[0]["image"].any()
    for step in (1, 2, 3):
        assert np.array_equal(shown[step]["image"], true[1]["image"])
    for step in (1, 2):
        assert np.array_equal(shown[step]["touch"], true[0]["touch"])
    assert np.array_equal(shown[3]["touch"], true[3]["touch"])
    assert not shown[7]["image"].any()  # nothing is held across a reset
    shown = env.reset()[0]
    env.step(0)
    held = env.step(0)[0]["image"]
    before = held.copy()
    held[:] = 0  # what the caller does to an observation stays with the caller
    assert np.array_equal(env.step(0)[0]["image"], before)


def test_noise_is_uniform_inside_the_bounds():
    env = SensorDropout(Toy(), Fixed(()), fill="noise", min_available=0)
    shown = [observation for observation, _ in rollout(env, 0, [0] * 700)]
    image = np.stack([observation["image"] for observation in shown])
    assert (image.min(), image.max()) == (0, 255)
    assert image.mean() == pytest.approx(127.5, abs=3)
    sound = np.stack([observation["sound"] for observation in shown])
    assert sound.mean() == pytest.approx(1.25, abs=0.03)
    assert len(np.unique(sound)) > 2_000


def test_the_arrays_of_the_environment_are_left_alone():
    toy = Toy()
    env = SensorDropout(toy, Fixed(()), min_available=0)
    env.reset(seed=0)
    assert toy._arrays["image"].any()
    assert toy._arrays["sound"].min() > 0.5


def test_only_named_sensors_are_columns():
    env = SensorDropout(Toy(), Fixed(()), sensors=["touch", "image"], min_available=0)
    assert env.sensors == ("image", "touch")  # the order of the observation space
    shown, info = env.reset(seed=0)
    assert shown["available"].tolist() == [0, 0]
    assert info["available"] == {"image": False, "touch": False}
    assert np.array_equal(shown["sound"], Toy().reset(seed=0)[0]["sound"])
    assert SensorDropout(Toy(), sensors="touch").sensors == ("touch",)


def test_keys_keep_the_order_of_the_environment():
    toy = Toy()
    pairs = [*toy.observation_space.items()][::-1]
    toy.observation_space = spaces.Dict(pairs)
    env = SensorDropout(toy)
    assert env.sensors == SENSORS[::-1]
    assert [*env.observation_space] == [*SENSORS[::-1], "available"]


def test_a_spec_rebuilds_the_same_environment():
    env = gym.make("nexus_rl_tests/Toy-v0")
    env = SensorDropout(
        env,
        Markov(0.3, 0.2),
        "hold",
        min_available=0,
        sensors=["image", "touch"],
        stack=2,
    )
    twin = gym.make(env.spec)
    assert twin.observation_space == env.observation_space
    runs = [rollout(each, 3, [0, 1] * 20) for each in (env, twin)]
    assert data_equivalence(*runs)
    assert 0 < masks(runs[0]).mean() < 1


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("fill", FILLS)
def test_checkers_pass(fill):
    env = gym.make("envs:nexus_rl/MultimodalPendulum-v0", disable_env_checker=True)
    env = SensorDropout(env, fill=fill, stack=2)
    check_env(env, skip_render_check=True)
    sb3_check_env(env)


@pytest.mark.parametrize("name", ["dropout", "vector_dropout", "sb3_dropout"])
def test_examples_run(name):
    results = doctest.testmod(import_module(f"nexus_rl.wrappers.{name}"))
    assert results.attempted > 4
    assert results.failed == 0


def test_importing_the_wrappers_is_light():
    code = (
        "import sys, nexus_rl.wrappers; "
        "print({'torch', 'stable_baselines3', 'envs', 'agents'} & {*sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"
