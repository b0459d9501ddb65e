"""Observation spaces to modalities, and what is said where they do not fit."""

import doctest
import textwrap
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from observation_world import PENDULUM, Flaky, model_for

import nexus_rl.spaces
from nexus_rl import Modality, UserError, make_model
from nexus_rl.data.simulate import simulate
from nexus_rl.spaces import check_fit, modalities_from_env, modalities_from_space

IMAGE = spaces.Box(0, 255, (2, 16, 16), np.uint8)


def dict_of(**entries):
    return spaces.Dict(list(entries.items()))


def test_every_kind_of_sensor_in_the_order_of_the_keys():
    bounds = np.array([-1, -8], np.float32), np.array([2, 8], np.float32)
    space = dict_of(
        gyro=spaces.Box(*bounds),
        image=IMAGE,
        label=spaces.Discrete(4),
        bytes=spaces.Box(0, 255, (9,), np.uint8),
        available=spaces.Box(0, 1, (4,)),
        deep=spaces.Box(0, 1, (2,), np.float64),
    )
    assert modalities_from_space(space) == (
        Modality("gyro", (2,), low=(-1, -8), high=(2, 8)),
        Modality("image", (2, 16, 16)),
        Modality("label", (4,), "categorical"),
        Modality("bytes", (9,)),
        Modality("deep", (2,)),
    )


def test_the_pendulum_needs_nothing_said():
    space = gym.make(PENDULUM).observation_space
    modalities = modalities_from_space(space)
    assert modalities == (Modality("image", (2, 60, 60)), Modality("sound", (12,)))


def test_overrides_change_fields_and_name_the_kind():
    space = dict_of(image=IMAGE, space=spaces.Box(0, 1, (1, 8, 6)))
    image, sound = modalities_from_space(
        space, image={"latent_dim": 5, "weight": 2}, space={"kind": "spectrogram"}
    )
    assert (image.latent_dim, image.weight) == (5, 2)
    assert (sound.kind, sound.shape) == ("spectrogram", (1, 8, 6))
    with pytest.raises(UserError, match="Did you mean 'image'"):
        modalities_from_space(space, imag={"latent_dim": 5})
    with pytest.raises(UserError, match="Did you mean 'latent_dim'"):
        modalities_from_space(space, image={"latent_dims": 5})


@pytest.mark.parametrize(
    ("space", "advice"),
    [
        (spaces.Box(0, 255, (16, 16, 3), np.uint8), r"numpy\.moveaxis\(image, -1, 0\)"),
        (spaces.Box(0, 255, (16, 16), np.uint8), r"image\[None\]"),
        (spaces.Box(0, 1, (32, 128)), r"image\[None\], .*spectrogram.*reshape\(-1\)"),
        (spaces.Box(0, 1, (16, 16, 3)), r"numpy\.moveaxis\(image, -1, 0\)"),
        (spaces.Box(0, 255, (4, 16, 16, 3), np.uint8), r"\(K \* C, H, W\)"),
        (spaces.Box(0, 1, (2, 2, 2, 2)), "reshape it"),
        (spaces.Box(0, 1, ()), "reshape it"),
        (spaces.Box(0, 1, (3, 0)), r"no entries.*ignore=\['eye'\]"),
        (spaces.Box(0, 1, (2, 8, 8)), "name the kind"),
        (spaces.Box(0, 1, (2, 8, 8), np.uint8), "bounds 0 and 255"),
        (spaces.Box(0, np.inf, (3,)), "TransformObservation"),
        (spaces.Box(-3, 3, (3,), np.int32), "convert it to float32"),
        (spaces.Discrete(3, start=1), "subtract `start`"),
        *(
            (other, r"ignore=\['eye'\]")
            for other in (
                spaces.MultiBinary(3),
                dict_of(inner=IMAGE),
                spaces.Tuple([IMAGE]),
                spaces.Text(5),
                spaces.Sequence(IMAGE),
                spaces.Graph(IMAGE, None),
            )
        ),
    ],
    ids=str,
)
def test_other_sensors_are_refused_with_advice(space, advice):
    with pytest.raises(UserError, match=f"(?s)sensor 'eye', .*{advice}"):
        modalities_from_space(dict_of(eye=space))


