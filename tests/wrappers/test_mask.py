"""Masks follow names: through any order of keys, any wrapper, any kind of vector."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import FilterObservation, TransformObservation
from gymnasium.wrappers.vector import FilterObservation as VectorFilterObservation
from hypothesis import given, settings
from hypothesis import strategies as st
from named_world import MASK, SIZES, SORTERS, Named, rename, sort, turn
from observation_world import model_for
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecNormalize,
)

from nexus_rl import NexusObservation, SensorDropout, UserError, VecNexusObservation
from nexus_rl.mask import mask_columns
from nexus_rl.wrappers import (
    Bernoulli,
    Fixed,
    Frozen,
    SensorCorruption,
    VecSensorDropout,
    VectorSensorDropout,
    Window,
)

MODEL = model_for(Named().observation_space)
STEPS = 12
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def play(env, seed=5):
    """Latents with the mask's columns, and the truth, of three episodes."""
    latent, info = env.reset(seed=seed)
    told = [(latent, info[MASK])]
    for _ in range(STEPS):
        latent, _, ended, _, info = env.step(0)
        told.append((latent, info[MASK]))
        if ended:
            latent, info = env.reset()
            told.append((latent, info[MASK]))
    return told


def check(told, expected):
    for (latent, truth), (latent_too, truth_too) in zip(told, expected, strict=True):
        assert truth == truth_too
        np.testing.assert_allclose(latent, latent_too, atol=1e-6)
        columns = [truth[m.name] for m in MODEL.modalities]
        assert latent[-3:].tolist() == columns


def wrapped(order, inside=(), outside=(), **options):
    env = Named(order)
    for name in inside:
        env = SORTERS[name](env)
    env = SensorDropout(env, Bernoulli(0.5), **options)
    for name in outside:
        env = SORTERS[name](env)
    return env


sorters = st.lists(st.sampled_from(sorted(SORTERS)), max_size=3)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations([*SIZES]), inside=sorters, outside=sorters)
@pytest.mark.parametrize("fill", ["hold", "noise"])
def test_the_order_of_keys_never_matters(fill, order, inside, outside):
    told = [
        play(NexusObservation(env, MODEL, append_mask=True))
        for env in (
            wrapped(order, inside, outside, fill=fill),
            wrapped(sorted(SIZES), fill=fill),
        )
    ]
    check(*told)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations([*SIZES]), outside=sorters)
def test_the_order_of_keys_never_matters_in_vectors(order, outside):
    expected = [wrapped(sorted(SIZES)).reset(seed=3 + i)[0] for i in range(2)]

    def make():
        return wrapped(order, outside=outside)

    vectors = [SyncVectorEnv([make] * 2), DummyVecEnv([make] * 2)]
    outer = VectorSensorDropout(
        SyncVectorEnv([lambda: Named(order)] * 2), Bernoulli(0.5)
    )
    vectors.append(VectorFilterObservation(outer, [*SIZES, MASK]))
    for envs in vectors:
        columns = mask_columns(envs)
        if isinstance(envs, DummyVecEnv):
            envs.seed(3)
            shown = envs.reset()
        else:
            shown, _ = envs.reset(seed=3)
        for name, column in columns.items():
            at = sorted(SIZES).index(name)
            assert shown[MASK][:, column].tolist() == [e[MASK][at] for e in expected]
        envs.close()


def test_a_sensor_that_is_filtered_out_takes_its_column_along():
    env = SensorDropout(Named(), Fixed(["touch"]))
    env = FilterObservation(env, ["touch", "image", MASK])
    model = model_for(
        spaces.Dict({n: env.observation_space[n] for n in ("touch", "image")})
    )
    latent, _ = NexusObservation(env, model, append_mask=True).reset(seed=0)
    assert latent[-2:].tolist() == [m.name == "touch" for m in model.modalities]
    again = SensorDropout(env, Fixed(["image", "touch"]))
    assert again.reset(seed=0)[1][MASK] == {"image": False, "touch": True}


