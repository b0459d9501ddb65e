"""NexusObservation: observations become latents, whatever sensors are missing."""

import doctest
from importlib import import_module

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from observation_world import (
    Flaky,
    expected,
    model_for,
    pendulum,
    run,
)
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from nexus_rl import UserError
from nexus_rl.wrappers import Bernoulli, Scripted, SensorDropout
from nexus_rl.wrappers.encoder import Encoder
from nexus_rl.wrappers.observation import NexusObservation

FLAKY = model_for(Flaky.observation_space)
SENSED = {n: s for n, s in Flaky.observation_space.items() if n != "available"}
M = 3


def many(rows):
    return SyncVectorEnv([Flaky] * rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("flaky")
    FLAKY.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pendulum_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pendulum")
    model_for(pendulum().observation_space).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 4),
        ({"latent": "sample"}, 4),
        ({"latent": "mean_logvar"}, 8),
        ({"append_mask": True}, 4 + M),
        ({"latent": "mean_logvar", "append_mask": True, "when_blind": "prior"}, 8 + M),
    ],
)
def test_spaces(folder, options, size):
    env = NexusObservation(Flaky(), folder, **options)
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (size,), np.float32)
    assert isinstance(env.unwrapped, Flaky)
    for latent in run(env, 0)[0]:
        assert latent in env.observation_space
        assert latent.dtype == np.float32


def test_latents_are_those_of_the_model(pendulum_folder):
    env = SensorDropout(pendulum(), Bernoulli(0.4))
    shown = run(env, 5)[0]
    latents = run(NexusObservation(env, pendulum_folder), 5)[0]
    model = NexusObservation(env, pendulum_folder).encoder.model
    bare = run(NexusObservation(pendulum(), pendulum_folder), 5)[0]
    full = run(pendulum(), 5)[0]
    assert len({tuple(each["available"]) for each in shown}) == 3
    for seen, latent in zip(shown + full, latents + bare, strict=True):
        np.testing.assert_allclose(latent, expected(model, seen), atol=1e-5)


@pytest.mark.parametrize("when_blind", ["hold", "prior"])
def test_when_nothing_is_there(folder, when_blind):
    seen, ends = run(Flaky(), 1, steps=60)
    latents, _ = run(NexusObservation(Flaky(), folder, when_blind=when_blind), 1, 60)
    first = [0, *(k + n + 2 for n, k in enumerate(np.flatnonzero(ends)))]
    counts = {"held": 0, "prior": 0}
    for k, (observation, latent) in enumerate(zip(seen, latents, strict=True)):
        if k in first:
            held = None
        encoded = expected(FLAKY, observation)
        if encoded is not None:
            held = encoded if when_blind == "hold" else None
        else:
            counts["prior" if held is None else "held"] += 1
            encoded = np.zeros(4) if held is None else held
        np.testing.assert_allclose(latent, encoded, atol=1e-5)
    assert counts["prior"] > 5
    assert counts["held"] > 5 or when_blind == "prior"


def test_the_prior_of_every_kind(folder):
    def first(**options):
        return NexusObservation(Flaky(blind=1), folder, **options).reset(seed=0)[0]

    assert first(append_mask=True).tolist() == [0] * (4 + M)
    assert first(latent="mean_logvar").tolist() == [0] * 8


@settings(deadline=None, max_examples=40)
@given(
    mask=st.lists(st.tuples(*[st.booleans()] * M), min_size=1, max_size=6),
    junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e30]),
    latent=st.sampled_from(["mean", "mean_logvar"]),
)
def test_what_is_behind_a_missing_sensor_is_never_read(mask, junk, latent):
    there = np.array(mask)
    rows = len(there)
    rng = np.random.default_rng(0)
    clean = {
        "sound": rng.uniform(-2, 2, (rows, 3)),
        "image": rng.integers(0, 256, (rows, 1, 4, 4), dtype=np.uint8),
        "label": rng.integers(4, size=rows),
        "available": there.astype(np.float32),
    }
    dirty = {name: array.copy() for name, array in clean.items()}
    dirty["sound"][~there[:, 0]] = junk
    dirty["image"][~there[:, 1]] ^= 255
    dirty["label"][~there[:, 2]] = -5
    started = np.ones(rows, bool)
    encoders = [
        Encoder(FLAKY, many(rows), latent=latent, append_mask=True) for _ in range(2)
    ]
    latents = [
        encoder.encode(batch, started)[0]
        for encoder, batch in zip(encoders, (clean, dirty), strict=True)
    ]
    assert np.array_equal(*latents)
    order = [["sound", "image", "label"].index(m.name) for m in FLAKY.modalities]
    assert np.array_equal(latents[0][:, -M:], there[:, order])
    for k in range(rows):
        encoded = expected(FLAKY, {name: array[k] for name, array in clean.items()})
        encoded = np.zeros(4) if encoded is None else encoded
        np.testing.assert_allclose(latents[0][k, :4], encoded, atol=1e-5)


def test_nan_where_a_sensor_counts_as_there_is_refused(folder):
    env = gym.wrappers.TransformObservation(
        Flaky(blind=1), lambda seen: seen | {"available": np.array([1, 0, 0])}, None
    )
    env = NexusObservation(env, folder)
    with pytest.raises(UserError, match="sensor 'sound' holds NaN"):
        env.reset(seed=0)


