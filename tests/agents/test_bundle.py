"""A trained agent's folder acts alike anywhere, or says why it cannot."""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_world import LENGTH, save_encoder, short_config
from stable_baselines3.common.evaluation import evaluate_policy

from agents import (
    Agent,
    AgentConfig,
    Perception,
    Task,
    evaluate_subsets,
    load_agent,
    resume_agent,
    train_agent,
)
from agents.bundle import read_manifest
from agents.conditions import Condition
from agents.evaluation import episode_seed
from agents.folder import read_config
from nexus_rl import UserError
from nexus_rl.files import read_json, write_json
from nexus_rl.wrappers import Bernoulli

KINDS = {
    "state": ("ppo", {"use_sde": True}),
    "raw": ("recurrent_ppo", {"policy_kwargs": {"net_arch": [8]}}),
    "latent": ("sac", {}),
}
HALF = Condition("half", Bernoulli(0.5))


@pytest.fixture(scope="module", params=KINDS)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of an agent. Do not write into it."""
    root, kind = tmp_path_factory.mktemp(request.param), request.param
    encoder = save_encoder(root / "model") if kind == "latent" else None
    algo, params = KINDS[kind]
    seen = Perception(kind, encoder, mask=kind != "state")
    train_agent(short_config(seen, algo, params=params), root / "agent")
    if encoder is not None:
        shutil.rmtree(encoder)  # the agent has its own
    return root / "agent"


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A copy to write into, elsewhere and under another name."""
    shutil.copytree(folder, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an agent that sees the state. Do not write into it."""
    folder = tmp_path_factory.mktemp("plain") / "agent"
    train_agent(short_config(Perception("state"), steps=128), folder)
    return folder


@pytest.fixture
def mine(plain: Path, tmp_path: Path) -> Path:
    """A copy of ``plain`` to write into."""
    shutil.copytree(plain, tmp_path / "mine")
    return tmp_path / "mine"


def actions(agent: Agent) -> list[Any]:
    """What it does in an episode."""
    venv = agent.make_vec_env(3, 7, condition=HALF)
    observations, taken, state, dones = venv.reset(), [], None, np.ones(3, bool)
    for _ in range(LENGTH + 2):
        act, state = agent.predict(observations, state=state, episode_start=dones)
        taken.append(act)
        observations, _, dones, _ = venv.step(act)
    venv.close()
    return np.stack(taken).tolist()


ELSEWHERE = """
import json, pickle, sys
import torch
unpickled = []
def note(*arguments, **options):
    unpickled.append("load")
    raise RuntimeError("unpickled")
sys.addaudithook(lambda event, _: event[:7] == "pickle." and unpickled.append(event))
sys.path.insert(0, sys.argv[2])
import test_bundle, agents
unpickled.clear()  # what imports unpickle is not a matter of the folder
pickle.load = pickle.loads = torch.load = note  # plain data raises no audit event
agent = agents.load_agent(sys.argv[1])
print(json.dumps([unpickled, test_bundle.actions(agent)]))
"""


def test_a_new_process_takes_the_same_actions_and_unpickles_nothing(
    folder: Path, copied: Path
) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, copied, here], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    unpickled, taken = json.loads(done.stdout)
    assert unpickled == []
    assert np.allclose(taken, actions(load_agent(folder)), atol=1e-5)


def test_the_weights_are_those_that_were_trained(folder: Path) -> None:
    from agents.algorithms import ALGORITHMS

    agent = load_agent(folder)
    kind = ALGORITHMS[agent.manifest["algo"]].kind
    trained = kind.load(folder / "training" / "model.zip", device="cpu").policy
    ours, theirs = agent.policy.state_dict(), trained.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not agent.policy.training


def test_training_files_are_not_needed_to_act(folder: Path, copied: Path) -> None:
    shutil.rmtree(copied / "training")
    agent = load_agent(copied)
    assert actions(agent) == actions(load_agent(folder))
    assert agent.name == "copied"
    inside = agent.task.perception.encoder
    latent = agent.task.perception.kind == "latent"
    assert inside == (str(copied / "encoder") if latent else None)
    assert (agent.encoder is not None) == latent
    # Without its loaded encoder, the task finds it in the folder.
    if agent.encoder is not None:
        assert not any(p.requires_grad for p in agent.encoder.parameters())


def test_the_manifest_tells_what_was_trained(folder: Path) -> None:
    manifest = load_agent(folder).manifest
    assert manifest["steps"] == 256 and manifest["seconds"] > 0
    assert manifest["preset"] == "pendulum" and manifest["n_envs"] == 2
    assert manifest["sensor_dropout"] == "none" and manifest["seed"] == 0
    libraries = {"torch", "stable-baselines3", "gymnasium", "numpy", "nexus_rl"}
    if manifest["algo"] == "recurrent_ppo":
        libraries.add("sb3-contrib")
    assert set(manifest["versions"]) == {"python", *libraries}
    assert manifest["versions"]["numpy"] == np.__version__
    files = {"policy_256.safetensors"}
    if manifest["task"]["perception"]["kind"] == "latent":
        files |= {"encoder/config.json", "encoder/model.safetensors"}
        assert manifest["task"]["perception"]["encoder"] == "encoder"
    assert set(manifest["files"]) == files


def test_an_agent_with_a_memory_is_evaluated_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short_config(Perception("state"), "recurrent_ppo", steps=128)
    train_agent(config, tmp_path / "agent")
    agent = load_agent(tmp_path / "agent")
    rows = evaluate_subsets(agent, "everything", 3, n_envs=2).rows
    for row in rows:
        venv = agent.make_vec_env(1, episode_seed(0, row["episode"]))
        found, _ = evaluate_policy(agent.policy, venv, 1, return_episode_rewards=True)
        assert row["return"] == pytest.approx(found[0], rel=1e-4)
        with pytest.raises(UserError, match="agent has a memory"):
            agent.predict(venv.reset())
        venv.close()
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)  # as if it were not there
    for use in (
        lambda: load_agent(tmp_path / "agent"),
        lambda: resume_agent(tmp_path / "agent", steps=256),
        lambda: train_agent(config, tmp_path / "other"),
    ):
        with pytest.raises(UserError, match=r"pip install nexus_rl\[contrib\]"):
            use()
    assert not (tmp_path / "other").exists()


def test_images_with_their_channels_last_are_no_obstacle(tmp_path: Path) -> None:
    task = Task("nexus_rl_tests/Photo-v0", perception=Perception("raw"))
    params = {"n_envs": 2, "n_steps": 16, "batch_size": 16}
    config = AgentConfig(task, params=params, steps=32, evaluate_every=0)
    train_agent(config, tmp_path / "agent")
    agent = load_agent(tmp_path / "agent")
    venv = agent.make_vec_env(3, 0)
    assert agent.predict(venv.reset()).shape == (3, 1)
    venv.close()


def test_a_missing_file_is_named(folder: Path, copied: Path) -> None:
    name = list(load_agent(folder).manifest["files"])[-1]
    (copied / name).unlink()
    with pytest.raises(UserError, match=f"is incomplete: no {name}"):
        load_agent(copied)


def test_a_changed_file_is_refused(folder: Path, copied: Path) -> None:
    name = list(load_agent(folder).manifest["files"])[-1]
    content = bytearray((copied / name).read_bytes())
    content[-1] ^= 1  # the size stays
    (copied / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is not the file that agent.json"):
        load_agent(copied)


@pytest.mark.parametrize("guarded", [True, False])
def test_damage_is_refused_by_name(
    mine: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an older agent.json it may be silent, but breaks nothing."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    damage = importlib.import_module("reliability_damage").damage
    shutil.rmtree(mine / "training" / "tensorboard")
    (mine / "training" / "model.zip").unlink()
    if not guarded:
        for path in (mine / "agent.json", mine / "training" / "run.json"):
            path.write_text(json.dumps(read_json(path, "agent")))

    def load(folder: Path) -> Any:
        agent, config = load_agent(folder), read_config(folder)
        return [agent.manifest, config.to_json(), agent.policy.state_dict()]

    harmless = {"same", "refused", *([] if guarded else ["silent", "unnamed"])}
    for name, outcomes in damage(mine, load, 10, 0).items():
        assert outcomes.keys() <= harmless, name
        assert outcomes["refused"] > 1


def test_files_of_other_folders_are_not_read(mine: Path, tmp_path: Path) -> None:
    (name,) = read_manifest(mine)["files"]
    content = (mine / name).rename(tmp_path / "outside.safetensors")
    for other in ("../outside.safetensors", str(content), "x" * 300):
        change(mine, lambda m, other=other: m.update(files={other: {"size": 0}}))
        with pytest.raises(UserError, match="leads out of"):
            load_agent(mine)


def change(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = read_json(folder / "agent.json", "agent")
    change(manifest)
    write_json(folder / "agent.json", manifest)


def test_a_file_that_is_not_listed_is_not_read_unchecked(copied: Path) -> None:
    name = list(load_agent(copied).manifest["files"])[-1]
    change(copied, lambda manifest: manifest["files"].pop(name))
    with pytest.raises(UserError, match=r"is incomplete: no .* in its files"):
        load_agent(copied)


def test_no_encoder_is_taken_from_elsewhere(tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "model")
    train_agent(short_config(Perception(encoder=other), steps=128), tmp_path / "agent")
    for elsewhere in (other, "../model", "encoder/../../model"):
        told = {"encoder": elsewhere}
        change(tmp_path / "agent", lambda m, t=told: m["task"]["perception"].update(t))
        with pytest.raises(UserError, match=r"encoder is .*model', expected 'encoder'"):
            load_agent(tmp_path / "agent")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda m: m.update(format=2), "has format 2, expected 1"),
        (lambda m: m.pop("format"), "has format None, expected 1"),
        (lambda m: m.pop("policy"), "is incomplete: no policy"),
        (lambda m: m["policy"].pop("kwargs"), "no kwargs in its policy"),
        (lambda m: m["policy"]["kwargs"].update(a=1), "was changed, in its policy"),
        (lambda m: m["task"].pop("env"), "is incomplete: no env in its task"),
        (lambda m: m["task"]["perception"].update(x=1), "was changed, in its task"),
        (
            lambda m: m["interface"].update(observations="Box float32 [4] in [-1, 1]"),
            r"environment of .* has changed.* observations are now Box float32 \[3\]",
        ),
        (
            lambda m: m["interface"]["formats"].update(image="2 frames, binary"),
            "its formats are now .*anti-aliased",
        ),
        (
            lambda m: m["task"].update(env="nexus_rl/HyperHot-v0", env_kwargs={}),
            "its observations are now",
        ),
        (lambda m: m["task"].update(env="nexus_rl/Gone-v0"), "cannot make environment"),
        (
            lambda m: m["policy"]["kwargs"].update(net_arch=[5]),
            "does not fit the policy",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    mine: Path, changed: Callable[[dict[str, Any]], Any], said: str
) -> None:
    change(mine, changed)
    with pytest.raises(UserError, match=said):
        load_agent(mine)


def test_other_versions_of_what_lets_it_act_are_told_of(
    mine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = load_agent(mine).manifest["versions"]
    assert not caplog.records
    patch = ".".join([*now["gymnasium"].split(".")[:2], "999"])
    then = {"torch": "2.0.1", "gymnasium": patch, "numpy": "1.0.0", "python": "2.7.0"}
    change(mine, lambda manifest: manifest["versions"].update(then))
    load_agent(mine)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    said = f"was saved with torch 2.0.1 and is loaded with {now['torch']}"
    assert said in record.getMessage()


def test_a_folder_without_an_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no agent at"):
        load_agent(tmp_path)
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(UserError, match="not a readable agent"):
        load_agent(tmp_path)
