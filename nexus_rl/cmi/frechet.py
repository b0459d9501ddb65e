"""The Fréchet distance between Gaussians fitted to features (paper, Eq. 20)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nexus_rl.errors import UserError


class Moments:
    """Mean and unbiased covariance of features that come in batches, in float64.

    Memory is bounded by (d, d), whatever the number of rows.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.scatter = torch.zeros(0)
        self._root: Tensor | None = None

    @classmethod
    def of(cls, features: Any) -> Moments:
        """Of samples (n, d): a tensor, an array, or what becomes one."""
        moments = cls()
        moments.add(torch.as_tensor(features))
        return moments

    def add(self, features: Tensor) -> None:
        """Joins rows (B, d). Raises ``UserError`` for other shapes and for NaN."""
        if features.dim() != 2:
            raise UserError(
                f"features must be (samples, features), got {tuple(features.shape)}"
            )
        if not features.isfinite().all():
            raise UserError("features are not all finite")
        if len(features) == 0:
            return
        rows = features.detach().to("cpu", torch.float64)
        mean = rows.mean(0)
        centred = rows - mean
        scatter, n = centred.T @ centred, len(rows)
        if self.n:  # Chan, Golub and LeVeque: without the cancellation of raw moments
            gap, total = mean - self.mean, self.n + n
            scatter += self.scatter + torch.outer(gap, gap) * (self.n * n / total)
            mean = self.mean + gap * (n / total)
        self.n, self.mean, self.scatter = self.n + n, mean, scatter
        self._root = None

    @property
    def cov(self) -> Tensor:
        """Unbiased covariance (d, d). Raises ``UserError`` for fewer than two rows."""
        if self.n < 2:
            raise UserError(f"a covariance needs at least two samples, got {self.n}")
        return self.scatter / (self.n - 1)

    def root(self) -> Tensor:
        """The symmetric square root of ``cov``, kept: real data are met many times."""
        if self._root is None:
            values, vectors = torch.linalg.eigh(self.cov)
            self._root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        return self._root


def frechet_distance(features_a: Any, features_b: Any) -> float:
    """|m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^1/2) of fitted Gaussians.

    Both are (n, d) samples (tensors or arrays; n may differ) or ``Moments``. Unbiased
    covariances, which may be of lower rank than d; computed in float64 with symmetric
    square roots, so nothing is added to the diagonals. Never negative. Raises
    ``UserError`` for fewer than two samples, different d, or values not finite.
    """
    a, b = (
        each if isinstance(each, Moments) else Moments.of(each)
        for each in (features_a, features_b)
    )
    cov_a, cov_b = a.cov, b.cov
    if len(a.mean) != len(b.mean):
        raise UserError(
            f"features are of different sizes, {len(a.mean)} and {len(b.mean)}"
        )
    root = a.root()
    # The eigenvalues of C_a C_b are those of this symmetric matrix.
    joint = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean - b.mean).square().sum()
    distance = shift + cov_a.trace() + cov_b.trace() - 2 * joint
    return max(float(distance), 0.0)
