"""A Modality says what one sensor's data look like, and holds data to it."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nexus_rl import Modality, UserError
from nexus_rl.modality import PAPER, subsets

IMAGE = Modality("image", (1, 2, 2))
LABEL = Modality("label", (3,), "categorical")
TOUCH = Modality("touch", (2,), low=-2, high=6)

bounds = st.floats(-1e3, 1e3, width=32)
some = settings(max_examples=50, deadline=None)


# -- What is read off shape and likelihood -------------------------------------


@pytest.mark.parametrize(
    ("modality", "kind", "latent_dim"),
    [
        (Modality("x", (1, 28, 28)), "image", 64),
        (Modality("x", (200,)), "vector", 16),
        (Modality("x", (10,), "categorical"), "label", 5),
        (Modality("x", (1, 32, 128), kind="spectrogram"), "spectrogram", 128),
        (Modality("x", (2, 60, 60), kind="frames"), "frames", 16),
        (Modality("x", (1, 28, 28), latent_dim=7), "image", 7),
    ],
)
def test_kind_and_latent_size_have_defaults(
    modality: Modality, kind: str, latent_dim: int
) -> None:
    assert (modality.kind, modality.latent_dim) == (kind, latent_dim)


def test_the_papers_modalities() -> None:
    """Tables B.8 and B.9: lambda and gamma by modality."""
    weights = {name: (m.weight, m.top_weight) for name, m in PAPER.items()}
    assert weights == {
        "image": (1, 1),
        "trajectory": (50, 50),
        "sound": (1, 1),
        "label": (50, 50),
    }
    assert {m.latent_dim for m in PAPER.values()} == {64, 16, 128, 5}
    assert PAPER["sound"].beta == 10  # of its own training; the others' is 1
    assert all(m.beta == 1 for m in PAPER.values() if m.name != "sound")
    assert PAPER["sound"].shape == (1, 32, 128)
    assert all(PAPER[name].name == name for name in PAPER)


def test_shapes_become_tuples_of_int() -> None:
    for shape in ([1, 4, 4], np.array([1, 4, 4]), torch.Size([1, 4, 4])):
        modality = Modality("x", shape)
        assert modality == Modality("x", (1, 4, 4))
        assert hash(modality) == hash(Modality("x", (1, 4, 4)))
        assert all(type(side) is int for side in modality.shape)
        assert modality.size == 16


def test_replace_makes_a_checked_copy() -> None:
    assert TOUCH.replace(weight=3).weight == 3
    assert TOUCH.replace(weight=3).replace(weight=1.0) == TOUCH
    with pytest.raises(UserError, match="modality 'touch'"):
        TOUCH.replace(low=7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(
            ({"name": name}, f"{name!r}: its name must")
            for name in ("", "a/b", ".a", "a.", "-a", " a", "a b ", "a%b", 3)
        ),
        ({"shape": (28, 28)}, r"'x' has shape \(28, 28\): expected \(D,\)"),
        ({"shape": ()}, r"'x' has shape \(\): expected \(D,\)"),
        ({"shape": (0,)}, r"'x': every axis of shape \(0,\) must be at least 1"),
        ({"shape": (3, -1, 4)}, "'x': every axis"),
        ({"latent_dim": -1}, "'x': latent_dim must be at least 1, got -1"),
        ({"kind": "touch"}, "'x': latent_dim must be at least 1"),
        ({"width": -1}, "'x': width must not be negative, got -1"),
        ({"likelihood": "poisson"}, "'x': likelihood 'poisson' is none of"),
        ({"top_likelihood": "categorical"}, "'x': top_likelihood must be"),
        ({"kind": "label"}, "'x': kind 'label' and likelihood 'categorical' belong"),
        ({"kind": "image"}, r"'x': a image has three axes, got shape \(4,\)"),
        ({"kind": "frames"}, "'x': a frames has three axes"),
        ({"kind": "spectrogram"}, "'x': a spectrogram has three axes"),
        ({"shape": (1, 2, 2), "kind": "vector"}, r"'x': a vector has shape \(size,\)"),
        (
            {"shape": (1, 2, 2), "likelihood": "categorical"},
            r"'x': a label has shape \(size,\), got \(1, 2, 2\)",
        ),
        ({"low": 1.0}, r"'x': low \(1.0\) must be below high \(1.0\)"),
        ({"weight": -1}, "'x': weight, beta and top_weight must not be negative"),
        ({"beta": -1}, "'x': weight, beta and top_weight must not be negative"),
        ({"top_weight": -1}, "'x': weight, beta and top_weight must not be"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=f"modality {message}"):
        Modality(**{"name": "x", "shape": (4,)} | fields)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", (None, 3, b"x", ("x",))),
        ("shape", (5, 5.0, "5", None, (5.0,), ("5",), [[5]], ([5], 5), {5}, True)),
        ("likelihood", (None, 1, ["squared_error"], np.zeros(2))),
        ("kind", (None, 1, ["image"])),
        ("latent_dim", (None, 2.0, "2", True, [2], np.ones(2))),
        ("width", (None, 2.5, "2")),
        ("weight", (None, "1", float("nan"), float("inf"), True, [1.0], 1j)),
        ("beta", (None, "1", np.float32("nan"), np.ones(1))),
        ("top_weight", (None, "1", -np.inf, torch.ones(1), 10**400)),
        ("top_likelihood", (None, 1, [])),
        ("low", (None, "0", float("nan"), -np.inf, np.zeros((4, 1)), torch.zeros(4))),
        ("high", (None, "1", float("nan"), np.inf, [1.0], [[1], [1, 2]], [], {1})),
        *(
            (bound, (np.ones(()), torch.ones(()), -(10**400)))
            for bound in ("low", "high")
        ),
        ("format", (None, 1, ["rad"])),
    ],
)
def test_each_field_is_of_its_type(field: str, values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(UserError, match="modality ") as caught:
            Modality(**{"name": "x", "shape": (4,)} | {field: value})
        assert f"{field} must be" in str(caught.value)


def test_a_shape_that_is_a_number_says_how_to_write_it() -> None:
    with pytest.raises(UserError, match=r"'a': shape .* got 5; .* \(5,\)"):
        Modality("a", 5)  # type: ignore[arg-type]


def test_numbers_of_numpy_become_plain() -> None:
    numpy = Modality(
        *("x", [np.int32(4)]),
        latent_dim=np.int64(3),
        width=np.uint8(9),
        weight=np.float32(0.5),
        beta=np.int16(2),
        low=np.float64(-1),
        high=np.float32(2),
    )
    plain = Modality(
        "x", (4,), latent_dim=3, width=9, weight=0.5, beta=2, low=-1, high=2
    )
    assert numpy == plain
    assert json.loads(json.dumps(asdict(numpy))) == json.loads(
        json.dumps(asdict(plain))
    )


@pytest.mark.parametrize("kind", ["", "frames", "spectrogram"])
def test_a_shape_that_looks_like_channels_last_is_doubtful(kind: str) -> None:
    with pytest.warns(UserWarning, match=r"'eye': shape \(84, 84, 4\)"):
        Modality("eye", (84, 84, 4), kind=kind)
    for shape in ((4, 84, 84), (64, 8, 8), (3, 60, 2)):
        Modality("eye", shape, kind=kind)


# -- Data to what networks see, and back ---------------------------------------


@some
@given(bounds, bounds, st.integers(0, 2**32))
def test_denormalise_undoes_normalise(low: float, high: float, seed: int) -> None:
    assume(high - low > 1e-2)
    modality = TOUCH.replace(low=low, high=high)
    unit = torch.rand(5, 2, generator=torch.Generator().manual_seed(seed))
    data = modality.denormalise(unit)
    tolerance = 1e-6 * (abs(low) + abs(high)) / (high - low) + 1e-6
    assert data.min() >= low - 1e-3
    assert data.max() <= high + 1e-3
    torch.testing.assert_close(modality.normalise(data), unit, rtol=0, atol=tolerance)


def test_low_is_zero_and_high_is_one() -> None:
    values = torch.tensor([[-2.0, 6.0], [0.0, 2.0]])
    expected = torch.tensor([[0.0, 1.0], [0.25, 0.5]])
    assert torch.equal(TOUCH.normalise(values), expected)
    assert torch.equal(TOUCH.denormalise(expected), values)


@pytest.mark.parametrize("modality", [IMAGE, IMAGE.replace(low=-3, high=9)])
def test_bytes_are_storage_of_the_range(modality: Modality) -> None:
    """0 is low and 255 is high, whatever the range."""
    data = torch.tensor([0, 51, 204, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    unit = modality.normalise(data)
    torch.testing.assert_close(unit.flatten(), torch.tensor([0, 0.2, 0.8, 1]))
    values = modality.denormalise(unit).flatten()
    assert values[[0, -1]].tolist() == [modality.low, modality.high]
    assert data.flatten().tolist() == [0, 51, 204, 255]  # left as it was


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.float64, torch.int16, torch.int64]
)
def test_other_types_hold_the_values_themselves(dtype: torch.dtype) -> None:
    values = torch.tensor([[-2, 6]], dtype=dtype)
    unit = TOUCH.normalise(values)
    assert unit.dtype == torch.float32
    assert unit.tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int16])
def test_classes_become_one_hot_rows(dtype: torch.dtype) -> None:
    rows = LABEL.normalise(torch.tensor([2, 0], dtype=dtype))
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert rows.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bool])
def test_one_hot_rows_stay_as_they_are(dtype: torch.dtype) -> None:
    rows = torch.tensor([[0, 0, 1], [1, 0, 0]], dtype=dtype)
    assert LABEL.normalise(rows).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_probabilities_are_not_rescaled() -> None:
    probabilities = torch.tensor([[0.2, 0.3, 0.5]])
    assert torch.equal(LABEL.denormalise(probabilities), probabilities)


# -- Checks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "data", "message"),
    [
        (IMAGE, torch.zeros(3, 2, 2), r"expected a tensor \(B, 1, 2, 2\), got \(3, 2,"),
        (IMAGE, torch.tensor(1.0), r"'image': expected a tensor .* got \(\)"),
        (TOUCH, torch.zeros(2), r"'touch': expected a tensor \(B, 2\), got \(2\)"),
        (LABEL, torch.zeros(4, 2), r"\(B, 3\) or classes \(B,\), got \(4, 2\)"),
        (LABEL, torch.zeros(4), "'label': classes must be integers, got torch.float32"),
        (LABEL, torch.ones(4) > 0, "'label': classes must be integers"),
    ],
)
def test_wrong_shapes_are_refused(
    modality: Modality, data: Tensor, message: str
) -> None:
    for check in (modality.check_shape, modality.check_range):
        with pytest.raises(UserError, match=f"modality .*{message}"):
            check(data)


@pytest.mark.parametrize(
    ("modality", "data"),
    [
        (IMAGE, torch.full((2, 1, 2, 2), 1.5)),
        (IMAGE, torch.full((2, 1, 2, 2), float("nan"))),
        (IMAGE, torch.tensor([0.0, 1.0, 0.5, float("nan")]).view(1, 1, 2, 2)),
        (IMAGE, torch.full((2, 1, 2, 2), float("inf"))),
        (TOUCH, torch.tensor([[-2.1, 0.0]])),
        (TOUCH, torch.tensor([[7, 0]])),
        (LABEL, torch.tensor([0, 3])),
        (LABEL, torch.tensor([-1, 0])),
        (LABEL, torch.tensor([[0.0, 0.0, 2.0]])),
        (LABEL, torch.tensor([[0, 0, 9]], dtype=torch.uint8)),
    ],
)
def test_values_out_of_range_are_refused(modality: Modality, data: Tensor) -> None:
    modality.check_shape(data)
    with pytest.raises(UserError, match=rf"modality '{modality.name}'.* outside \["):
        modality.check_range(data)


@pytest.mark.parametrize(
    ("modality", "data"),
    [
        (IMAGE, torch.rand(2, 1, 2, 2)),
        (IMAGE, torch.full((2, 1, 2, 2), 255, dtype=torch.uint8)),
        (IMAGE, torch.zeros(0, 1, 2, 2)),
        (TOUCH, torch.tensor([[-2, 6]])),
        (LABEL, torch.tensor([0, 1, 2], dtype=torch.uint8)),
        (LABEL, torch.eye(3)),
    ],
)
def test_values_in_range_are_accepted(modality: Modality, data: Tensor) -> None:
    modality.check_range(data)


@some
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_the_bounds_themselves_are_in_range(low: float, high: float) -> None:
    """Also where float32, in which sensors report, rounds them outwards."""
    assume(high - low > 1e-2)
    TOUCH.replace(low=low, high=high).check_range(torch.tensor([[low, high]]))


def test_subsets_are_all_non_empty_ones() -> None:
    assert list(subsets("abc")) == [
        *[("a",), ("b",), ("c",)],
        *[("a", "b"), ("a", "c"), ("b", "c")],
        ("a", "b", "c"),
    ]


def test_entries_of_a_vector_may_have_bounds_of_their_own():
    body = Modality("body", (2,), low=0, high=[2.5, 300])
    assert (body.low, body.high, body.range) == ((0, 0), (2.5, 300), (0, 300))
    data = torch.tensor([[0.0, 0.0], [2.5, 300.0], [1.25, 75.0]])
    values = body.normalise(data)
    assert values.tolist() == [[0, 0], [1, 1], [0.5, 0.25]]
    assert torch.equal(body.denormalise(values), data)
    body.check_range(data)
    with pytest.raises(UserError, match="body"):
        body.check_range(torch.tensor([[2.6, 0.0]]))
    assert Modality("same", (2,), low=[-1, -1], high=np.ones(2)).low == -1


@pytest.mark.parametrize(
    "bounds",
    [{"low": [0, 0, 0]}, {"high": ["1", 2]}, {"low": [0, 2]}, {"low": [0, math.nan]}],
)
def test_bounds_of_entries_must_fit(bounds):
    with pytest.raises(UserError, match="body"):
        Modality("body", (2,), **bounds)
    with pytest.raises(UserError, match="eye"):
        Modality("eye", (1, 4, 4), low=[0.0] * 4)


def test_doubles_keep_their_precision():
    low = 4_500_000.0
    gps = Modality("gps", (1,), low=low, high=low + 10)
    x = low + torch.tensor([[0.1], [0.2], [0.6]], dtype=torch.float64)
    expected = torch.tensor([[0.01], [0.02], [0.06]])
    torch.testing.assert_close(gps.normalise(x), expected, atol=1e-7, rtol=0)
