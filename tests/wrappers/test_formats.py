"""How readings are made: declared by environments, kept and compared by models."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from dial_world import write_mhd
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from observation_world import PENDULUM, pendulum
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor

import envs  # noqa: F401, its ids are looked up
from nexus_rl import (
    NexusObservation,
    SensorDropout,
    UserError,
    VecNexusObservation,
    load_model,
    make_model,
)
from nexus_rl.files import read_json, write_json
from nexus_rl.formats import sensor_formats
from nexus_rl.spaces import check_fit, modalities_from_env
from nexus_rl.wrappers import Gaussian, SensorCorruption

PUBLISHED = "envs:nexus_rl/MultimodalPendulumPublished-v0"
HYPERHOT = "envs:nexus_rl/HyperHot-v0"
VECTORS = [
    SyncVectorEnv,
    partial(AsyncVectorEnv, context="forkserver"),
    DummyVecEnv,
    partial(SubprocVecEnv, start_method="forkserver"),
]
NAMES = ["sync", "async", "dummy", "subproc"]


class Thermometer(gym.Env):
    """One sensor, in units that only ``sensor_formats`` tells."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict({"heat": spaces.Box(0, 1, (2,))})

    def __init__(self, formats=None):
        if formats is not None:
            self.sensor_formats = formats

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def in_celsius():
    return Thermometer({"heat": "Celsius over 100"})


def in_kelvin():
    return Thermometer({"heat": "Kelvin over 373"})


def model_of(env):
    return make_model("nexus", modalities_from_env(env), width=16, latent_dim=4).eval()


def test_the_projects_environments_declare_every_sensor(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_RL_DATA", str(write_mhd(tmp_path)))
    ours = [name for name in gym.registry if name.startswith("nexus_rl/")]
    assert len(ours) == 5
    for name in ours:
        env = gym.make(name)
        assert sensor_formats(env).keys() == env.observation_space.spaces.keys()
        check_fit(model_of(env), env.observation_space, sensor_formats(env))


def test_published_readings_are_refused_though_the_spaces_agree():
    env, published = pendulum(), gym.make(PUBLISHED, image_size=16)
    assert env.observation_space == published.observation_space
    for trained, met in ((env, published), (published, env)):
        with pytest.raises(UserError) as caught:
            NexusObservation(met, model_of(trained))
        said = str(caught.value)
        assert said.count("<- the formats differ") == 2
        for shown in (*sensor_formats(trained).values(), *sensor_formats(met).values()):
            assert shown in said
    assert NexusObservation(pendulum(published=True), model_of(published))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"enemies": 1},
        {"time_limit": 3},
        {"shaped_reward": True},
        {"pacifist": True},
        {"render_mode": "rgb_array"},
        {"max_episode_steps": 10},
    ],
)
def test_arguments_that_change_no_reading_do_not_matter(kwargs):
    one, other = gym.make(HYPERHOT), gym.make(HYPERHOT, **kwargs)
    check_fit(model_of(one), other.observation_space, sensor_formats(other))


def test_only_what_both_declare_is_compared():
    plain, celsius, kelvin = Thermometer(), in_celsius(), in_kelvin()
    other_sensors = Thermometer({"cold": "Kelvin over 373"})
    for trained, met in (
        (plain, celsius),
        (celsius, plain),
        (celsius, celsius),
        (celsius, other_sensors),
        (other_sensors, celsius),
    ):
        NexusObservation(met, model_of(trained))
    with pytest.raises(UserError, match="the formats differ"):
        NexusObservation(kelvin, model_of(celsius))


def test_the_message_shows_both_formats():
    model, met = model_of(in_celsius()), in_kelvin()
    with pytest.raises(UserError) as caught:
        check_fit(model, met.observation_space, sensor_formats(met))
    assert str(caught.value).splitlines()[1:-1] == [
        "  sensor  model                  environment",
        "  heat    vector (2,) in [0, 1]  float32 (2,) in [0, 1]",
        "          Celsius over 100       Kelvin over 373         "
        "<- the formats differ",
    ]