def test_an_entry_that_nobody_tells_of_is_refused_by_name():
    env = rename(SensorDropout(Named(), Fixed(["touch"])))
    with pytest.raises(UserError, match="'voice'"):
        mask_columns(env)
    columns = mask_columns(env, ["voice", "image", "touch"])
    assert columns == {"voice": 0, "image": 1, "touch": 2}
    with pytest.raises(UserError, match="'sound', 'image', 'touch'"):
        mask_columns(sort(SensorDropout(Named())), ["image", "sound", "touch"])
    stacked = VecFrameStack(DummyVecEnv([lambda: SensorDropout(Named())]), 2)
    with pytest.raises(UserError, match=r"\(6,\)"):
        mask_columns(stacked)


def test_a_mask_of_the_environment_keeps_the_order_of_its_maker():
    for change in (lambda env: env, *SORTERS.values()):
        env = change(Named(("touch", "sound", "image"), own=("sound",)))
        assert mask_columns(env) == {"touch": 0, "sound": 1, "image": 2}
        told = SensorDropout(env, Fixed([*SIZES])).reset(seed=0)[1][MASK]
        assert told == {"touch": True, "sound": False, "image": True}
        assert mask_columns(DummyVecEnv([lambda env=env: env]))["sound"] == 1


@forks
@pytest.mark.parametrize("make", [AsyncVectorEnv, SubprocVecEnv])
def test_a_mask_in_another_process_is_refused_unless_it_is_declared(make):
    class Declared(Named):
        mask_columns = {"image": 0, "sound": 1, "touch": 2}  # noqa: RUF012

    for kind in (Named, Declared):
        envs = make([lambda kind=kind: turn(kind(sorted(SIZES), own=("sound",)))])
        try:
            if kind is Declared:
                assert mask_columns(envs) == Declared.mask_columns
            else:
                with pytest.raises(UserError, match="mask_columns"):
                    mask_columns(envs)
        finally:
            envs.close()


@pytest.mark.parametrize("columns", [{"image": 1}, {"image": 0, "sound": 0}, ["image"]])
def test_columns_that_cannot_be_are_refused(columns):
    env = Named(own=("sound",))
    env.mask_columns = columns
    with pytest.raises(UserError, match="mask_columns"):
        mask_columns(env)


def test_a_mask_that_was_scaled_is_refused():
    venv = VecSensorDropout(DummyVecEnv([Named]), Bernoulli(0.5))
    venv = VecNexusObservation(VecNormalize(venv), MODEL)
    with pytest.raises(UserError, match=MASK):
        for _ in range(3):
            venv.reset()


def test_dropouts_of_different_sensors_join():
    env = SensorDropout(Named(), Fixed([]), sensors=["image"], min_available=0)
    assert mask_columns(env) == {"image": 0, "sound": None, "touch": None}
    env = SensorDropout(sort(env), Window(1, 1, "touch"), sensors=["touch", "sound"])
    truth = [env.reset(seed=0)[1][MASK], env.step(0)[-1][MASK]]
    assert truth[0] == {"image": False, "sound": True, "touch": True}
    assert truth[1] == {"image": False, "sound": True, "touch": False}


@pytest.mark.parametrize("announced", [True, False])
def test_corruption_goes_inside_dropout(announced):
    env = sort(SensorDropout(Named(), Window(1, 2, ["image"])))
    with pytest.raises(UserError, match="SensorDropout"):
        SensorCorruption(env, {"image": Frozen()}, announced=announced)


def test_corruption_leaves_missing_readings_alone():
    env = Named(own=("image",))
    env = SensorCorruption(env, {"image": Frozen(), "sound": Frozen()}, Window(1, 3))
    first = env.reset(seed=0)[0]
    env.unwrapped.own = ("sound",)  # now the image is there, and the sound is not
    shown, *_, info = env.step(0)
    assert info["corrupted"] == {"image": True, "sound": False}
    assert shown["image"][0] == np.float32(
        0.14
    )  # its first reading, not the one hidden
    env.unwrapped.own = ("touch",)
    shown, *_, info = env.step(0)
    assert info["corrupted"] == {"image": True, "sound": True}
    assert shown["image"][0] == np.float32(0.14)
    assert shown["sound"][0] == first["sound"][0]


def test_goals_fail_only_where_they_are_named():
    class Reach(Named):
        observation_space = spaces.Dict(
            {
                n: spaces.Box(-1, 1, (2,))
                for n in ("observation", "achieved_goal", "desired_goal")
            }
        )

        def __init__(self):
            self.own, self.length = (), 4

        def observe(self):
            return {name: np.ones(2, np.float32) for name in self.observation_space}

    env = SensorDropout(Reach(), Fixed([]), min_available=0)
    assert env.sensors == ("observation",)
    shown, _ = env.reset(seed=0)
    assert shown["desired_goal"].tolist() == shown["achieved_goal"].tolist() == [1, 1]
    goals = ["observation", "desired_goal"]
    shown, _ = SensorDropout(Reach(), Fixed([]), sensors=goals, min_available=0).reset()
    assert not shown["desired_goal"].any()


