"""Schedules and faults that cannot work are refused where they are made or used."""

import numpy as np
import pytest
from dropout_world import SENSORS, Toy

from nexus_rl import SensorDropout, UserError
from nexus_rl.wrappers import (
    Bernoulli,
    Curriculum,
    Delay,
    Drift,
    Fixed,
    Gaussian,
    Lie,
    Markov,
    Occlusion,
    Periodic,
    Schedule,
    Scripted,
    Window,
)
from nexus_rl.wrappers.timetable import Timetable


class TooShort(Schedule):
    def draw(self, moment, rng):
        return np.array([True])


def test_a_schedule_answers_for_every_sensor() -> None:
    with pytest.raises(UserError, match=r"TooShort.draw gave shape \(1,\), expected"):
        SensorDropout(Toy(), TooShort()).reset(seed=0)


@pytest.mark.parametrize("make", [Gaussian, Drift])
@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
def test_faults_are_finite(make, amount) -> None:
    with pytest.raises(UserError, match="finite"):
        make(amount)


def test_noise_is_not_negative() -> None:
    with pytest.raises(UserError, match="must not be negative"):
        Gaussian(-0.1)


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Window(NAN, 3), "start must be an integer"),
        (lambda: Window(2, 1.5), "length must be an integer"),
        (lambda: Window("2", 3), "start must be an integer"),
        (lambda: Periodic(2.5, 1), "period must be an integer"),
        (lambda: Periodic(3, 1, phase=NAN), "phase must be a finite number"),
        (lambda: Curriculum(Bernoulli, 0.5, NAN), "steps must be an integer"),
        (lambda: Curriculum(Bernoulli, NAN, 9), "end must be a finite number"),
        (lambda: Curriculum(Bernoulli(0.1), 0.5, 9), "make must be a function"),
        (lambda: Bernoulli("often"), "must be a probability"),
        (lambda: Bernoulli([0.1, 0.2, 0.3]), "must be a probability"),
        (lambda: Markov({"image": None}), "fail must be a probability"),
        (lambda: Scripted([[1, 0], [1]]), r"zeros and ones, got \[\[1, 0\], \[1\]\]"),
        (lambda: Gaussian("loud"), "scale must be a finite number"),
        (lambda: Drift("fast"), "rate must be a finite number"),
        (lambda: Occlusion("half"), "area must be a finite number"),
        (lambda: Delay(1.5), "steps must be an integer"),
        (lambda: Lie(2.5), "memory must be an integer"),
    ],
)
def test_numbers_must_be_numbers_of_the_right_kind(make, message) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Fixed(3), "expected names of sensors, got 3"),
        (Window(1, 2, 3), "expected names of sensors, got 3"),
        (Curriculum(lambda level: level, 1.0, 9), "make must give a Schedule"),
    ],
)
def test_what_only_the_sensors_show_is_refused_before_the_first_reset(
    schedule, message
) -> None:
    with pytest.raises(UserError, match=message):
        Timetable(schedule, SENSORS)


def test_numpy_integers_count() -> None:
    two = np.int64(2)
    assert Periodic(two, np.int32(1)).period == Delay(two).steps == 2
    SensorDropout(Toy(), Window(two, two), stack=two, min_available=two)
