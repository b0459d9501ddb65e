"""The command line that trains agents."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from script_runs import (
    SCRIPTS,
    Finished,
    Script,
    error_line,
    from_shell,
    log_lines,
    wait_until,
)
from stable_baselines3 import SAC

from agents import load_agent
from nexus_rl import make_model
from nexus_rl.environments import make_env
from nexus_rl.spaces import modalities_from_env

ENV = "nexus_rl/MultimodalPendulum-v0"
TINY = [
    *("--env", ENV, "--env-kwargs", "image_size=16", "max_episode_steps=20"),
    *("--params", "n_envs=2", "n_steps=64", "batch_size=64", "n_epochs=1"),
    *("--steps", "1024", "--evaluate-episodes", "2"),
]


def train_agent(folder: Path, *arguments: object) -> Finished:
    return Script("train_agent.py", arguments, folder).finish()


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    modalities = modalities_from_env(make_env(ENV, {"image_size": 16}))
    make_model("nexus", modalities, width=16).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_an_agent_on_latents_is_trained_kept_and_told_of(
    tmp_path: Path, encoder: Path
) -> None:
    dropout = "episode:0.3+markov:0.05,0.2"
    options = ["--encoder", encoder, "--mask", "--sensor-dropout", dropout]
    done = train_agent(tmp_path, *TINY, *options)
    assert done.code == 0, done.said
    assert "1024 steps in " in done.said and "agent: runs/agent" in done.said
    agent = load_agent(tmp_path / "runs" / "agent")
    assert agent.task.perception.mask
    assert agent.manifest["sensor_dropout"] == dropout
    assert agent.manifest["encoder_from"] == str(encoder)
    records = (tmp_path / "runs/agent/training/evaluations.jsonl").read_text()
    names = [json.loads(line)["condition"] for line in records.splitlines()]
    assert names == ["everything", "no_image", "no_sound"]


def test_raw_agents_see_what_is_named(tmp_path: Path) -> None:
    options = ["--sees", "raw", "--sensors", "sound", "--fill", "hold"]
    done = train_agent(tmp_path, *TINY, *options, "--evaluate-every", "0")
    assert done.code == 0, done.said
    seen = load_agent(tmp_path / "runs" / "agent").task.perception
    assert (seen.kind, seen.sensors, seen.fill) == ("raw", ("sound",), "hold")
    again = train_agent(tmp_path, *TINY, *options)
    assert "runs/agent already holds an agent" in error_line(again)


def test_ctrl_c_saves_and_resuming_finishes(tmp_path: Path) -> None:
    options = ["--sees", "state", "--evaluate-every", "0", "--out", "run"]
    script = Script("train_agent.py", [*TINY, *options, "--steps", "100000"], tmp_path)
    wait_until(lambda: log_lines(tmp_path / "run" / "training") >= 2)
    script.send(signal.SIGINT)
    done = script.finish()
    assert done.code == 130, done.said
    assert "train_agent.py --resume run" in done.said and "Traceback" not in done.said
    steps = load_agent(tmp_path / "run").manifest["steps"]
    # Only whole rollouts, of 2 environments and 64 steps, were learned from.
    assert 2000 - 128 <= steps < 100_000 and steps % 128 == 0
    more = steps + 1024
    done = train_agent(tmp_path, "--resume", "run", "--steps", more)
    assert done.code == 0, done.said
    assert load_agent(tmp_path / "run").manifest["steps"] == more


def test_sigterm_keeps_the_replay_buffer_and_resuming_repeats_nothing(
    tmp_path: Path,
) -> None:
    options = [
        *("--sees", "state", "--algo", "sac", "--out", "run", "--steps", "6000"),
        *("--params", "n_envs=2", "buffer_size=4000", "learning_starts=100"),
        *("batch_size=16", "train_freq=16", "gradient_steps=1"),
        *("--evaluate-every", "1000", "--checkpoint-every", "1500"),
    ]
    script = Script("train_agent.py", [*TINY, *options], tmp_path)
    notes = tmp_path / "run" / "training"
    wait_until(lambda: log_lines(notes) >= 2)
    script.send(signal.SIGTERM)
    done = script.finish()
    assert done.code == 130, done.said
    steps = load_agent(tmp_path / "run").manifest["steps"]
    assert 2000 - 32 <= steps < 6000
    kept = SAC.load(notes / "model.zip", device="cpu")
    kept.load_replay_buffer(notes / "replay.pkl")
    assert kept.num_timesteps == steps and kept.replay_buffer is not None
    # Steps of the collection that was cut short are in the buffer only.
    assert 0 <= 2 * kept.replay_buffer.size() - steps < 32
    done = train_agent(tmp_path, "--resume", "run")
    assert done.code == 0, done.said
    # Collections of 2 environments and 16 steps are finished.
    assert 6000 <= load_agent(tmp_path / "run").manifest["steps"] < 6000 + 32
    for name in ("log.jsonl", "evaluations.jsonl"):
        told = map(json.loads, (notes / name).read_text().splitlines())
        assert [record["steps"] // 1000 for record in told] == [1, 2, 3, 4, 5, 6]


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    options = [
        *("--sees", "state", "--algo", "sac", "--out", "run", "--steps", "100000"),
        *("--params", "n_envs=2", "buffer_size=8000", "learning_starts=100"),
        *("batch_size=16", "train_freq=16", "gradient_steps=1"),
        *("--evaluate-every", "0", "--checkpoint-every", "300"),
    ]
    script = Script("train_agent.py", [*TINY, *options], tmp_path)
    notes = tmp_path / "run" / "training"
    wait_until(lambda: (notes / "model.zip").exists() and log_lines(notes) >= 1)
    script.send(signal.SIGKILL)
    assert script.finish().code == -signal.SIGKILL
    steps = load_agent(tmp_path / "run").manifest["steps"]
    assert 0 < steps < 100_000
    done = train_agent(tmp_path, "--resume", "run", "--steps", steps + 1000)
    assert done.code == 0, done.said
    more = load_agent(tmp_path / "run").manifest["steps"]
    assert steps + 1000 <= more < steps + 1000 + 32
    kept = SAC.load(notes / "model.zip", device="cpu")
    kept.load_replay_buffer(notes / "replay.pkl")
    assert kept.num_timesteps == more and kept.replay_buffer is not None
    assert 2 * kept.replay_buffer.size() == more  # of both parts of the run


def test_a_run_killed_in_its_last_evaluation_is_not_finished(tmp_path: Path) -> None:
    options = [
        *("--sees", "state", "--steps", "128", "--out", "run"),
        *("--evaluate-episodes", "200", "--checkpoint-every", "0"),
    ]
    script = Script("train_agent.py", [*TINY, *options], tmp_path)
    notes = tmp_path / "run" / "training"
    wait_until((notes / "model.zip").exists)
    script.send(signal.SIGKILL)
    assert script.finish().code == -signal.SIGKILL
    assert not (notes / "evaluations.jsonl").exists()
    weights = (tmp_path / "run" / "policy_128.safetensors").read_bytes()
    done = train_agent(tmp_path, "--resume", "run")
    assert done.code == 0, done.said
    (record,) = map(json.loads, (notes / "evaluations.jsonl").read_text().splitlines())
    assert (record["steps"], record["condition"]) == (128, "everything")
    assert (tmp_path / "run" / "policy_128.safetensors").read_bytes() == weights


def test_help_and_mistakes_answer_without_torch(tmp_path: Path) -> None:
    helped = from_shell(SCRIPTS / "train_agent.py", "--help")
    assert helped.returncode == 0 and "--sensor-dropout" in helped.stdout
    done = from_shell("-X", "importtime", SCRIPTS / "train_agent.py")
    assert done.returncode == 2 and "error: name the encoder" in done.stderr
    assert " torch\n" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--encoder nowhere", "no model description at nowhere/config.json"),
        ("--sees state --encoder runs/x", "an encoder is for latents"),
        ("--sees state --steps 0", "steps must be at least 1, got 0"),
        ("--sees state --algo ppoo", "unknown algorithm 'ppoo'. Did you mean 'ppo'?"),
        ("--sees state --env nexus_rl/HyperHot-v0 --algo sac", "no settings for sac"),
        ("--sees raw --append sound", "append and absent are for latents"),
        ("--sees raw --reliable smell", "unknown sensor 'smell'"),
        ("--sees raw --sensors smell", "unknown sensor 'smell'"),
        ("--resume nowhere", "no training of an agent at nowhere"),
        ("--resume nowhere --seed 3 --no-mask", "leave out --no-mask, --seed"),
        ("--resume nowhere --steps 0", "steps must be at least 1"),
    ],
)
def test_mistakes_are_one_line(arguments: str, said: str, tmp_path: Path) -> None:
    assert said in error_line(train_agent(tmp_path, *arguments.split()))
    assert not (tmp_path / "runs").exists()
