"""What every environment owes to Gymnasium and Stable-Baselines3."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from dial_world import write_mhd, write_mnist
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    ("MultimodalPendulum-v0", {}),
    ("MultimodalPendulum-v0", {"image_size": 32}),
    ("MultimodalPendulumPublished-v0", {}),
    ("MultimodalPendulum4-v0", {}),
    ("HyperHot-v0", {}),
    ("HyperHot-v0", {"sound": "waveform", "enemies": 2, "shaped_reward": True}),
    ("DigitDial-v0", {"hold": 5}),
    ("DigitDial-v0", {"data": "mnist", "split": "test", "regular": True}),
]
every_case = pytest.mark.parametrize(
    ("name", "arguments"), CASES, ids=[f"{name}-{kw}" for name, kw in CASES]
)


@pytest.fixture(autouse=True, scope="module")
def recordings(tmp_path_factory):
    """What the dial shows."""
    with pytest.MonkeyPatch.context() as patch:
        folder = write_mhd(write_mnist(tmp_path_factory.mktemp("data")))
        patch.setenv("NEXUS_RL_DATA", folder)
        yield


def make(name, arguments, **more):
    return gym.make(f"envs:nexus_rl/{name}", **arguments, **more)


def rollout(env, seed, steps=60):
    """Observations, rewards, ends and infos under seeded random actions."""
    env.action_space.seed(seed)
    history = [env.reset(seed=seed)]
    for _ in range(steps):
        history.append(env.step(env.action_space.sample()))
        if history[-1][2] or history[-1][3]:
            history.append(env.reset())
    return history


@every_case
def test_checkers_pass_without_warnings(name, arguments, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    env = make(name, arguments, render_mode="rgb_array")
    check_env(env.unwrapped)
    # Below 36 pixels SB3 warns that its default CNN will not do.
    if env.observation_space["image"].shape[-1] >= 36:
        sb3_check_env(env)


@every_case
def test_same_seed_same_episode(name, arguments):
    first, second = (rollout(make(name, arguments), seed=7) for _ in range(2))
    other = rollout(make(name, arguments), seed=8)
    assert data_equivalence(first, second, exact=True)
    assert not data_equivalence(first, other)


@every_case
def test_global_random_state_is_left_alone(name, arguments):
    before = np.random.get_state()[1].copy()
    rollout(make(name, arguments), seed=0)
    assert np.array_equal(before, np.random.get_state()[1])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), data=st.data())
@every_case
def test_observations_stay_inside_their_space(name, arguments, seed, data):
    env = make(name, arguments)
    observation, _ = env.reset(seed=seed)
    assert env.observation_space.contains(observation)
    if isinstance(env.action_space, gym.spaces.Discrete):
        actions = st.integers(0, int(env.action_space.n) - 1)
    else:
        values = st.floats(-1, 1, width=32)
        actions = values.map(lambda value: np.array([value], np.float32))
    for action in data.draw(st.lists(actions, max_size=60)):
        observation, reward, terminated, *_ = env.step(action)
        assert env.observation_space.contains(observation)
        assert type(reward) is float and type(terminated) is bool
        if terminated:
            env.reset()


@every_case
def test_observations_are_not_overwritten_later(name, arguments):
    env = make(name, arguments)
    first, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in first.items()}
    for _ in range(5):
        env.step(env.action_space.sample())
    assert data_equivalence(first, kept, exact=True)


@every_case
def test_rebuilds_from_its_spec(name, arguments):
    env = make(name, arguments)
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json())):
        twin = gym.make(spec)
        assert twin.observation_space == env.observation_space
        assert data_equivalence(rollout(env, 3), rollout(twin, 3), exact=True)


@every_case
def test_rgb_array_is_a_picture_that_moves(name, arguments):
    env = make(name, arguments, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert before.dtype == np.uint8 and before.ndim == 3 and before.shape[2] == 3
    for _ in range(4):
        env.step(env.action_space.sample())
    assert not np.array_equal(before, env.render())


every_scene = pytest.mark.parametrize(
    "name", ["MultimodalPendulum-v0", "HyperHot-v0", "DigitDial-v0"]
)


@every_scene
@pytest.mark.parametrize("audio", ["dummy", "no such driver"])
def test_window_opens_with_and_without_a_sound_card(name, audio, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", audio)
    env = make(name, {}, render_mode="human")
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    env.close()
    env.close()


@every_scene
def test_audio_of_a_step_lasts_a_step(name):
    env = make(name, {}).unwrapped
    env.reset(seed=0)
    audio = env.audio()
    duration = len(audio) / env.audio_rate
    assert audio.shape[1] == 2
    assert duration == pytest.approx(1 / env.metadata["render_fps"], rel=1e-3)
    assert np.abs(audio).max() <= 1


def test_vector_environments_in_processes():
    envs = gym.make_vec(
        "envs:nexus_rl/MultimodalPendulum-v0",
        num_envs=2,
        vectorization_mode="async",
        image_size=16,
    )
    observations, _ = envs.reset(seed=1)
    assert observations["image"].shape == (2, 2, 16, 16)
    alone, _ = make("MultimodalPendulum-v0", {"image_size": 16}).reset(seed=2)
    assert np.array_equal(observations["sound"][1], alone["sound"])
    envs.step(envs.action_space.sample())
    envs.close()


def test_needs_no_pygame_and_nothing_of_the_library():
    code = (
        "import sys; sys.modules['pygame'] = None\n"
        "import gymnasium as gym\n"
        "for name in ('MultimodalPendulum-v0', 'HyperHot-v0', 'DigitDial-v0'):\n"
        "    env = gym.make(f'envs:nexus_rl/{name}', render_mode='rgb_array')\n"
        "    env.reset(seed=0); env.step(env.action_space.sample()); env.render()\n"
        "assert not {'nexus_rl', 'agents', 'torch'} & set(sys.modules)\n"
        "try:\n"
        "    gym.make('envs:nexus_rl/HyperHot-v0', render_mode='human').reset()\n"
        "except gym.error.DependencyNotInstalled as error:\n"
        "    assert 'pygame-ce' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("MultimodalPendulum-v0", {"image_size": 8}, "image_size must be .* got 8"),
        ("MultimodalPendulum-v0", {"image_size": 60.0}, "image_size .* got 60.0"),
        ("MultimodalPendulum4-v0", {"image_size": True}, "image_size must .* True"),
        ("HyperHot-v0", {"enemies": 5}, "enemies must be 1, 2, 3 or 4, got 5"),
        ("HyperHot-v0", {"time_limit": 0}, "time_limit must be .* got 0"),
        ("HyperHot-v0", {"time_limit": float("nan")}, "time_limit .* got nan"),
        ("HyperHot-v0", {"sound": "loud"}, 'sound must be "bands" or "waveform"'),
        ("DigitDial-v0", {"data": "letters"}, "data must be one of .*, got 'letters'"),
        ("DigitDial-v0", {"split": "all"}, 'split must be "train" or "test", got'),
        ("DigitDial-v0", {"hold": 0}, "hold must be .* got 0"),
        ("DigitDial-v0", {"hold": True}, "hold must be .* True"),
        ("DigitDial-v0", {"regular": "no"}, "regular must be true or false, got 'no'"),
        ("DigitDial-v0", {"show_target": 0}, "show_target must be true or false"),
        ("DigitDial-v0", {"data": ["mhd"]}, "data must be one of"),
        ("DigitDial-v0", {"folder": 3}, "folder must be a path, got 3"),
    ],
)
def test_bad_arguments_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(name, arguments)


def test_unknown_render_mode_is_named():
    from envs import HyperHot

    with pytest.raises(ValueError, match="render_mode must be None or one of"):
        HyperHot(render_mode="ansi")


def test_rendering_without_a_mode_warns():
    env = make("HyperHot-v0", {}).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="without a render mode"):
        assert env.render() is None
