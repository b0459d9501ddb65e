"""The command line that compares agents whose sensors fail, on a tiny experiment."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_folders import PENDULUM, SHORT
from script_runs import PROCESSES, SCRIPTS, bottoms, equal, from_shell, read, wait_until

from agents import conditions_of, load_agent
from nexus_rl import UserError

PARAMS = {"n_envs": 4, "n_steps": 128, "batch_size": 128, "n_epochs": 5}
ROWS = ("--rows", "oracle", "raw", "raw_hold", "nexus", "nexus_plain", "--seeds", "1")


def run(folder: Path, *options: str, arguments: tuple[str, ...] = ROWS) -> None:
    """Runs the script in ``folder``, in this process, on a tiny experiment."""
    sys.path.insert(0, str(SCRIPTS))  # as Python does for a script
    script, rows = map(importlib.import_module, ("reproduce_agents", "agent_rows"))

    class Tiny(rows.Experiment):  # type: ignore[misc, name-defined]
        """The oracle becomes better than random actions; others learn once."""

        def config(self, row: str, seed: int, encoder: str | None) -> Any:
            steps = 12_000 if row == "oracle" else 1
            config = super().config(row, seed, encoder)
            return replace(config, steps=steps, params=PARAMS, evaluate_episodes=2)

    tiny = Tiny(
        PENDULUM,
        rows.EXPERIMENTS["pendulum"].rows,
        env_kwargs=SHORT,
        encoder_rows=300,
    )
    given = ["reproduce_agents.py", "tiny", "--episodes", "4", *arguments, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rows.EXPERIMENTS, "tiny", tiny)
        patch.setattr(sys, "argv", given)
        patch.chdir(folder)
        script.main()


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny experiment was made. Do not write into it."""
    folder = tmp_path_factory.mktemp("experiment")
    run(folder)
    return folder


def found(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: read(p) for p in (folder / "results/agents_tiny").glob("*.json")}


