"""Evaluation under sensor conditions while any algorithm learns."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from agent_world import save_encoder, short_task
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger, configure

from agents import (
    Condition,
    EvaluateConditions,
    Perception,
    Task,
    evaluate_subsets,
    make_vec_env,
)
from agents.features import SensorFeatures
from nexus_rl import UserError, load_model
from nexus_rl.networks import vector_networks
from nexus_rl.wrappers import Bernoulli, Fixed

HALF = Condition("half", Bernoulli(0.5))
RAW = short_task(Perception("raw"))


def learn(
    task: Task,
    tests: EvaluateConditions | None,
    model: Any = None,
    logger: Logger | None = None,
) -> PPO:
    """Two rollouts of 128 steps."""
    venv = make_vec_env(task, 2, 0, model=model)
    options: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "seed": 0}
    if model is None:
        options["policy_kwargs"] = {"features_extractor_class": SensorFeatures}
    name = "MlpPolicy" if model is not None else "MultiInputPolicy"
    algorithm = PPO(name, venv, device="cpu", **options)
    if logger is not None:
        algorithm.set_logger(logger)
    algorithm.learn(256, callback=tests)
    algorithm.logger.close()
    venv.close()
    return algorithm


def test_plain_algorithms_are_evaluated_while_they_learn(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    begin = time.monotonic()
    tests = EvaluateConditions(RAW, ["missing", HALF], 100, 2, path=path)
    algorithm = learn(RAW, tests)
    tests.evaluate()
    passed = time.monotonic() - begin
    records = [json.loads(line) for line in path.read_text().splitlines()]
    names = ["no_image", "no_sound", "half"]
    told = [(record["steps"], record["condition"]) for record in records]
    assert told == [(steps, name) for steps in (128, 256) for name in names]
    rows = evaluate_subsets((algorithm.policy, RAW), ["missing", HALF], 2).rows
    for record in records[3:]:
        both = [
            row["return"] for row in rows if row["condition"] == record["condition"]
        ]
        assert record["return"] == pytest.approx(sum(both) / 2, rel=1e-4)
    seconds = [record["seconds"] for record in records[::3]]
    assert 0 < seconds[0] < seconds[1] < passed
    # And nothing else has changed.
    ours, theirs = algorithm.policy.state_dict(), learn(RAW, None).policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_means_are_logged_and_seconds_leave_evaluation_out(tmp_path: Path) -> None:
    class Slow(EvaluateConditions):
        def evaluate(self) -> None:
            time.sleep(1)
            super().evaluate()

    path = tmp_path / "found.jsonl"
    tests = Slow(RAW, "everything", 128, 1, path=path)
    begin = time.monotonic()
    learn(RAW, tests, logger=configure(str(tmp_path), ["json"]))
    assert tests.clock.seconds < time.monotonic() - begin - 1
    (record,) = map(json.loads, path.read_text().splitlines())
    logged = map(json.loads, (tmp_path / "progress.json").read_text().splitlines())
    (found,) = (line for line in logged if "evaluation/everything" in line)
    assert found["evaluation/everything"] == pytest.approx(record["return"])


def test_an_encoder_with_networks_of_ones_own_is_handed_over(tmp_path: Path) -> None:
    own = {"sound": vector_networks}
    folder = save_encoder(tmp_path / "model", networks=own)
    task, model = (
        short_task(Perception(encoder=folder)),
        load_model(folder, networks=own),
    )
    path = tmp_path / "found.jsonl"
    learn(
        task,
        EvaluateConditions(task, every=100, episodes=1, path=path, encoder=model),
        model,
    )
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(UserError, match="networks of your own"):
        EvaluateConditions(task)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"conditions": "no_imag"}, "Did you mean 'no_image'"),
        ({"conditions": [HALF, HALF]}, "distinct names"),
        ({"conditions": [Condition("x", Fixed(("smell",)))]}, "unknown sensor 'smell'"),
        ({"every": -1}, "every must be an integer of at least 0"),
        ({"episodes": 0}, "episodes must be an integer of at least 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_learned(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        EvaluateConditions(RAW, **options)
