"""When sensors fail: statistics, exact tables, combinations and errors."""

import numpy as np
import pytest

from nexus_rl.errors import UserError
from nexus_rl.wrappers import (
    Bernoulli,
    CommonCause,
    Curriculum,
    Fixed,
    Markov,
    PerEpisode,
    Periodic,
    Scripted,
    Window,
)
from nexus_rl.wrappers.masking import Timetable

SENSORS = ("image", "sound", "touch")


def run(schedule, steps, episodes=1, seed=0, sensors=SENSORS):
    """What a schedule draws: (episodes, steps, M)."""
    timetable = Timetable(schedule, sensors)
    timetable.seed(np.random.SeedSequence(seed))
    return np.array(
        [
            [timetable.start(), *(timetable.advance() for _ in range(steps - 1))]
            for _ in range(episodes)
        ]
    )


def outage_lengths(there):
    """Lengths of the outages in (T,) that both begin and end inside."""
    edges = np.flatnonzero(np.diff(there.astype(int)))
    lengths = np.diff(edges)
    return lengths[::2] if there[0] else lengths[1::2]


def test_bernoulli_has_its_rates_and_is_independent():
    there = run(Bernoulli({"image": 0.3, "sound": 0.8}), 20_000)[0]
    assert there.mean(0) == pytest.approx([0.7, 0.2, 1.0], abs=0.015)
    assert abs(np.corrcoef(there[:, 0], there[:, 1])[0, 1]) < 0.03
    assert abs(np.corrcoef(there[1:, 0], there[:-1, 0])[0, 1]) < 0.03


def test_per_episode_draws_once_an_episode():
    there = run(PerEpisode(0.4), 3, episodes=5_000)
    assert np.all(there == there[:, :1])
    assert there[:, 0].mean(0) == pytest.approx([0.6] * 3, abs=0.03)
    _, counts = np.unique(there[:, 0], axis=0, return_counts=True)
    assert len(counts) == 8


@pytest.mark.parametrize(("fail", "recover"), [(0.05, 0.2), (0.02, 0.5), (0.3, 0.1)])
def test_markov_has_its_burst_length_and_rate(fail, recover):
    there = run(Markov(fail, recover), 20_000, sensors=("image",))[0, :, 0]
    assert outage_lengths(there).mean() == pytest.approx(1 / recover, rel=0.12)
    assert 1 - there.mean() == pytest.approx(fail / (fail + recover), rel=0.12)


def test_markov_starts_from_its_stationary_rate():
    first = run(Markov(0.1, 0.3), 1, episodes=4_000)
    assert 1 - first.mean() == pytest.approx(0.25, abs=0.02)


def test_markov_per_sensor_and_at_its_limits():
    there = run(Markov({"image": 0.1}, {"image": 0.2}), 2_000)[0]
    assert 0 < there[:, 0].mean() < 1
    assert there[:, 1:].all()
    assert run(Markov(0.0, 0.0), 50).all()
    assert not run(Markov(1.0, 0.0), 50).any()
    assert outage_lengths(run(Markov(0.5, 1.0), 500)[0, :, 0]).max() == 1


def test_common_cause_takes_its_group_together():
    there = run(CommonCause(0.05, 0.25, ["image", "touch"]), 20_000)[0]
    assert np.array_equal(there[:, 0], there[:, 2])
    assert there[:, 1].all()
    assert outage_lengths(there[:, 0]).mean() == pytest.approx(4, rel=0.12)
    assert 1 - there[:, 0].mean() == pytest.approx(1 / 6, rel=0.12)
    together = run(CommonCause(0.2, 0.2), 100)[0]
    assert np.all(together == together[:, :1])


def test_window_is_exact_in_every_episode():
    there = run(Window(2, 3, "sound"), 7, episodes=2)
    assert there[:, :, 0].all()
    assert there[:, :, 1].tolist() == [[True] * 2 + [False] * 3 + [True] * 2] * 2


@pytest.mark.parametrize(
    ("phase", "out"), [(0, "110011001"), (1, "011001100"), (3, "100110011")]
)
def test_periodic_is_exact(phase, out):
    there = run(Periodic(4, 2, ["touch"], phase), 9)[0]
    assert there[:, 2].tolist() == [letter == "0" for letter in out]
    assert there[:, :2].all()


