"""Wrappers in specs: environments made again from JSON."""

import gymnasium as gym
import pytest
from dropout_world import Toy, rollout, schedules
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given, settings

from nexus_rl import UserError
from nexus_rl.wrappers import (
    Bernoulli,
    Corruption,
    Curriculum,
    Delay,
    Drift,
    Frozen,
    Gaussian,
    Lie,
    Markov,
    Occlusion,
    Schedule,
    SensorCorruption,
    SensorDropout,
    Window,
)
from nexus_rl.wrappers.recorded import KINDS, recorded, restored

ACTIONS = [0, 1] * 20


def again(env):
    """The environment that the spec of ``env`` makes after it was text."""
    return gym.make(EnvSpec.from_json(env.spec.to_json()))


def same(env, twin):
    runs = [rollout(each, 3, ACTIONS) for each in (env, twin)]
    return data_equivalence(*runs)


@settings(max_examples=30, deadline=None)
@given(schedules.filter(lambda schedule: "Curriculum" not in repr(schedule)))
def test_every_schedule_survives_json(schedule):
    env = SensorDropout(gym.make("nexus_rl_tests/Toy-v0"), schedule, "noise")
    assert same(env, again(env))


@pytest.mark.parametrize(
    "kind", [Gaussian(0.2), Drift(0.1), Occlusion(0.3), Frozen(), Delay(2), Lie(5)]
)
def test_every_corruption_survives_json(kind):
    env = gym.make("nexus_rl_tests/Toy-v0")
    env = SensorCorruption(env, {"image": kind}, Markov(0.3, 0.3), announced=True)
    assert same(env, again(env))


def test_options_survive_json():
    env = SensorDropout(
        gym.make("nexus_rl_tests/Toy-v0"),
        [Bernoulli({"touch": 0.5}), Window(3, 2, {"touch", "image"})],
        "hold",
        min_available=0,
        sensors={"touch", "image"},
        stack={"image": 2},
    )
    twin = again(env)
    assert twin.sensors == env.sensors
    assert same(env, twin)


def test_a_curriculum_goes_as_an_object():
    env = gym.make("nexus_rl_tests/Toy-v0")
    env = SensorDropout(env, Curriculum(Bernoulli, 0.9, 20))
    assert same(env, gym.make(env.spec))


def test_what_is_of_a_users_own_stays_as_it_is():
    class Own(Bernoulli):
        pass

    mine = Own(0.3)
    assert recorded([mine])[0] is mine
    assert restored(recorded({"kind": Gaussian(0.1)})) == {"kind": Gaussian(0.1)}
    with pytest.raises(UserError, match="expected a Schedule"):
        SensorDropout(Toy(), {"kind": "Sometimes"})


def test_no_kind_is_forgotten():
    def below(kind):
        return {kind}.union(*map(below, kind.__subclasses__()))

    known = {
        kind
        for kind in below(Schedule) | below(Corruption)
        if kind.__module__.startswith("nexus_rl.") and not kind.__abstractmethods__
    }
    assert known == {*KINDS.values()}
