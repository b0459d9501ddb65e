"""Scores, against closed forms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from agents.results import Evaluation
from agents.scores import Scores, area, drop_rates, estimate, normalised, retained
from nexus_rl.errors import UserError

GROUPS = {
    **{"everything": "everything", "no_image": "missing", "no_sound": "missing"},
    **{f"bernoulli_{rate}": "bernoulli" for rate in (30, 50, 90)},
}


def evaluation(
    returns: Mapping[str, Mapping[str, float]],
    methods: dict[str, tuple[str, ...]] | None = None,
    random: str | None = None,
    oracle: str | None = None,
) -> Evaluation:
    """Two episodes a condition, a little above and below the mean return."""
    rows = [
        {
            **{"agent": agent, "condition": name, "group": GROUPS[name], "seed": 0},
            **{"episode": k, "return": mean + (k - 0.5), "length": 200},
            "available": {"image": 1.0, "sound": 1.0},
        }
        for agent, each in returns.items()
        for name, mean in each.items()
        for k in (0, 1)
    ]
    return Evaluation("Env-v0", {}, 2, (0,), tuple(rows), methods or {}, random, oracle)


def test_the_interval_of_two_values_is_the_values() -> None:
    """Both draws are the lesser one a quarter of the time, and 2.5 % is less."""
    found = estimate([2.0, 10.0])
    assert (found.mean, found.low, found.high, found.count) == (6.0, 2.0, 10.0, 2)


def test_the_interval_of_three_values() -> None:
    """1 in 27 draws is the least value alone: just above 2.5 %."""
    found = estimate([0.0, 3.0, 30.0])
    assert (found.low, found.high) == (0.0, 30.0)


def test_the_interval_of_many_values_is_that_of_the_normal() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    found = estimate(values.tolist())
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
    assert estimate(values.tolist()) == found


def test_one_seed_has_no_interval() -> None:
    found = estimate([4.0])
    assert (found.mean, found.low, found.high, found.count) == (4.0, None, None, 1)


def test_normalised_and_retained() -> None:
    assert normalised(-1200, -1200, -150) == 0
    assert normalised(-150, -1200, -150) == 1
    assert normalised(-675, -1200, -150) == 0.5
    with pytest.raises(UserError, match="cannot be normalised"):
        normalised(1, 2, 2)
    # Whatever the oracle is.
    for oracle in (-150, 0, 77):
        parts = [normalised(value, -1200, oracle) for value in (-675, -300)]
        assert retained(-675, -300, -1200) == pytest.approx(parts[0] / parts[1])
    assert retained(-1300, -1250, -1200) is None


def test_the_area_is_a_mean() -> None:
    assert area({0.0: 4.0, 0.9: 4.0}) == pytest.approx(4.0)
    assert area({0.5: 0.0, 0.0: 1.0}) == pytest.approx(0.5)
    # By hand: 0.3 * 0.9 + 0.2 * 0.7 + 0.4 * 0.35, over 0.9.
    curve = {0.0: 1.0, 0.3: 0.8, 0.5: 0.6, 0.9: 0.1}
    assert area(curve) == pytest.approx((0.27 + 0.14 + 0.14) / 0.9)
    assert area({0.0: 1.0}) is None


NEXUS = [
    {"everything": -200.0, "no_image": -300.0, "no_sound": -700.0},
    {"everything": -300.0, "no_image": -400.0, "no_sound": -500.0},
]
RANDOM = dict.fromkeys(NEXUS[0], -1200.0)
ORACLE = dict.fromkeys(NEXUS[0], -200.0)


@pytest.fixture
def scores() -> Scores:
    agents = {"a": NEXUS[0], "b": NEXUS[1], "random": RANDOM, "oracle": ORACLE}
    methods = {"nexus": ("a", "b"), "random": ("random",), "oracle": ("oracle",)}
    return Scores(evaluation(agents, methods, "random", "oracle"))


def test_scores_are_over_training_seeds_and_not_over_episodes(scores: Scores) -> None:
    found = scores.of("nexus", "no_sound")
    assert found is not None and found.group == "missing"
    returns = found.returns
    assert (returns.mean, returns.low, returns.high) == (-600, -700, -500)
    assert found.normalised is not None and found.retained is not None
    assert found.normalised.mean == pytest.approx(0.6)
    # Each seed against itself: 500 of 1000, and 700 of 900.
    assert found.retained.mean == pytest.approx((500 / 1000 + 700 / 900) / 2)
    assert found.retained.count == 2
    for method, expected in (("random", 0.0), ("oracle", 1.0)):
        one = scores.of(method, "no_image")
        assert one is not None and one.normalised is not None
        assert one.normalised.mean == expected
        assert one.normalised.low is None and one.normalised.count == 1


def test_the_worst_condition(scores: Scores) -> None:
    worst = scores.overall("nexus").worst
    assert (worst.condition, worst.returns.mean) == ("no_sound", -600)
    assert scores.overall("nexus").area is None  # no drop-rate curve was measured


def test_without_random_or_oracle() -> None:
    alone = Scores(evaluation({"a": NEXUS[0]}))
    found = alone.of("a", "no_image")
    assert found is not None and found.returns.mean == -300
    assert found.normalised is None and found.retained is None
    # What is retained needs no oracle.
    agents = {"a": NEXUS[0], "random": RANDOM}
    found = Scores(evaluation(agents, random="random")).of("a", "no_image")
    assert found is not None and found.normalised is None
    assert found.retained is not None and found.retained.mean == pytest.approx(0.9)
    # Nor is there a scale where the oracle is no better than random.
    agents = {"a": NEXUS[0], "random": ORACLE, "oracle": RANDOM}
    upside_down = Scores(evaluation(agents, random="random", oracle="oracle"))
    found = upside_down.of("a", "no_image")
    assert found is not None and not upside_down.comparable
    assert found.normalised is None and found.retained is None


def test_the_drop_rate_curve() -> None:
    names = ("everything", "bernoulli_30", "bernoulli_90")
    agents = {
        "a": dict(zip(names, (0.0, -100.0, -400.0), strict=True)),
        "b": dict(zip(names, (-10.0, -10.0, -10.0), strict=True)),
        "random": dict.fromkeys(names, -1000.0),
        "oracle": dict.fromkeys(names, 0.0),
    }
    methods = {"m": ("a", "b"), "random": ("random",), "oracle": ("oracle",)}
    found = evaluation(agents, methods, "random", "oracle")
    assert drop_rates(found) == {
        **{"everything": 0.0, "bernoulli_30": 0.3, "bernoulli_90": 0.9}
    }
    overall = Scores(found).overall("m")
    by_hand = (0.3 * -50 + 0.6 * -250) / 0.9
    assert overall.area is not None and overall.area_normalised is not None
    assert overall.area.mean == pytest.approx((by_hand - 10) / 2)
    assert overall.area.count == 2
    assert overall.area_normalised.mean == pytest.approx(1 + overall.area.mean / 1000)


def test_conditions_that_a_method_lacks() -> None:
    found = Scores(evaluation({"a": NEXUS[0], "random": {"everything": -1200.0}}))
    assert found.of("random", "no_image") is None
    assert found.overall("random").worst.condition == "everything"
