"""The soak tests in small; and that they would see what they look for."""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(SCRIPTS)
    return lambda name: importlib.import_module(f"reliability_{name}")


def test_training_that_is_killed_loses_nothing(load: Load, tmp_path: Path) -> None:
    found = load("kills").kill("ppo", 2, 0, tmp_path)
    assert found["kills"] == sum(found["stages"].values()) == 2
    assert found["lost"] == []


def test_work_that_forgets_is_found_out(load: Load, tmp_path: Path) -> None:
    kills = load("kills")

    def run(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        again = (folder / "begun").exists()
        (folder / "begun").touch()
        (folder / "result").write_text("again" if again else "once")
        kills.time.sleep(0.3)

    def result(folder: Path) -> str:
        return (folder / "result").read_text()

    kills.WORKS["forgetful"] = kills.Work(run, lambda _: 0, lambda _: "", result)
    lost = kills.kill("forgetful", 2, 0, tmp_path)["lost"]
    del kills.WORKS["forgetful"]
    assert lost and all("differs" in text for text in lost)


def test_no_noise_behind_a_mask_is_read(load: Load) -> None:
    found = load("noise").noise("mopoe", 600, 1)
    assert found["observations"] == 600 and found["lost"] == []


def test_noise_that_is_read_is_found(load: Load) -> None:
    def encode(batch: dict[str, Any], _: torch.Tensor) -> torch.Tensor:
        return sum(x.double().reshape(len(x), -1).sum(1) for x in batch.values())

    leaky = SimpleNamespace(generative=False, encode=encode)
    rng = np.random.default_rng(0)
    assert load("noise")._calls(leaky, "huge", rng) == ["encode"]


def test_damaged_models_are_refused(load: Load, tmp_path: Path) -> None:
    found = load("files").damaged("model", 3, 0, tmp_path)
    assert [*found["files"]] == ["config.json", "model.safetensors"]
    assert found["lost"] == []


def test_forged_models_are_refused(load: Load, tmp_path: Path) -> None:
    found = load("hostile").hostile("model", tmp_path)
    assert len(found["cases"]) > 5 and found["lost"] == []


@pytest.mark.parametrize(
    ("harm", "seen"),
    [
        (lambda folder: pickle.loads((folder / "x").read_bytes()), "code was run"),
        (lambda folder: [][1], "IndexError"),
        (lambda folder: None, "taken"),
    ],
)
def test_harm_is_seen(load: Load, tmp_path: Path, harm: Any, seen: str) -> None:
    hostile = load("hostile")
    hostile._pickle("x")(tmp_path)
    assert hostile.attempt(harm, tmp_path)["outcome"].startswith(seen)


def test_the_page_is_that_of_the_json(load: Load, tmp_path: Path) -> None:
    """Of the committed one, and of one that tells of a loss."""
    root, page = SCRIPTS.parent, load("page")
    found = json.loads((root / "results" / "reliability.json").read_text())
    found.pop("content_sha256")
    page.write_page(found, tmp_path / "page.md")
    committed = (root / "docs" / "reliability.md").read_text()
    assert (tmp_path / "page.md").read_text() == committed
    found["noise"]["parts"]["gmc"]["lost"].append("gmc: nan in encode")
    page.write_page(found, tmp_path / "page.md")
    assert "- gmc: nan in encode" in (tmp_path / "page.md").read_text().splitlines()
