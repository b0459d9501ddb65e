"""The dial: its rules, its recordings, and what wrappers make of them."""

import gymnasium as gym
import numpy as np
import pytest
from dial_world import (
    CLASS,
    ROW,
    ROWS,
    SPLIT,
    images_of,
    labels_of,
    marks,
    write_mnist,
)
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env

from envs import DigitDial
from envs.digit_dial import distance, state_features
from nexus_rl import SensorDropout
from nexus_rl.data.rollouts import collect, sample
from nexus_rl.wrappers import Bernoulli, Fixed, VecSensorDropout

ID = "envs:nexus_rl/DigitDial-v0"
LEFT, STAY, RIGHT = range(3)


def greedy(info):
    """The best action, for somebody who knows the target."""
    offset = (info["target"] - info["position"]) % 10
    return STAY if offset == 0 else RIGHT if offset <= 5 else LEFT


def play(env, steps, choose=greedy, seed=0):
    """Infos, those of the reset first, and rewards."""
    _, info = env.reset(seed=seed)
    infos, rewards = [info], []
    for _ in range(steps):
        _, reward, terminated, _, info = env.step(choose(info))
        assert not terminated
        infos.append(info)
        rewards.append(reward)
    return infos, np.array(rewards)


@pytest.mark.parametrize(
    ("target", "position", "action", "turned", "reward"),
    [
        (3, 3, STAY, 3, 1.0),
        (3, 3, RIGHT, 4, 0.6),
        (3, 3, LEFT, 2, 0.6),
        (0, 9, RIGHT, 0, 1.0),
        (9, 0, LEFT, 9, 1.0),
        (9, 0, RIGHT, 1, 0.2),
        (0, 5, STAY, 5, -1.0),
        (0, 4, LEFT, 3, -0.2),
        (8, 1, STAY, 1, -0.2),
    ],
)
def test_rewards(folder, target, position, action, turned, reward):
    env = DigitDial("mnist", folder=folder, hold=1)  # the target changes afterwards
    env.reset(seed=0, options={"state": (target, position)})
    _, gained, terminated, truncated, info = env.step(action)
    assert gained == pytest.approx(reward)
    assert not terminated and not truncated
    assert info["position"] == turned and info["target"] != target


@pytest.mark.parametrize("hold", [5, 8])
def test_return_of_the_best_policy_on_regular_targets(folder, hold):
    """A target d away costs 0.4 (1 + .. + (d - 1)), then nothing until it changes."""
    env = DigitDial("mnist", folder=folder, hold=hold, regular=True)
    infos, rewards = play(env, 300 * hold)
    kept = rewards.reshape(-1, hold).sum(axis=1)
    away = [distance(i["target"], i["position"]) for i in infos[:-1:hold]]
    assert kept == pytest.approx([hold - 0.2 * d * (d - 1) for d in away])
    # One or four of nine others are 5 and 1 to 4 positions away.
    loss = np.array([0.2 * d * (d - 1) for d in (1, 1, 2, 2, 3, 3, 4, 4, 5)])
    assert loss.mean() == pytest.approx(4 / 3)
    error = loss.std() / np.sqrt(len(kept))
    assert kept[1:].mean() == pytest.approx(hold - 4 / 3, abs=4 * error)


def test_return_of_the_best_policy_on_irregular_targets(folder):
    """The stationary reward of the chain of offsets from pointer to target."""
    hold = 4
    offsets = np.arange(10)
    turned = np.where(offsets <= 5, np.maximum(offsets - 1, 0), (offsets + 1) % 10)
    move = np.eye(10)[turned]
    change = np.full((10, 10), 1 / 9) - np.eye(10) / 9
    chain = move @ (np.eye(10) * (1 - 1 / hold) + change / hold)
    share = np.linalg.matrix_power(chain, 200)[0]
    expected = share @ (1 - 0.4 * np.minimum(turned, 10 - turned))
    env = DigitDial("mnist", folder=folder, hold=hold)
    _, rewards = play(env, 20_000)
    batches = rewards.reshape(100, -1).mean(axis=1)
    assert rewards.mean() == pytest.approx(expected, abs=0.4 * batches.std())


