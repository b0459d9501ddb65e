"""The comparison of agents at the dial, whose encoders learn from MHD: a tiny one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mhd_world import sounds_in, write_strokes
from script_runs import SCRIPTS, read

from agents import load_agent
from nexus_rl import load_model
from nexus_rl.data import load_dataset
from nexus_rl.data.mhd.build import Options, build
from nexus_rl.presets import PRESETS, TopConfig

ROWS = ("oracle", "raw", "nexus", "nexus_unlabelled")
DIGITS = PRESETS["digits"]
QUICK = replace(
    DIGITS,
    train=replace(DIGITS.train, epochs=1),
    top=TopConfig(2),
    alone_epochs=2,
)
PARAMS = {"n_envs": 4, "n_steps": 128, "batch_size": 128, "n_epochs": 5}


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(SCRIPTS))  # as Python does for a script
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MHD, in ``mhd``, and what was made of it. Do not write into it."""
    root = tmp_path_factory.mktemp("dial")
    strokes = write_strokes(root / "strokes.txt")
    build(root / "mhd", strokes, sounds_in(root / "sounds"), Options(100, 40))
    return root


@pytest.fixture(scope="module")
def plan(folder: Path) -> Any:
    rows = importlib.import_module("agent_rows")
    known = rows.EXPERIMENTS["digitdial"]

    class Tiny(rows.Experiment):  # type: ignore[misc, name-defined]
        """The oracle becomes better than random actions; others learn once."""

        def config(self, row: str, seed: int, encoder: str | None) -> Any:
            steps = 12_000 if row == "oracle" else 1
            config = super().config(row, seed, encoder)
            return replace(config, steps=steps, params=PARAMS, evaluate_episodes=2)

    kwargs = {"folder": str(folder), "max_episode_steps": 25}
    changes = {
        "env_kwargs": {**known.env_kwargs, **kwargs},
        "encoder_preset": "quick",
    }
    return Tiny(**{**vars(known), **changes})


@pytest.fixture(scope="module")
def made(folder: Path, plan: Any) -> Path:
    """Where the tiny experiment was made. Do not write into it."""
    rows, script = map(importlib.import_module, ("agent_rows", "reproduce_agents"))
    given = ["reproduce_agents.py", "tiny", "--episodes", "2", "--seeds", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rows.EXPERIMENTS, "tiny", plan)
        patch.setitem(PRESETS, "quick", QUICK)
        patch.setattr(sys, "argv", [*given, "--rows", *ROWS])
        patch.chdir(folder)
        script.main()
        encoders = importlib.import_module("agent_encoders")
        encoders.train_encoder(plan, "mvae", 0, Path("runs/agents/tiny"), False)
    return folder


def results(folder: Path) -> dict[str, Any]:
    return {p.stem: read(p) for p in (folder / "results/agents_tiny").glob("*.json")}


def test_all_are_measured_on_recordings_of_the_test(made: Path) -> None:
    found = results(made)
    assert found.keys() == {"random", *(f"{row}_seed0" for row in ROWS)}
    assert {run["env_kwargs"]["split"] for run in found.values()} == {"test"}
    for row in ("raw", "nexus"):
        agent = load_agent(made / f"runs/agents/tiny/agents/{row}_seed0")
        assert agent.task.env_kwargs["split"] == "train"


def test_the_pointer_never_fails_and_all_else_does(made: Path) -> None:
    found = results(made)
    raw, nexus = (found[f"{row}_seed0"]["conditions"] for row in ("raw", "nexus"))
    assert raw.keys() == nexus.keys()
    assert not [name for name in raw if "position" in name]
    assert {"only_sound", "no_sound", "only_image_trajectory"} - raw.keys() == {
        "only_image_trajectory"  # it lacks one sensor, and is named by that
    }
    for name, condition in raw.items():
        assert condition["available"] == nexus[name]["available"]
        assert all(told["position"] == 1 for told in condition["available"])


def test_encoders_stand_on_the_same_bottoms(made: Path) -> None:
    encoders = made / "runs/agents/tiny/encoders"
    assert {p.name for p in encoders.iterdir()} == {
        *("bottoms_seed0", "bottom_sound_seed0", "nexus_seed0", "mvae_seed0"),
        "nexus_unlabelled_seed0",
    }
    sound, others = (
        load_model(encoders / name) for name in ("bottom_sound_seed0", "bottoms_seed0")
    )
    for name in ("nexus", "nexus_unlabelled", "mvae"):
        model = load_model(encoders / f"{name}_seed0")
        assert [m.name for m in model.modalities] == [
            *("image", "trajectory", "sound"),
            *(["label"] if name != "nexus_unlabelled" else []),
        ]
        for modality in model.modalities:
            source = sound if modality.name == "sound" else others
            weights = source.bottoms[modality.name].state_dict()
            for key, weight in model.bottoms[modality.name].state_dict().items():
                assert torch.equal(weight, weights[key])


def test_a_sound_is_learned_once_however_often_it_is_paired(made: Path) -> None:
    data = load_dataset("mhd", made)
    run = read(made / "runs/agents/tiny/encoders/bottom_sound_seed0/run.json")
    heard = {row.numpy().tobytes() for row in data.train["sound"]}
    assert run["trained"]["rows"] == len(heard) < 100
    assert run["train"]["epochs"] == 2
    below = read(made / "runs/agents/tiny/encoders/bottoms_seed0/run.json")
    assert below["trained"]["rows"] == 100
    assert below["train"]["epochs"] == 1


def test_the_page_tells_what_was_shown(made: Path) -> None:
    page = (made / "results/agents_tiny.md").read_text()
    assert "saw the training split of mhd and no rewards. They learned to tell" in page
    assert "window_image_20_25" in page and "window_image_100_50" not in page
    assert "measured on the split 'test'" in page
    assert "| Nexus |" in page