def test_wrappers_of_failing_sensors_keep_the_format():
    env, model = gym.make(PENDULUM, image_size=16), model_of(pendulum())
    failing = SensorDropout(SensorCorruption(env, {"sound": Gaussian(0.1)}))
    assert sensor_formats(failing) == sensor_formats(env)
    NexusObservation(failing, model)
    published = SensorDropout(gym.make(PUBLISHED, image_size=16))
    with pytest.raises(UserError, match="the formats differ"):
        NexusObservation(published, model)


def test_a_wrapper_that_changes_readings_declares_its_own():
    class InKelvin(gym.Wrapper):
        sensor_formats = {"heat": "Kelvin over 373"}  # noqa: RUF012

    NexusObservation(InKelvin(in_celsius()), model_of(in_kelvin()))
    with pytest.raises(UserError, match="the formats differ"):
        NexusObservation(InKelvin(in_celsius()), model_of(in_celsius()))


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_vectors_declare_what_their_environments_do(vector):
    venv = vector([in_celsius] * 2)
    assert sensor_formats(venv) == {"heat": "Celsius over 100"}
    with pytest.raises(UserError, match="the formats differ"):
        VecNexusObservation(venv, model_of(in_kelvin()))
    VecNexusObservation(venv, model_of(in_celsius())).close()


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_vectors_that_declare_nothing_go_on_as_before(vector):
    venv = vector([Thermometer] * 2)
    assert sensor_formats(venv) == {}
    venv = VecNexusObservation(venv, model_of(in_celsius()))
    latents = venv.reset()
    latents = latents[0] if isinstance(latents, tuple) else latents
    assert latents.shape == (2, 4)
    venv.close()


def test_wrapped_vectors_are_asked_too():
    venv = VecMonitor(DummyVecEnv([in_celsius]))
    assert sensor_formats(venv) == {"heat": "Celsius over 100"}
    inner = SyncVectorEnv([in_celsius])
    wrapped = gym.wrappers.vector.RecordEpisodeStatistics(inner)
    assert sensor_formats(wrapped) == {"heat": "Celsius over 100"}


def test_vectors_that_are_not_made_of_environments():
    class Simulator(DummyVecEnv):
        def env_method(self, *_, **__):
            raise NotImplementedError

    class Batched(gym.vector.VectorEnv):
        sensor_formats = {"heat": "Kelvin over 373"}  # noqa: RUF012

    assert sensor_formats(Simulator([in_celsius])) == {}
    assert sensor_formats(gym.vector.VectorWrapper(Batched())) == Batched.sensor_formats
    assert sensor_formats(gym.vector.VectorEnv()) == {}


def test_one_model_cannot_read_two_formats():
    with pytest.raises(UserError, match=r"'heat' in different formats, 'Celsius.*'Kel"):
        sensor_formats(SyncVectorEnv([in_celsius, in_kelvin]))


@pytest.mark.parametrize("formats", ["2 frames", {"heat": 2}, ["Kelvin"]])
def test_formats_are_texts_by_sensor(formats):
    with pytest.raises(UserError, match=r"sensor_formats.* must be a"):
        sensor_formats(Thermometer(formats))


def test_a_model_keeps_its_formats_and_older_ones_have_none(tmp_path):
    model = model_of(in_celsius())
    model.save_pretrained(tmp_path)
    assert load_model(tmp_path).modalities == model.modalities
    with pytest.raises(UserError, match="the formats differ"):
        NexusObservation(in_kelvin(), tmp_path)
    path = tmp_path / "config.json"
    description = read_json(path, "model")
    for modality in description["modalities"]:
        assert modality.pop("format") == "Celsius over 100"
    write_json(path, description)
    assert load_model(tmp_path).modalities[0].format == ""
    latent, _ = NexusObservation(in_kelvin(), tmp_path).reset(seed=0)
    assert np.isfinite(latent).all()
