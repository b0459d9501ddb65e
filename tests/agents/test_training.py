"""Agents learn, and note how."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from agent_world import LENGTH, lines, policy_bytes, save_encoder, short_config
from gymnasium import spaces
from stable_baselines3 import PPO

from agents import (
    AgentConfig,
    Perception,
    Task,
    load_agent,
    make_vec_env,
    resume_agent,
    train_agent,
)
from agents.callbacks import Clock
from agents.evaluation import evaluate_subsets
from nexus_rl import UserError, load_model
from nexus_rl.networks import vector_networks

STATE = Perception("state")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_agents_learn_what_pays(algo: str, tmp_path: Path) -> None:
    """From sensors that fail in training: one of both always shows what to do."""
    params = {
        "ppo": {"n_steps": 128, "learning_rate": 3e-3},
        "dqn": {"learning_starts": 500, "learning_rate": 3e-3, "gamma": 0.5},
    }
    config = AgentConfig(
        Task("nexus_rl_tests/Follow-v0", perception=Perception("raw")),
        algo,
        params=params[algo],
        sensor_dropout="bernoulli:0.3",
        steps=6000,
        evaluate_every=0,
    )
    train_agent(config, tmp_path / "agent")
    log = lines(tmp_path / "agent")
    assert log[0]["return"] < 6 and log[-1]["return"] > 8.5
    rows = evaluate_subsets(
        load_agent(tmp_path / "agent"), ["everything", "missing"], episodes=10
    ).rows
    assert min(row["return"] for row in rows) >= 9


def test_the_learning_curve_holds_every_episode(tmp_path: Path) -> None:
    done = train_agent(short_config(STATE, steps=3000), tmp_path / "agent")
    log = lines(tmp_path / "agent")
    assert [record["steps"] for record in log] == [1000, 2000, 3000]
    assert [record["episodes"] for record in log] == [50, 50, 50]
    assert all(record["length"] == LENGTH for record in log)
    assert all(-17 * LENGTH < record["return"] < 0 for record in log)
    seconds = [record["seconds"] for record in log]
    assert 0 < seconds[0] < seconds[1] < seconds[2] <= done.seconds + 1e-3
    # PPO finishes its last rollout of 2 environments and 64 steps.
    assert done.steps == 3072 and not done.interrupted
    manifest = load_agent(tmp_path / "agent").manifest
    assert manifest["steps"] == 3072
    assert manifest["seconds"] == pytest.approx(done.seconds, abs=1e-3)


def test_evaluations_are_those_of_the_agent_at_that_time(tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "model")
    config = short_config(
        Perception(encoder=encoder), evaluate_every=128, evaluate_episodes=3
    )
    train_agent(config, tmp_path / "agent")
    records = lines(tmp_path / "agent", "evaluations")
    names = ["everything", "no_image", "no_sound"]
    told = [(record["steps"], record["condition"]) for record in records]
    assert told == [(steps, name) for steps in (128, 256) for name in names]
    found = evaluate_subsets(
        load_agent(tmp_path / "agent"), names, episodes=3, n_envs=3
    )
    for record in records[3:]:
        rows = [r for r in found.rows if r["condition"] == record["condition"]]
        mean = np.mean([row["return"] for row in rows])
        assert record["return"] == pytest.approx(mean, rel=1e-4)
    assert list((tmp_path / "agent/training/tensorboard").glob("events*"))


def test_the_same_seed_gives_the_same_agent_whatever_is_evaluated(
    tmp_path: Path,
) -> None:
    for name, options in {
        "one": {},
        "two": {"evaluate_every": 128, "checkpoint_every": 128},
        "other": {"seed": 1},
    }.items():
        train_agent(
            short_config(
                STATE, evaluate_episodes=1, **{"evaluate_every": 0, **options}
            ),
            tmp_path / name,
        )
    weights = [policy_bytes(tmp_path / name) for name in ("one", "two", "other")]
    assert weights[0] == weights[1] != weights[2]


def test_the_clock_does_not_count_what_is_paused() -> None:
    clock = Clock(10.0)
    assert clock.seconds == 10.0
    clock.start()
    with clock.paused():
        time.sleep(0.2)
    assert 10.0 < clock.seconds < 10.1


def test_the_encoder_is_never_trained(tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "model")
    train_agent(short_config(Perception(encoder=encoder)), tmp_path / "agent")
    name = "model.safetensors"
    ours = (tmp_path / "agent" / "encoder" / name).read_bytes()
    assert ours == (tmp_path / "model" / name).read_bytes()
    shutil.rmtree(encoder)  # a continued run has its own
    assert resume_agent(tmp_path / "agent", steps=300).steps >= 300


def test_overwriting_deletes_the_old_agent_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    train_agent(short_config(STATE), folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "evaluation").mkdir()
    before = files(folder)
    with pytest.raises(UserError, match=r"already holds an agent.*--overwrite"):
        train_agent(short_config(STATE, seed=1), folder)
    with pytest.raises(UserError, match="unknown parameter of ppo 'n_step'"):
        broken = short_config(STATE, params={"n_step": 1})
        train_agent(broken, folder, overwrite=True)
    with pytest.raises(UserError, match="unknown device 'gpu': expected auto, cpu"):
        train_agent(short_config(STATE), folder, overwrite=True, device="gpu")
    assert files(folder) == before
    train_agent(short_config(STATE, seed=1), folder, overwrite=True)
    assert load_agent(folder).manifest["seed"] == 1
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "evaluation").exists()


def test_folders_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match=r"no agent; choose|is a file"):
            train_agent(short_config(STATE), folder, overwrite=True)
    with pytest.raises(UserError, match="cannot write"):
        train_agent(short_config(STATE), folder / "agent", overwrite=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algo": "a2c"}, "unknown algorithm 'a2c'"),
        ({"preset": "pendulm"}, "unknown preset 'pendulm'. Did you mean 'pendulum'"),
        ({"algo": "dqn"}, "preset 'pendulum' has no settings for dqn"),
        ({"algo": "dqn", "preset": "default"}, "dqn cannot choose .* use ppo or sac"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"evaluate_episodes": 0}, "evaluate_episodes must be at least 1"),
        ({"params": {"n_envs": 0}}, "n_envs must be at least 1"),
        ({"params": {"n_envs": "two"}}, "n_envs must be at least 1, got 'two'"),
        ({"params": {"learning_rate": "fast"}}, "a number or such as lin_0.001"),
        ({"params": {"n_steps": "many"}}, "n_steps of ppo must be such as 2048"),
        ({"params": {"gamma": "0,9"}}, "must be such as 0.99, not '0,9'"),
        ({"params": {"batch_size": 0}}, "ppo refuses its parameters"),
        ({"params": {"policy_kwargs": 64}}, "policy_kwargs must be arguments by name"),
        ({"params": {"policy_kwargs": {"arch": [8]}}}, "ppo refuses its parameters"),
        (
            {"params": {"policy_kwargs": {"features_extractor_class": "big"}}},
            "unknown extractor 'big'",
        ),
        ({"sensor_dropout": "episode:0.3"}, "does nothing to an agent that sees the"),
        ({"conditions": ("no_smell",)}, "unknown condition 'no_smell'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    task = short_config(STATE).task
    with pytest.raises(UserError, match=said):
        train_agent(AgentConfig(task, **options), tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


def test_algorithms_of_other_actions_are_refused(tmp_path: Path) -> None:
    task = Task("nexus_rl/HyperHot-v0", perception=Perception("raw"))
    config = AgentConfig(task, "sac", preset="default")
    with pytest.raises(UserError, match=r"sac cannot choose actions .* use ppo or dqn"):
        train_agent(config, tmp_path / "agent")


class Hands(gym.Env[dict[str, Any], Any]):
    """Has two hands to act with, and shows what no one looks at."""

    observation_space = spaces.Dict({"sonar": spaces.Box(0.0, 1.0, (3,))})
    action_space = spaces.Dict({"left": spaces.Discrete(2), "right": spaces.Box(0, 1)})


gym.register("nexus_rl_tests/Hands-v0", entry_point=Hands)


def test_actions_that_no_algorithm_can_choose_are_refused(tmp_path: Path) -> None:
    task = Task("nexus_rl_tests/Hands-v0", perception=Perception("raw"))
    said = r"Dict\(.*; no algorithm can, only of Box, Discrete, MultiBinary, MultiD"
    with pytest.raises(UserError, match=said):
        train_agent(AgentConfig(task), tmp_path / "agent")


def test_only_whole_encoders_are_taken(tmp_path: Path) -> None:
    encoder = Path(save_encoder(tmp_path / "model"))
    (encoder / "run.json").write_text(json.dumps({"train": {"stage": "bottom"}}))
    with pytest.raises(UserError, match="bottoms only"):
        train_agent(short_config(Perception(encoder=str(encoder))), tmp_path / "agent")


def test_encoders_with_networks_of_ones_own_are_for_plain_algorithms(
    tmp_path: Path,
) -> None:
    own = {"sound": vector_networks}
    config = short_config(
        Perception(encoder=save_encoder(tmp_path / "model", networks=own))
    )
    with pytest.raises(UserError, match=r"your own, .* learn on make_vec_env\(task, "):
        train_agent(config, tmp_path / "agent")
    assert not (tmp_path / "agent").exists()
    model = load_model(tmp_path / "model", networks=own)
    venv = make_vec_env(config.task, 2, 0, model=model)
    PPO("MlpPolicy", venv, n_steps=64, batch_size=64, device="cpu").learn(128)
    venv.close()
