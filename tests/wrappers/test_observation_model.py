"""What a wrapper does with its model: load, record, freeze, leave alone."""

import json

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from observation_world import Flaky, model_for, run, same_states, states

from nexus_rl.wrappers.observation import NexusObservation

FLAKY = model_for(Flaky.observation_space)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("flaky")
    FLAKY.save_pretrained(path)
    return path


def test_a_spec_rebuilds_the_wrapper_from_its_folder(folder):
    env = gym.make("nexus_rl_tests/Flaky-v0", disable_env_checker=True)
    env = NexusObservation(env, folder, append_mask=True, when_blind="prior")
    twin = gym.make(env.spec)
    assert twin.observation_space == env.observation_space
    np.testing.assert_array_equal(run(env, 3)[0], run(twin, 3)[0])
    wrapper = env.spec.additional_wrappers[-1]
    json.dumps(wrapper.kwargs)
    assert wrapper.kwargs["model"] == str(folder)


def test_a_spec_holds_a_given_model_itself():
    env = gym.make("nexus_rl_tests/Flaky-v0", disable_env_checker=True)
    env = NexusObservation(env, FLAKY)
    assert env.encoder.model is FLAKY
    assert env.spec.additional_wrappers[-1].kwargs["model"] is FLAKY
    np.testing.assert_array_equal(run(env, 3)[0], run(gym.make(env.spec), 3)[0])


def test_a_given_model_is_used_in_eval_mode_and_left_as_it_was():
    model = model_for(Flaky.observation_space).train()
    model.fusion.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    before = states(model)
    latents = run(NexusObservation(Flaky(), model), 2)[0]
    np.testing.assert_array_equal(latents, run(NexusObservation(Flaky(), FLAKY), 2)[0])
    assert {n: module.training for n, module in model.named_modules()} == modes
    assert same_states(states(model), before)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_loaded_model_is_frozen(folder):
    model = NexusObservation(Flaky(), folder).encoder.model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_wrapped_environment_can_be_pickled(folder):
    env = NexusObservation(Flaky(), folder, latent="sample")
    env.reset(seed=1)
    copy = cloudpickle.loads(cloudpickle.dumps(env))
    assert np.array_equal(run(copy, 1)[0], run(env, 1)[0])
