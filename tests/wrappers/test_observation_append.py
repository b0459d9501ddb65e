"""Sensors beside the latent, and modalities that an environment never shows."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv

from nexus_rl import (
    Modality,
    NexusObservation,
    SensorDropout,
    UserError,
    VecNexusObservation,
    make_model,
)
from nexus_rl.spaces import check_fit
from nexus_rl.wrappers import Fixed

SENSES = ("sound", "image")
EXTRAS = ("pointer", "panel")
MODALITIES = (
    Modality("label", (4,), "categorical"),
    Modality("sound", (3,), low=-2, high=2),
    Modality("image", (1, 4, 4)),
)


class Pointed(gym.Env):
    """Two sensors that a model knows, and two that it does not; episodes of 3 steps."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        [
            ("pointer", spaces.Box(-1, 1, (2,))),
            ("sound", spaces.Box(-2, 2, (3,))),
            ("panel", spaces.Box(0, 255, (2, 2), np.uint8)),
            ("image", spaces.Box(0, 255, (1, 4, 4), np.uint8)),
        ]
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 3
        return self.sense(), {}

    def step(self, action):
        self.left -= 1
        return self.sense(), 0.0, self.left == 0, False, {}

    def sense(self):
        rng = self.np_random
        return {
            "pointer": rng.uniform(-1, 1, 2).astype(np.float32),
            "sound": rng.uniform(-2, 2, 3).astype(np.float32),
            "panel": rng.integers(0, 256, (2, 2), dtype=np.uint8),
            "image": rng.integers(0, 256, (1, 4, 4), dtype=np.uint8),
        }


gym.register("nexus_rl_tests/Pointed-v0", entry_point=Pointed)


@pytest.fixture(scope="module")
def model():
    return make_model("nexus", MODALITIES, latent_dim=4, width=16).eval()


def expected(model, observation, append=EXTRAS, names=SENSES):
    """The latent of what is shown, with nothing in place of the label, and the rest."""
    batch = {n: torch.as_tensor(observation[n])[None] for n in names}
    with torch.no_grad():
        latent = model.encode(batch)[0].numpy()
    return np.concatenate([latent, *(observation[n].ravel() for n in append)])


def wrapped(model, env=None, **options):
    options = {"append": EXTRAS, "absent": ["label"], **options}
    return NexusObservation(env or Pointed(), model, **options)


def test_sensors_follow_the_latent_as_they_are(model):
    env, plain = wrapped(model, append_mask=True), Pointed()
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (4 + 2 + 4 + 4,))
    seen, shown = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    for _ in range(3):
        assert seen.dtype == np.float32
        np.testing.assert_allclose(seen[:10], expected(model, shown), rtol=1e-5)
        assert seen[10:].tolist() == [1, 1, 1, 1]
        seen, shown = env.step(0)[0], plain.step(0)[0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([*EXTRAS, *SENSES]), unique=True), st.booleans())
def test_the_order_is_that_of_append(append, mask):
    model = make_model("nexus", MODALITIES, latent_dim=4, width=16).eval()
    dropped = {"pointer", "panel"} - {*append}

    class Without(gym.ObservationWrapper):
        observation_space = spaces.Dict(
            [(n, s) for n, s in Pointed.observation_space.items() if n not in dropped]
        )

        def observation(self, observation):
            return {n: observation[n] for n in self.observation_space}

    env = wrapped(model, Without(Pointed()), append=append, append_mask=mask)
    shown = expected(model, Pointed().reset(seed=1)[0], append)
    told = len({*SENSES, *append}) if mask else 0
    seen = env.reset(seed=1)[0]
    np.testing.assert_allclose(seen, [*shown, *[1] * told], rtol=1e-5)
    assert env.observation_space.contains(seen)


def test_all_forms_give_the_same(model):
    """Also for the last observation of an episode."""
    options = {"append": EXTRAS, "absent": "label", "append_mask": True}

    def failing():
        return SensorDropout(Pointed(), Fixed(("image", "pointer")))

    single = [wrapped(model, failing(), append_mask=True) for _ in range(2)]
    vector = VecNexusObservation(
        SyncVectorEnv([failing] * 2, autoreset_mode=AutoresetMode.SAME_STEP),
        model,
        **options,
    )
    sb3 = VecNexusObservation(DummyVecEnv([failing] * 2), model, **options)
    sb3.seed(5)
    seen = np.stack([env.reset(seed=5 + i)[0] for i, env in enumerate(single)])
    forms = [vector.reset(seed=[5, 6])[0], sb3.reset()]
    for step in range(3):
        for form in forms:
            np.testing.assert_allclose(form, seen, rtol=1e-5)
        seen = np.stack([env.step(0)[0] for env in single])
        latents, *_, infos = vector.step(np.zeros(2, int))
        others, _, _, told = sb3.step(np.zeros(2, int))
        forms = [latents, others]
        if step == 2:
            forms = [infos["final_obs"], [i["terminal_observation"] for i in told]]
            for form in forms:
                np.testing.assert_allclose(np.stack(form), seen, rtol=1e-5)


