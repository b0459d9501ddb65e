"""The ways sensors can fail: which there are, and what they do."""

from __future__ import annotations

import itertools
from collections import deque

import numpy as np
import pytest
from gymnasium import spaces

from agents.conditions import (
    CORRUPTIONS,
    Condition,
    Stuck,
    choose_conditions,
    conditions_of,
    training_condition,
)
from nexus_rl.environments import make_env
from nexus_rl.errors import UserError
from nexus_rl.wrappers import Fault, SensorCorruption, SensorDropout
from nexus_rl.wrappers.schedules import Available

PENDULUM = "nexus_rl/MultimodalPendulum-v0"


@pytest.fixture(scope="module")
def known() -> dict[str, Condition]:
    return conditions_of(PENDULUM)


def outages(condition: Condition, episodes: int = 1) -> Available:
    """Which of image and sound are missing: (episodes, 201, 2), of the real thing."""
    env = make_env(PENDULUM, {"image_size": 16})
    assert condition.schedule is not None
    env = SensorDropout(env, condition.schedule, min_available=condition.min_available)
    missing = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        rows = [observation["available"] == 0]
        truncated = False
        while not truncated:
            observation, _, _, truncated, _ = env.step(np.zeros(1, np.float32))
            rows.append(observation["available"] == 0)
        missing.append(rows)
    env.close()
    return np.array(missing)


def test_there_is_a_condition_for_every_way_to_fail(
    known: dict[str, Condition],
) -> None:
    assert all(name == condition.name for name, condition in known.items())
    groups = [key for key, _ in itertools.groupby(known.values(), lambda c: c.group)]
    assert groups == [
        *("everything", "missing", "bernoulli", "bursts", "windows"),
        *("blackout", "corruption"),
    ]
    assert list(known)[:3] == ["everything", "no_image", "no_sound"]
    assert known["everything"].schedule is None
    assert "occlusion_image_2" in known and "occlusion_sound_2" not in known
    assert 25 <= len(known) <= 40


def test_every_proper_subset_of_four_sensors() -> None:
    four = conditions_of("nexus_rl/MultimodalPendulum4-v0")
    left = [
        frozenset(getattr(c.schedule, "available", ()))
        for c in four.values()
        if c.group == "missing"
    ]
    names = ("gyro", "image", "sound", "torque")
    assert set(left) == {
        frozenset(subset)
        for size in (1, 2, 3)
        for subset in itertools.combinations(names, size)
    }
    assert len(left) == 14
    for condition in four.values():
        if condition.name.startswith("no_"):
            lost = condition.name.removeprefix("no_")
            assert set(names) - set(condition.schedule.available) == {lost}  # type: ignore[union-attr]


def test_what_is_missing_is_what_the_name_says(known: dict[str, Condition]) -> None:
    assert outages(known["no_image"]).all(axis=1).tolist() == [[True, False]]
    window = outages(known["window_sound_20_25"])[0]
    assert not window[:, 0].any()
    assert np.flatnonzero(window[:, 1]).tolist() == list(range(20, 45))
    blackout = outages(known["blackout_10"])[0]
    assert np.flatnonzero(blackout.all(axis=1)).tolist() == list(range(20, 30))


@pytest.mark.parametrize("rate", [10, 50, 90])
def test_dropout_has_its_rate_and_leaves_a_sensor(
    known: dict[str, Condition], rate: int
) -> None:
    missing = outages(known[f"bernoulli_{rate}"], 10)
    assert not missing.all(axis=2).any()
    # Of two sensors, one comes back where both would be missing.
    p = rate / 100
    assert missing.mean() == pytest.approx(p - p * p / 2, abs=0.02)


@pytest.mark.parametrize(("name", "steps"), [("short", 5), ("long", 25)])
def test_bursts_have_their_rate_and_length(
    known: dict[str, Condition], name: str, steps: int
) -> None:
    schedule = known[f"bursts_{name}"].schedule
    fail, recover = schedule.fail, schedule.recover  # type: ignore[union-attr]
    assert 1 / recover == pytest.approx(steps)
    assert fail / (fail + recover) == pytest.approx(0.3)


