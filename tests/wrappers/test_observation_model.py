"""What a wrapper does with its model: load, record, freeze, leave alone."""

import json

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from observation_world import Flaky, expected, model_for, run, same_states, states

from nexus_rl import UserError
from nexus_rl.models import MODELS
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


@pytest.mark.parametrize("name", MODELS)
def test_every_model_may_be_what_encodes(name):
    """What it says of a sensor's reading does not depend on those that are missing."""
    model = model_for(Flaky.observation_space, name=name)
    env = NexusObservation(Flaky(), model, when_blind="prior")
    bare = Flaky()
    latent, observation = env.reset(seed=2)[0], bare.reset(seed=2)[0]
    blind = 0
    for _ in range(60):
        alone = expected(model, observation)
        blind += alone is None
        alone = np.zeros(4) if alone is None else alone
        np.testing.assert_allclose(latent, alone, rtol=1e-4, atol=1e-5)
        latent, _, ended, _, _ = env.step(np.zeros(1, np.float32))
        observation = bare.step(np.zeros(1, np.float32))[0]
        if ended:
            latent, observation = env.reset()[0], bare.reset()[0]
    assert blind > 5


@pytest.mark.parametrize("latent", ["sample", "mean_logvar"])
def test_a_model_without_a_posterior_has_codes_only(latent):
    model = model_for(Flaky.observation_space, name="gmc")
    with pytest.raises(UserError, match=f"gmc has no posterior.*'mean', got '{latent}"):
        NexusObservation(Flaky(), model, latent=latent)
