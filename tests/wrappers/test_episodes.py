"""Where episodes begin and end: every autoreset, vectors of others."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import Autoreset, TimeLimit
from named_world import MASK, Named
from stable_baselines3.common.vec_env import DummyVecEnv
from test_mask import MODEL

from nexus_rl import NexusObservation, SensorDropout, UserError, VecNexusObservation
from nexus_rl.wrappers import (
    Frozen,
    SensorCorruption,
    VecSensorDropout,
    VectorSensorDropout,
    Window,
)

EARLY = Window(0, 2, ["sound"])
DARK = Window(0, 2)


def rows(env, steps=9):
    return [env.reset(seed=0)[0], *(env.step(0)[0] for _ in range(steps))]


def test_autoreset_inside_begins_every_episode_anew():
    inside = rows(SensorDropout(TimeLimit(Autoreset(Named()), 99), EARLY))
    outside = rows(Autoreset(SensorDropout(Named(), EARLY)))
    masks = [[row[MASK].tolist() for row in shown] for shown in (inside, outside)]
    assert masks[0] == masks[1]
    assert [row[0] for row in masks[0]] == [0, 0, 1, 1, 1, 0, 0, 1, 1, 1]
    frozen = SensorCorruption(Autoreset(Named()), {"sound": Frozen()}, Window(0, 2))
    told = [frozen.reset(seed=0)[1], *(frozen.step(0)[-1] for _ in range(9))]
    wrong = [info["corrupted"]["sound"] for info in told]
    assert wrong == [n in (0, 1, 5, 6) for n in range(10)]


def test_autoreset_inside_forgets_what_was_held():
    def blind(env):
        return SensorDropout(env, DARK, min_available=0)

    inside = rows(NexusObservation(blind(Autoreset(Named())), MODEL))
    outside = rows(Autoreset(NexusObservation(blind(Named()), MODEL)))
    np.testing.assert_array_equal(inside, outside)
    assert not inside[5].any()  # the prior again


@pytest.mark.parametrize(
    "wrap",
    [
        SensorDropout,
        lambda env: SensorCorruption(env, {"sound": Frozen()}),
        lambda env: NexusObservation(env, MODEL),
    ],
)
def test_steps_outside_an_episode_are_refused(wrap):
    env = wrap(Named(length=1))
    with pytest.raises(UserError, match="reset"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(UserError, match="reset"):
        env.step(0)
    env.reset()
    env.step(0)


class Vector(SyncVectorEnv):
    """Declares its mode as it is told, and may batch what it calls final."""

    def __init__(self, told, mode, batched=False):
        super().__init__([Named] * 2, autoreset_mode=mode)
        self.metadata = {} if told is None else {"autoreset_mode": told}
        self.batched = batched

    def step(self, actions):
        *rest, infos = super().step(actions)
        if self.batched and "final_obs" in infos:
            final = infos["final_obs"]
            infos["final_obs"] = {
                n: np.stack([row[n] for row in final]) for n in final[0]
            }
        return *rest, infos


def history(envs, steps=12):
    shown = [envs.reset(seed=0)[0]]
    for _ in range(steps):
        observations, *_, infos = envs.step(np.zeros(2, int))
        shown.append(observations)
        shown += [row for row in infos.get("final_obs", []) if row is not None]
    return [
        row[MASK].tolist() if isinstance(row, dict) else row.tolist() for row in shown
    ]


@pytest.mark.parametrize("told", ["{0.value}", "{0.name}", "{0}"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_modes_may_be_declared_as_text(mode, told):
    for text in (told.format(mode), told.format(mode).lower()):
        expected = history(VectorSensorDropout(Vector(mode, mode), EARLY))
        assert history(VectorSensorDropout(Vector(text, mode), EARLY)) == expected


@pytest.mark.parametrize("told", [None, "sometimes", 3])
def test_modes_that_nobody_knows_are_refused(told):
    envs = Vector(told, AutoresetMode.NEXT_STEP)
    with pytest.raises(UserError, match="autoreset_mode"):
        VectorSensorDropout(envs)
    with pytest.raises(UserError, match="autoreset_mode"):
        VecNexusObservation(envs, MODEL)


def test_final_observations_may_be_batched_but_not_absent():
    mode = AutoresetMode.SAME_STEP
    for wrap in (
        lambda envs: VectorSensorDropout(envs, EARLY),
        lambda envs: VecNexusObservation(VectorSensorDropout(envs, EARLY), MODEL),
        lambda envs: VecNexusObservation(envs, MODEL),
    ):
        plain = history(wrap(Vector(mode, mode)))
        assert history(wrap(Vector(mode, mode, batched=True))) == plain
        with pytest.raises(UserError, match="final_obs"):
            history(wrap(Vector(mode, AutoresetMode.NEXT_STEP)))


def test_a_vec_env_without_terminal_observation_or_generator():
    class Forgetful(DummyVecEnv):
        def step_wait(self):
            *rest, infos = super().step_wait()
            for info in infos:
                info.pop("terminal_observation", None)
            return *rest, infos

        def get_attr(self, name, indices=None):
            if name == "np_random":
                raise AttributeError(name)
            return super().get_attr(name, indices)

    for wrap in (
        lambda venv: VecSensorDropout(venv, EARLY),
        lambda venv: VecNexusObservation(venv, MODEL, latent="sample"),
    ):
        venv = wrap(Forgetful([Named]))
        venv.reset()  # nobody gave a seed
        with pytest.raises(UserError, match="terminal_observation"):
            for _ in range(4):
                venv.step(np.zeros(1, int))


def test_a_single_environment_is_no_vector():
    with pytest.raises(UserError, match="NexusObservation"):
        VecNexusObservation(Named(), MODEL)
    assert isinstance(Named(), gym.Env)
