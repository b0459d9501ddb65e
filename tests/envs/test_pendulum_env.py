"""The sounding pendulum: dynamics, image, sound, and states as data."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import MultimodalPendulum, MultimodalPendulum4
from envs.pendulum import observe
from envs.pendulum_physics import advance, rewind, sample_states, state_features
from envs.pendulum_sensors import (
    DISTANCE_RANGE,
    FREQUENCY_RANGE,
    RECEIVERS,
    camera,
    hear,
    sound,
)

angles = st.floats(-10.0, 10.0)
speeds = st.floats(-8.0, 8.0)
pushes = st.floats(-1.0, 1.0, width=32)
LEFT_BOTTOM, RIGHT_BOTTOM, TOP = range(3)


def action(push):
    return np.array([push], np.float32)


def centre_of_mass(image):
    """Mean (up, right) of the grey values, in pixels from the middle."""
    rows, columns = np.indices(image.shape)
    weight = image / image.sum()
    middle = (len(image) - 1) / 2
    return middle - (weight * rows).sum(), (weight * columns).sum() - middle


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("published", [False, True])
def test_moves_and_pays_exactly_as_pendulum_v1(seed, published):
    ours = MultimodalPendulum(image_size=16, published=published)
    theirs = gym.make("Pendulum-v1").unwrapped
    ours.reset(seed=seed)
    theirs.reset(seed=seed)
    assert (ours.theta, ours.omega) == tuple(theirs.state)
    rng = np.random.default_rng(seed)
    limit = 1.0 if published else 2.0
    for push in rng.uniform(-1, 1, 300).astype(np.float32):
        _, reward, terminated, truncated, info = ours.step(action(push))
        torque = np.array([limit * push], np.float64)
        _, expected, *_ = theirs.step(torque)
        assert (ours.theta, ours.omega) == tuple(theirs.state)
        assert reward == pytest.approx(float(expected), rel=1e-12)
        assert not terminated and not truncated
        features = np.cos(ours.theta), np.sin(ours.theta), ours.omega
        assert info["state"] == pytest.approx(features, rel=1e-6)


def test_speed_limit_is_reached_as_in_pendulum_v1():
    ours, theirs = MultimodalPendulum(image_size=16), gym.make("Pendulum-v1").unwrapped
    ours.reset(options={"state": (2.0, 7.9)})
    theirs.reset()
    theirs.state = np.array([2.0, 7.9])
    ours.step(action(1))
    theirs.step(np.array([2.0]))
    assert ours.omega == 8.0 and (ours.theta, ours.omega) == tuple(theirs.state)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("", 200), ("4", 200), ("Published", 300)],
)
def test_episodes_are_truncated(name, steps):
    env = gym.make(f"envs:nexus_rl/MultimodalPendulum{name}-v0")
    env.reset(seed=0)
    for step in range(1, steps + 1):
        *_, terminated, truncated, _ = env.step(action(0.5))
        assert not terminated and truncated == (step == steps)


def test_actions_are_clipped_and_nan_is_refused():
    env = MultimodalPendulum(image_size=16)
    env.reset(options={"state": (0.5, 0.0)})
    env.step(action(5.0))
    beyond = env.theta, env.omega
    env.reset(options={"state": (0.5, 0.0)})
    env.step(action(1.0))
    assert beyond == (env.theta, env.omega)
    with pytest.raises(ValueError, match="action must be a number"):
        env.step(action(np.nan))


@pytest.mark.parametrize("state", [(0.0,), (0.0, 9.0), (np.nan, 0.0)])
def test_impossible_states_are_refused(state):
    with pytest.raises(ValueError, match=r"state must|omega must|theta must"):
        MultimodalPendulum(image_size=16).reset(options={"state": state})


@pytest.mark.parametrize("size", [15, 16.0, "16", True, np.inf])
def test_impossible_picture_sizes_are_refused(size):
    with pytest.raises(ValueError, match="image_size must be an integer of at least"):
        MultimodalPendulum(image_size=size)


def test_a_picture_size_may_be_a_numpy_integer():
    env = MultimodalPendulum(image_size=np.int64(16))
    assert env.reset(seed=0)[0]["image"].shape == (2, 16, 16)


@settings(deadline=None)
@given(theta=angles, omega=st.floats(-6.0, 6.0), published=st.booleans())
def test_observe_equals_a_step_without_torque(theta, omega, published):
    env = MultimodalPendulum(image_size=32, published=published)
    first, _ = env.reset(options={"state": (theta, omega)})
    assert np.array_equal(first["image"], env.observe(theta, omega)["image"])
    assert np.array_equal(first["sound"], env.observe(theta, omega)["sound"])
    for _ in range(2):
        stepped, *_ = env.step(action(0))
        seen = env.observe(env.theta, env.omega)
        difference = np.abs(stepped["image"].astype(int) - seen["image"])
        # A rounded angle can move a pixel across the threshold of a binary image.
        assert (difference > 1).sum() <= (2 if published else 0)
        assert stepped["sound"] == pytest.approx(seen["sound"], abs=1e-6)


@settings(deadline=None)
@given(theta=angles, omega=st.floats(-6.0, 6.0))
def test_rewind_undoes_a_step(theta, omega):
    assert rewind(*advance(theta, omega, 0.0)) == pytest.approx((theta, omega))


def test_no_torque_leak_into_the_image():
    """A state shows the same image however the pendulum came there."""
    theta, omega = 0.3, 1.2
    images = []
    for push in (-1.0, 0.0, 1.0):
        env = MultimodalPendulum()
        before = theta - omega * 0.05
        speed = omega - (15 * np.sin(before) + 3 * 2 * push) * 0.05
        env.reset(options={"state": (before, speed)})
        stepped, *_ = env.step(action(push))
        assert (env.theta, env.omega) == pytest.approx((theta, omega), abs=1e-7)
        images.append(stepped["image"].astype(int))
    assert np.abs(images[0] - images[1]).max() <= 1
    assert np.abs(images[2] - images[1]).max() <= 1


def test_observe_takes_batches_of_any_shape():
    theta, omega = np.linspace(-3, 3, 6).reshape(2, 3), np.float64(1.5)
    batch = MultimodalPendulum.observe(theta, omega, image_size=32)
    assert batch["image"].shape == (2, 3, 2, 32, 32)
    assert batch["sound"].shape == (2, 3, 12)
    alone = observe(theta[1, 2], 1.5, image_size=32)
    assert np.array_equal(batch["image"][1, 2], alone["image"])
    assert batch["sound"][1, 2] == pytest.approx(alone["sound"], abs=1e-6)
    assert observe(0.0, 0.0)["image"].shape == (2, 60, 60)
    with pytest.raises(ValueError, match="omega must lie"):
        observe(0.0, [0.0, 8.5])


def test_image_points_where_the_rod_points():
    draw = camera(60).draw
    up, right = centre_of_mass(draw(0.0))
    assert up == pytest.approx(0.5 / 0.044, rel=0.01) and abs(right) < 1e-9
    up, right = centre_of_mass(draw(np.pi / 2))
    assert right == pytest.approx(-0.5 / 0.044, rel=0.01) and abs(up) < 1e-9
    up, right = centre_of_mass(draw(np.pi))
    assert up == pytest.approx(-0.5 / 0.044, rel=0.01)


@settings(deadline=None)
@given(theta=angles, size=st.sampled_from([24, 32, 60, 61]))
def test_image_covers_the_area_of_the_rod(theta, size):
    image = camera(size).draw(theta)
    pixel = 2.64 / size
    area = image.sum(dtype=float) / 255 * pixel**2
    # The smallest rods are two pixels wide: their soft edges add up to 6 %.
    assert area == pytest.approx(0.2 + np.pi * 0.1**2, rel=0.05 if size > 40 else 0.08)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert not border.any()


@settings(deadline=None)
@given(theta=angles)
def test_image_equals_the_signed_distance_over_all_pixels(theta):
    axis = 1.32 - (np.arange(60) + 0.5) * 0.044
    up, left = np.meshgrid(axis, axis, indexing="ij")
    along = np.clip(up * np.cos(theta) + left * np.sin(theta), 0, 1)
    distance = np.hypot(up - along * np.cos(theta), left - along * np.sin(theta))
    cover = np.clip((0.1 - distance) / 0.044 + 0.5, 0, 1)
    assert np.abs(camera(60).draw(theta) - 255 * cover).max() <= 1


def test_slow_motion_shows_in_grey_pixels():
    quick = MultimodalPendulum.observe(0.5, 0.05)["image"]
    assert not np.array_equal(quick[0], quick[1])
    binary = MultimodalPendulum.observe(0.5, 0.05, published=True)["image"]
    assert set(np.unique(binary)) == {0, 255}


def test_image_moves_the_way_the_rod_turns():
    before, now = MultimodalPendulum.observe(0.0, 4.0)["image"]
    assert centre_of_mass(now)[1] < centre_of_mass(before)[1]
    before, now = MultimodalPendulum.observe(np.pi, 4.0)["image"]
    assert centre_of_mass(now)[1] > centre_of_mass(before)[1]


def test_sound_of_known_states():
    frequency, distance = hear(0.0, 0.0)
    assert frequency == pytest.approx(440.0)
    corner = np.hypot(3.2, 2.2)
    assert distance == pytest.approx([corner, corner, 1.2])
    # Upright, the tip moves to the left; the top receiver is straight above it.
    frequency, _ = hear(0.0, 5.0)
    approach = 5.0 * 2.2 / corner
    assert frequency[LEFT_BOTTOM] == pytest.approx(440 * 20 / (20 - approach))
    assert frequency[RIGHT_BOTTOM] == pytest.approx(440 * 20 / (20 + approach))
    assert frequency[TOP] == pytest.approx(440.0)


@settings(deadline=None)
@given(theta=angles, omega=st.floats(0.5, 8.0))
def test_pitch_rises_where_the_source_comes_nearer(theta, omega):
    frequency, distance = hear(theta, omega)
    _, later = hear(theta + 1e-4 * omega, omega)
    clear = np.abs(later - distance) > 1e-5
    assert np.array_equal(frequency[clear] > 440.0, later[clear] < distance[clear])


def test_sound_ranges_are_reached_and_never_left():
    theta = np.linspace(-np.pi, np.pi, 2001)
    for omega in (-8.0, 8.0):
        frequency, distance = hear(theta, omega)
        assert frequency.min(0) == pytest.approx([FREQUENCY_RANGE[0]] * 3, rel=1e-5)
        assert frequency.max(0) == pytest.approx([FREQUENCY_RANGE[1]] * 3, rel=1e-5)
        assert distance.min(0) == pytest.approx(DISTANCE_RANGE[0], rel=1e-5)
        assert distance.max(0) == pytest.approx(DISTANCE_RANGE[1], rel=1e-5)
    heard = sound(theta, 8.0)
    assert heard.min() >= 0.0 and heard.max() <= 1.0
    assert heard.min(0) == pytest.approx(np.zeros(6), abs=1e-4)
    assert heard.max(0) == pytest.approx(np.ones(6), abs=1e-4)


def test_published_sound_is_linear_with_common_ranges():
    frame = sound(0.0, 0.0, published=True).reshape(3, 2)
    span = 440 * 20 / 12 - 440 * 20 / 28
    assert frame[:, 0] == pytest.approx((440 - 440 * 20 / 28) / span, rel=1e-5)
    assert frame[TOP, 1] == pytest.approx(1.0)
    assert frame[:TOP, 1].max() < 0.1
    assert RECEIVERS.shape == (3, 2)


def test_sampled_states_mix_what_matters():
    theta, omega = sample_states(20_000, np.random.default_rng(0))
    assert theta.shape == omega.shape == (20_000,)
    assert np.abs(theta).max() <= np.pi and np.abs(omega).max() <= 8.0
    upright_and_slow = (np.abs(theta) < np.pi / 6) & (np.abs(omega) < 2)
    assert 0.15 < upright_and_slow.mean() < 0.35
    cells, *_ = np.histogram2d(theta, omega, (24, 16), [[-np.pi, np.pi], [-8, 8]])
    assert (cells > 0).all()
    again = sample_states(20_000, np.random.default_rng(0))
    assert np.array_equal(again, (theta, omega))
    for half in (theta[:10_000], theta[10_000:]):
        assert half.std() == pytest.approx(theta.std(), rel=0.05)
    assert len(sample_states(0, np.random.default_rng(0))[0]) == 0
    with pytest.raises(ValueError, match="n must not be negative"):
        sample_states(-1, np.random.default_rng(0))


def test_state_features_are_batched():
    features = state_features(np.zeros((3, 4)), 2.0)
    assert features.shape == (3, 4, 3) and features.dtype == np.float32
    assert features[1, 2] == pytest.approx([1.0, 0.0, 2.0])


@settings(deadline=None)
@given(theta=angles, omega=speeds, push=pushes)
def test_four_sensors_complement_each_other(theta, omega, push):
    seen = MultimodalPendulum4.observe(theta, omega, push, 0.25, image_size=16)
    other = MultimodalPendulum4.observe(theta, -omega, -push, 0.25, image_size=16)
    assert seen["image"].shape == (1, 16, 16) and seen["sound"].shape == (6,)
    assert np.array_equal(seen["image"], other["image"])
    gyro = np.clip((omega + 0.25) / 8, -1, 1)
    assert seen["gyro"] == pytest.approx([gyro], abs=1e-6)
    assert seen["torque"] == pytest.approx([push])


def test_four_sensors_in_an_episode():
    env = MultimodalPendulum4(image_size=16)
    first, _ = env.reset(seed=0)
    assert first["torque"] == 0.0
    errors = []
    for push in np.linspace(-1, 1, 300):
        seen, *_ = env.step(action(push))
        assert seen["torque"] == np.float32(push)
        errors.append(8 * seen["gyro"][0] - env.omega)
    unclipped = np.array(errors)[np.abs(errors) < 2]
    assert np.std(unclipped) == pytest.approx(0.5, rel=0.15)


def test_sampled_states_fit_their_environment():
    for env in (MultimodalPendulum(image_size=16), MultimodalPendulum4(image_size=16)):
        states = env.sample_states(5, np.random.default_rng(0))
        batch = env.observe(*states)
        for row in range(5):
            one = {name: sensor[row] for name, sensor in batch.items()}
            assert env.observation_space.contains(one)
        assert env.state_features(*states[:2]).shape == (5, 3)