def test_columns_name_the_sensors_of_the_mask(folder):
    class Two(Flaky):
        """Announces the image and the sound, in this order; the label is sure."""

        observation_space = spaces.Dict(
            [*SENSED.items(), ("available", spaces.Box(0, 1, (2,)))]
        )

        def sense(self):
            return {
                "sound": np.full(3, np.nan, np.float32),
                "image": np.full((1, 4, 4), 9, np.uint8),
                "label": 2,
                "available": np.array([1, 0], np.float32),
            }

    env = NexusObservation(Two(), folder, columns=["image", "sound"], append_mask=True)
    latent, _ = env.reset(seed=0)
    known = {"image": np.full((1, 4, 4), 9, np.uint8), "label": np.array(2)}
    np.testing.assert_allclose(latent[:4], expected(FLAKY, known), atol=1e-5)
    there = {m.name: on for m, on in zip(FLAKY.modalities, latent[4:], strict=True)}
    assert there == {"image": 1, "label": 1, "sound": 0}
    Two.mask_columns = {}
    with pytest.raises(UserError, match=r"shape \(2,\), but 0 sensors"):
        NexusObservation(Two(), folder)
    with pytest.raises(UserError, match="unknown sensor 'imag'"):
        NexusObservation(Two(), folder, columns=["imag", "sound"])
    with pytest.raises(UserError, match="columns name a sensor twice: image, image"):
        NexusObservation(Two(), folder, columns=["image", "image"])
    with pytest.raises(UserError, match="no 'available'"):
        bare = gym.wrappers.FilterObservation(Two(), [*SENSED])
        NexusObservation(bare, FLAKY, columns=[])


def test_wrong_arguments_are_refused(folder, tmp_path):
    for option in ("latent", "when_blind"):
        with pytest.raises(UserError, match=f"unknown {option} 'other'"):
            NexusObservation(Flaky(), folder, **{option: "other"})
    with pytest.raises(UserError, match=r"move yours with \.to"):
        NexusObservation(Flaky(), FLAKY, device="cpu")
    with pytest.raises(UserError, match="unknown device"):
        NexusObservation(Flaky(), folder, device="abacus")
    with pytest.raises(UserError, match="no model description"):
        NexusObservation(Flaky(), tmp_path)
    with pytest.raises(UserError, match="a model or the folder of one, got None"):
        NexusObservation(Flaky(), None)
    with pytest.raises(UserError, match=r"image .* image \(1, 4, 4\).*\(2, 16, 16\)"):
        NexusObservation(pendulum(), folder)


@pytest.mark.parametrize("latent", ["mean", "sample", "mean_logvar"])
def test_a_seed_decides_everything(folder, latent):
    env = NexusObservation(Flaky(), folder, latent=latent)
    first, again, other = (run(env, seed)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(
        first, run(NexusObservation(Flaky(), folder, latent=latent), 4)[0]
    )


def test_samples_spread_around_the_mean_and_never_repeat():
    rows = 1000
    rng = np.random.default_rng(0)
    batch = {
        "sound": rng.uniform(-2, 2, (rows, 3)),
        "image": rng.integers(0, 256, (rows, 1, 4, 4), dtype=np.uint8),
        "label": rng.integers(4, size=rows),
        "available": rng.random((rows, 3)) > 0.5,  # sometimes nothing: the prior
    }
    started = np.ones(rows, bool)
    draw, moments = (
        Encoder(FLAKY, many(rows), latent=latent)
        for latent in ("sample", "mean_logvar")
    )
    draw.seed(range(rows), lambda: rng)
    mean, logvar = np.split(moments.encode(batch, started)[0], 2, axis=1)
    samples = np.array([draw.encode(batch, started)[0] for _ in range(3)])
    noise = (samples - mean) / np.exp(0.5 * logvar)
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.03)
    assert len(np.unique(noise.round(6))) > 0.99 * noise.size


def test_random_states_of_others_are_left_alone(folder):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    env = NexusObservation(Flaky(), folder, latent="sample")
    run(env, 6)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    bare = Flaky()
    run(bare, 6)
    assert env.np_random.random() == bare.np_random.random()
    assert env.np_random.spawn(1)[0].random() == bare.np_random.spawn(1)[0].random()


def test_held_latents_are_safe_from_the_caller(pendulum_folder):
    schedule = Scripted(np.array([[1, 1], [0, 0], [0, 0]]))
    env = SensorDropout(pendulum(), schedule, min_available=0)
    env = NexusObservation(env, pendulum_folder)
    latent, _ = env.reset(seed=0)
    kept = latent.copy()
    for _ in range(2):
        latent[:] = 7
        latent, *_ = env.step(np.zeros(1, np.float32))
        assert np.array_equal(latent, kept)


# Latents are unbounded, which Gymnasium's checker points out.
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*imum value is")
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("latent", ["mean", "sample", "mean_logvar"])
def test_checkers_pass(pendulum_folder, latent):
    env = SensorDropout(pendulum(disable_env_checker=True), Bernoulli(0.5))
    env = NexusObservation(env, pendulum_folder, latent=latent, append_mask=True)
    check_env(env, skip_render_check=True)
    sb3_check_env(env)


@pytest.mark.parametrize(
    "name", ["encoder", "observation", "vector_observation", "sb3_observation"]
)
def test_examples_run(name):
    results = doctest.testmod(import_module(f"nexus_rl.wrappers.{name}"))
    assert results.attempted > 8
    assert results.failed == 0
