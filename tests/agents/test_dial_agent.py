"""Agents at a dial: eyes, ears and pen that fail, and a pointer that does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dial_world import write_mhd

from agents import (
    Agent,
    AgentConfig,
    Condition,
    Perception,
    RandomAgent,
    Task,
    conditions_of,
    evaluate_subsets,
    load_agent,
    make_vec_env,
    train_agent,
)
from nexus_rl import UserError, load_model, make_model
from nexus_rl.environments import make_env
from nexus_rl.files import read_json
from nexus_rl.modality import PAPER
from nexus_rl.presets import PRESETS, default_preset
from nexus_rl.spaces import modalities_from_env
from nexus_rl.wrappers import Bernoulli, Fixed

DIAL = "nexus_rl/DigitDial-v0"
SENSORS = ("image", "sound", "trajectory")
POINTER = ("position",)
SIZE = 4  # of the latent
NOTHING = Condition("nothing", Fixed(()), 0)
HALF = Condition("half", Bernoulli(0.5))
KINDS = {
    "raw": Perception("raw", mask=True),
    "latent": Perception("latent", mask=True, append=POINTER, absent=("label",)),
}


@pytest.fixture(scope="module")
def kwargs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_mhd(tmp_path_factory.mktemp("data"))
    return {"folder": folder, "max_episode_steps": 30}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of MHD's four modalities."""
    folder = tmp_path_factory.mktemp("encoder") / "model"
    model = make_model("nexus", [*PAPER.values()], width=16, latent_dim=SIZE, seed=1)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=KINDS)
def task(request: pytest.FixtureRequest, kwargs: dict[str, Any], encoder: str) -> Task:
    seen = KINDS[request.param]
    if seen.kind == "latent":
        seen = replace(seen, encoder=encoder)
    return Task(DIAL, kwargs, seen, POINTER)


def config(task: Task, **options: Any) -> AgentConfig:
    params = {"n_envs": 2, "n_steps": 32, "batch_size": 32, "n_epochs": 1}
    options = {"evaluate_every": 0, "steps": 64, **options}
    return AgentConfig(task, params=params, **options)


