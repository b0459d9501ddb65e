"""The Fréchet distance: closed forms, invariances, batches, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nexus_rl import UserError
from nexus_rl.cmi import Moments, frechet_distance
from nexus_rl.draws import seeded


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


def exact(mean: Tensor, cov: Tensor, n: int = 50) -> Tensor:
    """Samples whose mean and unbiased covariance are exactly these."""
    x = normal(n, len(mean))
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov()).T)
    return white @ torch.linalg.cholesky(cov).T + mean


def covariance(d: int, seed: int) -> Tensor:
    root = normal(d, d, seed)
    return root @ root.T + 0.1 * torch.eye(d, dtype=torch.float64)


def test_a_set_is_at_no_distance_from_itself_and_a_shift_at_its_square() -> None:
    x, shift = normal(200, 5), torch.tensor([1.0, -2, 0, 0.5, 3])
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + shift) == pytest.approx(14.25, rel=1e-9)
    assert frechet_distance(x, 3 * x) == pytest.approx(
        float(4 * x.mean(0).square().sum() + 4 * x.T.cov().trace()), rel=1e-9
    )


def test_of_two_gaussians_that_do_not_commute() -> None:
    zero = torch.zeros(4, dtype=torch.float64)
    a, b = covariance(4, 1), covariance(4, 2)
    assert not torch.allclose(a @ b, b @ a)
    root = torch.linalg.eigvals(a @ b).sqrt().sum().real
    expected = float(a.trace() + b.trace() - 2 * root)
    found = frechet_distance(exact(zero, a), exact(zero + 2, b, 70))
    assert found == pytest.approx(expected + 16, rel=1e-8)
    assert found == pytest.approx(
        frechet_distance(exact(zero + 2, b), exact(zero, a)), rel=1e-8
    )


def test_covariances_are_unbiased() -> None:
    """Two points 2 apart have variance 2, not 1."""
    assert float(Moments.of([[0.0], [2.0]]).cov) == 2.0
    assert frechet_distance([[0.0], [2.0]], [[0.0], [0.0], [0.0]]) == 1 + 2


@given(st.integers(1, 5), st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_batches_change_nothing(d: int, sizes: list[int]) -> None:
    x = 1e4 + normal(sum(sizes) + 2, d)  # far from zero, where raw moments cancel
    moments = Moments()
    for part in x.split([*sizes, 2]):
        moments.add(part)
    assert moments.n == len(x)
    assert torch.allclose(moments.mean, x.mean(0), rtol=1e-12)
    assert torch.allclose(moments.cov, x.T.cov().view(d, d), rtol=1e-6, atol=1e-9)


def test_fewer_samples_than_features_are_fine() -> None:
    x, y = normal(5, 40, 1), normal(7, 40, 2)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    rotation = torch.linalg.qr(normal(40, 40, 3))[0]
    found = frechet_distance(x, y)
    assert found > 1
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(found)


def test_arrays_and_single_precision_are_taken() -> None:
    x, y = normal(100, 3, 1), normal(100, 3, 2) + 1
    expected = frechet_distance(x, y)
    assert frechet_distance(x.numpy(), np.asarray(y)) == expected
    assert frechet_distance(x.float(), y.float()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(3), torch.zeros(3, 2), r"must be \(samples, features\)"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "at least two samples, got 1"),
        (torch.zeros(0, 2), torch.zeros(3, 2), "at least two samples, got 0"),
        (torch.zeros(3, 2), torch.zeros(3, 4), "different sizes, 2 and 4"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), "not all finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(a: Tensor, b: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frechet_distance(a, b)
