"""Dropout refuses what cannot work, when it is made."""

import gymnasium as gym
import numpy as np
import pytest
from dropout_world import Toy, make_toy
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from nexus_rl import SensorDropout, UserError
from nexus_rl.wrappers import Markov, VecSensorDropout, VectorSensorDropout

UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,))
WIDE = spaces.Box(-1.7e308, 1.7e308, (2,), np.float64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SensorDropout(Toy(), fill="mean"), "unknown fill 'mean'"),
        (lambda: SensorDropout(Toy(), min_available=4), r"lie in \[0, 3\]"),
        (lambda: SensorDropout(Toy(), min_available=-1), "min_available"),
        (lambda: SensorDropout(Toy(), min_available=1.5), "must be an integer"),
        (lambda: SensorDropout(Toy(), stack=1.5), "must be an integer"),
        (lambda: SensorDropout(Toy(), sensors=[], min_available=0), "no sensors"),
        (lambda: SensorDropout(Toy(), sensors=["imago"]), "mean 'image'"),
        (lambda: SensorDropout(Toy(), stack={"imago": 2}), "mean 'image'"),
        (lambda: SensorDropout(Toy(), stack=0), "at least 1"),
        (lambda: SensorDropout(Toy(), {"image": 0.5}), "expected a Schedule"),
        (lambda: SensorDropout(Toy(), 0.5), "expected a Schedule"),
        (lambda: SensorDropout(Toy(), [Markov]), "expected a Schedule"),
        (lambda: SensorDropout(gym.make("CartPole-v1")), "must be a Dict"),
        (
            lambda: SensorDropout(make_toy({"label": spaces.Discrete(3)})),
            "'label' must be a Box",
        ),
        (
            lambda: SensorDropout(make_toy({"speed": UNBOUNDED}), fill="noise"),
            "no finite bounds",
        ),
        (
            lambda: SensorDropout(make_toy({"speed": WIDE}), fill="noise"),
            "no finite bounds",
        ),
    ],
)
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_misspelt_option_is_not_ignored():
    with pytest.raises(TypeError, match="min_availible"):
        SensorDropout(Toy(), min_availible=0)


def test_refused_environments_stay_open():
    envs = gym.vector.SyncVectorEnv([Toy])
    with pytest.raises(UserError, match="unknown fill"):
        VectorSensorDropout(envs, fill="mean")
    assert not envs.closed


@pytest.mark.parametrize("make", [Toy, lambda: gym.vector.SyncVectorEnv([Toy])])
def test_the_wrapper_for_sb3_names_those_for_others(make):
    with pytest.raises(UserError, match=r"expected a VecEnv .*VectorSensorDropout"):
        VecSensorDropout(make())
    with pytest.raises(UserError, match="unknown fill"):
        VecSensorDropout(make_vec_env(Toy), fill="mean")