@pytest.mark.parametrize("kind", ["", "image", "frames", "spectrogram"])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((84, 84, 4), np.uint8),  # as Stable-Baselines3's VecFrameStack has it
        ((60, 80, 3), np.uint8),
        ((84, 84, 12), np.float32),
        ((32, 128, 1), np.float32),
    ],
)
def test_a_kind_does_not_switch_the_check_of_axes_off(kind, shape, dtype):
    """The same error as without it, for no data tells which axis is which."""
    high = 255 if dtype == np.uint8 else 1
    space = dict_of(eye=spaces.Box(0, high, shape, dtype))
    for fields in ({"kind": kind, "latent_dim": 8}, {"kind": kind, "shape": shape}):
        with pytest.raises(UserError, match=r"'eye', .*moveaxis\(image, -1, 0\)"):
            modalities_from_space(space, eye=fields)
    with pytest.raises(UserError, match=r"'eye', .*image\[None\]"):
        flat = dict_of(eye=spaces.Box(0, high, shape[:2], dtype))
        modalities_from_space(flat, eye={"kind": kind})


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("frames", (4, 84, 84)),
        ("frames", (16, 12, 12)),
        ("frames", (3, 60, 1)),
        ("image", (64, 8, 8)),
        ("spectrogram", (1, 32, 128)),
        ("spectrogram", (2, 30, 1)),
    ],
)
def test_a_kind_says_which_axes_are_meant_where_both_may_be(kind, shape):
    space = dict_of(eye=spaces.Box(0, 1, shape))
    (modality,) = modalities_from_space(space, eye={"kind": kind})
    assert (modality.kind, modality.shape) == (kind, shape)


def test_kinds_of_the_users_own_have_axes_of_their_own():
    space = dict_of(cloud=spaces.Box(0, 1, (90, 9, 4)), rays=spaces.Box(0, 1, (9, 2)))
    own = {"kind": "points", "latent_dim": 3}
    cloud, rays = modalities_from_space(space, cloud=own, rays=own)
    assert (cloud.shape, rays.shape) == ((90, 9, 4), (9, 2))


# -- Names of sensors, and entries that are none ---------------------------------


def test_names_with_dots_dashes_and_spaces_are_described():
    space = dict_of(**{"front-camera": IMAGE, "robot.arm": IMAGE, "left eye": IMAGE})
    modalities = modalities_from_space(
        space, **{"front-camera": {"latent_dim": 3}, "robot.arm": {"kind": "frames"}}
    )
    assert [(m.name, m.kind, m.latent_dim) for m in modalities] == [
        ("front-camera", "image", 3),
        ("robot.arm", "frames", 16),
        ("left eye", "image", 64),
    ]
    sound = dict_of(**{"micro-phone": spaces.Box(0, 1, (1, 8, 8))})
    with pytest.raises(UserError, match=r"\*\*\{'micro-phone': \{'kind'"):
        modalities_from_space(sound)


class Odd(gym.Env):
    """Of one sensor, whose name the test sets."""

    action_space = spaces.Discrete(2)

    def __init__(self, key):
        self.observation_space = spaces.Dict([(key, IMAGE), ("b", spaces.Box(0, 1))])

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, True, False, {}


@pytest.mark.parametrize("key", ["cam/left", "", "a.", 3, ("arm", 0), "type"])
def test_other_names_come_with_code_that_renames_them(key):
    env = Odd(key)
    with pytest.raises(UserError) as caught:
        make_model("nexus", modalities_from_env(env), latent_dim=2, width=8)
    text = str(caught.value)
    assert f"modality {key!r}: " in text
    code, names = text.split("\n", 1)[1], {"env": env}
    exec(textwrap.dedent(code), names)
    renamed = names["env"]
    model = make_model("nexus", modalities_from_env(renamed), latent_dim=2, width=8)
    check_fit(model, renamed.observation_space)
    observation, _ = renamed.reset(seed=0)
    assert list(observation) == [m.name for m in model.modalities]
    assert renamed.observation_space.contains(observation)


