"""The sigma-lognormal model of pen strokes, and handwriting that varies under it.

A trajectory is a sum of components with amplitude D, onset t0, log-delay mu,
log-response time sigma, and directions theta_s and theta_e. The share of a component
done by time t is the lognormal's distribution function

    s(t) = (1 + erf((ln(t - t0) - mu) / (sigma sqrt(2)))) / 2,

its direction is theta_s + (theta_e - theta_s) s, so it is an arc, and where it is
follows in closed form: D s sinc(turn s / 2) along theta_s + turn s / 2, with turn =
theta_e - theta_s. Time goes from 0 to 1 over a trajectory's points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Of the last axis of parameters; D and sigma as logarithms.
AMPLITUDE, ONSET, DELAY, RESPONSE, START, TURN = range(6)
EARLIEST = 1e-6  # of t - t0


@dataclass(frozen=True)
class Strokes:
    """Trajectories by components: ``start`` (N, 2) and ``parameters`` (N, K, 6).

    A component that a trajectory does not have has amplitude 0 (-inf, as a logarithm).
    """

    start: Tensor
    parameters: Tensor

    def __len__(self) -> int:
        return len(self.start)

    def points(self, count: int) -> Tensor:
        """Where they are at ``count`` equal steps of time: (N, count, 2)."""
        moved = displacements(self.parameters, times(count)).sum(1)
        return self.start[:, None] + moved

    def take(self, rows: Tensor) -> Strokes:
        """The given rows."""
        return Strokes(self.start[rows], self.parameters[rows])


def times(count: int) -> Tensor:
    """``count`` equal steps from 0 to 1, float64."""
    return torch.linspace(0, 1, count, dtype=torch.float64)


def share(parameters: Tensor, at: Tensor) -> Tensor:
    """How much of each component is done: (..., T) for parameters (..., 6)."""
    onset, delay, response = parameters[..., ONSET : RESPONSE + 1, None].unbind(-2)
    since = (at - onset).clamp_min(EARLIEST)
    done: Tensor = torch.special.ndtr((since.log() - delay) * (-response).exp())
    return done


def displacements(parameters: Tensor, at: Tensor) -> Tensor:
    """How far each component has moved the pen since time 0: (..., T, 2)."""
    amplitude = parameters[..., AMPLITUDE, None].exp()
    start, turn = parameters[..., START, None], parameters[..., TURN, None]

    def place(done: Tensor) -> Tensor:
        half = turn * done / 2
        chord = amplitude * done * torch.sinc(half / math.pi)
        way = start + half
        return torch.stack([chord * way.cos(), chord * way.sin()], -1)

    return place(share(parameters, at)) - place(
        share(parameters, torch.zeros(1).to(at))
    )


def perturb(strokes: Strokes, noise: Tensor) -> Strokes:
    """Amplitudes, directions and bends that vary by component.

    ``noise`` (N, K, 3) is standard normal. In 99.7 % of the cases an amplitude changes
    by up to 20 %, the direction by up to 20 degrees and the turn by up to 10 %.
    """
    size, rotation, bend = (noise / 3).to(strokes.parameters).unbind(-1)
    changed = strokes.parameters.clone()
    changed[..., AMPLITUDE] += (1 + 0.2 * size).log()
    changed[..., START] += rotation * math.pi / 9
    changed[..., TURN] *= 1 + 0.1 * bend
    return Strokes(strokes.start, changed)
