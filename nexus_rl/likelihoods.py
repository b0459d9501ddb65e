"""Negative log-likelihoods, one value a row: (B, ...) and (B, ...) to (B,)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from nexus_rl.distributed import global_mean

LOG_SIGMA_FLOOR = -6.0


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Sum of squared errors: a Gaussian of fixed variance, up to a constant."""
    return (output - target).square().flatten(1).sum(1)


def optimal_sigma(output: Tensor, target: Tensor) -> Tensor:
    """Gaussian with the one sigma that fits the whole batch best, in nats.

    The sigma-VAE's likelihood of data: log sigma, the log of the batch's root mean
    square error, is kept above -6 by a softplus and differentiated through.
    """
    error = (output - target).square()
    log_sigma = LOG_SIGMA_FLOOR + F.softplus(_log_rms(error) - LOG_SIGMA_FLOOR)
    return _gaussian(error, log_sigma)


def optimal_sigma_of_codes(output: Tensor, target: Tensor) -> Tensor:
    """As ``optimal_sigma``, for latent codes: sigma is exact down to its floor."""
    error = (output - target).square()
    return _gaussian(error, _log_rms(error).clamp(min=LOG_SIGMA_FLOOR))


def _log_rms(error: Tensor) -> Tensor:
    return 0.5 * global_mean(error).clamp(min=1e-30).log()


def _gaussian(error: Tensor, log_sigma: Tensor) -> Tensor:
    scaled = error * (-2 * log_sigma).exp()
    per_value = 0.5 * scaled + log_sigma + 0.5 * math.log(2 * math.pi)
    return per_value.flatten(1).sum(1)


def bernoulli(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of every value in [0, 1] on its own, in nats.

    Not in the paper. Unlike the squared error behind a sigmoid, it keeps its gradient
    where a value is far off: what is rarely bright, such as a thin moving part, is not
    given up.
    """
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return each.flatten(1).sum(1)


def categorical(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy in nats; ``target`` holds one-hot rows or probabilities."""
    return F.cross_entropy(logits, target, reduction="none")


Likelihood = Callable[[Tensor, Tensor], Tensor]

OF_DATA: dict[str, Likelihood] = {
    "squared_error": squared_error,
    "optimal_sigma": optimal_sigma,
    "bernoulli": bernoulli,
    "categorical": categorical,
}
OF_CODES: dict[str, Likelihood] = {
    "squared_error": squared_error,
    "optimal_sigma": optimal_sigma_of_codes,
}
