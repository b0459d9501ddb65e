"""How the pendulum moves, and which of its states are worth learning from.

Angles are radians, 0 upright and counter-clockwise positive; velocities rad/s. Every
function takes numbers or arrays that broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Numbers = float | FloatArray

DT = 0.05
MAX_SPEED = 8.0
MAX_TORQUE = 2.0

# Velocity gained in a second per unit of sin(theta) and of torque: 3g/2l and 3/ml^2
# with g = 10, m = l = 1.
GRAVITY_GAIN = 15.0
TORQUE_GAIN = 3.0

ROLLOUT_STEPS = 200
HOLD_STEPS = 10


def advance(
    theta: Numbers, omega: Numbers, torque: Numbers
) -> tuple[FloatArray, FloatArray]:
    """The state one step of 0.05 s later, exactly as in Gymnasium's ``Pendulum-v1``.

    ``torque`` is in N m and is not clipped here. The new velocity is clipped to
    [-8, 8] before the angle moves; the angle is not wrapped.
    """
    gain = GRAVITY_GAIN * np.sin(theta) + TORQUE_GAIN * torque
    omega = _clip_speed(omega + gain * DT)
    return np.add(theta, omega * DT), omega


def rewind(theta: Numbers, omega: Numbers) -> tuple[FloatArray, FloatArray]:
    """The state one step earlier, if no torque was applied in that step.

    The earlier angle is exact whatever the torque was, because a step moves the angle
    by its *new* velocity. The earlier velocity is exact for zero torque, unless the
    step was cut off at the speed limit: then it is the value nearest to the limit.
    """
    before = np.subtract(theta, omega * DT)
    return before, _clip_speed(omega - GRAVITY_GAIN * np.sin(before) * DT)


def cost(theta: float, omega: float, torque: float) -> float:
    """wrap(theta)^2 + 0.1 omega^2 + 0.001 torque^2, in [0, 16.28]."""
    wrapped = (theta + np.pi) % (2 * np.pi) - np.pi
    return float(wrapped**2 + 0.1 * omega**2 + 0.001 * torque**2)


def state_features(theta: Numbers, omega: Numbers) -> NDArray[np.float32]:
    """True state for probes: (..., 3) float32 of cos(theta), sin(theta), omega."""
    theta, omega = np.broadcast_arrays(theta, omega)
    return np.stack([np.cos(theta), np.sin(theta), omega], axis=-1, dtype=np.float32)


def sample_states(n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw ``n`` states for a dataset: angles (n,) in radians, velocities (n,).

    Half are uniform over angle and velocity, three tenths come from episodes with
    random torques held for 10 steps, and a fifth lie near upright, the region that
    decides the return and that random torques reach in 4 to 7 % of their steps. The
    order is random. Raises ``ValueError`` for a negative ``n``.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    held, upright = 3 * n // 10, n // 5
    uniform = n - held - upright
    parts = [
        (
            rng.uniform(-np.pi, np.pi, uniform),
            rng.uniform(-MAX_SPEED, MAX_SPEED, uniform),
        ),
        _held_torque_states(held, rng),
        (rng.normal(0.0, 0.3, upright), _clip_speed(rng.normal(0.0, 1.0, upright))),
    ]
    theta, omega = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = rng.permutation(n)
    return _wrap(theta[order]), omega[order]


def _held_torque_states(
    n: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """One state from each of ``n`` episodes, at a random time of the episode."""
    theta, omega = rng.uniform(-np.pi, np.pi, n), rng.uniform(-1.0, 1.0, n)
    chosen_time = rng.integers(ROLLOUT_STEPS, size=n)
    torque = np.zeros(n)
    for time in range(ROLLOUT_STEPS):
        if time % HOLD_STEPS == 0:
            torque = rng.uniform(-MAX_TORQUE, MAX_TORQUE, n)
        moved = advance(theta, omega, torque)
        running = time < chosen_time
        theta = np.where(running, moved[0], theta)
        omega = np.where(running, moved[1], omega)
    return theta, omega


def _clip_speed(omega: Numbers) -> FloatArray:
    # np.clip costs three times as much on a single number.
    return np.minimum(np.maximum(omega, -MAX_SPEED), MAX_SPEED)


def _wrap(theta: FloatArray) -> FloatArray:
    return (theta + np.pi) % (2 * np.pi) - np.pi