def test_turning_at_random_gets_nothing(folder):
    env = DigitDial("mnist", folder=folder)
    rng = np.random.default_rng(0)
    _, rewards = play(env, 20_000, lambda info: int(rng.integers(3)))
    assert rewards.mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("hold", "regular"), [(7, True), (7, False), (1, False)])
def test_targets_stay_and_change(folder, hold, regular):
    env = DigitDial("mnist", folder=folder, hold=hold, regular=regular)
    infos, _ = play(env, 7000, lambda info: STAY)
    targets = np.array([info["target"] for info in infos])
    changes = np.flatnonzero(np.diff(targets)) + 1
    if regular:
        assert (changes % hold == 0).all() and len(changes) == 1000
    else:
        spread = np.sqrt((1 - 1 / hold) * 7000 / hold)
        assert abs(len(changes) - 7000 / hold) <= 4 * spread
    moved = (targets[changes] - targets[changes - 1]) % 10
    counts = np.bincount(moved, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > len(moved) / 9 * 0.6


def test_chance_does_not_depend_on_what_is_done(folder):
    seen = []
    for action in (LEFT, RIGHT):
        env = DigitDial("mnist", folder=folder, hold=3)
        first, _ = env.reset(seed=5)
        seen.append([first["image"]] + [env.step(action)[0]["image"] for _ in "x" * 50])
    assert np.array_equal(*seen)


@pytest.mark.parametrize("split", ROWS)
def test_shows_the_target_in_recordings_of_its_split_alone(folder, split):
    env = DigitDial("mnist", split=split, folder=folder)
    observation, info = env.reset(seed=0)
    shown = []
    for _ in range(2000):
        digit, part, row = marks(observation)
        assert digit == info["target"] == labels_of(split)[row]
        assert np.array_equal(observation["image"][0], images_of(split)[row])
        assert part == list(ROWS).index(split)
        shown.append(row)
        observation, _, _, _, info = env.step(STAY)
    assert set(shown) == set(range(ROWS[split]))
    assert np.mean(np.diff(shown) == 0) < 2 / (ROWS[split] / 10)


@pytest.mark.parametrize("split", ROWS)
def test_all_sensors_of_mhd_show_the_target_in_one_row_of_the_split(folder, split):
    env = DigitDial(split=split, folder=folder, hold=1)
    observation, info = env.reset(seed=0)
    heard = set()
    for _ in range(500):
        digit, part, row = marks(observation)
        sound = observation["sound"][0, 0, [CLASS, SPLIT, ROW]].tolist()
        pen = observation["trajectory"][[CLASS, SPLIT, ROW]] * [16, 1, 64]
        assert pen.tolist() == [digit, part, row]
        assert sound == [digit, part, digit + 10 * (row % 3) + 30 * part]
        assert digit == info["target"] and part == list(ROWS).index(split)
        heard.add(sound[ROW])
        observation, _, _, _, info = env.step(STAY)
    assert len(heard) == 30


@pytest.mark.parametrize("data", ["mhd", "mnist"])
def test_labels_are_never_observed(folder, data):
    env = DigitDial(data, folder=folder)
    observation, info = env.reset(seed=0)
    sensors = {"image", "trajectory", "sound"} if data == "mhd" else {"image"}
    assert set(observation) == set(env.observation_space) == {*sensors, "position"}
    assert set(info) == {"target", "position", "state"}


def test_state_and_position(dial):
    observation, info = dial.reset(seed=0, options={"state": (5, 0)})
    assert info["state"] == pytest.approx([-1, 0, 1, 0], abs=1e-6)
    observation, *_, info = dial.step(RIGHT)
    angle = 2 * np.pi / 10
    assert observation["position"] == pytest.approx([np.cos(angle), np.sin(angle)])
    assert np.array_equal(info["state"][2:], observation["position"])
    assert info["state"].dtype == np.float32
    assert len(dial.state_names) == len(info["state"])


def test_sampled_states_are_observed_as_in_episodes(dial):
    states = dial.sample_states(500, np.random.default_rng(0))
    batch = dial.observe(*states)
    assert batch["image"].shape == (500, 1, 28, 28)
    assert np.array_equal(batch["image"][:, 0, 0, CLASS], states[0])
    assert state_features(*states[:2]).shape == (500, 4)
    dial.np_random = np.random.default_rng(3)
    dial.reset(options={"state": (4, 2)})
    rng = np.random.default_rng(3)
    rng.integers(10, size=2)
    again = dial.observe(4, 2, rng.random())
    assert np.array_equal(dial._seen["image"], again["image"])
    assert len(dial.observe(*dial.sample_states(0, rng))["image"]) == 0
    last = dial.observe(np.arange(10), 0, np.nextafter(1.0, 0.0))
    assert last["image"][:, 0, 0, CLASS].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((10, 0, 0.5), "target must be integers from 0 to 9"),
        ((0, -1, 0.5), "position must be integers"),
        ((0.0, 0, 0.5), "target must be integers"),
        ((0, 0, 1.0), r"chance must lie in \[0, 1\)"),
        ((0, 0, np.nan), "chance must lie"),
    ],
)
def test_impossible_states_are_refused(dial, state, message):
    with pytest.raises(ValueError, match=message):
        dial.observe(*state)


