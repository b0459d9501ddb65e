"""Vectorised environments give, row by row, what single ones give."""

import subprocess
import sys
from functools import partial

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from observation_world import Flaky, model_for, pendulum, run
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    is_vecenv_wrapped,
)

from nexus_rl import UserError
from nexus_rl.wrappers import Bernoulli, SensorDropout, VectorSensorDropout
from nexus_rl.wrappers.observation import NexusObservation
from nexus_rl.wrappers.sb3_observation import SB3NexusObservation
from nexus_rl.wrappers.vector_observation import (
    VecNexusObservation,
    VectorNexusObservation,
)

FLAKY = model_for(Flaky.observation_space)
N, SEED, STEPS = 3, 11, 25
ACTIONS = np.zeros((N, 1), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("flaky")
    FLAKY.save_pretrained(path)
    return path


def singles(**options):
    """For each environment every latent in time, terminal and first ones included."""
    return [
        run(NexusObservation(Flaky(), FLAKY, **options), SEED + i, STEPS)[0]
        for i in range(N)
    ]


def compare(found, **options):
    for row, alone in zip(found, singles(**options), strict=True):
        assert len(row) > 20
        np.testing.assert_allclose(row, alone[: len(row)], atol=1e-5)


def sb3_history(venv):
    """The same as ``singles``, from a VecEnv."""
    venv.seed(SEED)
    found = [[row] for row in venv.reset()]
    for _ in range(STEPS):
        rows, _, dones, infos = venv.step(ACTIONS)
        for i in range(N):
            assert ("terminal_observation" in infos[i]) == dones[i]
            if dones[i]:
                found[i].append(infos[i]["terminal_observation"])
            found[i].append(rows[i])
    venv.close()
    return found


def gymnasium_history(envs):
    """The same as ``singles``, from a VectorEnv in any mode of autoreset."""
    found = [[row] for row in envs.reset(seed=SEED)[0]]
    mode = envs.metadata["autoreset_mode"]
    for _ in range(STEPS):
        rows, _, terminated, truncated, infos = envs.step(ACTIONS)
        ended = terminated | truncated
        for i in range(N):
            if ended[i] and mode == AutoresetMode.SAME_STEP:
                found[i].append(infos["final_obs"][i])
            found[i].append(rows[i])
        if ended.any() and mode == AutoresetMode.DISABLED:
            rows, _ = envs.reset(options={"reset_mask": ended})
            for i in np.flatnonzero(ended):
                found[i].append(rows[i])
    envs.close()
    return found


@pytest.mark.parametrize("latent", ["mean", "sample", "mean_logvar"])
@pytest.mark.parametrize("when_blind", ["hold", "prior"])
def test_sb3_equals_single(latent, when_blind):
    options = {"latent": latent, "when_blind": when_blind, "append_mask": True}
    venv = VecNexusObservation(DummyVecEnv([Flaky] * N), FLAKY, **options)
    compare(sb3_history(venv), **options)


@pytest.mark.parametrize(
    ("latent", "mode"),
    [
        (latent, mode)
        for latent in ("mean", "sample", "mean_logvar")
        for mode in AutoresetMode
        # Where some environments are reset by hand, the others draw once more.
        if (latent, mode) != ("sample", AutoresetMode.DISABLED)
    ],
)
def test_gymnasium_vector_equals_single(latent, mode):
    envs = SyncVectorEnv([Flaky] * N, autoreset_mode=mode)
    envs = VecNexusObservation(envs, FLAKY, latent=latent, append_mask=True)
    compare(gymnasium_history(envs), latent=latent, append_mask=True)


@pytest.mark.parametrize("inside", [True, False])
def test_subprocesses_of_sb3_equal_single(folder, inside):
    options = {"latent": "sample"}
    make = partial(NexusObservation, model=folder, **options)
    factory = (lambda: make(Flaky())) if inside else Flaky
    venv = SubprocVecEnv([factory] * N, start_method="fork")
    if not inside:
        venv = VecNexusObservation(venv, folder, **options)
    compare(sb3_history(venv), **options)


def test_a_process_that_inherits_nothing(folder):
    factory = partial(NexusObservation, Flaky(), folder)
    venv = SubprocVecEnv([factory], start_method="forkserver")  # the default of SB3
    venv.seed(SEED)
    latents = [venv.reset()[0], venv.step(ACTIONS[:1])[0][0]]
    venv.close()
    np.testing.assert_allclose(latents, singles()[0][:2], atol=1e-5)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_subprocesses_of_gymnasium_equal_single(folder, inside, mode):
    options = {"latent": "sample"}
    make = partial(NexusObservation, model=folder, **options)
    factory = (lambda: make(Flaky())) if inside else Flaky
    envs = AsyncVectorEnv([factory] * N, autoreset_mode=mode)
    if not inside:
        envs = VecNexusObservation(envs, folder, **options)
    compare(gymnasium_history(envs), **options)


def test_a_forked_worker_does_not_wait_for_its_parents_threads(folder):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = model_for(pendulum().observation_space)
        rows = {
            "image": torch.zeros(500, 2, 16, 16, dtype=torch.uint8),
            "sound": torch.zeros(500, 12),
        }
        model.encode(rows)  # starts the threads that a fork does not have
        envs = AsyncVectorEnv([lambda: NexusObservation(pendulum(), model)] * 2)
        envs.reset_async(seed=0)
        envs.reset_wait(timeout=20)
        envs.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_factories_can_be_pickled(folder):
    for model in (folder, FLAKY):
        factory = lambda model=model: NexusObservation(Flaky(), model)  # noqa: E731
        env = cloudpickle.loads(cloudpickle.dumps(factory))()
        np.testing.assert_allclose(run(env, SEED, STEPS)[0], singles()[0], atol=1e-5)


def test_the_model_is_called_once_a_step():
    model = model_for(Flaky.observation_space)
    batches = []
    image = model.bottoms["image"].encoder
    image.register_forward_hook(lambda _, __, out: batches.append(len(out)))
    venv = VecNexusObservation(DummyVecEnv([Flaky] * N), model)
    venv.reset()
    ended = [sum(venv.step(ACTIONS)[2]) for _ in range(STEPS)]
    assert batches == [N] + [N + count for count in ended]
    assert max(ended) > 0
    batches.clear()
    envs = SyncVectorEnv([Flaky] * N, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = VecNexusObservation(envs, model)
    envs.reset(seed=0)
    ended = [sum(envs.step(ACTIONS)[2]) for _ in range(STEPS)]
    assert batches == [N] + [N + count for count in ended]


def test_dropout_around_or_inside_the_vectorised_environment():
    model = model_for(pendulum().observation_space)
    schedule = Bernoulli(0.5)

    def single():
        return SensorDropout(pendulum(), schedule, min_available=0)

    outside = VectorSensorDropout(
        SyncVectorEnv([pendulum] * N), schedule, min_available=0
    )
    both = [
        gymnasium_history(VecNexusObservation(envs, model, append_mask=True))
        for envs in (SyncVectorEnv([single] * N), outside)
    ]
    np.testing.assert_allclose(*both, atol=1e-5)
    assert 0 < np.mean(np.array(both[0])[..., 4:]) < 1


def test_reseeding_some_environments():
    envs = SyncVectorEnv([Flaky] * 2)
    envs = VecNexusObservation(envs, FLAKY, latent="sample")
    (first, second), _ = envs.reset(seed=[3, 4])
    (again, other), _ = envs.reset(seed=[3, None])
    assert np.array_equal(first, again)
    assert not np.array_equal(second, other)


def test_spaces_and_classes():
    envs = VecNexusObservation(SyncVectorEnv([Flaky] * N), FLAKY)
    assert isinstance(envs, VectorNexusObservation)
    assert envs.single_observation_space.shape == (4,)
    assert envs.observation_space.shape == (N, 4)
    assert envs.reset(seed=0)[0] in envs.observation_space
    venv = VecNexusObservation(DummyVecEnv([Flaky] * N), FLAKY)
    assert is_vecenv_wrapped(venv, SB3NexusObservation)
    assert venv.observation_space.shape == (4,)
    assert isinstance(venv.unwrapped, DummyVecEnv)


def test_what_cannot_be_wrapped_is_refused(folder):
    with pytest.raises(UserError, match="NexusObservation wraps a single one"):
        VecNexusObservation(Flaky(), folder)
    with pytest.raises(UserError, match="does not fit"):
        VecNexusObservation(SyncVectorEnv([pendulum] * N), folder)
    with pytest.raises(UserError, match="does not fit"):
        VecNexusObservation(DummyVecEnv([pendulum] * N), folder)


def test_one_shared_generator_serves_every_environment():
    class Shared(SyncVectorEnv):
        """Environments that draw from one generator, as vectorised code does."""

        np_random = gym.vector.VectorEnv.np_random

    def first():
        envs = Shared([Flaky] * N)
        envs.np_random = np.random.default_rng(0)
        envs = VecNexusObservation(envs, FLAKY, latent="sample", when_blind="prior")
        blind = [{"blind": 1}] * N
        for env, values in zip(envs.unwrapped.envs, blind, strict=True):
            vars(env).update(values)
        return envs.reset(seed=0)[0]

    assert np.array_equal(first(), first())
    assert len(np.unique(first(), axis=0)) == N


def test_gymnasium_users_do_not_import_sb3():
    code = (
        "import sys, nexus_rl.wrappers.vector_observation;"
        "assert 'stable_baselines3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
