"""Agents of Stable-Baselines3 on latents never train the model, and can be saved."""

from functools import partial

import numpy as np
import pytest
from observation_world import model_for, pendulum, same_states, states
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from nexus_rl.wrappers import Bernoulli, SensorDropout
from nexus_rl.wrappers.observation import NexusObservation
from nexus_rl.wrappers.vector_observation import VecNexusObservation

STEPS = 2048
AGENTS = {
    "PPO": (PPO, {"n_steps": 128, "batch_size": 128, "n_epochs": 2}),
    "SAC": (SAC, {"learning_starts": 100, "batch_size": 16, "train_freq": 4}),
}
WORKERS = {
    "dummy": DummyVecEnv,
    # Forking is quick, and these processes use no threads.
    "subprocess": partial(SubprocVecEnv, start_method="fork"),
}


def make_agent(name, venv):
    kind, options = AGENTS[name]
    small = {"net_arch": [16]}  # a new one each time, for SB3 adds to it
    return kind("MlpPolicy", venv, policy_kwargs=small, device="cpu", seed=0, **options)


def dropping():
    return SensorDropout(pendulum(), Bernoulli(0.3), min_available=0)


def act(policy):
    """What a policy does in a seeded episode."""
    env = policy.get_env()
    env.seed(5)
    latents, actions = env.reset(), []
    for _ in range(20):
        actions.append(policy.predict(latents, deterministic=True)[0])
        latents = env.step(actions[-1])[0]
    return np.array(actions)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("workers", WORKERS)
def test_agents_learn_and_act_the_same_when_loaded(agent, workers, tmp_path):
    model = model_for(pendulum().observation_space)
    model.save_pretrained(tmp_path / "model")
    before = states(model)
    trained_in = VecNexusObservation(WORKERS[workers]([dropping] * 2), model)
    untrained = make_agent(agent, trained_in)
    first = act(untrained)
    trained = untrained.learn(STEPS)
    assert trained.num_timesteps >= STEPS
    assert not np.array_equal(act(trained), first)
    assert same_states(states(model), before)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    trained.save(tmp_path / "agent")
    # The other kind of workers, and the model from its folder.
    (other,) = WORKERS.keys() - {workers}
    venv = VecNexusObservation(WORKERS[other]([dropping] * 2), tmp_path / "model")
    loaded = AGENTS[agent][0].load(tmp_path / "agent", env=venv)
    assert np.array_equal(act(trained), act(loaded))
    trained_in.close()
    venv.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_learning_leaves_the_models_of_workers_as_they_were(workers, tmp_path):
    model = model_for(pendulum().observation_space)
    model.save_pretrained(tmp_path)
    venv = make_vec_env(
        dropping,
        n_envs=2,
        seed=0,
        wrapper_class=NexusObservation,
        wrapper_kwargs={"model": str(tmp_path)},
        vec_env_cls=WORKERS[workers],
    )
    make_agent("PPO", venv).learn(STEPS)
    used = [encoder.model for encoder in venv.get_attr("encoder")]
    venv.close()
    assert all(same_states(states(each), states(model)) for each in used)
