"""Strokes: the parser, what is made of a stroke, and the model that varies them."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mhd_world import WRITERS, write_strokes
from PIL import Image

from nexus_rl.data.mhd.fit import TOLERANCE, fit
from nexus_rl.data.mhd.lognormal import Strokes, displacements, perturb, share, times
from nexus_rl.data.mhd.raster import ink, rasterise, shrink
from nexus_rl.data.mhd.strokes import one_stroke, read_uji, spline, trajectory
from nexus_rl.errors import UserError

ROOM = 1e-9


def component(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_digits_are_read_with_their_writers_and_letters_are_not(tmp_path: Path):
    exemplars = read_uji(write_strokes(tmp_path / "uji.txt"))
    assert len(exemplars) == 10 * WRITERS * 2 + 1
    assert [one.digit for one in exemplars[:9]] == [0] * 8 + [1]
    assert exemplars[2].writer == 2 and exemplars[2].session == "trn_UJI_W02-01"
    assert [len(one.strokes) for one in exemplars[-2:]] == [1, 2]
    assert len(one_stroke(exemplars)) == 10 * WRITERS * 2


def test_a_gzipped_file_is_the_same(tmp_path: Path):
    path = write_strokes(tmp_path / "uji.txt")
    zipped = tmp_path / "uji.txt.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    for one, other in zip(read_uji(path), read_uji(zipped), strict=True):
        np.testing.assert_array_equal(one.strokes[0], other.strokes[0])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda text: text.replace("POINTS 30 #", "POINTS 31 #", 1),
            "line 8: .*POINTS",
        ),
        (lambda text: text.replace("NUMSTROKES 1", "STROKES 1", 1), "line 7: .*NUMSTR"),
        (lambda text: text[: text.rindex("POINTS")], "the end: .*POINTS"),
        (lambda text: text.replace("WORD 0", "WRD 0", 1), "line 6: .*WORD"),
        (lambda text: "// nothing\n", "holds no digits"),
    ],
)
def test_a_corrupt_file_is_refused_by_its_line(tmp_path: Path, change, named):
    path = write_strokes(tmp_path / "uji.txt")
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=rf"uji\.txt.*{named}"):
        read_uji(path)


def test_a_trajectory_has_100_centred_points_of_the_same_shape():
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = 70 * np.stack([np.cos(angle), np.sin(angle)], 1) + 1000
    points = trajectory(circle)
    assert points.shape == (100, 2)
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 0.02
    np.testing.assert_allclose(points, trajectory(3 * circle - 7), atol=ROOM)


def test_the_greatest_coordinate_is_one_before_smoothing():
    line = np.stack([np.arange(50.0), np.zeros(50)], 1)
    middle = trajectory(line)[50]
    np.testing.assert_allclose(middle, [1 / 99, 0], atol=1e-6)


def test_the_last_bit_of_an_exponential_changes_nothing(monkeypatch):
    angle = np.linspace(0, 5, 60)
    curve = np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1)
    points, exp = trajectory(curve), np.exp
    for way in (-np.inf, np.inf):
        monkeypatch.setattr(np, "exp", lambda x, way=way: np.nextafter(exp(x), way))
        np.testing.assert_array_equal(trajectory(curve), points)


def test_a_point_has_no_trajectory():
    with pytest.raises(UserError, match="no shape"):
        trajectory(np.ones((9, 2)))


def test_the_spline_is_exact_for_cubics_and_passes_through_its_knots():
    def cubic(x):
        return np.stack([x**3 - x**2 + 1, 2 * x - x**3], 1)

    at = np.linspace(0, 1, 100)
    read = spline(cubic(np.linspace(0, 1, 7)), at)
    np.testing.assert_allclose(read, cubic(at), atol=ROOM)
    rough = np.random.default_rng(0).normal(size=(14, 2))
    np.testing.assert_allclose(spline(rough, np.linspace(0, 1, 14)), rough, atol=ROOM)


def test_the_share_of_a_component_is_the_integral_of_its_lognormal_speed():
    onset, delay, sigma = 0.1, -1.2, 0.3
    parameters = component(0, onset, delay, math.log(sigma), 0, 0)
    at = torch.linspace(onset + 1e-6, 1, 200_001, dtype=torch.float64)
    since = at - onset
    speed = (-((since.log() - delay) ** 2) / (2 * sigma**2)).exp()
    speed /= sigma * math.sqrt(2 * math.pi) * since
    integral = torch.cumulative_trapezoid(speed, at)
    torch.testing.assert_close(share(parameters, at)[1:], integral, atol=1e-6, rtol=0)
    assert share(parameters, torch.tensor([0.0, onset]).double()).tolist() == [0, 0]


def test_displacements_are_the_integral_of_velocity():
    parameters = component(math.log(2), -0.05, -1, math.log(0.4), 0.3, 2.5)
    at = times(100_001)
    done = share(parameters, at)
    angle = 0.3 + 2.5 * (done[1:] + done[:-1]) / 2
    steps = 2 * done.diff()[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    expected = steps.cumsum(0)
    found = displacements(parameters, at)
    torch.testing.assert_close(found[1:], expected, atol=1e-6, rtol=0)


def test_a_component_without_amplitude_and_one_without_turn_are_finite():
    nothing = component(-math.inf, 0, 0, 0, 0, 0)
    assert displacements(nothing, times(5)).abs().max() == 0
    straight = component(0, 0, -3, -2, math.pi / 2, 0)
    end = displacements(straight, times(2))[-1]
    torch.testing.assert_close(end, component(0, 1), atol=1e-6, rtol=0)


def test_variations_follow_the_published_law():
    one = component(math.log(2), 0.1, -1, -1, 0.5, 2).repeat(40_000, 1, 1)
    strokes = Strokes(torch.zeros(len(one), 2).double(), one)
    noise = torch.randn(len(one), 1, 3, generator=torch.Generator().manual_seed(0))
    varied = perturb(strokes, noise).parameters[:, 0]
    spread = varied.std(0)
    expected = component(0.2 / 3, math.pi / 9 / 3, 2 * 0.1 / 3)
    found = torch.stack([(varied[:, 0].exp() / 2).std(), spread[4], spread[5]])
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)
    assert spread[1:4].max() == 0
    torch.testing.assert_close(perturb(strokes, 0 * noise).parameters, one)


def test_strokes_made_by_the_model_are_found_again():
    first = component(0.3, 0.0, -1.8, -1.2, 0.2, 1.0)
    second = component(0.0, 0.25, -1.3, -1.4, 2.0, -0.8)
    truth = Strokes(torch.zeros(1, 2).double(), torch.stack([first, second])[None])
    points = truth.points(100)
    fitted, error = fit(points)
    assert error.item() < 0.01
    assert torch.isfinite(fitted.parameters[0, :, 0]).sum() == 2
    torch.testing.assert_close(fitted.points(100), points, atol=0.02, rtol=0)


def test_real_digits_are_met_within_the_tolerance(real_data: Path):
    path = real_data / "ujipenchars2" / "ujipenchars2_digits.txt.gz"
    chosen = one_stroke(read_uji(path))[::6]
    points = torch.from_numpy(np.stack([trajectory(one.strokes[0]) for one in chosen]))
    fitted, error = fit(points)
    assert error.max() <= TOLERANCE and error.mean() < 0.01
    far = (fitted.points(100) - points).square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(far, error, atol=1e-6, rtol=0)


def test_the_picture_keeps_the_ink_of_the_canvas():
    curve = np.stack([np.linspace(-1, 1, 100), np.linspace(-1, 1, 100) ** 2], 1)
    drawn = ink(curve, 20)
    side = max(drawn.size) + int(0.6 * max(drawn.size))
    share_of_canvas = np.asarray(drawn).sum() / side**2
    share_of_picture = shrink(drawn).sum() / 28**2
    assert abs(share_of_picture / share_of_canvas - 1) < 0.01


@pytest.mark.parametrize("stretch", [(1, 1), (0.2, 1), (1, 0.3), (2, 2)])
def test_the_ink_is_centred_and_five_eighths_of_the_side(stretch):
    angle = np.linspace(0, 2 * np.pi, 100)
    picture = rasterise(np.stack([np.cos(angle), np.sin(angle)], 1) * stretch, 20)
    inked = np.argwhere(picture > 127)
    low, high = inked.min(0), inked.max(0)
    assert (high - low + 1).max() in (17, 18)
    assert np.abs((low + high) / 2 - 13.5).max() <= 1
    assert picture.dtype == np.uint8 and picture.max() > 200


def test_y_points_down_and_x_to_the_right():
    foot = np.linspace(0, 1, 50)
    corner = np.stack([np.r_[0 * foot, foot], np.r_[3 * foot - 3, 0 * foot]], 1)
    picture = rasterise(corner, 12)  # an L
    half = np.argwhere(picture > 127)
    (top, left), (bottom, right) = half.min(0), half.max(0)
    assert picture[top, left] > 127 and picture[bottom, right] > 127
    assert picture[bottom, left] > 127 and picture[top, right] == 0


def test_a_wider_pen_leaves_more_ink_and_a_line_is_as_wide_as_the_pen():
    line = np.stack([np.zeros(100), np.linspace(-1, 1, 100)], 1)
    sums = [rasterise(line, width).sum() for width in (12, 20, 28)]
    assert sums == sorted(set(sums))
    assert ink(line, 18).width in (25, 26, 27)  # 18 points of 100/72 pixels


def test_each_pixel_is_the_mean_of_the_area_that_it_covers():
    picture = shrink(Image.new("L", (175, 175), 255)) / 255  # in a square of 280
    edge = np.zeros(28)
    edge[5:23] = [0.8, *[1] * 16, 0.7]  # from 52 to 227 of 280
    np.testing.assert_allclose(picture, np.outer(edge, edge), atol=1 / 255)