def test_scripted_is_exact_and_holds_its_last_row():
    rows = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    script = Scripted(rows)
    expected = np.vstack([rows, rows[-1], rows[-1]]).astype(bool)
    rows[:] = 0  # the schedule is not the caller's array
    assert np.array_equal(run(script, 5, episodes=2), [expected, expected])
    assert script == Scripted(expected[:3])


def test_fixed():
    assert np.all(run(Fixed(["touch", "image"]), 5) == [True, False, True])
    assert np.all(run(Fixed("sound"), 5) == [False, True, False])
    assert not run(Fixed(()), 5).any()


def test_several_schedules_take_a_sensor_away_when_any_does():
    both = run([Window(1, 2, "image"), Periodic(3, 1, "sound")], 6)[0]
    assert np.array_equal(both[:, 0], run(Window(1, 2, "image"), 6)[0, :, 0])
    assert np.array_equal(both[:, 1], run(Periodic(3, 1, "sound"), 6)[0, :, 1])
    assert run([], 5).all()


def test_another_schedule_does_not_change_the_draws_of_the_first():
    alone = run(Bernoulli(0.5), 200)
    assert np.array_equal(run([Bernoulli(0.5), Window(0, 0)], 200), alone)


def test_curriculum_ramps_over_episodes_and_stays():
    curriculum = Curriculum(Bernoulli, end=0.8, steps=4_000, start=0.2)
    missing = 1 - run(curriculum, 500, episodes=16).mean((1, 2))
    # Step 0 of an episode is no step of the environment: 499 an episode.
    middles = np.arange(16) * 499 + 250
    expected = 0.2 + 0.6 * np.minimum(middles / 4_000, 1)
    assert missing == pytest.approx(expected, abs=0.05)


def test_curriculum_keeps_the_bursts_of_what_it_ramps():
    ramp = Curriculum(lambda level: Markov(level, 0.2), end=0.05, steps=1, start=0.05)
    assert np.array_equal(run(ramp, 300), run(Markov(0.05, 0.2), 300))


def test_episodes_do_not_depend_on_the_length_of_those_before():
    draws = []
    for length in (3, 50):
        timetable = Timetable(Markov(0.3, 0.3), SENSORS)
        timetable.seed(np.random.SeedSequence(4))
        timetable.start()
        for _ in range(length):
            timetable.advance()
        draws.append([timetable.start(), *(timetable.advance() for _ in range(30))])
    assert np.array_equal(*draws)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bernoulli(1.5), r"missing must be a probability in \[0, 1\]"),
        (lambda: Bernoulli(float("nan")), "probability"),
        (lambda: PerEpisode({"image": -0.1}), "probability"),
        (lambda: Markov(fail=-1), "fail must"),
        (lambda: Markov(recover=2), "recover must"),
        (lambda: CommonCause(rate=3), "rate must"),
        (lambda: Window(-1, 3), "start must be .* at least 0"),
        (lambda: Periodic(0, 0), "period"),
        (lambda: Periodic(3, 4), "length"),
        (lambda: Scripted([1, 0, 1]), r"\(T, M\)"),
        (lambda: Scripted([[1, 2, 1]]), "zeros and ones"),
        (lambda: Scripted(np.zeros((0, 3))), r"\(T, M\)"),
        (lambda: Curriculum(Bernoulli, 0.5, 0), "at least 1"),
        (lambda: Timetable(Scripted([[1, 0]]), SENSORS), "2 columns"),
        (lambda: Timetable("often", SENSORS), "expected a Schedule"),
        (lambda: Timetable(Curriculum(Bernoulli, 2.0, 9), SENSORS), "probability"),
    ],
)
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    "schedule",
    [
        Fixed(["imago"]),
        Fixed("imago"),
        Bernoulli({"imago": 0.1}),
        Markov(fail={"imago": 0.1}),
        Markov(recover={"imago": 0.1}),
        CommonCause(sensors=["imago"]),
        Window(0, 1, ["imago"]),
        Periodic(2, 1, ["imago"]),
        Curriculum(lambda level: Bernoulli({"imago": level}), 0.1, 5),
    ],
)
def test_unknown_sensors_are_named_with_a_suggestion(schedule):
    with pytest.raises(UserError, match=r"unknown sensor 'imago'.*mean 'image'"):
        Timetable(schedule, SENSORS)
