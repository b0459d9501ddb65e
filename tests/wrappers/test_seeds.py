"""Randomness is keyed: by the seed given to reset, by purpose, by depth."""

from functools import partial

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from named_world import MASK, Named
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnvWrapper
from test_mask import MODEL

from nexus_rl import NexusObservation, SensorDropout, VecNexusObservation
from nexus_rl.wrappers import (
    Bernoulli,
    Gaussian,
    SensorCorruption,
    VecSensorDropout,
    VectorSensorDropout,
)

HALF = Bernoulli(0.5)
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Spawning(Named):
    """Draws from a child of its own generator, anew in every episode."""

    def reset(self, *, seed=None, options=None):
        shown, info = super().reset(seed=seed)
        (child,) = self.np_random.spawn(1)
        return {**shown, "touch": child.random(2).astype(np.float32)}, info


class Own(Named):
    """Has a generator of its own, and never seeds Gymnasium's."""

    def reset(self, *, seed=None, options=None):
        self.rng, self.t = np.random.RandomState(seed), 0
        return self.observe(), {}


def masks(env, seed=7, steps=40):
    shown = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, _, ended, _, _ = env.step(0)
        shown.append(observation)
        if ended:
            shown.append(env.reset()[0])
    return np.array([observation[MASK] for observation in shown])


def twice(env, **options):
    inner = SensorDropout(env, HALF, min_available=0, **options)
    return SensorDropout(inner, HALF, min_available=0, **options)


def vector_masks(envs, steps=40):
    """Of SB3 or Gymnasium, (steps + 1, N, M)."""
    if isinstance(envs, VecEnvWrapper | DummyVecEnv | SubprocVecEnv):
        envs.seed(7)
        shown = [envs.reset()[MASK]]
        shown += [envs.step(np.zeros(2, int))[0][MASK] for _ in range(steps)]
    else:
        shown = [envs.reset(seed=7)[0][MASK]]
        shown += [envs.step(np.zeros(2, int))[0][MASK] for _ in range(steps)]
    envs.close()
    return np.array(shown)


def test_nested_dropouts_draw_apart_and_the_inner_one_as_if_alone():
    lasting = partial(Named, length=10**6)
    inner = masks(SensorDropout(lasting(), HALF, min_available=0), steps=2000)
    both = masks(twice(lasting()), steps=2000)
    assert not both[inner == 0].any()
    assert both.mean() == pytest.approx(0.25, abs=0.03)


@forks
def test_every_kind_of_vector_shows_what_single_environments_do():
    endless = partial(Named, length=10**6)
    single = np.stack([masks(twice(endless()), 7 + i) for i in range(2)], 1)
    for make in (SyncVectorEnv, AsyncVectorEnv):
        around = VectorSensorDropout(make([endless] * 2), HALF, min_available=0)
        around = VectorSensorDropout(around, HALF, min_available=0)
        assert np.array_equal(vector_masks(around), single)
        assert np.array_equal(
            vector_masks(make([lambda: twice(endless())] * 2)), single
        )
        mixed = make([lambda: SensorDropout(endless(), HALF, min_available=0)] * 2)
        mixed = VectorSensorDropout(mixed, HALF, min_available=0)
        assert np.array_equal(vector_masks(mixed), single)
    for make in (DummyVecEnv, partial(SubprocVecEnv, start_method="fork")):
        around = VecSensorDropout(make([endless] * 2), HALF, min_available=0)
        around = VecSensorDropout(around, HALF, min_available=0)
        assert np.array_equal(vector_masks(around), single)
        mixed = make([lambda: SensorDropout(endless(), HALF, min_available=0)] * 2)
        mixed = VecSensorDropout(mixed, HALF, min_available=0)
        assert np.array_equal(vector_masks(mixed), single)


@pytest.mark.parametrize("kind", [Named, Spawning, Own])
def test_the_seed_given_to_reset_decides_alone(kind):
    env = SensorDropout(kind(), HALF)
    assert np.array_equal(masks(env), masks(env))
    assert np.array_equal(masks(env), masks(SensorDropout(Named(), HALF)))
    assert not np.array_equal(masks(env), masks(env, seed=8))
    assert masks(SensorDropout(kind(), HALF), seed=None).shape[1] == 3
    noisy = NexusObservation(SensorDropout(kind(), HALF), MODEL, latent="sample")
    assert np.array_equal(noisy.reset(seed=3)[0], noisy.reset(seed=3)[0])


def test_seeds_given_before_sb3s_environments_were_wrapped_count():
    expected = np.stack(
        [masks(SensorDropout(Own(), HALF), 7 + i, 3) for i in range(2)], 1
    )
    venv = VecSensorDropout(make_vec_env(Own, 2, seed=7), HALF)
    shown = [venv.reset()[MASK]]
    shown += [venv.step(np.zeros(2, int))[0][MASK] for _ in range(3)]
    assert np.array_equal(shown, expected)
    latents = []
    for _ in "ab":
        venv = VecNexusObservation(make_vec_env(Own, 2, seed=7), MODEL, latent="sample")
        latents.append(venv.reset())
    assert np.array_equal(*latents)


def test_wrappers_leave_the_numbers_of_the_environment_alone():
    def readings(env):
        return [
            env.reset(seed=seed)[0]["touch"].tolist() for seed in (0, None, None, 1)
        ]

    noisy = SensorCorruption(Spawning(), {"sound": Gaussian(0.1)}, Bernoulli(0.5))
    env = SensorDropout(SensorDropout(noisy, Bernoulli(0.0)), Bernoulli(0.0))
    assert readings(env) == readings(Spawning())


def test_corruption_does_not_change_outages():
    noisy = SensorCorruption(Named(), {"sound": Gaussian(0.1)}, Bernoulli(0.5))
    assert np.array_equal(
        masks(SensorDropout(noisy, HALF)), masks(SensorDropout(Named(), HALF))
    )


@pytest.mark.parametrize("seeds", [[3, 4], (3, None), 3])
def test_seeds_of_gymnasium_vectors_come_in_every_form(seeds):
    envs = VectorSensorDropout(SyncVectorEnv([Named] * 2), HALF)
    shown, _ = envs.reset(seed=seeds)
    first = SensorDropout(Named(), HALF).reset(seed=3)[0][MASK]
    assert np.array_equal(shown[MASK][0], first)