def test_ignored_entries_are_skipped_whatever_they_are():
    image = Modality("image", (2, 16, 16))
    space = dict_of(
        image=IMAGE,
        mission=spaces.Text(9),
        graph=spaces.Graph(IMAGE, None),
        **{"a/b": spaces.Sequence(IMAGE)},
        available=spaces.Box(0, 1, (4,)),
    )
    ignore = ["mission", "graph", "a/b"]
    assert modalities_from_space(space, ignore=ignore) == (image,)
    for names, named in (
        (["mision"], "'mission'"),
        ([3], "unknown sensor 3"),
        (3, "got 3"),
        (["image", *ignore], "image"),
    ):
        with pytest.raises(UserError, match=named):
            modalities_from_space(space, ignore=names)
    with pytest.raises(UserError, match="'mission'"):
        modalities_from_space(space, ignore=ignore, mission={"latent_dim": 2})


def test_a_sensor_may_be_called_ignore():
    class Env(Odd):
        sensor_formats: ClassVar = {"ignore": "grey", "b": "metres"}

    env = Env("ignore")
    one, other = modalities_from_env(env, ignore={"latent_dim": 3})
    assert (one.name, one.format, one.latent_dim) == ("ignore", "grey", 3)
    assert (other.name, other.format) == ("b", "metres")
    (left,) = modalities_from_env(env, ignore=["ignore"], b={"format": "feet"})
    assert (left.name, left.format) == ("b", "feet")
    with pytest.raises(UserError, match=r"'ignore'.* Known: image"):
        modalities_from_space(dict_of(image=IMAGE), ignore={"mission": True})
    data = simulate(env, 40, sensors={"ignore": {"latent_dim": 3}}, ignore=["b"])
    assert [(m.name, m.latent_dim) for m in data.modalities] == [("ignore", 3)]


@pytest.mark.parametrize("fields", ["frames", None, ["kind"], {"name": "y"}])
def test_changes_are_fields_but_the_name(fields):
    with pytest.raises(UserError, match="sensor 'x': "):
        modalities_from_space(dict_of(x=IMAGE), x=fields)


def test_observations_must_be_a_dict():
    with pytest.raises(UserError, match="must be a Dict, one key a sensor, got Box"):
        modalities_from_space(IMAGE)
    with pytest.raises(UserError, match="hold no sensor"):
        modalities_from_space(dict_of(available=spaces.Box(0, 1, (1,))))
    with pytest.raises(UserError, match="must be a Dict"):
        check_fit(model_for(Flaky.observation_space), IMAGE)


def test_order_and_rounded_bounds_do_not_matter():
    check_fit(model_for(Flaky.observation_space), Flaky.observation_space)
    model = make_model("nexus", [Modality("a", (2,), high=0.3), Modality("b", (3,))])
    check_fit(model, dict_of(b=spaces.Box(0, 1, (3,)), a=spaces.Box(0, 0.3, (2,))))
    one_hot = make_model("nexus", [Modality("label", (3,), "categorical")])
    check_fit(one_hot, dict_of(label=spaces.Box(0, 1, (3,))))


def test_the_message_shows_both_sides_of_every_sensor():
    model = make_model(
        "nexus",
        [
            Modality("image", (2, 16, 16)),
            Modality("sound", (12,), low=-1),
            Modality("gone", (3,)),
            Modality("label", (4,), "categorical"),
        ],
    )
    space = dict_of(
        image=spaces.Box(0, 255, (2, 20, 20), np.uint8),
        sound=spaces.Box(-1, 1, (12,)),
        label=spaces.Discrete(4),
        more=spaces.Discrete(2),
    )
    with pytest.raises(UserError) as caught:
        check_fit(model, space)
    table = str(caught.value).splitlines()[:-1]
    assert table == [
        "the model does not fit the environment:",
        "  sensor  model                        environment",
        "  image   image (2, 16, 16) in [0, 1]  uint8 (2, 20, 20) in [0, 255]"
        "  <- the shapes differ",
        "  sound   vector (12,) in [-1, 1]      float32 (12,) in [-1, 1]",
        "  gone    vector (3,) in [0, 1]        -                            "
        "  <- not there",
        "  label   label (4,)                   Discrete(4)",
        "  more    -                            Discrete(2)                  "
        "  <- unknown to the model",
    ]


