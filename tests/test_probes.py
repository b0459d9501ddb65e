"""Probes of a latent: their figures where these are known in advance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from nexus_rl import Modality, UserError, make_model, probes
from nexus_rl.data.rollouts import gather
from nexus_rl.draws import seeded
from nexus_rl.models import MultimodalVAE
from nexus_rl.probes import ProbeRow, latents, probe, r_squared, samples

VECTORS = (Modality("a", (2,), low=-4, high=4), Modality("b", (1,), low=-4, high=4))
BOTH = ("a", "b")
PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
SUBSETS = [("a",), ("b",), BOTH]

Part = tuple[dict[str, Tensor], Tensor]


class Copies(MultimodalVAE):
    """Its latent is the sensors themselves, with zeros for those that are missing."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.modalities = VECTORS
        self.bottoms = torch.nn.ModuleDict()
        self.rows: list[int] = []

    def encode(self, batch: Mapping[str, Tensor], *_: Any, **__: Any) -> Tensor:
        (rows,) = {len(x) for x in batch.values()}
        self.rows.append(rows)
        zeros = {"a": torch.zeros(rows, 2), "b": torch.zeros(rows, 1)}
        return torch.cat([batch.get(name, zeros[name]) for name in BOTH], 1)


def part(rows: int, seed: int) -> Part:
    """Standard normal sensors (mean 0, deviation 1), which are the state too."""
    state = torch.randn(rows, 3, generator=seeded(seed))
    state = (state - state.mean(0)) / state.std(0)
    return {"a": state[:, :2], "b": state[:, 2:]}, state


def by_subset(rows: list[ProbeRow]) -> dict[tuple[str, ...], ProbeRow]:
    return {row.given: row for row in rows}


def test_a_decoder_reads_off_what_the_latents_tell() -> None:
    z = torch.randn(2000, 2, generator=seeded(0))
    state = torch.stack([3 * z[:, 0] - 1, 100 * z[:, 1].sin()], 1)
    decode = probes.StateDecoder(z[:1500], state[:1500], seed=1)
    found = decode(z[1500:])
    assert found.shape == (500, 2) and not found.requires_grad
    assert min(r_squared(found, state[1500:])) > 0.95  # a linear one has 0.82
    again = probes.StateDecoder(z[:1500], state[:1500], seed=1)
    assert torch.equal(again(z[1500:]), found)
    assert not torch.equal(
        probes.StateDecoder(z[:1500], state[:1500], seed=2)(z[1500:]), found
    )


# -- R2 --------------------------------------------------------------------------


def test_r_squared_in_closed_form() -> None:
    truth = 5 + 3 * torch.randn(100, 2, generator=seeded(0), dtype=torch.float64)
    mean = truth.mean(0).expand_as(truth)
    assert r_squared(truth, truth) == (1.0, 1.0)
    assert r_squared(mean, truth) == pytest.approx((0, 0), abs=1e-12)
    # Half way to the mean: a quarter of the variance is left. Beyond it: 4 times.
    assert r_squared((truth + mean) / 2, truth) == pytest.approx((0.75, 0.75))
    assert r_squared(2 * mean - truth, truth) == pytest.approx((-3, -3))
    # Off by the deviation everywhere; columns do not mix.
    shifted = torch.stack([truth[:, 0], truth[:, 1] + truth[:, 1].std(correction=0)], 1)
    assert r_squared(shifted, truth) == pytest.approx((1, 0), abs=1e-12)


# -- A latent that is the state --------------------------------------------------


def test_a_latent_that_is_the_state_is_read_perfectly() -> None:
    rows = by_subset(probe(Copies(), part(2000, 0), part(500, 1)))
    assert min(rows[BOTH].ridge_r2) > 0.99999
    assert min(rows[BOTH].r2) > 0.99
    # What a sensor does not tell is predicted by its mean, the rest as before.
    for given, known in ((("a",), [1, 1, 0]), (("b",), [0, 0, 1])):
        assert rows[given].ridge_r2 == pytest.approx(known, abs=1e-4)
        assert rows[given].r2 == pytest.approx(known, abs=0.05)


