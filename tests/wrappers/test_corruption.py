"""SensorCorruption: closed forms, bounds, and who is told."""

import doctest

import gymnasium as gym
import numpy as np
import pytest
from dropout_world import SENSORS, Toy, make_toy, readings, rollout, schedules
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.wrappers import TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from nexus_rl.errors import UserError
from nexus_rl.wrappers import (
    Bernoulli,
    Delay,
    Drift,
    Fixed,
    Frozen,
    Gaussian,
    Lie,
    Markov,
    Occlusion,
    SensorCorruption,
    SensorDropout,
    Window,
    corruption,
)

kinds = st.one_of(
    st.builds(Gaussian, st.floats(0, 10)),
    st.builds(Drift, st.floats(-2, 2)),
    st.builds(Delay, st.integers(1, 5)),
    st.builds(Lie, st.integers(2, 9)),
    st.just(Frozen()),
)
pictures = kinds | st.builds(Occlusion, st.floats(0, 1))


def shown_and_true(corruptions, schedule=None, seed=3, steps=10, **options):
    """Readings (T, ...) of each sensor with and without corruption."""
    if schedule is not None:
        options["schedule"] = schedule
    env = SensorCorruption(Toy(), corruptions, **options)
    pair = [rollout(each, seed, [0] * steps) for each in (env, Toy())]
    return [{name: readings(run, name) for name in SENSORS} for run in pair]


@settings(max_examples=120, deadline=None)
@given(
    st.builds(dict, image=pictures, sound=kinds) | st.builds(dict, touch=kinds),
    schedules,
    st.booleans(),
    st.integers(0, 2**31),
)
def test_readings_fit_their_space_and_the_truth_is_told(
    corruptions, schedule, announced, seed
):
    size = len(corruptions)
    try:
        env = SensorCorruption(Toy(), corruptions, schedule, announced)
    except UserError:  # the schedule names sensors that are not corrupted
        schedule = Bernoulli(0.5)
        env = SensorCorruption(Toy(), corruptions, schedule, announced)
    steps = rollout(env, seed, [0] * 20)
    for (shown, info), (true, _) in zip(
        steps, rollout(Toy(), seed, [0] * 20), strict=True
    ):
        assert shown in env.observation_space
        assert len(info["corrupted"]) == size
        for name in SENSORS:
            wrong = info["corrupted"].get(name, False)
            assert wrong or np.array_equal(shown[name], true[name])
            if announced:
                assert shown["available"][SENSORS.index(name)] == 1 - wrong
                assert info["available"][name] is not wrong
    assert announced or "available" not in steps[0][0]


def test_gaussian_has_its_scale():
    shown, true = shown_and_true({"image": Gaussian(0.02)}, steps=300)
    error = shown["image"].astype(float) - true["image"]
    inside = np.abs(true["image"].astype(float) - 127.5) < 100  # far from clipping
    assert error[inside].std() == pytest.approx(0.02 * 255, rel=0.05)
    assert error[inside].mean() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("bound", [np.inf, np.finfo(np.float32).max, 1e35])
def test_gaussian_takes_unbounded_entries_as_they_are(bound):
    class Walk(gym.Env):
        action_space = spaces.Discrete(2)
        observation_space = spaces.Dict({"speed": spaces.Box(-bound, bound, (500,))})

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return {"speed": np.zeros(500, np.float32)}, {}

    shown, _ = SensorCorruption(Walk(), {"speed": Gaussian(3.0)}).reset(seed=0)
    assert shown["speed"].std() == pytest.approx(3, rel=0.1)
    assert shown["speed"].dtype == np.float32


def test_drift_grows_and_starts_again():
    shown, true = shown_and_true(
        {"sound": Drift(0.1)}, [Window(2, 3), Window(7, 2)], steps=9
    )
    offset = 0.15 * np.array([0, 0, 1, 2, 3, 0, 0, 1, 2, 0])[:, None]
    expected = np.clip(true["sound"] + offset, 0.5, 2.0)
    assert shown["sound"] == pytest.approx(expected, abs=1e-6)
    shown, true = shown_and_true({"touch": Drift(-0.01)}, steps=4)
    offset = np.rint(-2.93 * np.arange(1, 6))[:, None]
    assert np.array_equal(shown["touch"], np.maximum(true["touch"] + offset, -300))


def test_frozen_repeats_the_last_sound_reading():
    shown, true = shown_and_true({"image": Frozen()}, Window(3, 4))
    index = [0, 1, 2, 2, 2, 2, 2, 7, 8, 9, 10]
    assert np.array_equal(shown["image"], true["image"][index])
    shown, true = shown_and_true({"image": Frozen()})
    assert np.array_equal(shown["image"], true["image"][[0] * 11])


def test_delay_shows_the_past_of_the_episode():
    shown, true = shown_and_true({"sound": Delay(3)}, steps=16)
    index = [0, 0, 0, *range(10), 13, 13, 13, 13, 14]  # an episode begins with 13
    assert np.array_equal(shown["sound"], true["sound"][index])


