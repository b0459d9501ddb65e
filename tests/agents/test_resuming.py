"""Training that was stopped goes on, from what was saved."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from agent_world import lines, policy_bytes, short_config
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents import (
    AgentConfig,
    Perception,
    load_agent,
    make_vec_env,
    resume_agent,
    train_agent,
)
from agents.folder import EVALUATIONS
from agents.training import finished, load_state
from nexus_rl import UserError

STATE = Perception("state")


def test_evaluations_keep_to_their_steps_when_training_is_resumed(
    tmp_path: Path,
) -> None:
    options = {"evaluate_every": 512, "evaluate_episodes": 1, "checkpoint_every": 0}
    config = short_config(STATE, steps=640, **options)
    train_agent(config, tmp_path / "agent")
    resume_agent(tmp_path / "agent", steps=1280)
    records = lines(tmp_path / "agent", "evaluations")
    assert [record["steps"] for record in records] == [512, 640, 1024, 1280]


def test_a_last_evaluation_of_which_a_part_is_missing_is_made_again(
    tmp_path: Path,
) -> None:
    options = {"evaluate_every": 128, "evaluate_episodes": 2, "checkpoint_every": 0}
    config = short_config(Perception("raw"), **options)
    train_agent(config, tmp_path / "agent")
    path = tmp_path / "agent" / "training" / EVALUATIONS
    whole, weights = lines(tmp_path / "agent", path.stem), policy_bytes(path.parents[1])
    assert [record["steps"] for record in whole] == [128] * 3 + [256] * 3
    text = path.read_text()
    for kept in (-20, -len(text.splitlines()[-1]) - 1):  # a torn line, one missing
        path.write_text(text[:kept])
        assert not finished(tmp_path / "agent", config)
        assert resume_agent(tmp_path / "agent").steps == 256
        again = lines(tmp_path / "agent", path.stem)
        for old, new in zip(whole, again, strict=True):
            for name in ("steps", "condition", "return"):
                assert old[name] == new[name]
        assert finished(tmp_path / "agent", config)
        assert policy_bytes(tmp_path / "agent") == weights
        with pytest.raises(UserError, match="has finished 256 steps"):
            resume_agent(tmp_path / "agent")


def test_training_is_saved_before_its_last_evaluation(tmp_path: Path) -> None:
    """That takes long enough to be stopped impatiently."""

    def impatient() -> None:
        while not (tmp_path / "agent" / "training" / "model.zip").exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    config = short_config(
        STATE, evaluate_every=10_000, evaluate_episodes=5000, checkpoint_every=0
    )
    Thread(target=impatient, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        train_agent(config, tmp_path / "agent")
    assert load_agent(tmp_path / "agent").manifest["steps"] == 256
    assert not (tmp_path / "agent" / "training" / "evaluations.jsonl").exists()
    venv = make_vec_env(config.task, config.n_envs, 0)
    assert load_state(tmp_path / "agent", config, venv)[0].num_timesteps == 256
    venv.close()


@pytest.mark.parametrize("algo", ["ppo", "sac", "recurrent_ppo"])
def test_a_resumed_run_goes_on_from_what_was_saved(algo: str, tmp_path: Path) -> None:
    config = short_config(STATE, algo, params={"learning_rate": "lin_1e-3"})
    first = train_agent(config, tmp_path / "agent")
    before = load_agent(tmp_path / "agent").policy.state_dict()
    venv = make_vec_env(config.task, config.n_envs, 0)
    algorithm, seconds = load_state(tmp_path / "agent", config, venv)
    assert algorithm.num_timesteps == first.steps == 256
    assert seconds == pytest.approx(first.seconds, abs=1e-3)
    after = algorithm.policy.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    optimisers: Any = [getattr(algorithm.policy, "optimizer", None)]
    if isinstance(algorithm, OffPolicyAlgorithm):
        assert algorithm.replay_buffer is not None
        assert algorithm.replay_buffer.size() == 128  # of each environment
        optimisers = [getattr(algorithm, "actor").optimizer]  # noqa: B009
    assert all(state["step"] > 1 for state in optimisers[0].state.values())
    second = resume_agent(tmp_path / "agent", steps=1200)
    assert second.steps >= 1200 and second.seconds > first.seconds
    assert [record["steps"] for record in lines(tmp_path / "agent")] == [1000]
    manifest = load_agent(tmp_path / "agent").manifest
    assert manifest["steps"] == second.steps
    assert manifest["hyperparameters"]["learning_rate"] == "lin_1e-3"
    venv.close()


def test_a_resumed_schedule_falls_as_that_of_one_run(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "agent"
    train_agent(short_config(STATE, params={"learning_rate": "lin_1e-3"}), folder)
    resume_agent(folder, steps=640)
    events = EventAccumulator(str(folder / "training" / "tensorboard")).Reload()
    rates = {e.step: e.value for e in events.Scalars("train/learning_rate")}
    # Each is of the update before: at 384 steps of 640, and at 512.
    assert rates[512] == pytest.approx(1e-3 * (1 - 384 / 640))
    assert rates[640] == pytest.approx(1e-3 * (1 - 512 / 640))


def test_resuming_begins_other_episodes(tmp_path: Path) -> None:
    config = short_config(STATE)
    train_agent(config, tmp_path / "agent")
    venv = make_vec_env(config.task, config.n_envs, config.seed)
    first = venv.reset()
    load_state(tmp_path / "agent", config, venv)
    assert not np.array_equal(first, venv.reset())
    venv.close()


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    train_agent(short_config(STATE), tmp_path / "whole")
    run = tmp_path / "killed" / "training" / "run.json"
    run.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / "training" / "run.json", run)
    resume_agent(tmp_path / "killed")
    weights = [policy_bytes(tmp_path / name) for name in ("whole", "killed")]
    assert weights[0] == weights[1]


class Killed(BaseException):
    """The end of a process that is killed."""


@contextmanager
def killed_before(change: int) -> Iterator[None]:
    """Inside, from the ``change``th on, no file is moved or deleted any more."""
    count = itertools.count()
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for name in ("replace", "unlink"):
            real = getattr(Path, name)

            def act(*arguments: Any, real: Any = real, **options: Any) -> Any:
                if next(count) >= change:
                    raise Killed
                return real(*arguments, **options)

            patch.setattr(Path, name, act)
        yield


def checkpoint(folder: Path, config: AgentConfig) -> int:
    """Steps of the one agent that is in ``folder``, to act and to go on training."""
    agent = load_agent(folder)
    venv = make_vec_env(config.task, config.n_envs, 0)
    algorithm, seconds = load_state(folder, config, venv)
    venv.close()
    steps: int = agent.manifest["steps"]
    assert algorithm.num_timesteps == steps and agent.manifest["seconds"] == seconds
    ours, theirs = agent.policy.state_dict(), algorithm.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert isinstance(algorithm, OffPolicyAlgorithm)
    assert algorithm.replay_buffer is not None
    assert algorithm.replay_buffer.size() * config.n_envs == steps
    return steps


def test_a_run_killed_while_it_saves_has_one_checkpoint(tmp_path: Path) -> None:
    quick = {"train_freq": 16, "gradient_steps": 2, "policy_kwargs": {"net_arch": [8]}}
    config = short_config(STATE, "sac", steps=128, params=quick)
    train_agent(config, tmp_path / "whole")
    left, done = [], None
    while done is None:  # it was killed
        folder = tmp_path / str(len(left))
        shutil.copytree(tmp_path / "whole", folder)
        with killed_before(change=len(left)):
            done = resume_agent(folder, steps=192)
        left.append(checkpoint(folder, config))
        assert resume_agent(folder, steps=224).steps == 224
        assert checkpoint(folder, config) == 224
        files = {path.name for path in folder.rglob("*") if path.is_file()}
        assert {name for name in files if not name.startswith("events.")} == {
            *("agent.json", "policy_224.safetensors", "run.json"),
            *("model.zip", "replay.pkl", "log.jsonl", "evaluations.jsonl"),
        }
    assert left == sorted(left) and left.count(128) > 3 and left.count(192) > 3


def test_lines_from_after_the_last_checkpoint_are_dropped(tmp_path: Path) -> None:
    train_agent(short_config(STATE, steps=1000), tmp_path / "agent")
    log = tmp_path / "agent" / "training" / "log.jsonl"
    assert [record["steps"] for record in lines(tmp_path / "agent")] == [1000]
    with log.open("a") as file:
        file.write(json.dumps({"steps": 1500}) + "\n" + '{"steps": 16')  # cut off
    resume_agent(tmp_path / "agent", steps=2048)
    assert [record["steps"] for record in lines(tmp_path / "agent")] == [1000, 2000]


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training of an agent at"):
        resume_agent(tmp_path)
    train_agent(short_config(STATE), tmp_path / "agent")
    with pytest.raises(UserError, match="has finished 256 steps"):
        resume_agent(tmp_path / "agent")
    (tmp_path / "agent" / "training" / "model.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"cannot go on from .*model\.zip"):
        resume_agent(tmp_path / "agent", steps=512)