@pytest.mark.parametrize(
    ("modality", "space", "problem"),
    [
        (Modality("x", (3,)), spaces.Box(0, 2, (3,)), "the ranges differ"),
        (Modality("x", (3,)), spaces.Box(0, 255, (3,)), "the ranges differ"),
        # Rad/s against a fraction of 8 rad/s: no value is out of range.
        (Modality("x", (3,), low=-8, high=8), spaces.Box(-1, 1, (3,)), "the ranges"),
        (
            Modality("x", (3,), low=-8, high=8),
            spaces.Box(0, 255, (3,), np.uint8),
            "the ranges differ",
        ),
        (Modality("x", (3,)), spaces.Box(-np.inf, 1, (3,)), "infinite"),
        (Modality("x", (3,)), spaces.Discrete(3), "classes where"),
        (Modality("x", (3,)), spaces.Box(0, 1, (3,), np.int8), "its dtype"),
        (Modality("x", (3,), "categorical"), spaces.Discrete(4), "the shapes differ"),
        (
            Modality("x", (3,), "categorical"),
            spaces.Box(0, 255, (3,), np.uint8),
            "one-hot rows must be floats",
        ),
    ],
)
def test_each_misfit_is_named(modality, space, problem):
    with pytest.raises(UserError, match=f"<- .*{problem}"):
        check_fit(make_model("nexus", [modality]), dict_of(x=space))


def test_a_uint8_sensor_is_a_float_one_from_0_to_1():
    """A model reads both alike, so that either may stand in for the other."""
    bytes_, floats = IMAGE, spaces.Box(0, 1, IMAGE.shape)
    for one, other in ((bytes_, floats), (floats, bytes_)):
        (modality,) = modalities_from_space(dict_of(x=one), x={"kind": "image"})
        model = make_model("nexus", [modality], latent_dim=4, width=16).eval()
        check_fit(model, dict_of(x=other))
        check_fit(model, dict_of(x=one))
    seen = torch.arange(512).reshape(1, *IMAGE.shape).to(torch.uint8)
    assert torch.equal(model.encode({"x": seen}), model.encode({"x": seen / 255}))


@pytest.mark.parametrize(
    ("space", "changes"),
    [
        (spaces.Box(0, 255, (3,), np.uint8), {"low": -1}),
        (spaces.Box(-8, 8, (3,)), {"low": 0, "high": 1}),
        (spaces.Box(-8, 8, (3,)), {"shape": (4,)}),
        (spaces.Discrete(3), {"likelihood": "squared_error", "kind": "vector"}),
    ],
)
def test_a_modality_must_fit_its_own_sensor(space, changes):
    with pytest.raises(UserError, match=r"'x', .* does not fit it, .*wrapper instead"):
        modalities_from_space(dict_of(x=space), x=changes)


def test_examples_run():
    results = doctest.testmod(nexus_rl.spaces)
    assert results.attempted > 8
    assert results.failed == 0


def test_every_entry_of_a_vector_has_its_own_bounds():
    low, high = np.float32([0, -1, 7]), np.float32([2.5, 300, 7])
    body = spaces.Box(low, high)  # its last entry never changes
    space = spaces.Dict(body=body)
    (modality,) = modalities_from_space(space)
    assert (modality.low, modality.high) == ((0, -1, 7), (2.5, 300, 8))
    model = make_model("nexus", [modality], latent_dim=2, width=8)
    check_fit(model, space)
    wider = spaces.Dict(body=spaces.Box(low, high + np.float32(1)))
    with pytest.raises(UserError, match="body"):
        check_fit(model, wider)
    with pytest.raises(UserError, match="body"):
        check_fit(model, spaces.Dict(body=spaces.Box(-1, 300, (3,))))
    older = modality.replace(low=-1.0, high=300.0)  # one range for all
    check_fit(make_model("nexus", [older], latent_dim=2, width=8), space)


@pytest.mark.parametrize("bound", [np.inf, 3.4e38, np.finfo(np.float32).max])
def test_bounds_that_say_nothing_are_none(bound):
    with pytest.raises(UserError, match="'vel'"):
        modalities_from_space(spaces.Dict(vel=spaces.Box(-bound, bound, (3,))))
