"""Likelihoods against closed forms and PyTorch's own distributions."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Normal

from nexus_rl.likelihoods import (
    OF_CODES,
    OF_DATA,
    Likelihood,
    categorical,
    optimal_sigma,
    optimal_sigma_of_codes,
    squared_error,
)

SHAPES = [(4, 7), (3, 2, 5, 6), (1, 1)]
some = settings(max_examples=50, deadline=None)


def pair(shape: tuple[int, ...], scale: float = 0.5) -> tuple[Tensor, Tensor]:
    """An output and a target that lies ``scale`` away from it."""
    noise = torch.Generator().manual_seed(len(shape))
    output = torch.randn(shape, generator=noise)
    return output, output + scale * torch.randn(shape, generator=noise)


def rms(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean().sqrt()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("likelihood", [squared_error, optimal_sigma])
def test_one_value_a_row(likelihood: Likelihood, shape: tuple[int, ...]) -> None:
    assert likelihood(*pair(shape)).shape == shape[:1]


def test_squared_error_is_the_full_sum() -> None:
    """No half and no mean: a Gaussian whose variance is 1 / (2 lambda)."""
    output, target = torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[0.0, 4], [0, 3]])
    assert squared_error(output, target).tolist() == [5, 9]


@some
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3), st.integers(0, 2)
)
def test_categorical_is_the_log_probability_of_the_class(
    logits: list[float], k: int
) -> None:
    row = torch.tensor([logits])
    (value,) = categorical(row, F.one_hot(torch.tensor([k]), 3).float())
    expected = -Categorical(logits=row).log_prob(torch.tensor([k]))
    torch.testing.assert_close(value, expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.05, 0.5, 30.0])
def test_codes_pay_the_entropy_of_the_best_gaussian(
    shape: tuple[int, ...], scale: float
) -> None:
    """At the optimum the mean over rows is D (1/2 + ln sigma + 1/2 ln 2 pi)."""
    output, target = pair(shape, scale)
    size = math.prod(shape[1:])
    sigma = rms(output, target).item()
    expected = size * (0.5 + math.log(sigma) + 0.5 * math.log(2 * math.pi))
    value = optimal_sigma_of_codes(output, target).mean().item()
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)


@some
@given(st.floats(0.01, 10), st.sampled_from([0.5, 0.9, 1.1, 2.0]))
def test_no_other_sigma_explains_codes_better(scale: float, factor: float) -> None:
    output, target = pair((4, 7), scale)
    sigma = rms(output, target)
    best = optimal_sigma_of_codes(output, target)
    exact = -Normal(output, sigma).log_prob(target).sum(1)
    other = -Normal(output, factor * sigma).log_prob(target).sum(1)
    torch.testing.assert_close(best, exact, rtol=1e-4, atol=1e-4)
    assert best.mean() < other.mean()


@some
@given(st.floats(1e-4, 10))
def test_the_floor_of_data_is_soft(scale: float) -> None:
    """log sigma = -6 + softplus(log rms + 6): above -6 and smooth."""
    output, target = pair((4, 7), scale)
    sigma = math.exp(-6) * (1 + rms(output, target).item() * math.exp(6))
    expected = -Normal(output, sigma).log_prob(target).sum(1)
    torch.testing.assert_close(
        optimal_sigma(output, target), expected, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("likelihood", [optimal_sigma, optimal_sigma_of_codes])
def test_a_perfect_fit_costs_the_floor_and_has_finite_gradients(
    likelihood: Likelihood,
) -> None:
    target = torch.rand(3, 10)
    output = target.clone().requires_grad_()
    value = likelihood(output, target)
    expected = 10 * (-6 + 0.5 * math.log(2 * math.pi))
    assert value.tolist() == pytest.approx([expected] * 3)
    value.sum().backward()
    assert output.grad.isfinite().all()


def gradient(loss: Tensor, output: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, output)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_the_gradient_is_that_of_a_fixed_sigma(
    shape: tuple[int, ...], scale: float
) -> None:
    """Where sigma is optimal, it counts as a constant: SSE / (2 sigma^2)."""
    output, target = pair(shape, scale)
    output.requires_grad_()
    fixed = rms(output, target).detach()
    expected = gradient(squared_error(output, target).mean() / (2 * fixed**2), output)
    codes = gradient(optimal_sigma_of_codes(output, target).mean(), output)
    torch.testing.assert_close(codes, expected, rtol=1e-4, atol=1e-6)
    data = gradient(optimal_sigma(output, target).mean(), output)
    # The soft floor makes data's sigma larger by e^-6; to first order in that, the
    # gradient stays the same.
    floor = math.exp(-6)
    sigma = fixed + floor
    ratio = fixed * (sigma**2 + fixed * floor) / sigma**3
    torch.testing.assert_close(data, expected * ratio, rtol=1e-3, atol=1e-6)
    assert (1 - ratio).abs() < 2 * (floor / fixed) ** 2 + 1e-6


@pytest.mark.parametrize("likelihood", [optimal_sigma, optimal_sigma_of_codes])
def test_sigma_belongs_to_the_batch_not_to_the_row(likelihood: Likelihood) -> None:
    output, target = pair((4, 7))
    order = [3, 1, 0, 2]
    together = likelihood(output, target)
    torch.testing.assert_close(
        likelihood(output[order], target[order]), together[order]
    )
    assert not torch.allclose(likelihood(output[:1], target[:1]), together[:1])


def test_what_a_modality_may_choose() -> None:
    assert set(OF_DATA) == {
        "squared_error",
        "optimal_sigma",
        "bernoulli",
        "categorical",
    }
    assert set(OF_CODES) == {"squared_error", "optimal_sigma"}


def test_bernoulli_is_the_cross_entropy_of_each_value() -> None:
    logits, target = torch.randn(3, 2, 4), torch.rand(3, 2, 4)
    p = logits.double().sigmoid()
    each = -(target * p.log() + (1 - target) * (1 - p).log())
    expected = each.flatten(1).sum(1).float()
    torch.testing.assert_close(OF_DATA["bernoulli"](logits, target), expected)


def test_bernoulli_keeps_its_gradient_where_a_squared_error_loses_it() -> None:
    far_off = torch.full((1, 1), -60.0, requires_grad=True)
    OF_DATA["bernoulli"](far_off, torch.ones(1, 1)).sum().backward()
    assert far_off.grad is not None
    assert far_off.grad.item() == pytest.approx(-1.0)
    lost = torch.full((1, 1), -60.0, requires_grad=True)
    OF_DATA["squared_error"](lost.sigmoid(), torch.ones(1, 1)).sum().backward()
    assert lost.grad is not None
    assert abs(lost.grad.item()) < 1e-20
