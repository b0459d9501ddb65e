"""The ways sensors can fail: which there are, and what they do."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from agents.conditions import (
    CORRUPTIONS,
    Condition,
    Stuck,
    choose_conditions,
    conditions_of,
    training_condition,
)
from agents.perception import Perception, Task, make_vec_env
from nexus_rl.errors import UserError
from nexus_rl.wrappers import Fault
from nexus_rl.wrappers.schedules import Available

PENDULUM = "nexus_rl/MultimodalPendulum-v0"


@pytest.fixture(scope="module")
def known() -> dict[str, Condition]:
    return conditions_of(PENDULUM)


def played(
    condition: Condition, episodes: int = 1, steps: int = 200
) -> dict[str, NDArray[Any]]:
    """What an agent of raw sensors gets of each, (steps, episodes, ...), and the mask.

    Its environments are those that agents are evaluated in.
    """
    kwargs = {"image_size": 16, "max_episode_steps": steps}
    task = Task(PENDULUM, kwargs, Perception("raw", mask=True))
    venv = make_vec_env(task, episodes, 0, condition=condition)
    seen: list[Any] = [venv.reset()]
    for step in range(steps - 1):
        action = np.full((episodes, 1), np.sign(np.sin(step / 9)), np.float32)
        seen.append(venv.step(action)[0])
    venv.close()
    return {name: np.stack([each[name] for each in seen]) for name in seen[0]}


def outages(condition: Condition, episodes: int = 1, steps: int = 200) -> Available:
    """Which of image and sound are missing: (steps, episodes, 2)."""
    missing: Available = played(condition, episodes, steps)["available"] == 0
    return missing


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
    assert outages(known["no_image"]).all(axis=0).tolist() == [[True, False]]
    window = outages(known["window_sound_20_25"])[:, 0]
    assert not window[:, 0].any()
    # Both frames of a reading are fresh again one step after the outage.
    assert np.flatnonzero(window[:, 1]).tolist() == list(range(20, 46))
    blackout = outages(known["blackout_10"])[:, 0]
    assert np.flatnonzero(blackout.any(axis=1)).tolist() == list(range(20, 31))
    assert np.flatnonzero(blackout.all(axis=1)).tolist() == list(range(20, 31))


@pytest.mark.parametrize("rate", [10, 50, 90])
def test_dropout_is_of_fresh_frames_and_leaves_a_sensor(
    known: dict[str, Condition], rate: int
) -> None:
    """The share that is missing is not the rate: 17, 45 and 50 %."""
    missing = outages(known[f"bernoulli_{rate}"], 20)
    assert not missing.all(axis=2).any()
    # A chain of three states: none is missing, or one that was fresh in none of the
    # last steps, or one that was in the last. The third follows on the second where
    # that is fresh; none is missing where both are, after the first or the third.
    fresh = 1 - rate / 100
    second, third, first = 1.0, fresh, fresh**3 / (1 - fresh**2)
    expected = (second + third) / (first + second + third) / 2
    assert missing.mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("name", "steps"), [("short", 5), ("long", 25)])
def test_bursts_have_their_rate_and_length(
    known: dict[str, Condition], name: str, steps: int
) -> None:
    condition = known[f"bursts_{name}"]
    assert not outages(condition, 10).all(axis=2).any()
    # Each sensor by itself: where one is always left, outages of both are cut short.
    missing = outages(replace(condition, min_available=0), 10, 1000)
    # 30 % of the time a sensor is down, `steps` on average, and it is there again in
    # its second step up.
    fail = 0.3 / (0.7 * steps)
    there = 0.7 * (1 - fail)
    assert missing.mean() == pytest.approx(1 - there, abs=0.03)
    begun = (~missing[:-1] & missing[1:]).sum()
    assert missing.sum() / begun == pytest.approx((1 - there) / (there * fail), rel=0.1)


def test_corruptions_are_unannounced_and_grow(known: dict[str, Condition]) -> None:
    true = played(known["everything"], 5)

    def distance(name: str, sensor: str) -> float:
        shown = played(known[name], 5)
        assert shown.keys() == {"image", "sound", "available"}
        assert shown["available"].all()
        return float(np.abs(shown[sensor] - true[sensor].astype(float)).mean())

    for kind, sensor in itertools.product(CORRUPTIONS, ("image", "sound")):
        if (kind, sensor) != ("occlusion", "sound"):
            one, two, three = (
                distance(f"{kind}_{sensor}_{k}", sensor) for k in (1, 2, 3)
            )
            assert 0 < one < 0.8 * two, (kind, sensor)
            # A reading that is frozen for ever is no farther off than one of 25 steps
            # ago, only for longer.
            assert kind == "freeze" or two < 0.95 * three, (kind, sensor)


def test_a_frozen_sensor_moves_ever_more_rarely(known: dict[str, Condition]) -> None:
    for sensor in ("image", "sound"):
        moved = []
        for severity in (1, 2, 3):
            readings = played(known[f"freeze_{sensor}_{severity}"])[sensor]
            shown = readings.reshape(200, -1)
            moved.append(np.flatnonzero((shown[1:] != shown[:-1]).any(axis=1)) + 1)
        assert moved[0].tolist() == list(range(5, 200, 5)), sensor
        assert moved[1].tolist() == list(range(25, 200, 25)), sensor
        assert not moved[2].size, sensor


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
