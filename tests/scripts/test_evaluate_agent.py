"""The command line that measures agents while their sensors fail."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from agent_folders import PENDULUM, SHORT, save_tiny
from script_runs import (
    Finished,
    Script,
    error_line,
    from_shell,
    load_script,
    read,
    wait_until,
)

from agents.bundle import load_agent
from agents.evaluation import RandomAgent, evaluate_subsets
from agents.report import page
from agents.report import read as read_report
from agents.scores import Scores
from nexus_rl.errors import UserError

QUICK = ["--conditions", "missing", "bernoulli_50", "--episodes", "2"]
CONDITIONS = 33  # of two sensors, in episodes that end before a window begins


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with agents. Do not write into them."""
    folder = tmp_path_factory.mktemp("agents")
    save_tiny(folder / "a", seed=0)
    save_tiny(folder / "b", seed=1)
    save_tiny(folder / "again", seed=0)
    save_tiny(folder / "further", seed=2, steps=8)
    save_tiny(folder / "state", sees="state")
    save_tiny(folder / "longer", env_kwargs={**SHORT, "max_episode_steps": 30})
    return folder


def evaluate(folder: Path, *arguments: object) -> Finished:
    """Runs ``evaluate_agent.py`` in ``folder`` to its end."""
    return Script("evaluate_agent.py", arguments, folder).finish()


@pytest.fixture(scope="module")
def evaluate_agent() -> ModuleType:
    return load_script("evaluate_agent.py")


@pytest.fixture(scope="module")
def done(home: Path) -> Finished:
    """The evaluation of both agents as one, beside random and oracle, in "found"."""
    options = ["--random", "--oracle", "state", "--out", "found", "--seeds", "3", "4"]
    return evaluate(home, "both=a", "both=b", *QUICK, *options)


def test_several_agents_beside_random_and_oracle(home: Path, done: Finished) -> None:
    assert done.code == 0, done.said
    found = read_report(home / "found")
    assert page(found) in done.said
    assert found.methods == {
        **{"both": ("both_1", "both_2")},
        **{"oracle": ("oracle",), "random": ("random",)},
    }
    names = ["everything", "no_image", "no_sound", "bernoulli_50"]
    assert list(found.conditions) == names
    for agent, expected in (("both_1", names), ("oracle", names[:1])):
        rows = [row for row in found.rows if row["agent"] == agent]
        assert list(dict.fromkeys(row["condition"] for row in rows)) == expected
        assert len(rows) == len(expected) * 4  # two episodes of two seeds
    scores = Scores(found)
    assert scores.random is not None and scores.oracle is not None
    best = scores.of("both", "no_image")
    assert best is not None and best.returns.count == 2
    assert "over training seeds (both 2)" in done.said and "[-" in done.said
    files = {path.name for path in (home / "found").iterdir()}
    assert files == {
        *("evaluation.json", "evaluation.csv", "evaluation.md"),
        *("returns.png", "drop_rates.png"),
    }


def test_the_numbers_are_those_of_the_library(home: Path, done: Finished) -> None:
    rows = read_report(home / "found").rows
    agent = replace(load_agent(home / "b"), name="both_2")
    for player in (agent, RandomAgent(agent.task)):
        mine = [row for row in rows if row["agent"] == player.name]
        names = list(dict.fromkeys(row["condition"] for row in mine))
        assert evaluate_subsets(player, names, 2, (3, 4)).rows == tuple(mine)


def test_one_agent_keeps_its_results_unless_told_otherwise(tmp_path: Path) -> None:
    save_tiny(tmp_path / "alone")
    options = ["alone", "--conditions", "everything", "--episodes", "1"]
    first = evaluate(tmp_path, *options)
    assert first.code == 0, first.said
    path = tmp_path / "alone" / "evaluation" / "evaluation.json"
    before = path.read_bytes()
    assert "no intervals" in first.said and "ormalised" not in first.said
    assert "alone/evaluation/evaluation.md" in first.said
    more = [*options[:-1], "2"]
    error = error_line(evaluate(tmp_path, *more))
    assert "exists" in error and "--overwrite" in error
    assert path.read_bytes() == before
    assert evaluate(tmp_path, *more, "--overwrite").code == 0
    assert read(path)["episodes"] == 2
    load_agent(tmp_path / "alone")  # is as whole as before