def test_corruptions_are_unannounced_and_grow(known: dict[str, Condition]) -> None:
    def distance(name: str, sensor: str) -> float:
        env = make_env(PENDULUM, {"image_size": 16})
        wrong = SensorCorruption(env, known[name].corruptions)
        true = make_env(PENDULUM, {"image_size": 16})
        shown, told = wrong.reset(seed=0)[0], true.reset(seed=0)[0]
        total = 0.0
        for step in range(150):
            action = np.array([np.sign(np.sin(step / 9))], np.float32)
            shown, told = wrong.step(action)[0], true.step(action)[0]
            assert shown.keys() == told.keys() == {"image", "sound"}
            total += float(np.abs(shown[sensor].astype(float) - told[sensor]).mean())
        wrong.close()
        true.close()
        return total

    for kind, sensor in itertools.product(CORRUPTIONS, ("image", "sound")):
        if (kind, sensor) != ("occlusion", "sound"):
            levels = [distance(f"{kind}_{sensor}_{k}", sensor) for k in (1, 2, 3)]
            # A frozen pendulum may by chance be near where the true one swings.
            assert 0 < levels[0] < 0.8 * min(levels[1:]), (kind, sensor, levels)


def test_a_stuck_sensor_comes_loose() -> None:
    stuck, box = Stuck(3), spaces.Box(0.0, 99.0, (1,), np.float32)
    fault = Fault(deque(maxlen=stuck.memory))
    shown = []
    for step in range(8):
        fault.past.append(np.array([step]))
        fault.step = step
        shown.append(int(stuck.apply(fault, box, np.random.default_rng(0))[0]))
    assert shown == [0, 0, 0, 3, 3, 3, 6, 6]
    with pytest.raises(UserError, match="steps must be an integer of at least 1"):
        Stuck(0)


def test_one_sensor_alone_is_not_dropped() -> None:
    alone = conditions_of("one_sensor:nexus_rl_tests/OneSensor-v0")
    groups = {condition.group for condition in alone.values()}
    assert groups == {"everything", "blackout", "corruption"}


def test_choosing_by_name_by_group_and_all(known: dict[str, Condition]) -> None:
    def chosen(*names: str) -> list[str]:
        return [condition.name for condition in choose_conditions(names, known)]

    assert chosen("all") == list(known)
    assert chosen("no_sound", "missing", "everything") == [
        *("everything", "no_image", "no_sound"),
    ]
    assert chosen("bernoulli")[0] == "bernoulli_10" and len(chosen("bernoulli")) == 5


@pytest.mark.parametrize(
    ("name", "close"),
    [("bernouli_30", "bernoulli_30"), ("mising", "missing"), ("no-image", "no_image")],
)
def test_unknown_conditions_get_a_suggestion(
    known: dict[str, Condition], name: str, close: str
) -> None:
    with pytest.raises(UserError, match=f"unknown condition .* mean '{close}'"):
        choose_conditions(["everything", name], known)
    with pytest.raises(UserError, match="no conditions"):
        choose_conditions([], known)


def test_reading_a_schedule_for_training() -> None:
    sensors = ["image", "sound"]
    none = training_condition("none", sensors)
    assert none.schedule is None and none.name == "none"
    both = training_condition("episode:0.3+markov:0.05,0.2", sensors)
    assert both.name == "episode:0.3+markov:0.05,0.2" and both.min_available == 1
    assert str(both.schedule) == (
        "(PerEpisode(missing=0.3), Markov(fail=0.05, recover=0.2))"
    )
    for text in ("", "burst:0.3", "bernoulli", "bernoulli:x", "markov:0.3", "none+"):
        with pytest.raises(UserError, match="cannot read sensor dropout"):
            training_condition(text, sensors)
    with pytest.raises(UserError, match="probability"):
        training_condition("bernoulli:1.5", sensors)
    with pytest.raises(UserError, match="only sensor"):
        training_condition("bernoulli:0.3", ["image"])
    assert training_condition("none", ["image"]).schedule is None
