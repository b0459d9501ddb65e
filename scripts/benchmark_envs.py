"""The part of ``benchmark.py`` about environments: their speed, and what encoding adds.

The pendulum's model is that of its preset, untrained: speed does not depend on weights.
"""

from __future__ import annotations

import logging
import time
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_rl.models import MultimodalVAE

ENVIRONMENTS = ("MultimodalPendulum-v0", "MultimodalPendulum4-v0", "HyperHot-v0")
DIAL = "DigitDial-v0"
RECORDINGS = ("mhd", "mnist", "fashion_mnist")  # what it may show, the best first
COPIES, STEPS = 8, 2000

log = logging.getLogger(__name__)


def measure(rounds: int, seed: int, device: Any) -> dict[str, Any]:
    """Steps per second of each environment, and the cost of encoding."""
    speeds = {name: steps_per_second(name, rounds, seed) for name in ENVIRONMENTS}
    data = recordings()
    if data is not None:
        shown = f"{DIAL} ({data})"
        speeds[shown] = steps_per_second(DIAL, rounds, seed, data=data)
    return {
        "rounds": rounds,
        "steps_per_second": speeds,
        "encoding": encoding(rounds, seed, device),
    }


def recordings() -> str | None:
    """The first of ``RECORDINGS`` that is there, if any is."""
    from envs.digit_data import DataError, load_recordings

    for data in RECORDINGS:
        try:
            load_recordings(data, "train")
        except DataError:
            continue
        return data
    log.info("%s is left out: no recordings of %s", DIAL, ", ".join(RECORDINGS))
    return None


def steps_per_second(name: str, rounds: int, seed: int, **options: Any) -> int:
    """The median speed of one environment with all sensors drawn."""
    return round(1 / median(step_seconds(name, rounds, seed, **options)))


def step_seconds(name: str, rounds: int, seed: int, **options: Any) -> list[float]:
    """Seconds a step of one environment with all sensors drawn, in each round."""
    import gymnasium as gym

    env: gym.Env[Any, Any] = gym.make(f"envs:nexus_rl/{name}", **options)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(STEPS)]
    env.reset(seed=seed)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        taken.append((time.perf_counter() - start) / STEPS)
    return taken


def encoding(rounds: int, seed: int, device: Any) -> dict[str, float]:
    """Milliseconds an observation that ``COPIES`` pendulums take to step and encode."""
    import gymnasium as gym

    from nexus_rl.wrappers import VectorNexusObservation

    envs = gym.make_vec("envs:nexus_rl/MultimodalPendulum-v0", COPIES)
    wrapped = VectorNexusObservation(envs, pendulum_model(seed).to(device))
    wrapped.reset(seed=seed)
    wrapped.action_space.seed(seed)
    actions = wrapped.action_space.sample()
    plain, whole = [], []
    count = STEPS // COPIES
    for _ in range(rounds):
        for env, taken in ((envs, plain), (wrapped, whole)):
            start = time.perf_counter()
            for _ in range(count):
                env.step(actions)
            taken.append(1e3 * (time.perf_counter() - start) / (count * COPIES))
    added = median([b - a for a, b in zip(plain, whole, strict=True)])
    return {
        "copies": COPIES,
        "step_ms": round(median(plain), 4),
        "encode_ms": round(added, 4),
        "share_percent": round(100 * added / median(whole), 1),
    }


def pendulum_model(seed: int) -> MultimodalVAE:
    """The model of the pendulum's preset, untrained, as one that was loaded."""
    from nexus_rl.environments import make_env
    from nexus_rl.models import make_model
    from nexus_rl.presets import PRESETS
    from nexus_rl.spaces import modalities_from_space

    preset = PRESETS["pendulum"]
    env = make_env("nexus_rl/MultimodalPendulum-v0")
    env.close()
    model = make_model(
        "nexus",
        modalities_from_space(env.observation_space, **preset.sensors),
        latent_dim=preset.model.latent_dim,
        width=preset.model.width,
        seed=seed,
    )
    return model.eval()


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    rounds = result["rounds"]
    lines = [
        f"Medians of {rounds} rounds of {STEPS:,} steps, one thread, one environment "
        "after the other.",
        "",
        "| environment, all sensors drawn | steps/s |",
        "| --- | ---: |",
    ]
    lines += [
        f"| {name} | {speed} |" for name, speed in result["steps_per_second"].items()
    ]
    told = result["encoding"]
    lines += [
        "",
        f"{told['copies']} pendulums at once: {told['step_ms']} ms an observation for "
        f"their steps, {told['encode_ms']} ms more to encode it in one batch, which is "
        f"{told['share_percent']} % of the whole; medians of {rounds} rounds, in which "
        "both take turns.",
    ]
    return "\n".join(lines)