def times(folder: Path) -> dict[str, int]:
    """When each file was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in files}


def test_every_agent_leaves_its_episodes(made: Path) -> None:
    runs = found(made)
    assert runs.keys() == {"random", *(f"{row}_seed0" for row in ROWS[1:-2])}
    known = conditions_of(PENDULUM, SHORT)
    for name, run in runs.items():
        blind = name in ("random", "oracle_seed0")
        assert list(run["conditions"]) == (["everything"] if blind else list(known))
        assert (run["env"], run["env_kwargs"], run["episodes"]) == (PENDULUM, SHORT, 4)
        for condition, told in run["conditions"].items():
            assert told["group"] == known[condition].group
            assert told["length"] == [20] * 4 and len(told["return"]) == 4
    nexus = runs["nexus_seed0"]
    assert (nexus["title"], nexus["encoder"]) == ("Nexus", "nexus")
    assert nexus["perception"]["kind"] == "latent"
    assert nexus["conditions"]["no_image"]["available"] == [{"image": 0, "sound": 1}]
    assert len(nexus["conditions"]["bernoulli_50"]["available"]) == 4
    for name, steps in (("nexus_seed0", 512), ("oracle_seed0", 12_288)):
        assert runs[name]["steps"] == runs[name]["progress"][-1]["steps"] == steps


def test_rows_alike_share_a_policy_and_see_in_their_own_way(made: Path) -> None:
    runs, agents = found(made), made / "runs/agents/tiny/agents"
    assert not (agents / "raw_hold_seed0").exists()
    raw, hold = runs["raw_seed0"], runs["raw_hold_seed0"]
    assert (raw["perception"]["fill"], hold["perception"]["fill"]) == ("zero", "hold")
    assert raw["progress"] == hold["progress"] and hold["like"] == "raw"
    same = raw["conditions"]["everything"]["return"]
    assert hold["conditions"]["everything"]["return"] == same
    other = raw["conditions"]["bernoulli_50"]
    assert hold["conditions"]["bernoulli_50"]["available"] == other["available"]
    assert hold["conditions"]["bernoulli_50"]["return"] != other["return"]


def test_encoders_of_a_seed_share_data_and_bottoms(made: Path) -> None:
    home = made / "runs/agents/tiny"
    assert [path.name for path in (home / "data").iterdir()] == ["seed0"]
    encoders = sorted(path.name for path in (home / "encoders").iterdir())
    assert encoders == ["bottoms_seed0", "nexus_plain_seed0", "nexus_seed0"]
    shared = bottoms(home / "encoders/bottoms_seed0")
    for name, options in (("nexus", (0.5, 3.0)), ("nexus_plain", (0.0, 0.0))):
        folder = home / f"encoders/{name}_seed0"
        assert equal(bottoms(folder), shared)
        config = read(folder / "config.json")["model"]
        assert (config["rho"], config["align"]) == options
        agent = load_agent(home / f"agents/{name}_seed0")
        assert agent.manifest["encoder_from"].endswith(f"encoders/{name}_seed0")


def test_nothing_is_made_twice_and_the_page_needs_the_json_alone(
    made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "results/agents_tiny", tmp_path / "results/agents_tiny")
    before = times(tmp_path)
    run(tmp_path)
    assert not (tmp_path / "runs").exists()
    after = times(tmp_path)
    assert before.items() <= after.items()
    pages = after.keys() - before.keys()
    ends = (".md", *(f"_{name}.png" for name in ("scores", "returns", "drop_rates")))
    assert pages == {f"results/agents_tiny{end}" for end in ends}
    for name in pages:
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_the_page_tells_of_every_agent(made: Path) -> None:
    page = (made / "results/agents_tiny.md").read_text()
    tables = [line for line in page.splitlines() if line.startswith("| ")]
    assert tables[0] == (
        "| agent | seeds | everything | no_image | no_sound | bernoulli | bursts | "
        "blackout | corruption |"
    )  # no windows: episodes end before one begins
    assert tables[2] == "| true state | 1 | 1.00 |" + " – |" * 6
    titles = ["raw, zeros for missing", "Nexus", "Nexus, without FPD and alignment"]
    for title in (*titles, "raw, last reading for missing"):
        assert any(line.startswith(f"| {title} | 1 | ") for line in tables)
        learned = any(line.startswith(f"| {title} | 512 | ") for line in tables)
        assert learned == (title in titles)  # what is like another did not learn
    assert "without FPD and alignment (those that are compared here) | open |" in page
    assert "saw 300 simulated observations" in page and "\n4 episodes a" not in page
    assert "](agents_tiny_returns.png)" in page and "](agents_tiny_scores.png)" in page


def work(folder: Path, rows: tuple[str, ...]) -> None:
    with (folder / "said.txt").open("w") as said:
        sys.stdout = sys.stderr = said
        run(folder, arguments=("--rows", *rows, "--seeds", "1"))


def test_a_killed_run_goes_on(made: Path, tmp_path: Path) -> None:
    """It is killed when the agent is trained, and not measured."""
    results = tmp_path / "results/agents_tiny"
    results.mkdir(parents=True)
    for name in ("random.json", "oracle_seed0.json"):
        shutil.copy(made / "results/agents_tiny" / name, results)
    process = PROCESSES.Process(target=work, args=(tmp_path, ("raw",)), daemon=True)
    process.start()
    agent = tmp_path / "runs/agents/tiny/agents/raw_seed0"
    state = agent / "training/model.zip"
    wait_until(state.exists, 60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (results / "raw_seed0.json").exists()
    kept = ("agent.json", "training/model.zip", "policy_512.safetensors")
    before = times(agent)
    run(tmp_path, arguments=("--rows", "raw", "--seeds", "1"))
    after = times(agent)
    assert all(after[name] == before[name] for name in kept)  # not trained again
    again, once = found(tmp_path)["raw_seed0"], found(made)["raw_seed0"]
    assert again["conditions"] == once["conditions"]
    # Though killed in it, the last evaluation of training is there as well.
    told = [
        [(each["steps"], each["return"]) for each in run["progress"]]
        for run in (again, once)
    ]
    assert told[0] == told[1] and len(told[0]) == 1


# Killed before anything was kept, and while a first checkpoint was written.
@pytest.mark.parametrize("left", ["nothing", "settings"])
def test_a_begun_agent_is_finished(left: str, made: Path, tmp_path: Path) -> None:
    for part in ("results/agents_tiny", "runs/agents/tiny/agents/raw_seed0"):
        shutil.copytree(made / part, tmp_path / part)
    (tmp_path / "results/agents_tiny/raw_seed0.json").unlink()
    agent = tmp_path / "runs/agents/tiny/agents/raw_seed0"
    if left == "nothing":
        shutil.rmtree(agent)
    else:
        for path in (agent / "agent.json", agent / "training/model.zip"):
            path.unlink()
    run(tmp_path, arguments=("--rows", "raw", "--seeds", "1"))
    again, once = found(tmp_path)["raw_seed0"], found(made)["raw_seed0"]
    assert again["conditions"] == once["conditions"]


@pytest.mark.parametrize("other", ["hyperparameters", "task"])
def test_an_agent_of_other_settings_is_not_measured(
    other: str, made: Path, tmp_path: Path
) -> None:
    for part in ("results/agents_tiny", "runs/agents/tiny/agents/raw_seed0"):
        shutil.copytree(made / part, tmp_path / part)
    (tmp_path / "results/agents_tiny/raw_seed0.json").unlink()
    path = tmp_path / "runs/agents/tiny/agents/raw_seed0/agent.json"
    manifest = read(path)
    if other == "task":
        manifest["task"]["perception"]["mask"] = True
    else:
        manifest["hyperparameters"]["n_epochs"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"trained otherwise, its {other} was"):
        run(tmp_path, arguments=("--rows", "raw", "--seeds", "1"))
    assert not (tmp_path / "results/agents_tiny/raw_seed0.json").exists()


def test_an_agent_of_another_encoder_is_not_measured(
    made: Path, tmp_path: Path
) -> None:
    for part in ("results", "runs"):
        shutil.copytree(made / part, tmp_path / part)
    (tmp_path / "results/agents_tiny/nexus_seed0.json").unlink()
    encoders = tmp_path / "runs/agents/tiny/encoders"
    shutil.copy(
        encoders / "nexus_plain_seed0/model.safetensors", encoders / "nexus_seed0"
    )
    with pytest.raises(UserError, match="trained on another encoder than the one in"):
        run(tmp_path, arguments=("--rows", "nexus", "--seeds", "1"))
    assert not (tmp_path / "results/agents_tiny/nexus_seed0.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "-1"], "seeds must be at least 0, got -1"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--rows", "nexsus"], "unknown agent 'nexsus'. Did you mean 'nexus'"),
        (["--episodes", "5"], "has 4 episodes a condition, not 5"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    options: list[str], message: str, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "results/agents_tiny", tmp_path / "results/agents_tiny")
    before = times(tmp_path)
    with pytest.raises(UserError, match=message):
        run(tmp_path, *options)
    assert times(tmp_path) == before


def test_an_unknown_experiment_is_one_line(tmp_path: Path) -> None:
    done = from_shell(SCRIPTS / "reproduce_agents.py", "pendulun", "--out", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: unknown experiment 'pendulun'. Did you mean")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("lost", ["random", "oracle_seed0"])
def test_there_is_no_page_without_what_scores_need(
    lost: str, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "results/agents_tiny", tmp_path / "results/agents_tiny")
    pages, rows = map(importlib.import_module, ("agent_pages", "agent_rows"))
    results = tmp_path / "results/agents_tiny"
    (results / f"{lost}.json").unlink()
    plan = rows.EXPERIMENTS["pendulum"]
    with pytest.raises(UserError, match=f"no page without {lost.partition('_')[0]}"):
        pages.write_page(results, plan)
    assert list((tmp_path / "results").iterdir()) == [results]
