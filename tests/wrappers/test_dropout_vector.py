"""Vectorised dropout: environment i sees what it would if it were wrapped alone."""

import copy
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from dropout_world import FILLS, Toy
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from nexus_rl.wrappers import (
    Bernoulli,
    Curriculum,
    Frozen,
    Markov,
    SensorCorruption,
    SensorDropout,
    VecSensorDropout,
    VectorSensorDropout,
)

N = 3
SCHEDULES = [
    Markov(0.3, 0.3),
    [Bernoulli(0.3), Curriculum(Bernoulli, end=0.9, steps=40)],
]
every_kind = pytest.mark.parametrize("fill", FILLS)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
# Forking is quick, and the child processes here use no threads.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def alone(schedule, fill):
    return SensorDropout(Toy(), schedule, fill, stack={"image": 2})


def around(envs, schedule, fill):
    wrapper = VecSensorDropout
    if isinstance(envs, gym.vector.VectorEnv):
        wrapper = VectorSensorDropout
    return wrapper(envs, schedule, fill, stack={"image": 2})


def actions(steps, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (steps, N))


def play(envs, seeds=(5, None), steps=40):
    """Everything a gymnasium.vector environment returns, with several resets."""
    history = []
    for seed in seeds:
        history.append(copy.deepcopy(envs.reset(seed=seed)))
        history += [copy.deepcopy(envs.step(action)) for action in actions(steps)]
    envs.close()
    return history


def sb3_play(envs, seeds=(5, None), steps=40):
    """Everything a VecEnv returns, with several resets."""
    history = []
    for seed in seeds:
        if seed is not None:
            envs.seed(seed)
        history.append((dict(envs.reset()), list(envs.reset_infos)))
        for action in actions(steps):
            observations, rewards, dones, infos = envs.step(action)
            history.append((dict(observations), rewards, dones, list(infos)))
            history[-1] = copy.deepcopy(history[-1])
    envs.close()
    return history


@every_kind
@every_schedule
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_gymnasium_vector_equals_single(mode, schedule, fill):
    inner = SyncVectorEnv([partial(alone, schedule, fill)] * N, autoreset_mode=mode)
    outer = around(SyncVectorEnv([Toy] * N, autoreset_mode=mode), schedule, fill)
    assert outer.observation_space == inner.observation_space
    assert outer.single_observation_space == inner.single_observation_space
    history = play(outer)
    assert data_equivalence(history, play(inner))
    assert all(observation in outer.observation_space for observation, *_ in history)


def test_seeds_may_be_a_list_and_partly_missing():
    inner = SyncVectorEnv([partial(alone, SCHEDULES[0], "hold")] * N)
    outer = around(SyncVectorEnv([Toy] * N), SCHEDULES[0], "hold")
    seeds = ([4, 4, 9], [None, 7, None], None)
    history = play(outer, seeds)
    assert data_equivalence(history, play(inner, seeds))
    shown = history[0][0]["available"]
    assert np.array_equal(shown[0], shown[1])


def test_resets_of_some_environments_leave_the_others_alone():
    mode = AutoresetMode.DISABLED
    inner = SyncVectorEnv(
        [partial(alone, SCHEDULES[0], "hold")] * N, True, "same", mode
    )
    outer = around(SyncVectorEnv([Toy] * N, True, "same", mode), SCHEDULES[0], "hold")
    runs = []
    for envs in (inner, outer):
        run = [envs.reset(seed=1)]
        for action in actions(60):
            run.append(envs.step(action))
            ended = run[-1][2]
            if ended.any():
                run.append(envs.reset(options={"reset_mask": ended}))
        runs.append(run)
    assert data_equivalence(*runs)


@forks
def test_gymnasium_subprocesses_equal_single():
    factories = [partial(alone, SCHEDULES[0], "noise")] * N
    expected = play(SyncVectorEnv(factories))
    assert data_equivalence(play(AsyncVectorEnv(factories)), expected)
    outer = around(AsyncVectorEnv([Toy] * N), SCHEDULES[0], "noise")
    assert data_equivalence(play(outer), expected)


def broken():
    """Says itself when its touch is corrupted."""
    kinds = {"touch": Frozen()}
    return SensorCorruption(Toy(), kinds, Markov(0.3, 0.3), announced=True)


def broken_alone():
    return SensorDropout(broken(), SCHEDULES[0], "hold", stack={"image": 2})


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_masks_of_the_environments_count_in_vectors(mode):
    inner = SyncVectorEnv([broken_alone] * N, autoreset_mode=mode)
    outer = around(
        SyncVectorEnv([broken] * N, autoreset_mode=mode), SCHEDULES[0], "hold"
    )
    assert data_equivalence(play(outer), play(inner))
    inner = DummyVecEnv([broken_alone] * N)
    outer = around(DummyVecEnv([broken] * N), SCHEDULES[0], "hold")
    assert data_equivalence(sb3_play(outer), sb3_play(inner))


def test_an_environment_with_one_generator_for_all_serves_too():
    class Shared(SyncVectorEnv):
        np_random = np.random.default_rng(0)

    envs = around(Shared([Toy] * N), Bernoulli(0.5), "zero")
    envs.reset(seed=0)
    shown = np.array([envs.step(a)[0]["available"] for a in actions(20)])
    assert not np.array_equal(shown[:, 0], shown[:, 1])


@every_kind
@every_schedule
def test_sb3_vector_equals_single(schedule, fill):
    inner = DummyVecEnv([partial(alone, schedule, fill)] * N)
    outer = around(DummyVecEnv([Toy] * N), schedule, fill)
    assert outer.observation_space == inner.observation_space
    history = sb3_play(outer)
    assert data_equivalence(history, sb3_play(inner))
    last = [info.get("terminal_observation") for *_, infos in history for info in infos]
    space = alone(schedule, fill).observation_space
    assert sum(each in space for each in last if each is not None) > 10


def test_sb3_without_a_seed():
    outer = around(DummyVecEnv([Toy] * N), SCHEDULES[0], "zero")
    history = sb3_play(outer, seeds=(None, None), steps=5)
    assert history[0][0]["available"].shape == (N, 3)


@forks
def test_sb3_subprocesses_equal_single():
    factories = [partial(alone, SCHEDULES[0], "hold")] * N
    inner = SubprocVecEnv(factories, start_method="fork")
    outer = SubprocVecEnv([Toy] * N, start_method="fork")
    outer = around(outer, SCHEDULES[0], "hold")
    assert data_equivalence(sb3_play(outer), sb3_play(inner))


def test_wrapper_and_factory_can_be_pickled():
    env = alone(SCHEDULES[0], "hold")
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    assert data_equivalence(env.step(0), twin.step(0))
    factory = pickle.loads(pickle.dumps(partial(alone, SCHEDULES[0], "hold")))
    assert data_equivalence(factory().reset(seed=0), alone(*factory.args).reset(seed=0))


def test_sb3_learns_from_it_and_stacks_it():
    venv = make_vec_env("envs:nexus_rl/MultimodalPendulum-v0", n_envs=2, seed=0)
    venv = VecSensorDropout(venv, Markov(0.3, 0.3))
    model = PPO("MultiInputPolicy", venv, n_steps=4, batch_size=8, n_epochs=1)
    model.learn(8)
    stacked = VecFrameStack(venv, 2)
    assert stacked.reset()["available"].shape == (2, 4)
    venv.close()
