"""Fitting the sigma-lognormal model to trajectories, many at a time.

A component begins wherever the pen is slowest between two peaks of its speed. Damped
Gauss-Newton steps (Levenberg and Marquardt) then find the most probable parameters,
under a prior around the first guess that keeps components from cancelling each other.
Trajectories that are not met well enough get another component and are fitted anew.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from tqdm import tqdm

from nexus_rl.data.mhd.lognormal import AMPLITUDE, Strokes, displacements, times

TOLERANCE = 0.015  # root mean square distance of points; digits are about 2 high
MOST = 10  # components
STEPS = 25
PRECISION = 0.01  # standard deviation of a coordinate
# Standard deviations of ln D, t0, mu, ln sigma, theta_s and the turn from their guess.
PRIOR = (0.2, 0.05, 0.3, 0.3, 0.5, 1.0)
GUESSED_RESPONSE = 0.3
STEP = 1e-5  # of numerical derivatives
DECIMALS = 4  # of parameters: fewer than machines may disagree on
FAINT = 1 / 12  # of the greatest speed: a peak below is none


def fit(trajectories: Tensor, progress: bool = False) -> tuple[Strokes, Tensor]:
    """Components of trajectories (N, T, 2), and the error of each.

    The error (N,) is the root mean square distance between the points of a trajectory
    and of the model, which starts where the trajectory does. Float64.
    """
    trajectories = trajectories.double()
    count = len(trajectories)
    cuts = [slow_points(one) for one in trajectories]
    found = trajectories.new_zeros(count, MOST, len(PRIOR))
    found[..., AMPLITUDE] = -math.inf
    errors = trajectories.new_full((count,), math.inf)
    poor = list(range(count))
    with tqdm(total=count, desc="fitting strokes", disable=not progress) as bar:
        while poor:
            for size in sorted({len(cuts[k]) for k in poor}):
                rows = torch.tensor([k for k in poor if len(cuts[k]) == size])
                chosen = [cuts[k] for k in rows.tolist()]
                tried, error = _fit(trajectories[rows], chosen)
                better = error < errors[rows]
                errors[rows[better]] = error[better]
                found[rows[better], : size - 1] = tried[better]
            still = [k for k in poor if errors[k] > TOLERANCE and len(cuts[k]) <= MOST]
            bar.update(len(poor) - len(still))
            poor = still
            for k in poor:
                cuts[k] = _divide(trajectories[k], cuts[k])
    fitted = Strokes(trajectories[:, 0], found.round(decimals=DECIMALS))
    missed = fitted.points(trajectories.shape[1]) - trajectories
    return fitted, missed.square().sum(-1).mean(-1).sqrt()


def slow_points(trajectory: Tensor) -> list[int]:
    """Where components begin, as steps of a trajectory (T, 2), and the last step."""
    speed = _steps(trajectory)
    inner = speed[1:-1]
    least = (inner < speed[:-2]) & (inner <= speed[2:])
    least_peak = FAINT * speed.max()
    cuts = [0]
    for step in (least.nonzero()[:, 0] + 1).tolist():
        if speed[cuts[-1] : step].max() > least_peak:
            cuts.append(step)
    if len(cuts) > 1 and speed[cuts[-1] :].max() <= least_peak:
        cuts.pop()
    return [*cuts, len(speed)]


def _steps(trajectory: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(trajectory.diff(dim=0), dim=1)
    return lengths


def _divide(trajectory: Tensor, cuts: list[int]) -> list[int]:
    """Another cut, in the middle of the longest piece."""
    lengths = [piece.sum() for piece in _steps(trajectory).tensor_split(cuts[1:-1])]
    longest = int(torch.stack(lengths).argmax())
    first, end = cuts[longest : longest + 2]
    done = _steps(trajectory)[first:end].cumsum(0)
    middle = first + 1 + int((done < lengths[longest] / 2).sum())
    return sorted({*cuts, min(middle, end - 1)})


def _guess(trajectory: Tensor, cuts: list[int]) -> Tensor:
    """Parameters (K, 6) with a component for each piece between ``cuts``."""
    moves = trajectory.diff(dim=0)
    angles = _unwrap(torch.atan2(moves[:, 1], moves[:, 0]))
    lengths = moves.norm(dim=1).clamp_min(1e-9)
    count, sigma = len(moves), GUESSED_RESPONSE
    rows = []
    for first, end in pairwise(cuts):
        # 95 % of the component happen in 1.3 times the duration of its piece.
        delay = math.log(1.3 * (end - first) / count / (2 * math.sinh(2 * sigma)))
        middle = (first + end) / 2 / count
        onset = middle - math.exp(delay) * math.cosh(2 * sigma)
        length = lengths[first:end].sum()
        weights = lengths[first:end] / length
        done = weights.cumsum(0) - weights / 2
        angle = angles[first:end]
        mean, mean_done = (weights * angle).sum(), (weights * done).sum()
        spread = (weights * (done - mean_done) ** 2).sum().clamp_min(1e-6)
        turn = (weights * (done - mean_done) * (angle - mean)).sum() / spread
        turn = turn.clamp(-2 * math.pi, 2 * math.pi)
        shape = trajectory.new_tensor([onset, delay, math.log(sigma)])
        start = mean - turn * mean_done
        rows.append(torch.cat([length.log()[None], shape, torch.stack([start, turn])]))
    return torch.stack(rows)


def _unwrap(angles: Tensor) -> Tensor:
    turns = (angles.diff() + math.pi).remainder(2 * math.pi) - math.pi
    return torch.cat([angles[:1], angles[0] + turns.cumsum(0)])


def _fit(trajectories: Tensor, cuts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """The most probable parameters (N, K, 6), and errors (N,); K is the same in all."""
    pairs = zip(trajectories, cuts, strict=True)
    guess = torch.stack([_guess(one, where) for one, where in pairs])
    at = times(trajectories.shape[1])
    target = trajectories - trajectories[:, :1]
    count, size = len(guess), guess[0].numel()
    weight = trajectories.new_tensor(PRIOR).pow(-2).expand_as(guess)

    def misses(parameters: Tensor) -> Tensor:
        return (displacements(parameters, at).sum(1) - target).flatten(1)

    def cost(parameters: Tensor) -> Tensor:
        far = (weight * (parameters - guess) ** 2).sum((1, 2))
        return (misses(parameters) ** 2).sum(1) / PRECISION**2 + far

    found, damping = guess, trajectories.new_full((count,), 1e-2)
    least = cost(found)
    for _ in range(STEPS):
        slopes = _slopes(found, at).reshape(count, size, -1)
        gradient = (slopes @ misses(found)[..., None])[..., 0] / PRECISION**2
        gradient = gradient + (weight * (found - guess)).flatten(1)
        curvature = slopes @ slopes.mT / PRECISION**2
        curvature += torch.diag_embed(weight.flatten(1))
        diagonal = curvature.diagonal(dim1=1, dim2=2)
        damped = curvature + torch.diag_embed(damping[:, None] * diagonal)
        tried = found - torch.linalg.solve(damped, gradient).view_as(found)
        now = cost(tried)
        better = now < least  # false for NaN
        found = torch.where(better[:, None, None], tried, found)
        least = torch.where(better, now, least)
        damping = torch.where(better, damping / 3, damping * 4).clamp(1e-9, 1e9)
    return found, (2 * (misses(found) ** 2).mean(1)).sqrt()


def _slopes(parameters: Tensor, at: Tensor) -> Tensor:
    """Derivatives (N, K, 6, 2 T) of the displacements by their own parameters."""
    columns = []
    for which in range(parameters.shape[-1]):
        step = torch.zeros_like(parameters)
        step[..., which] = STEP
        ahead = displacements(parameters + step, at)
        behind = displacements(parameters - step, at)
        columns.append(((ahead - behind) / (2 * STEP)).flatten(2))
    return torch.stack(columns, 2)
