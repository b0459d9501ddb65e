"""Corruption under dropout: sensors that are wrong, missing, or say so themselves."""

import numpy as np
from dropout_world import SENSORS, Toy, readings, rollout

from nexus_rl.wrappers import (
    Bernoulli,
    Fixed,
    Frozen,
    SensorCorruption,
    SensorDropout,
    Window,
)


def test_an_announced_corruption_is_missing_to_dropout():
    env = SensorCorruption(Toy(), {"touch": Frozen()}, Window(2, 2), announced=True)
    env = SensorDropout(env, Window(1, 2, "sound"))
    assert env.observation_space == env.env.observation_space
    steps = rollout(env, 0, [0] * 4)
    assert readings(steps, "available").tolist() == [
        [1, 1, 1],
        [1, 0, 1],
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
    ]
    assert steps[2][1]["available"] == {"image": True, "sound": False, "touch": False}
    assert steps[2][1]["corrupted"] == {"touch": True}
    assert readings(steps, "touch")[2].tolist() == [-7, -7]  # hidden like any other


def test_sensors_that_are_corrupted_are_not_restored():
    env = SensorCorruption(Toy(), {"touch": Frozen()}, Window(1, 9), announced=True)
    for least, left in ((0, 0), (1, 1), (2, 2), (3, 2)):
        dropping = SensorDropout(env, Window(1, 9), min_available=least)
        shown = readings(rollout(dropping, 0, [0] * 5), "available")
        assert np.all(shown[1:].sum(1) == left)
        assert not shown[1:, 2].any()
    only = SensorDropout(env, Window(1, 9, ["image", "sound"]), min_available=1)
    shown = readings(rollout(only, 0, [0] * 5), "available")
    assert np.all(shown[1:].sum(1) == 1)


def test_a_stack_is_fresh_again_some_steps_after_an_announced_corruption():
    env = SensorCorruption(Toy(), {"touch": Frozen()}, Window(1, 2), announced=True)
    env = SensorDropout(env, Fixed(SENSORS), stack={"touch": 3})
    shown = readings(rollout(env, 0, [0] * 6), "available")
    assert shown[:, 2].tolist() == [1, 0, 0, 0, 0, 1, 1]


def test_announced_corruptions_join():
    env = SensorCorruption(Toy(), {"touch": Frozen()}, Window(1, 1), announced=True)
    env = SensorCorruption(env, {"image": Frozen()}, Window(2, 1), announced=True)
    steps = rollout(env, 0, [0] * 3)
    assert readings(steps, "available").tolist() == [
        [1, 1, 1],
        [1, 1, 0],
        [0, 1, 1],
        [1, 1, 1],
    ]


def test_unannounced_corruption_hides_behind_dropout():
    env = SensorCorruption(Toy(), {"touch": Frozen()})
    env = SensorDropout(env, Window(1, 2, "touch"))
    steps = rollout(env, 0, [0] * 4)
    assert readings(steps, "available")[:, 2].tolist() == [1, 0, 0, 1, 1]
    assert readings(steps, "touch")[1].tolist() == [-7, -7]
    assert all(info["corrupted"]["touch"] for _, info in steps)


def test_corruption_and_dropout_draw_independently():
    env = SensorCorruption(Toy(), dict.fromkeys(SENSORS, Frozen()), Bernoulli(0.5))
    env = SensorDropout(env, Bernoulli(0.5), min_available=0)
    infos = [info for _, info in rollout(env, 0, [0] * 400)]
    wrong = np.array([[*info["corrupted"].values()] for info in infos])
    there = np.array([[*info["available"].values()] for info in infos])
    assert abs(np.corrcoef(wrong.ravel(), there.ravel())[0, 1]) < 0.1
