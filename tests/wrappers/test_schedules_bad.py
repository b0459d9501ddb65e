"""Schedules and faults that cannot work are refused where they are made or used."""

import numpy as np
import pytest
from dropout_world import Toy

from nexus_rl import SensorDropout, UserError
from nexus_rl.wrappers import Drift, Gaussian, Schedule


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
    with pytest.raises(UserError, match="not negative"):
        Gaussian(-0.1)