def test_the_distance_is_in_spreads_of_the_full_latent() -> None:
    test = part(500, 1)
    rows = by_subset(probe(Copies(), part(100, 0), test, epochs=1))
    # Each of the three has variance 1: without b a third of it is lost, and so on.
    assert rows[BOTH].distance == 0
    assert rows[("a",)].distance == pytest.approx((1 / 3) ** 0.5, rel=1e-5)
    assert rows[("b",)].distance == pytest.approx((2 / 3) ** 0.5, rel=1e-5)


def test_units_of_the_state_and_of_the_latent_do_not_matter() -> None:
    def scaled(data: Part) -> Part:
        return data[0], data[1] * torch.tensor([1e-3, 1.0, 1e3]) + 7

    plain = probe(Copies(), part(1000, 0), part(300, 1), epochs=20)
    other = probe(Copies(), scaled(part(1000, 0)), scaled(part(300, 1)), epochs=20)
    for one, two in zip(plain, other, strict=True):
        assert one.distance == two.distance
        assert one.r2 == pytest.approx(two.r2, abs=0.01)
        assert one.ridge_r2 == pytest.approx(two.ridge_r2, abs=0.01)


def test_only_the_nonlinear_probe_reads_what_is_bent() -> None:
    def bent(data: Part) -> Part:
        return data[0], data[0]["a"][:, :1].square()

    row = by_subset(probe(Copies(), bent(part(4000, 0)), bent(part(500, 1))))[BOTH]
    assert row.r2[0] > 0.97
    assert abs(row.ridge_r2[0]) < 0.05


def test_ridge_is_the_penalised_least_squares_solution() -> None:
    x = torch.randn(50, 3, generator=seeded(0))
    y = torch.randn(50, 2, generator=seeded(1))
    found = probes._fit_ridge(x, y).requires_grad_()
    ones = torch.cat([x, torch.ones(50, 1)], 1)
    error = (ones @ found - y).square().mean(0).sum()
    (slope,) = torch.autograd.grad(error + probes.RIDGE * found.square().sum(), found)
    torch.testing.assert_close(slope, torch.zeros_like(found), atol=1e-6, rtol=0.0)


# -- Real models -----------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> MultimodalVAE:
    sensors = (*VECTORS, Modality("c", (3,), low=-4, high=4))
    return make_model("nexus", sensors, width=16, latent_dim=4, seed=1)


def sensed(rows: int, seed: int) -> dict[str, Tensor]:
    values = torch.randn(rows, 6, generator=seeded(seed)).clamp(-4, 4)
    return {"a": values[:, :2], "b": values[:, 2:3], "c": values[:, 3:]}


def test_a_state_that_is_a_models_latent_is_read_from_it(
    model: MultimodalVAE,
) -> None:
    data = [sensed(2000, 0), sensed(500, 1)]
    train, test = ((x, latents(model, x, ("a", "b", "c"))) for x in data)
    rows = by_subset(probe(model, train, test))
    full = rows.pop(("a", "b", "c"))
    assert min(full.ridge_r2) > 0.999 and min(full.r2) > 0.98
    assert full.distance == 0
    for row in rows.values():
        assert row.distance > 0
        assert max(row.ridge_r2) < max(full.ridge_r2)


def test_every_subset_is_there_once_small_ones_first(model: MultimodalVAE) -> None:
    data = sensed(40, 0), torch.randn(40, 2, generator=seeded(5))
    rows = probe(model, data, data, epochs=1)
    assert [row.given for row in rows] == [
        *(("a",), ("b",), ("c",)),
        *(("a", "b"), ("a", "c"), ("b", "c")),
        ("a", "b", "c"),
    ]
    for row in rows:
        assert len(row.r2) == len(row.ridge_r2) == 2


def test_latents_are_posterior_means_whatever_the_number_of_rows(
    model: MultimodalVAE,
) -> None:
    x = sensed(2 * probes.CHUNK + 1, 3)
    given = {"a": x["a"], "c": x["c"]}
    model.eval()
    with torch.no_grad():
        expected = model.encode(given)
    found = latents(model, x, ("a", "c"))
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)
    stub = Copies()
    assert torch.equal(latents(stub, x, ("a",))[:, :2], x["a"])
    assert stub.rows == [probes.CHUNK, probes.CHUNK, 1]