def test_what_is_appended_may_fail(model):
    """It is what the dropout fills in, and its column of the mask says so."""
    env = SensorDropout(Pointed(), Fixed(("sound", "panel")))
    seen = wrapped(model, env, append_mask=True).reset(seed=0)[0]
    shown = Pointed().reset(seed=0)[0]
    np.testing.assert_allclose(seen[:4], expected(model, shown, (), ("sound",)), 1e-5)
    assert seen[4:6].tolist() == [0, 0]  # the pointer
    assert seen[6:10].tolist() == shown["panel"].ravel().tolist()
    assert seen[10:].tolist() == [1, 0, 0, 1]  # sound, image; pointer, panel


def test_sensors_without_a_column_are_there(model):
    env = SensorDropout(Pointed(), Fixed(("sound",)), sensors=SENSES)
    seen = wrapped(model, env, append_mask=True, columns=SENSES).reset(seed=0)[0]
    shown = Pointed().reset(seed=0)[0]
    np.testing.assert_array_equal(seen[4:6], shown["pointer"])
    assert seen[10:].tolist() == [1, 0, 1, 1]


def test_an_agent_is_blind_where_only_appended_sensors_are_there(model):
    class Later(gym.Wrapper):
        def step(self, action):
            observation, *rest = self.env.step(action)
            observation["available"] = np.array([1, 0, 1, 0], np.float32)
            return observation, *rest

    env = Later(SensorDropout(Pointed(), Fixed(Pointed.observation_space)))
    env = wrapped(model, env)
    first, second = env.reset(seed=0)[0], env.step(0)[0]
    np.testing.assert_array_equal(first[:4], second[:4])
    assert (first[4:] != second[4:]).all()


def test_an_absent_modality_has_no_influence(model):
    """Not even if its networks are broken."""
    broken = make_model("nexus", MODALITIES, latent_dim=4, width=16).eval()
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        for parameter in broken.bottoms["label"].parameters():
            parameter.fill_(np.nan)
    first, second = (wrapped(each).reset(seed=2)[0] for each in (model, broken))
    np.testing.assert_array_equal(first, second)


def test_a_modality_may_be_appended_too(model):
    class Known(gym.ObservationWrapper):
        observation_space = spaces.Dict(
            [(n, Pointed.observation_space[n]) for n in SENSES]
        )

        def observation(self, observation):
            return {n: observation[n] for n in SENSES}

    env = SensorDropout(Known(Pointed()), Fixed(("image",)))
    seen = wrapped(model, env, append=["sound"], append_mask=True).reset(seed=4)[0]
    assert seen[4:].tolist() == [0, 0, 0, 0, 1]  # sound; one column for each


def test_a_spec_makes_the_same_again(model, tmp_path):
    model.save_pretrained(tmp_path)
    env = gym.make("nexus_rl_tests/Pointed-v0", disable_env_checker=True)
    env = wrapped(tmp_path, env)
    again = gym.make(env.spec)
    np.testing.assert_array_equal(env.reset(seed=7)[0], again.reset(seed=7)[0])


def test_the_message_names_the_options(model):
    with pytest.raises(UserError) as error:
        NexusObservation(Pointed(), model)
    assert "never shows it, name it: absent=['label']" in str(error.value)
    assert "name it: append=['pointer', 'panel']" in str(error.value)
    check_fit(model, Pointed.observation_space, absent=["label"], append=EXTRAS)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"absent": ["label", "sound"]}, "shows 'sound', so it is not absent"),
        ({"absent": ["lable"]}, "Did you mean 'label'"),
        ({"append": ["pointer", "panels"]}, "Did you mean 'panel'"),
        ({"append": ["pointer", "panel", "pointer"]}, "a sensor twice"),
        ({"append": ["pointer"]}, "unknown to the model"),
        ({"absent": []}, "not there"),
    ],
)
def test_options_that_do_not_fit(model, options, problem):
    with pytest.raises(UserError, match=problem):
        wrapped(model, **options)


def test_one_modality_must_be_shown(model):
    space = spaces.Dict({"pointer": spaces.Box(-1, 1, (2,))})
    every = [modality.name for modality in MODALITIES]
    with pytest.raises(UserError, match="every modality of the model is absent"):
        check_fit(model, space, absent=every, append=["pointer"])


def test_only_finite_numbers_are_given_to_an_agent(model):
    class Broken(gym.ObservationWrapper):
        def observation(self, observation):
            observation["pointer"][1] = np.nan
            return observation

    with pytest.raises(UserError, match="'pointer' holds NaN or infinity"):
        wrapped(model, Broken(Pointed())).reset(seed=0)


def test_classes_cannot_be_appended(model):
    class Classes(Pointed):
        observation_space = spaces.Dict(
            {**Pointed.observation_space, "pointer": spaces.Discrete(3)}
        )

    with pytest.raises(UserError, match="'pointer' must be a Box"):
        wrapped(model, Classes())
