"""A small world of three sensors, and strategies that make its sensors fail."""

import copy

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

from nexus_rl.wrappers import (
    Bernoulli,
    CommonCause,
    Curriculum,
    Fixed,
    Markov,
    PerEpisode,
    Periodic,
    Scripted,
    Window,
)

SENSORS = ("image", "sound", "touch")
FILLS = ("zero", "hold", "noise")


class Toy(gym.Env):
    """Three sensors of a random walk, in arrays that are used again every step.

    The action decides how long an episode lasts. Zero lies outside the sound's range.
    """

    def __init__(self):
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (2, 4, 4), np.uint8),
                "sound": spaces.Box(0.5, 2.0, (3,), np.float32),
                "touch": spaces.Box(-300, -7, (2,), np.int16),
            }
        )
        self._arrays = {
            name: np.zeros(box.shape, box.dtype)
            for name, box in self.observation_space.items()
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._patience = 12
        return self._observe(), {}

    def step(self, action):
        self._patience -= 1 + int(action)
        return self._observe(), 1.0, self._patience <= 0, False, {}

    def _observe(self):
        draw = self.np_random
        self._arrays["image"][:] = draw.integers(1, 256, (2, 4, 4))
        self._arrays["sound"][:] = draw.uniform(0.6, 2.0, 3)
        self._arrays["touch"][:] = draw.integers(-299, -7, 2)
        return dict(self._arrays)


# The checker objects to arrays that are used again, which is their point here.
gym.register("nexus_rl_tests/Toy-v0", "dropout_world:Toy", disable_env_checker=True)

probability = st.floats(0, 1)
a_probability = probability | st.dictionaries(st.sampled_from(SENSORS), probability)
group = st.none() | st.lists(st.sampled_from(SENSORS), unique=True)
count = st.integers(0, 10)
script = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1)
simple_schedules = st.one_of(
    st.builds(Fixed, st.lists(st.sampled_from(SENSORS))),
    st.builds(Bernoulli, a_probability),
    st.builds(PerEpisode, a_probability),
    st.builds(Markov, a_probability, a_probability),
    st.builds(CommonCause, probability, probability, group),
    st.builds(Window, count, count, group),
    st.builds(Periodic, st.just(10), count, group, st.integers(-20, 20)),
    st.builds(Scripted, script),
    st.builds(Curriculum, st.just(Bernoulli), probability, st.integers(1, 30)),
)
schedules = simple_schedules | st.lists(simple_schedules, max_size=3)
stacks = st.integers(1, 4) | st.dictionaries(
    st.sampled_from(SENSORS), st.integers(1, 4)
)


def rollout(env, seed, actions):
    """Copies of the observations and infos under ``actions``."""
    steps = [copy.deepcopy(env.reset(seed=seed))]
    for action in actions:
        observation, _, ended, _, info = env.step(action)
        steps.append(copy.deepcopy((observation, info)))
        if ended:
            steps.append(copy.deepcopy(env.reset()))
    return steps


def readings(steps, name):
    return np.array([observation[name] for observation, _ in steps])


def masks(steps):
    return readings(steps, "available")


def one_episode(env, action):
    """The masks of an episode after an unseeded reset: (steps + 1, M)."""
    shown, ended = [env.reset()[0]], False
    while not ended:
        observation, _, ended, _, _ = env.step(action)
        shown.append(observation)
    return np.array([observation["available"] for observation in shown])


def make_toy(entries):
    toy = Toy()
    toy.observation_space = spaces.Dict(entries)
    return toy
