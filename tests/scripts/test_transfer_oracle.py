"""The command line that lets an agent of the true state see through encoders."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from agent_folders import PENDULUM, save_tiny
from dial_world import write_mhd
from script_runs import (
    SCRIPTS,
    Finished,
    Script,
    error_line,
    from_shell,
    load_script,
)

from agents import RandomAgent, evaluate_subsets, load_agent
from agents.evaluation import episode_seed
from agents.report import read
from nexus_rl import load_model, make_model
from nexus_rl.modality import PAPER
from nexus_rl.probes import StateDecoder, latents, samples

DIAL = "nexus_rl/DigitDial-v0"
SHORT = {"max_episode_steps": 20}
OPTIONS = ["--rows", "300", "--episodes", "2", "--conditions", "missing", "blackout_5"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, staged: Path) -> Path:
    """Agents, encoders, and what the script found. Do not write into it."""
    folder = tmp_path_factory.mktemp("transfer")
    save_tiny(folder / "state", sees="state", env_kwargs=SHORT)
    save_tiny(folder / "raw", env_kwargs=SHORT)
    model = load_model(staged / "run")
    model.save_pretrained(folder / "one")
    for seed in (1, 2):
        other = make_model("nexus", model.modalities, width=16, seed=seed)
        other.save_pretrained(folder / f"blank{seed}")
    models = ["--model", "one", "blank=blank1", "blank=blank2"]
    done = transfer(folder, "state", *models, *OPTIONS, "--out", "found")
    assert done.code == 0, done.said
    assert (folder / "found" / "evaluation.md").read_text() in done.said
    return folder


def transfer(folder: Path, *arguments: object) -> Finished:
    return Script("transfer_oracle.py", arguments, folder).finish()


def test_every_encoder_is_measured_beside_its_references(home: Path) -> None:
    found = read(home / "found")
    assert found.methods == {
        **{"one": ("one",), "blank": ("blank_1", "blank_2")},
        **{"oracle": ("oracle",), "random": ("random",)},
    }
    assert (found.oracle, found.random, found.episodes) == ("oracle", "random", 2)
    seen = ["everything", "no_image", "no_sound", "blackout_5"]
    for agent in ("one", "blank_1", "blank_2"):
        rows = [row for row in found.rows if row["agent"] == agent]
        assert [row["condition"] for row in rows[::2]] == seen
        available = {row["condition"]: row["available"] for row in rows}
        assert available["no_image"] == {"image": 0, "sound": 1}
    state = load_agent(home / "state")
    for player in (state, RandomAgent(state.task)):
        name = "oracle" if player is state else "random"
        expected = evaluate_subsets(player, "everything", 2).rows
        told = [row["return"] for row in found.rows if row["agent"] == name]
        assert told == pytest.approx([row["return"] for row in expected])


@pytest.mark.parametrize("condition", ["everything", "no_image"])
def test_the_agent_acts_on_the_decoded_state(home: Path, condition: str) -> None:
    """An episode played by hand gives the same return."""
    agent, model = load_agent(home / "state"), load_model(home / "one")
    given = ["sound"] if condition == "no_image" else ["image", "sound"]
    with gym.make(f"envs:{PENDULUM}", **SHORT) as env:
        (readings, state), _ = samples(env, 300, seed=1000)
        full = latents(model, readings, ["image", "sound"])
        decode = StateDecoder(full, state.float(), seed=1000)
        observation, _ = env.reset(seed=episode_seed(0, 0))
        total, over = 0.0, False
        while not over:
            batch = {name: torch.from_numpy(observation[name])[None] for name in given}
            action = agent.predict(decode(latents(model, batch, given)).numpy())[0]
            observation, reward, *ends, _ = env.step(action)
            total, over = total + float(reward), any(ends[:2])
    row = next(
        row
        for row in read(home / "found").rows
        if (row["agent"], row["condition"]) == ("one", condition)
    )
    assert total == pytest.approx(row["return"], abs=1e-2)


def test_the_agent_keeps_its_memory_behind_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)  # as Python does for a script
    save_tiny(tmp_path / "state", sees="state", env_kwargs=SHORT, algo="recurrent_ppo")
    agent, script = load_agent(tmp_path / "state"), load_script("transfer_oracle.py")
    # An encoder from which the true state is read as it is.
    through = script.Transferred("through", agent.task, None, lambda seen: seen, agent)
    ours, theirs = (
        [row["return"] for row in evaluate_subsets(each, "everything", 2).rows]
        for each in (through, agent)
    )
    assert ours == theirs


def test_the_agent_of_a_dial_sees_the_pointer_besides(tmp_path: Path) -> None:
    kwargs = {"folder": write_mhd(tmp_path / "data"), "max_episode_steps": 5}
    save_tiny(tmp_path / "state", sees="state", env=DIAL, env_kwargs=kwargs)
    model = make_model("nexus", [*PAPER.values()], width=16, latent_dim=4, seed=1)
    model.save_pretrained(tmp_path / "model")
    options = ["--rows", "300", "--episodes", "1", "--conditions", "no_image"]
    options += ["--append", "position", "--absent", "label", "--out", "found"]
    options += ["--env-kwargs", "split=test"]
    done = transfer(tmp_path, "state", "--model", "model", *options)
    assert done.code == 0, done.said
    found = read(tmp_path / "found")
    assert found.env_kwargs == {**kwargs, "split": "test"}
    assert {row["agent"] for row in found.rows} == {"model", "oracle", "random"}


def test_results_are_replaced_only_if_asked(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    given = [home / "state", "--model", home / "one", *OPTIONS, "--out", out]
    given += ["--conditions", "no_sound"]
    assert transfer(tmp_path, *given).code == 0
    before = (out / "evaluation.json").read_bytes()
    error = error_line(transfer(tmp_path, *given))
    assert "exists" in error and "--overwrite" in error
    assert (out / "evaluation.json").read_bytes() == before
    assert transfer(tmp_path, *given, "--overwrite").code == 0
    assert (out / "evaluation.json").read_bytes() == before  # the same again
    whole = json.loads((home / "found" / "evaluation.json").read_text())["rows"]
    assert [row for row in json.loads(before)["rows"] if row["agent"] == "one"] == [
        row
        for row in whole
        if row["agent"] == "one" and row["condition"] in ("everything", "no_sound")
    ]


def test_mistakes_are_one_line(home: Path, staged: Path, tmp_path: Path) -> None:
    def refused(agent: str, *arguments: object) -> str:
        given = [home / agent, *OPTIONS, "--out", tmp_path / "found", *arguments]
        error = error_line(transfer(tmp_path, *given))
        assert not (tmp_path / "found").exists()
        return error

    one = ("--model", home / "one")
    assert "raw sees raw, not the true state" in refused("raw", *one)
    assert "no agent at" in refused("nothing", *one)
    assert "no model description" in refused("state", "--model", home / "nothing")
    bottoms = refused("state", "--model", staged / "run_bottoms")
    assert "run_bottoms holds bottoms only" in bottoms
    error = refused("state", *one, "--conditions", "no_imag")
    assert "unknown condition 'no_imag'. Did you mean 'no_image'?" in error
    assert "rows are too few" in refused("state", *one, "--rows", "2")


def test_help_does_not_wait_for_torch() -> None:
    path = str(SCRIPTS / "transfer_oracle.py")
    code = (
        "import sys, runpy; sys.argv = ['transfer_oracle.py', '--help']\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"
        f"try: runpy.run_path({path!r}, run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'stable_baselines3', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = from_shell("-c", code)
    assert done.returncode == 0, done.stderr
    assert "--conditions" in done.stdout and "--model" in done.stdout