def lose(env, name, how):
    """``name`` is absent, or None, where the mask says that it is missing."""

    def without(shown):
        shown = dict(shown)
        column = mask_columns(env)[name]
        if not shown[MASK][column]:
            shown.pop(name) if how == "absent" else shown.update({name: None})
        return shown

    return TransformObservation(env, without, env.observation_space)


@pytest.mark.parametrize("how", ["absent", "none"])
def test_what_is_missing_may_be_absent_or_none(how):
    expected = play(NexusObservation(wrapped([*SIZES]), MODEL, append_mask=True))
    env = wrapped([*SIZES])
    for name in SIZES:
        env = lose(env, name, how)
    check(play(NexusObservation(env, MODEL, append_mask=True)), expected)
    outer = SensorDropout(env, Fixed([*SIZES]), min_available=0)
    check(play(NexusObservation(outer, MODEL, append_mask=True)), expected)


@pytest.mark.parametrize("how", ["absent", "none"])
def test_what_is_available_must_be_there(how):
    def without(shown):
        rest = {n: value for n, value in shown.items() if n != "sound"}
        return rest if how == "absent" else {**rest, "sound": None}

    bare = Named()
    env = TransformObservation(bare, without, bare.observation_space)
    for refused in (
        NexusObservation(env, MODEL),
        SensorDropout(env, Fixed([*SIZES])),
        SensorCorruption(env, {"sound": Frozen()}),
    ):
        with pytest.raises(UserError, match="'sound'"):
            refused.reset(seed=0)


def test_the_model_takes_missing_entries_as_none():
    batch = {n: torch.rand(2, size) for n, size in SIZES.items()}
    there = torch.tensor([[m.name != "sound" for m in MODEL.modalities]] * 2)
    expected = MODEL.encode(batch, there)
    assert torch.equal(MODEL.encode({**batch, "sound": None}, there), expected)
    assert torch.equal(MODEL.encode({**batch, "sound": None}), expected)
    with pytest.raises(UserError, match="sound"):
        MODEL.encode({**batch, "sound": None}, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(UserError, match="sound"):
        MODEL.loss({**batch, "sound": None})


def test_rows_of_a_vector_may_lack_an_entry():
    class Objects(gym.vector.VectorEnv):
        """A vector of its own making, whose batches hold None."""

        num_envs = 2
        metadata = {"autoreset_mode": gym.vector.AutoresetMode.DISABLED}  # noqa: RUF012
        single_observation_space = Named(own=("sound",)).observation_space
        observation_space = single_action_space = action_space = None

        def reset(self, *, seed=None, options=None):
            shown = Named(own=("sound",)).reset()[0]
            batch = {name: np.stack([value] * 2) for name, value in shown.items()}
            batch[MASK][1] = 1
            return {**batch, "sound": np.array([None, shown["sound"]], object)}, {}

    latents, _ = VecNexusObservation(Objects(), MODEL).reset()
    for row, own in enumerate((("sound",), ("nothing",))):
        single = NexusObservation(Named(own=own), MODEL).reset(seed=0)[0]
        np.testing.assert_allclose(latents[row], single, atol=1e-6)


def test_entries_that_nobody_needs_are_ignored():
    class Labelled(Named):
        def __init__(self):
            super().__init__()
            text = spaces.Text(9)
            self.observation_space = spaces.Dict(
                [*self.observation_space.items(), ("mission", text)]
            )

        def observe(self):
            sensed = {n: np.zeros(size, np.float32) for n, size in SIZES.items()}
            return {**sensed, "mission": "go"}

    with pytest.raises(UserError, match="'mission'"):
        NexusObservation(Labelled(), MODEL)
    latent, _ = NexusObservation(Labelled(), MODEL, ignore=["mission"]).reset(seed=0)
    assert latent.shape == (4,)
    with pytest.raises(UserError, match="ignore"):
        NexusObservation(Labelled(), MODEL, ignore=["mission", "sound"])
