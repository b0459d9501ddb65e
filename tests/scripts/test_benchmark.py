"""The benchmark, with so little of everything that its figures mean nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from dial_world import write_mnist
from mhd_world import sounds_in, write_strokes
from script_runs import SCRIPTS, Finished, Script, error_line, load_script, read

from envs import digit_data

QUICK = ["--rounds", "1", "--evaluation-items", "20", "--device", "cpu"]
CPU = torch.device("cpu")


def benchmark(folder: Path, *arguments: object) -> Finished:
    """Runs ``benchmark.py`` where MNIST is the only data set."""
    if not (folder / "data").exists():
        write_mnist(folder / "data")
    places = {"NEXUS_RL_DATA": folder / "data", "XDG_CACHE_HOME": folder / "cache"}
    environment = {name: str(place) for name, place in places.items()}
    return Script("benchmark.py", [*QUICK, *arguments], folder, environment).finish()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = ("growth", "envs", "evaluation", "learning")
    yield {f"benchmark_{name}": load_script(f"benchmark_{name}.py") for name in names}


def test_chosen_sections_are_measured_and_told(tmp_path: Path) -> None:
    sections = ["--sections", "environments", "evaluation"]
    done = benchmark(tmp_path, *sections, "--out", "found.json")
    assert done.code == 0, done.said
    found, page = read(tmp_path / "found.json"), (tmp_path / "found.md").read_text()
    assert page in done.said and "Medians of 1 rounds" in page
    assert found.keys() == {"machine", "device", "environments", "evaluation"}
    speeds = found["environments"]["steps_per_second"]
    assert list(speeds)[-1] == "DigitDial-v0 (mnist)" and min(speeds.values()) > 0
    told = found["evaluation"]
    assert (told["items"], told["samples"]) == (20, 10)
    two, four = told["evaluations"].items()
    assert two[0] == "image, label" and four[0] == "image, trajectory, sound, label"
    assert (two[1]["subsets"], two[1]["directions"]) == (3, 6)
    assert (four[1]["subsets"], four[1]["directions"]) == (15, 60)
    assert 0 < two[1]["seconds"] < four[1]["seconds"]
    assert f"| image, label | 3 | 6 | {two[1]['seconds']} |" in page


def test_building_is_timed_where_there_are_sources(tmp_path: Path) -> None:
    section = ["--sections", "build", "--build-samples", "60"]
    told = error_line(benchmark(tmp_path, *section))
    assert "build_mhd.py failed: " in told and "ujipenchars2" in told
    data = tmp_path / "data"
    for name in ("ujipenchars2", "fsdd"):
        (data / name).mkdir()
    write_strokes(data / "ujipenchars2" / "ujipenchars2.txt")
    sounds_in(data / "fsdd")
    (data / "fsdd" / "words").rename(data / "speech_commands")
    done = benchmark(tmp_path, *section, "--out", "found.json")
    assert done.code == 0, done.said
    found = read(tmp_path / "found.json")["build"]
    assert found["samples"] == 60 and found["seconds"] > 0
    assert 100 < found["peak_mb"] < 2000


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "rounds must be at least 1" in error_line(benchmark(tmp_path, "--rounds", 0))
    refused = error_line(benchmark(tmp_path, "--evaluation-items", "19"))
    assert "evaluation_items must be at least 20, got 19" in refused


def test_the_dial_is_left_out_without_recordings(
    tmp_path: Path,
    parts: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(digit_data, "USUAL", {})
    with caplog.at_level(logging.INFO):
        assert parts["benchmark_envs"].recordings() is None
    assert "DigitDial-v0 is left out: no recordings of mhd, mnist" in caplog.text
    write_mnist(tmp_path)
    assert parts["benchmark_envs"].recordings() == "mnist"


def test_growth_tells_how_often_it_was_measured(
    parts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    growth = parts["benchmark_growth"]
    monkeypatch.setattr(growth, "COUNTS", (2, 4))
    monkeypatch.setattr(growth, "MOST", {"nexus": 4, "mvae": 2})
    found = growth.measure(3, 0, CPU)
    times = found["step_ms"]
    assert {name: list(by) for name, by in times.items()} == {
        "nexus": ["2", "4"],
        "mvae": ["2"],
    }
    assert all(ms > 0 for by in times.values() for ms in by.values())
    page = growth.table(found)
    assert "medians of 3 steps" in page
    assert f"| mvae | {times['mvae']['2']} |  |" in page


def test_evaluations_are_of_the_papers_shapes(parts: dict[str, ModuleType]) -> None:
    evaluation = parts["benchmark_evaluation"]
    names = evaluation.MODALITIES["paper_four"]
    dataset = evaluation.made_up(names, 30, seed=0)
    assert {name: tuple(x.shape) for name, x in dataset.test.items()} == {
        "image": (30, 1, 28, 28),
        "trajectory": (30, 200),
        "sound": (30, 1, 32, 128),
        "label": (30,),
    }
    assert dataset.test["label"].bincount().tolist() == [3] * 10


def test_agents_learn_from_all_that_is_compared(
    parts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = parts["benchmark_learning"]
    monkeypatch.setattr(learning, "STEPS", {"ppo": 256, "sac": 4})
    found = learning.measure(1, 0, CPU)
    speeds = found["steps_per_second"]
    ways = [learning.LATENTS, learning.SMALL, learning.NATURE]
    assert all(list(by_way) == ways for by_way in speeds.values())
    assert list(speeds) == ["PPO", "PPO, 16 copies", "SAC"]
    speeds["SAC"] = dict(zip(ways, (1000.0, 250.0, 8.0), strict=True))
    page = learning.table(found)
    assert "1 rounds of 256 (PPO) and 4 (SAC) steps" in page
    told = page.splitlines()[-3:]
    for line, cell in zip(told, ("1,000 (1.0)", "250 (4.0)", "8 (125.0)"), strict=True):
        assert line.endswith(f"| {cell} |")