def test_lie_draws_evenly_from_what_it_remembers():
    ages = []
    for seed in range(200):
        shown, true = shown_and_true({"touch": Lie(memory=5)}, seed=seed)
        for step in range(4, 11):
            matches = np.all(true["touch"][: step + 1] == shown["touch"][step], axis=1)
            ages.append(step - np.flatnonzero(matches)[-1])
        assert np.array_equal(shown["touch"][0], true["touch"][0])
    counts = np.bincount(ages, minlength=5)
    assert counts[1:] == pytest.approx([350] * 4, abs=70)
    assert counts[0] == 0
    assert len(counts) == 5


@pytest.mark.parametrize("shape", [(2, 10, 20), (10, 20, 3), (10, 20)])
@pytest.mark.parametrize(("area", "covered"), [(0, 0), (0.25, 50), (1, 200)])
def test_occlusion_covers_its_area(shape, area, covered):
    toy = make_toy({"image": spaces.Box(0, 255, shape, np.uint8)})
    toy._observe = lambda: {"image": np.full(shape, 9, np.uint8)}
    env = SensorCorruption(toy, {"image": Occlusion(area)}, Window(1, 5))
    images = [observation["image"] for observation, _ in rollout(env, 0, [0] * 7)]
    hidden = np.array(images) == 0
    channels = np.prod(shape) / 200
    assert hidden.sum(axis=tuple(range(1, hidden.ndim))).tolist() == [
        count * covered * channels for count in (0, 1, 1, 1, 1, 1, 0, 0)
    ]
    assert np.array_equal(images[1], images[5])  # it stays in place


def test_the_patch_moves_from_fault_to_fault():
    shown, _ = shown_and_true({"image": Occlusion(0.25)}, Window(1, 2), steps=400)
    places = {image[0].tobytes() for image in shown["image"] == 0}
    assert len(places) > 6  # of nine, and the one without


def test_arrays_of_the_environment_are_left_alone():
    toy = Toy()
    env = SensorCorruption(toy, {"image": Occlusion(1.0), "sound": Gaussian(9.0)})
    env.reset(seed=0)
    assert toy._arrays["image"].all()
    assert np.array_equal(toy._arrays["sound"], Toy().reset(seed=0)[0]["sound"])


def test_a_schedule_of_nothing_changes_nothing():
    shown, true = shown_and_true({"image": Gaussian(1.0)}, Fixed(["image"]))
    assert np.array_equal(shown["image"], true["image"])


def test_same_seed_same_corruption_whatever_the_policy():
    runs = []
    for action in (0, 1):
        env = SensorCorruption(Toy(), {"touch": Lie()}, Markov(0.3, 0.3))
        env.reset(seed=9)
        episodes = []
        for _ in range(3):
            flags, ended = [env.reset()[1]["corrupted"]], False
            while not ended:
                _, _, ended, _, info = env.step(action)
                flags.append(info["corrupted"])
            episodes.append(flags)
        runs.append(episodes)
    for slow, fast in zip(*runs, strict=True):
        assert slow[: len(fast)] == fast


def test_a_spec_rebuilds_the_same_environment():
    env = gym.make("nexus_rl_tests/Toy-v0")
    kinds = {"image": Occlusion(0.3), "touch": Lie(4)}
    env = SensorCorruption(env, kinds, Markov(0.3, 0.3), announced=True)
    twin = gym.make(env.spec)
    assert twin.observation_space == env.observation_space
    runs = [rollout(each, 3, [0, 1] * 20) for each in (env, twin)]
    assert data_equivalence(*runs)


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_checkers_pass():
    env = gym.make("envs:nexus_rl/MultimodalPendulum-v0", disable_env_checker=True)
    kinds = {"image": Gaussian(0.1), "sound": Delay(2)}
    env = SensorCorruption(env, kinds, announced=True)
    check_env(env, skip_render_check=True)
    sb3_check_env(env)


def test_examples_run():
    results = doctest.testmod(corruption)
    assert results.attempted > 4
    assert results.failed == 0


def bare_mask():
    return make_toy(
        {
            "image": spaces.Box(0, 255, (2, 4, 4), np.uint8),
            "available": spaces.Box(0, 1, (2,), np.float32),
        }
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SensorCorruption(Toy(), {"imago": Frozen()}), "mean 'image'"),
        (lambda: SensorCorruption(Toy(), {"image": 0.1}), "expected a Corruption"),
        (lambda: SensorCorruption(Toy(), Gaussian(0.1)), "must be a dict by sensor"),
        (lambda: SensorCorruption(Toy(), {}), "no sensors"),
        (lambda: SensorCorruption(Toy(), {"sound": Occlusion(0.5)}), "covers images"),
        (
            lambda: SensorCorruption(Toy(), {"image": Frozen()}, Window(0, 1, "sound")),
            "unknown sensor 'sound'",
        ),
        (
            lambda: SensorCorruption(bare_mask(), {"image": Frozen()}, announced=True),
            r"shape \(2,\), but 1 sensors",
        ),
        (
            lambda: SensorCorruption(
                TimeLimit(SensorDropout(Toy()), 9), {"touch": Frozen()}
            ),
            "SensorDropout around SensorCorruption",
        ),
        (lambda: Occlusion(1.5), r"\[0, 1\]"),
        (lambda: Delay(0), "at least 1"),
        (lambda: Lie(1), "at least 2"),
    ],
)
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(UserError, match=message):
        make()