@pytest.fixture(scope="module")
def trained(
    kwargs: dict[str, Any], encoder: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of an agent that sees latents. Do not write into it."""
    seen = replace(KINDS["latent"], encoder=encoder)
    folder = tmp_path_factory.mktemp("trained") / "agent"
    options = {"evaluate_every": 64, "evaluate_episodes": 1}
    dropout = "episode:0.3+markov:0.05,0.2"
    settings = config(Task(DIAL, kwargs, seen, POINTER), **options)
    train_agent(replace(settings, sensor_dropout=dropout), folder)
    return folder


def pointer(task: Task, observations: Any) -> Any:
    if task.perception.kind == "latent":
        return observations[:, SIZE : SIZE + 2]
    return observations["position"]


def told(task: Task, observations: Any) -> Any:
    """Which of the sensors are there, (N, 3), and whether the pointer is: (N,)."""
    if task.perception.kind == "latent":  # image, trajectory, sound; position
        mask = observations[:, SIZE + 2 :]
        return mask[:, [0, 2, 1]], mask[:, 3]
    mask = observations["available"]  # by the alphabet
    return mask[:, [0, 2, 3]], mask[:, 1]


@pytest.mark.parametrize("condition", [None, HALF, NOTHING], ids=str)
def test_the_pointer_is_there_whatever_fails(
    task: Task, condition: Condition | None
) -> None:
    venv = make_vec_env(task, 2, 0, condition=condition)
    plain = make_vec_env(replace(task, perception=Perception("raw")), 2, 0)
    observations, true = venv.reset(), plain.reset()
    for _ in range(35):  # also after the end of an episode
        np.testing.assert_array_equal(pointer(task, observations), true["position"])
        others, there = told(task, observations)
        assert (there == 1).all()
        if condition is not HALF:
            assert (others == (0 if condition else 1)).all()
        actions = np.array([0, 2])
        observations, true = venv.step(actions)[0], plain.step(actions)[0]
    venv.close()
    plain.close()


def test_the_latent_is_that_of_the_sensors_alone(
    kwargs: dict[str, Any], encoder: str
) -> None:
    seen = Perception("latent", encoder, append=POINTER, absent=("label",))
    task = Task(DIAL, kwargs, seen, POINTER)
    only = Condition("only", Fixed(("sound",)))
    venv = make_vec_env(task, 1, 0, condition=only)
    plain = make_vec_env(replace(task, perception=Perception("raw")), 1, 0)
    latent, shown = venv.reset()[0], plain.reset()
    expected = load_model(encoder).encode({"sound": torch.from_numpy(shown["sound"])})
    np.testing.assert_allclose(latent[:SIZE], expected[0].detach(), rtol=1e-4)


def test_conditions_are_about_sensors_that_may_fail(kwargs: dict[str, Any]) -> None:
    known = conditions_of(DIAL, kwargs, POINTER)
    missing = {name for name, each in known.items() if each.group == "missing"}
    assert len(missing) == 6
    assert {f"no_{name}" for name in SENSORS} < missing
    assert not [name for name in known if "position" in name]
    assert [name for name in conditions_of(DIAL, kwargs) if "position" in name]
    with pytest.raises(UserError, match="Did you mean 'position'"):
        conditions_of(DIAL, kwargs, ["positon"])


def test_all_agents_meet_the_same_outages(trained: Path) -> None:
    agent = load_agent(trained)
    raw = RandomAgent(agent.task)
    assert raw.task.reliable == POINTER
    names = ["missing", "bernoulli_50", "blackout_5"]
    rows = [
        evaluate_subsets(each, names, episodes=2, n_envs=2).rows
        for each in (agent, raw)
    ]
    for one, other in zip(*rows, strict=True):
        assert one["available"] == other["available"]
        assert one["available"]["position"] == 1
        assert min(one["available"].values()) < 1


def test_what_is_periodically_evaluated(trained: Path) -> None:
    text = (trained / "training" / "evaluations.jsonl").read_text()
    tested = [json.loads(line)["condition"] for line in text.splitlines()]
    assert tested == ["everything", "no_image", "no_sound", "no_trajectory"]


def test_a_saved_agent_sees_the_same(trained: Path, encoder: str) -> None:
    agent = load_agent(trained)
    seen = agent.task.perception
    assert (seen.append, seen.absent) == (POINTER, ("label",))
    assert agent.task.reliable == POINTER
    assert agent.task.perception.encoder == str(trained / "encoder")
    before = replace(agent.task, perception=replace(seen, encoder=encoder))
    shown = [
        make_vec_env(task, 2, 3, condition=HALF).reset()
        for task in (agent.task, before)
    ]
    np.testing.assert_array_equal(*shown)
    actions = agent.predict(shown[0])
    assert set(actions.tolist()) <= {0, 1, 2}


def test_other_recordings_may_be_shown(trained: Path) -> None:
    train, test = load_agent(trained), load_agent(trained, {"split": "test"})
    assert test.task.env_kwargs == {**train.task.env_kwargs, "split": "test"}
    shown = [
        each.make_vec_env(1, 0).get_attr("recordings")[0].labels
        for each in (train, test)
    ]
    assert [len(labels) for labels in shown] == [60, 30]
    rows = evaluate_subsets(test, ["everything"], episodes=1)
    assert rows.env_kwargs["split"] == "test"


def test_changes_that_are_another_environment_are_refused(trained: Path) -> None:
    with pytest.raises(UserError):
        load_agent(trained, {"hold": 0})
    with pytest.raises(UserError):
        load_agent(trained, {"data": "mnist"})


def test_agents_that_were_saved_before_still_load(
    trained: Path, tmp_path: Path
) -> None:
    """Those whose settings have no word of appended, absent or reliable sensors."""
    shutil.copytree(trained, tmp_path / "old")
    path = tmp_path / "old" / "agent.json"
    manifest = read_json(path, "agent")
    old = manifest["task"]
    assert old.pop("reliable") == ["position"]
    assert old.pop("ignore") == []
    assert old["perception"].pop("append") == ["position"]
    assert old["perception"].pop("absent") == ["label"]
    assert Task.from_json(old).perception == Perception("latent", "encoder", mask=True)
    path.write_text(json.dumps(manifest))
    # It is read, and then refused, for the model does not fit without them.
    with pytest.raises(UserError, match=r"absent=\['label'\]"):
        load_agent(tmp_path / "old")


def test_the_dial_itself_can_be_learned(kwargs: dict[str, Any]) -> None:
    """Its preset says what its space does not: the pointer is a sensor like others."""
    env = make_env(DIAL, kwargs)
    found = modalities_from_env(env, **PRESETS[default_preset(DIAL)].sensors)
    kinds = {modality.name: modality.kind for modality in found}
    assert kinds == {
        **{"image": "image", "trajectory": "vector"},
        **{"sound": "spectrogram", "position": "vector"},
    }
    same = {n: PAPER[n] for n in SENSORS}
    for modality in found[:1] + found[2:]:  # all but the position
        paper = same[modality.name]
        assert (modality.likelihood, modality.weight, modality.top_weight) == (
            *(paper.likelihood, paper.weight, paper.top_weight),
        )
    env.close()


@pytest.mark.parametrize("option", ["append", "absent"])
def test_only_latents_have_something_appended(option: str) -> None:
    with pytest.raises(UserError, match="append and absent are for latents"):
        Perception("raw", **{option: ("position",)})


def test_learning_goes_on(task: Task, tmp_path: Path) -> None:
    """Raw pictures, spectrograms and strokes, or latents and the pointer."""
    folder = tmp_path / "agent"
    assert train_agent(config(task), folder).steps == 64
    assert isinstance(load_agent(folder), Agent)
