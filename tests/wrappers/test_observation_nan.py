"""NaN in a sensor that dropout has taken away never reaches z_sigma."""

import gymnasium as gym
import numpy as np
from dropout_world import FILLS, SENSORS, schedules, stacks
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from observation_world import expected, model_for
from stable_baselines3.common.vec_env import DummyVecEnv

from nexus_rl import NexusObservation, SensorDropout, VecNexusObservation
from nexus_rl.mask import MASK

SHAPES = dict(zip(SENSORS, [(12,), (3,), (2,)], strict=True))
SPACE = spaces.Dict({name: spaces.Box(-1, 1, shape) for name, shape in SHAPES.items()})
MODEL = model_for(SPACE)
STEPS = 20


class Floats(gym.Env):
    """Three sensors that can all hold NaN; episodes of 7 steps."""

    action_space = spaces.Discrete(2)
    observation_space = SPACE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 7
        return self.sense(), {}

    def step(self, action):
        self.left -= 1
        return self.sense(), 0.0, self.left == 0, False, {}

    def sense(self):
        return {
            name: self.np_random.uniform(-1, 1, shape).astype(np.float32)
            for name, shape in SHAPES.items()
        }


class Poison(gym.ObservationWrapper):
    """Whatever stands for a missing sensor becomes ``junk``."""

    def __init__(self, env, junk):
        super().__init__(env)
        self.junk = junk

    def observation(self, observation):
        for name, there in zip(SENSORS, observation[MASK], strict=True):
            if not there:
                observation[name] = np.full(SHAPES[name], self.junk, np.float32)
        return observation


def episodes(env, seed):
    """All observations of some steps, episode after episode."""
    seen = [env.reset(seed=seed)[0]]
    for _ in range(STEPS):
        observation, _, ended, *_ = env.step(0)
        seen.append(observation)
        if ended:
            seen.append(env.reset()[0])
    return seen


junks = st.sampled_from([np.nan, np.inf, -np.inf, 1e30])
fuzzed = given(
    schedules,
    st.sampled_from(FILLS),
    st.integers(0, 3),
    stacks,
    st.integers(0, 2**31),
    junks,
)


@settings(max_examples=60, deadline=None)
@fuzzed
def test_latents_are_those_of_the_sensors_that_are_left(
    schedule, fill, least, stack, seed, junk
):
    def dropping():
        return SensorDropout(Floats(), schedule, fill, min_available=least, stack=stack)

    clean = episodes(dropping(), seed)
    poisoned = NexusObservation(
        Poison(dropping(), junk), MODEL, when_blind="prior", append_mask=True
    )
    for observation, shown in zip(clean, episodes(poisoned, seed), strict=True):
        assert shown in poisoned.observation_space
        latent, mask = shown[:-3], shown[-3:]
        assert np.array_equal(mask, observation[MASK])
        left = expected(MODEL, observation)  # the others are not even given
        left = np.zeros_like(latent) if left is None else left
        np.testing.assert_allclose(latent, left, atol=1e-5)


@settings(max_examples=20, deadline=None)
@fuzzed
def test_rows_of_vectors_do_not_read_it_either(
    schedule, fill, least, stack, seed, junk
):
    def dropping():
        return SensorDropout(Floats(), schedule, fill, min_available=least, stack=stack)

    def latents(vector, make):
        envs = VecNexusObservation(vector([make] * 3), MODEL)
        if isinstance(envs, gym.vector.VectorEnv):
            first = envs.reset(seed=seed % 1000)[0]
        else:
            envs.seed(seed % 1000)
            first = envs.reset()
        steps = [envs.step(np.zeros(3, np.int64))[0] for _ in range(STEPS)]
        return np.array([first, *steps])

    for vector in (SyncVectorEnv, DummyVecEnv):
        poisoned = latents(vector, lambda: Poison(dropping(), junk))
        assert np.isfinite(poisoned).all()
        np.testing.assert_array_equal(poisoned, latents(vector, dropping))