def test_bad_resets_steps_and_numbers_are_refused(dial):
    for state in [(1,), (10, 0), (0.5, 1)]:
        with pytest.raises(ValueError, match=r"state must be|integers from 0 to 9"):
            dial.reset(options={"state": state})
    dial.reset(seed=0)
    with pytest.raises(ValueError, match="action must be 0, 1 or 2, got 3"):
        dial.step(3)
    with pytest.raises(ValueError, match="n must not be negative, got -1"):
        dial.sample_states(-1, np.random.default_rng(0))


def test_ends_after_100_steps(folder):
    env = gym.make(ID, data="mnist", folder=folder)
    env.reset(seed=0)
    ends = [env.step(STAY)[2:4] for _ in range(100)]
    assert ends[-1] == (False, True) and not any(map(any, ends[:-1]))


@pytest.mark.filterwarnings("ignore:.*minimal resolution for an image:UserWarning")
@pytest.mark.parametrize("data", ["mhd", "mnist"])
def test_stable_baselines_has_nothing_else_to_say(folder, data):
    sb3_check_env(gym.make(ID, data=data, folder=folder))


class TestWrapped:
    def test_hides_a_sensor(self, folder):
        env = SensorDropout(
            gym.make(ID, data="mnist", folder=folder), Fixed("position")
        )
        observation, info = env.reset(seed=0)
        assert not observation["image"].any() and observation["position"].any()
        assert info["available"] == {"image": False, "position": True}

    @pytest.mark.parametrize("data", ["mhd", "mnist"])
    def test_vectorised(self, folder, data):
        kwargs = {"data": data, "folder": folder, "max_episode_steps": 5}
        venv = make_vec_env(ID, n_envs=3, seed=0, env_kwargs=kwargs)
        venv = VecSensorDropout(venv, Bernoulli(0.5))
        observations = venv.reset()
        for step in range(10):
            there = observations["available"][:, 0].astype(bool)
            assert all(observations["image"][there].any(axis=(1, 2, 3)))
            assert not observations["image"][~there].any()
            actions = np.full(3, RIGHT)
            observations, _, dones, infos = venv.step(actions)
            assert dones.all() == ((step + 1) % 5 == 0)
        assert infos[0]["terminal_observation"]["image"].shape == (1, 28, 28)
        venv.close()

    def test_rollouts(self, folder):
        env = gym.make(ID, data="mnist", folder=folder)
        for rows in (collect(env, 60, seed=1), sample(env, 60, seed=1)):
            state = rows.columns["state"]
            digit = np.round(np.arctan2(state[:, 1], state[:, 0]) * 5 / np.pi) % 10
            images = rows.observations()["image"]
            assert np.array_equal(images[:, 0, 0, CLASS], digit)

    def test_formats_tell_data_sets_apart(self, folder):
        write_mnist(folder, "fashion_mnist")
        texts = [
            DigitDial(data, folder=folder).sensor_formats["image"]
            for data in ("mnist", "fashion_mnist")
        ]
        assert texts[0] != texts[1]
