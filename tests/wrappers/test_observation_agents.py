"""Agents of Stable-Baselines3 on latents never train the model, and can be saved."""

import numpy as np
import pytest
from observation_world import model_for, pendulum, same_states, states
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from nexus_rl.wrappers import Bernoulli, SensorDropout
from nexus_rl.wrappers.observation import NexusObservation
from nexus_rl.wrappers.vector_observation import VecNexusObservation

AGENTS = {
    "PPO": (PPO, {"n_steps": 125, "batch_size": 125, "n_epochs": 2}, 1000),
    "SAC": (SAC, {"learning_starts": 50, "batch_size": 16, "train_freq": 2}, 300),
}


def make_agent(name, venv):
    kind, options, _ = AGENTS[name]
    small = {"net_arch": [16]}  # a new one each time, for SB3 adds to it
    return kind("MlpPolicy", venv, policy_kwargs=small, device="cpu", seed=0, **options)


def dropping():
    return SensorDropout(pendulum(), Bernoulli(0.3), min_available=0)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("workers", ["dummy", "subprocess"])
def test_learning_leaves_the_model_as_it_was(agent, workers):
    model = model_for(pendulum().observation_space)
    before = states(model)
    if workers == "dummy":
        venv = DummyVecEnv([dropping] * 2)
    else:
        venv = SubprocVecEnv([dropping] * 2, start_method="fork")
    venv = VecNexusObservation(venv, model)
    make_agent(agent, venv).learn(AGENTS[agent][2])
    venv.close()
    assert same_states(states(model), before)
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("workers", [DummyVecEnv, SubprocVecEnv])
def test_learning_leaves_the_models_of_workers_as_they_were(workers, tmp_path):
    model = model_for(pendulum().observation_space)
    model.save_pretrained(tmp_path)
    more = {"vec_env_kwargs": {"start_method": "fork"}}
    venv = make_vec_env(
        dropping,
        n_envs=2,
        seed=0,
        wrapper_class=NexusObservation,
        wrapper_kwargs={"model": str(tmp_path)},
        vec_env_cls=workers,
        **(more if workers is SubprocVecEnv else {}),
    )
    make_agent("PPO", venv).learn(AGENTS["PPO"][2])
    used = [encoder.model for encoder in venv.get_attr("encoder")]
    venv.close()
    assert all(same_states(states(each), states(model)) for each in used)


@pytest.mark.parametrize("agent", AGENTS)
def test_saved_agents_act_the_same(agent, tmp_path):
    model = model_for(pendulum().observation_space)
    model.save_pretrained(tmp_path / "model")
    venv = VecNexusObservation(DummyVecEnv([dropping] * 2), model)
    trained = make_agent(agent, venv).learn(100)
    trained.save(tmp_path / "agent")
    venv = VecNexusObservation(DummyVecEnv([dropping] * 2), tmp_path / "model")
    loaded = AGENTS[agent][0].load(tmp_path / "agent", env=venv)

    def act(policy):
        env = policy.get_env()
        env.seed(5)
        latents, actions = env.reset(), []
        for _ in range(20):
            actions.append(policy.predict(latents, deterministic=True)[0])
            latents = env.step(actions[-1])[0]
        return np.array(actions)

    assert np.array_equal(act(trained), act(loaded))
    venv.close()
