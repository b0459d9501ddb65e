"""The part of ``benchmark.py`` about agents: how fast they learn from what they see.

The pendulum with its presets; the encoder is untrained, for speed does not depend on
weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

ENV = "nexus_rl/MultimodalPendulum-v0"
LATENTS, SMALL, NATURE = (
    "latents of Nexus",
    "raw sensors, small networks",
    "raw sensors, networks of Stable-Baselines3",
)
# Steps a round: one rollout of PPO; SAC learns after each step of all environments.
STEPS = {"ppo": 4096, "sac": 128}
# An algorithm, and how many environments it learns from; presets have four.
LEARNERS = {"PPO": ("ppo", 4), "PPO, 16 copies": ("ppo", 16), "SAC": ("sac", 4)}


def measure(rounds: int, seed: int, device: Any) -> dict[str, Any]:
    """Steps a second of each algorithm, by what it sees; all take turns."""
    from benchmark_envs import pendulum_model

    model = pendulum_model(seed).to(device)
    learners = {
        (name, way): learner(*of, way, model, seed, str(device))
        for name, of in LEARNERS.items()
        for way in (LATENTS, SMALL, NATURE)
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in learners}
    for turn in range(rounds + 1):
        for key, learn in learners.items():
            start = time.perf_counter()
            learn()
            if turn:  # the first warms up
                taken[key].append(time.perf_counter() - start)
    speeds: dict[str, dict[str, float]] = {name: {} for name in LEARNERS}
    for (name, way), seconds in taken.items():
        algo, _ = LEARNERS[name]
        speeds[name][way] = round(STEPS[algo] / median(seconds), 1)
    return {"rounds": rounds, "steps_per_second": speeds}


def learner(
    algo: str, copies: int, way: str, model: Any, seed: int, device: str
) -> Callable[[], object]:
    """Learns for as many steps as a round has at every call."""
    from agent_rows import OTHERS

    from agents.algorithms import build
    from agents.config import AgentConfig
    from agents.perception import Perception, Task, make_vec_env

    latent = way == LATENTS
    params: dict[str, Any] = {"n_steps": STEPS["ppo"] // copies}
    if algo == "sac":
        params = {"learning_starts": 0, "buffer_size": 2048}
    params["n_envs"] = copies
    if way == NATURE:
        params |= OTHERS["raw_nature"].params
    task = Task(ENV, perception=Perception() if latent else Perception("raw"))
    config = AgentConfig(task, algo, params=params, seed=seed)
    seen = model if latent else None
    venv = make_vec_env(task, copies, seed, model=seen)
    algorithm = build(config, venv, device)
    return lambda: algorithm.learn(STEPS[algo], reset_num_timesteps=False)


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    speeds = result["steps_per_second"]
    lines = [
        "Steps a second while an agent learns on the pendulum, one thread, medians of "
        f"{result['rounds']} rounds of "
        + " and ".join(f"{steps:,} ({algo.upper()})" for algo, steps in STEPS.items())
        + " steps, in which all take turns; in brackets, how many times as fast "
        "latents are.",
        "",
        f"| what it sees | {' | '.join(LEARNERS)} |",
        "| --- |" + " ---: |" * len(LEARNERS),
    ]
    for way in (LATENTS, SMALL, NATURE):
        cells = [
            f"{by_way[way]:,.0f} ({by_way[LATENTS] / by_way[way]:.1f})"
            for by_way in speeds.values()
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)
