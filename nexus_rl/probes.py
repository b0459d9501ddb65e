"""What a latent knows: probes from z_sigma to the true state, for every subset.

A probe is fitted with all sensors available and then applied with some missing: it
asks whether a partial latent lands where the full one does, as a policy needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nexus_rl.config import TrainConfig
from nexus_rl.data.rollouts import gather, opened
from nexus_rl.draws import seeded
from nexus_rl.environments import Env
from nexus_rl.errors import UserError
from nexus_rl.modality import subsets
from nexus_rl.models.core import MultimodalVAE

CHUNK = 1000
RIDGE = 1e-3


Part = tuple[dict[str, Tensor], Tensor]  # observations by sensor, state (N, S)


@dataclass(frozen=True)
class ProbeRow:
    """One subset of sensors: R2 of each state variable, and ``distance``.

    ``r2`` is of the non-linear probe, ``ridge_r2`` of the linear one; ``distance`` is
    the root mean square distance of z(subset) from z(all) over the spread of z(all).
    """

    given: tuple[str, ...]
    r2: tuple[float, ...]
    ridge_r2: tuple[float, ...]
    distance: float


def samples(
    env: str | Env, rows: int, seed: int = 0, ignore: Collection[str] = ()
) -> tuple[Part, Part]:
    """``rows`` observations with true states: what fits probes, and what tests them.

    Gathered from ``env``, a Gymnasium id or an environment, as ``rollouts.gather``
    does, without the entries to ``ignore``; every fifth episode is for testing, so that
    neighbouring rows never lie on both sides. States are ``info["state"]``, flattened.
    Raises ``UserError`` if the environment tells none, or if the rows are too few.

    Example: ``probe(model, *samples("envs:nexus_rl/MultimodalPendulum-v0", 20_000))``.
    """
    with opened(env, ignore=ignore) as recorded:
        if "state" not in recorded.columns:
            raise UserError(
                f"{recorded.name['id']} does not tell its true state: info has no "
                "'state' that is an array of numbers"
            )
        rollouts = gather(recorded.env, rows, seed=seed, ignore=ignore)
    observations = rollouts.observations()
    state = torch.from_numpy(rollouts.columns["state"]).reshape(len(rollouts), -1)
    test = torch.from_numpy(rollouts.columns["episode"] % 5 == 0)
    if min(test.sum(), (~test).sum()) < 2:
        raise UserError(
            f"{rows} rows are too few to split by episode; ask for more (--rows on "
            "the command line)"
        )
    fit, tested = (
        ({name: x[chosen] for name, x in observations.items()}, state[chosen])
        for chosen in (~test, test)
    )
    return fit, tested


@torch.no_grad()
def latents(
    model: MultimodalVAE, batch: Mapping[str, Tensor], given: Sequence[str]
) -> Tensor:
    """Posterior means (N, latent_dim) from the modalities ``given``, on the CPU."""
    model.eval()
    rows = len(batch[given[0]])
    parts = []
    for start in range(0, rows, CHUNK):
        part = {name: batch[name][start : start + CHUNK] for name in given}
        parts.append(model.encode(part).cpu())
    return torch.cat(parts)


def beside(z: Tensor, batch: Mapping[str, Tensor], append: Sequence[str]) -> Tensor:
    """Latents (N, L), then the sensors ``append`` as they are, flat: (N, L + ...)."""
    return torch.cat([z, *(batch[name].flatten(1).float() for name in append)], 1)


def probe(
    model: MultimodalVAE,
    train: tuple[Mapping[str, Tensor], Tensor],
    test: tuple[Mapping[str, Tensor], Tensor],
    *,
    append: Sequence[str] = (),
    absent: Collection[str] = (),
    seed: int = 0,
    epochs: int = 60,
) -> list[ProbeRow]:
    """R2 on ``test`` of probes fitted on ``train`` with all sensors, a row a subset.

    ``train`` and ``test`` are (observations by name, state (N, S)). Probes see the
    sensors ``append`` beside the latent, in every subset. Modalities of the model that
    are ``absent`` from the observations are in none. Raises ``UserError`` if a state
    variable is constant or not finite.
    """
    names = [m.name for m in model.modalities if m.name not in absent]
    full, state = latents(model, train[0], names), train[1].float()
    truth = test[1].float()
    if not (truth.isfinite().all() and state.isfinite().all()):
        raise UserError("the true state holds NaN or infinity; mend info['state']")
    if (truth.var(0) == 0).any() or (state.var(0) == 0).any():
        raise UserError("a state variable is constant: it has no R2; leave it out")
    seen = beside(full, train[0], append)
    decode = StateDecoder(seen, state, seed=seed, epochs=epochs)
    scale, target = decode.scale, decode.target
    linear = _fit_ridge(scale(seen), target(state))
    reference = latents(model, test[0], names)
    spread = (reference - reference.mean(0)).square().sum(1).mean().sqrt()
    rows = []
    for given in subsets(names):
        z = latents(model, test[0], given)
        gap = (z - reference).square().sum(1).mean().sqrt()
        seen = beside(z, test[0], append)
        rows.append(
            ProbeRow(
                given,
                r_squared(decode(seen), truth),
                r_squared(target.back(_ones(scale(seen)) @ linear), truth),
                float(gap / spread),
            )
        )
    return rows


def r_squared(predicted: Tensor, truth: Tensor) -> tuple[float, ...]:
    """Share of each column's variance that is predicted; 1 is perfect."""
    residual = (predicted - truth).square().mean(0)
    return tuple((1 - residual / truth.var(0, correction=0)).tolist())


class _Standard:
    """Standardises columns by the mean and deviation of ``values``."""

    def __init__(self, values: Tensor) -> None:
        self.mean, self.std = values.mean(0), values.std(0).clamp(min=1e-8)

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std

    def back(self, values: Tensor) -> Tensor:
        return values * self.std + self.mean


class StateDecoder:
    """The non-linear probe: fitted on latents (N, L) and states (N, S).

    Called with latents (K, L) it gives the states (K, S) that it reads off them.
    """

    def __init__(
        self, latents: Tensor, state: Tensor, *, seed: int = 0, epochs: int = 60
    ) -> None:
        self.scale, self.target = _Standard(latents), _Standard(state)
        self._net = _fit(self.scale(latents), self.target(state), seed, epochs)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        return self.target.back(self._net(self.scale(latents)))


def _fit(x: Tensor, y: Tensor, seed: int, epochs: int) -> nn.Module:
    """Two hidden layers of 128, Adam with a one-cycle schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(x.shape[1], 128),
            nn.SiLU(),
            nn.Linear(128, 128),
            nn.SiLU(),
            nn.Linear(128, y.shape[1]),
        )
    size = min(512, len(x))
    steps = epochs * (len(x) // size)
    plan = TrainConfig(learning_rate=5e-3, schedule="one_cycle")
    adam: Any = torch.optim.Adam(net.parameters(), fused=True)
    order = seeded(seed)
    for step in range(steps):
        rows = torch.randint(len(x), (size,), generator=order)
        adam.param_groups[0]["lr"] = plan.rate(step / steps)
        loss = (net(x[rows]) - y[rows]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net


def _fit_ridge(x: Tensor, y: Tensor) -> Tensor:
    x = _ones(x)
    penalty = RIDGE * len(x) * torch.eye(x.shape[1])
    solution: Tensor = torch.linalg.solve(x.T @ x + penalty, x.T @ y)
    return solution


def _ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)