# -- Samples ---------------------------------------------------------------------


def test_samples_are_observations_with_their_states_by_episode() -> None:
    (seen, state), (other, truth) = samples(PENDULUM, 2000, seed=3)
    assert len(state) + len(truth) == 2000
    assert state.shape[1:] == truth.shape[1:] == (3,)
    for part, rows in ((seen, len(state)), (other, len(truth))):
        assert {name: len(x) for name, x in part.items()} == {
            **{"image": rows, "sound": rows}
        }
    # Rows still belong to their states: observe them again.
    rollouts = gather(PENDULUM, 2000, seed=3)
    chosen = torch.from_numpy(rollouts.columns["episode"] % 5 == 0)
    for rows, (part, told) in ((~chosen, (seen, state)), (chosen, (other, truth))):
        assert torch.equal(part["sound"], rollouts.observations()["sound"][rows])
        assert torch.equal(told, rollouts.state[rows])  # type: ignore[index]


def test_samples_of_an_environment_that_is_made() -> None:
    env = gym.make(PENDULUM, image_size=16)
    (seen, state), _ = samples(env, 200, seed=3)
    assert seen["image"].shape[1:] == (2, 16, 16)
    assert torch.equal(state, samples(PENDULUM, 200, seed=3)[0][1])


class Silent(gym.Wrapper[Any, Any, Any, Any]):
    """Tells no state, and must not be played to find out."""

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0], {}

    def step(self, action: Any) -> Any:
        raise AssertionError("something was simulated")


def test_an_environment_without_a_state_is_refused_before_simulating() -> None:
    with pytest.raises(UserError, match="Pendulum-v0 does not tell its true state"):
        samples(Silent(gym.make(PENDULUM)), 1000)


def test_a_few_samples_that_leave_a_part_empty() -> None:
    with pytest.raises(UserError, match=r"2 rows are too few .*--rows"):
        samples(PENDULUM, 2)


def test_a_state_of_one_number_is_a_column() -> None:
    class Angle(gym.Wrapper[Any, Any, Any, Any]):
        def reset(self, **options: Any) -> Any:
            observation, info = self.env.reset(**options)
            return observation, {"state": info["state"][2]}

        def step(self, action: Any) -> Any:
            *told, info = self.env.step(action)
            return *told, {"state": info["state"][2]}

        @property
        def unwrapped(self) -> Any:  # whose states cannot be sampled
            return self

    (_, state), (_, truth) = samples(Angle(gym.make(PENDULUM)), 500)
    assert state.shape[1:] == truth.shape[1:] == (1,)


# -- Constants, seeds ------------------------------------------------------------


@pytest.mark.parametrize("constant", ["train", "test"])
def test_a_constant_state_variable_is_refused(constant: str) -> None:
    parts = {"train": part(100, 0), "test": part(50, 1)}
    parts[constant][1][:, 1] = 0.3
    with pytest.raises(UserError, match="state variable is constant"):
        probe(Copies(), parts["train"], parts["test"], epochs=1)


@pytest.mark.parametrize("part_of", [0, 1])
def test_a_state_that_is_not_finite_is_refused(part_of: int) -> None:
    parts = [part(100, 0), part(50, 1)]
    parts[part_of][1][3, 1] = float("nan")
    with pytest.raises(UserError, match="NaN or infinity"):
        probe(Copies(), *parts, epochs=1)


def test_the_seed_alone_tells_the_probe() -> None:
    def run(seed: int) -> list[ProbeRow]:
        return probe(Copies(), part(300, 0), part(100, 1), seed=seed, epochs=3)

    first = run(4)
    torch.manual_seed(99)
    assert run(4) == first
    other = run(5)
    for one, two in zip(first, other, strict=True):
        assert one.r2 != two.r2
        assert (one.ridge_r2, one.distance) == (two.ridge_r2, two.distance)


def test_the_global_random_state_is_left_alone() -> None:
    def states() -> tuple[object, ...]:
        numpy = np.random.get_state(legacy=False)["state"]["key"]
        return torch.get_rng_state().tolist(), random.getstate(), list(numpy)

    before = states()
    probe(Copies(), part(50, 0), part(50, 1), epochs=2)
    assert states() == before