def test_an_interrupted_evaluation_goes_on(home: Path, tmp_path: Path) -> None:
    options = [home / "a", "--episodes", "20", "--out", "found"]
    running = Script("evaluate_agent.py", options, tmp_path)
    parts = tmp_path / "found" / "parts" / "a"
    wait_until(lambda: len(list(parts.glob("*.json"))) >= 3, 60)
    running.send(signal.SIGINT)
    assert running.finish().code == 130
    assert not (tmp_path / "found" / "evaluation.json").exists()
    kept = {path.stem for path in parts.glob("[!.]*.json")}
    assert 3 <= len(kept) < CONDITIONS
    # A mark in what was measured shows whether it is measured again.
    path = parts / "no_image.json"
    part = read(path)
    inside = json.loads(part["evaluation"])
    del inside["content_sha256"]
    inside["rows"][5]["return"] = 12345.0
    path.write_text(json.dumps({**part, "evaluation": json.dumps(inside)}))
    # With other options it would be another evaluation.
    other = error_line(evaluate(tmp_path, *options[:2], "3", "--out", "found"))
    assert "unfinished evaluation" in other and "--overwrite" in other
    assert evaluate(tmp_path, *options).code == 0
    rows = read_report(tmp_path / "found").rows
    assert len(rows) == CONDITIONS * 20
    assert [row["return"] for row in rows].count(12345.0) == 1
    assert not (tmp_path / "found" / "parts").exists()


def test_mistakes_are_one_line(home: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        error = error_line(evaluate(tmp_path, *arguments, "--out", "found"))
        assert not (tmp_path / "found").exists()
        return error

    error = refused(home / "a", "--conditions", "no_imag")
    assert "unknown condition 'no_imag'. Did you mean 'no_image'?" in error
    assert "no agent at" in refused(tmp_path)
    assert "episodes must be an integer of at least 1" in refused(
        home / "a", "--episodes", "0"
    )
    error = refused(home / "a", home / "longer", *QUICK)
    assert "different environments do not compare" in error
    assert f"{PENDULUM} image_size=16 max_episode_steps=30 that of longer" in error
    assert "given 2 times" in refused(f"x={home}/a", f"x={home}/a")
    assert "no agents" in refused()
    error = refused(home / "a", "--oracle", home / "b")
    assert "an oracle sees the true state, but that of --oracle sees raw" in error
    error = refused(f"x={home}/a", f"x={home}/again")
    assert "'x' were trained from one seed" in error
    error = refused(f"x={home}/a", f"x={home}/further")
    assert "'x' differ by more than their seed, in their steps" in error


def test_agents_of_one_name_have_encoders_alike(
    evaluate_agent: ModuleType, tmp_path: Path
) -> None:
    def check(folder: str, **options: Any) -> None:
        save_tiny(tmp_path / folder, seed=1, **options)
        agents = [load_agent(tmp_path / each) for each in ("first", folder)]
        evaluate_agent.check_method("x", agents)

    save_tiny(tmp_path / "first", seed=0, name="nexus")
    check("other seed", name="nexus")
    for folder, beta in (("mvae", 1.0), ("nexus", 0.5)):
        with pytest.raises(UserError, match=r"'x' differ by .* in their encoder: name"):
            check(folder, name=folder, beta=beta)


def test_names_and_folders(evaluate_agent: ModuleType, tmp_path: Path) -> None:
    def names(*texts: str) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = evaluate_agent.read_methods(texts)
        return found

    assert names("runs/a", "x=runs/b/") == [
        *(("a", Path("runs/a")), ("x", Path("runs/b/"))),
    ]
    # A folder's own name may hold "=", as those of environments with arguments do.
    folder = "runs/hyper_hot_enemies=2"
    assert names(folder) == [("hyper_hot_enemies=2", Path(folder))]
    assert names(f"x={folder}") == [("x", Path(folder))]
    same = names("x=one", "x=two")
    assert [name for name, _ in same] == ["x", "x"]
    for wrong in (("one/agent", "two/agent"), ("x=one/agent", "two/x")):
        with pytest.raises(UserError, match=r"2 agents are called .*NAME=FOLDER"):
            names(*wrong)
    for name in ("random", "oracle", "..", ""):
        with pytest.raises(UserError, match="cannot be called"):
            names(f"{name}=one")


def test_help_does_not_wait_for_torch() -> None:
    for script in ("evaluate_agent.py", "watch_agent.py"):
        path = Path(__file__).resolve().parents[2] / "scripts" / script
        code = (
            f"import sys, runpy; sys.argv = ['{script}', '--help']\n"
            f"try: runpy.run_path({str(path)!r}, run_name='__main__')\n"
            "except SystemExit as end: assert end.code == 0\n"
            "heavy = {'gymnasium', 'torch', 'stable_baselines3', 'PIL', 'pygame'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        done = from_shell("-c", code)
        assert done.returncode == 0, done.stderr
        assert "--conditions" in done.stdout


def test_results_are_json_without_surprises(home: Path, done: Finished) -> None:
    told: dict[str, Any] = read(home / "found" / "evaluation.json")
    assert (told["env"], told["env_kwargs"]) == (PENDULUM, SHORT)
    assert (told["episodes"], told["seeds"]) == (2, [3, 4])
